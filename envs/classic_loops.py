"""What happens to the users of a block: episodes begin, slates are met, candidates are drawn."""

import math

import numba
import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import AnyArray, KeyArray, LongArray
from slategym.envs.classic_dispatch import (
    draw_candidates,
    draw_user,
    meet,
    tally_document,
)
from slategym.envs.classic_draws import NO_EPISODE
from slategym.envs.classic_lend import lent
from slategym.envs.classic_state import (
    CLICKS,
    DRAWN,
    EPISODE,
    KEY,
    LAST_CLICK,
    LAST_VALUE,
    MEANS,
    SEED,
    STEP,
    STREAM,
    VALUES,
    Luck,
    Response,
    Rules,
    State,
    Work,
)

_ONE = np.uint64(1)
_episode_key, _step_key = rng.episode_key, rng.step_key
_inline = numba.njit(forceinline=True, error_model="numpy")
_compiled = numba.njit(error_model="numpy")


@_inline
def room_for(block: int, size: int, count: int) -> Luck:
    """Return room for the luck of a block of users, in flat arrays; see `some_luck`."""
    all_places, places = block * (size + 1), block * size
    return Luck(
        np.empty(block, dtype=np.uint64),
        np.empty((1, all_places)),
        np.empty((1, all_places)),
        np.empty((1, places)),
        np.empty((1, places)),
        np.empty(block),
        np.empty(block),
        np.empty(block, dtype=np.int64),
        np.empty(block),
        work_for(block * max(size + 1, count, 2)),
    )


@_inline
def work_for(size: int) -> Work:
    """Return scratch for ``size`` numbers."""
    bits = np.empty(size, dtype=np.uint64)
    return Work(np.empty((4, size)), np.empty(size + 1, dtype=np.int64), bits)


@_inline
def some_luck(room: Luck, count: int, size: int) -> Luck:
    """Return the room for the first ``count`` users of a block and ``size`` places."""
    all_places, places = count * (size + 1), count * size
    return Luck(
        room.at[:count],
        room.clocks.reshape(-1)[:all_places].reshape(size + 1, count),
        room.weights.reshape(-1)[:all_places].reshape(size + 1, count),
        room.quality.reshape(-1)[:places].reshape(size, count),
        room.mean.reshape(-1)[:places].reshape(size, count),
        room.drift[:count],
        room.most[:count],
        room.slot[:count],
        room.value[:count],
        room.work,
    )


@_inline
def some_users(state: State, first: int, count: int) -> State:
    """Return ``count`` users, from ``first`` on."""
    last = first + count
    return State(
        state.counters[first:last],
        state.user[first:last],
        state.tally[first:last],
        state.cluster[first:last],
        state.feature[first:last],
        state.past_cluster[first:last],
        state.past_feature[first:last],
        state.past_value[first:last],
    )


@_inline
def room_like(state: State, count: int) -> State:
    """Return room for ``count`` users."""
    return State(
        np.empty((count, state.counters.shape[1]), dtype=np.uint64),
        np.empty((count, state.user.shape[1])),
        np.empty((count, state.tally.shape[1]), dtype=np.float32),
        np.empty((count, state.cluster.shape[1]), dtype=np.uint8),
        np.empty((count, state.feature.shape[1]), dtype=np.float32),
        np.empty((count, state.past_cluster.shape[1]), dtype=np.uint8),
        np.empty((count, state.past_feature.shape[1]), dtype=np.float32),
        np.empty((count, state.past_value.shape[1]), dtype=np.float32),
    )


@_inline
def copy_user(source: State, n: int, target: State, m: int) -> None:
    """Write user n of one state to place m of another."""
    _copy_row(source.counters, n, target.counters, m)
    _copy_row(source.user, n, target.user, m)
    _copy_row(source.tally, n, target.tally, m)
    _copy_row(source.cluster, n, target.cluster, m)
    _copy_row(source.feature, n, target.feature, m)
    _copy_row(source.past_cluster, n, target.past_cluster, m)
    _copy_row(source.past_feature, n, target.past_feature, m)
    _copy_row(source.past_value, n, target.past_value, m)


@_inline
def _copy_row(source: AnyArray, n: int, target: AnyArray, m: int) -> None:
    for column in range(source.shape[1]):
        target[m, column] = source[n, column]


@_compiled
def begin(rules: Rules, users: State, work: Work) -> None:
    """Draw N users of new episodes and their first candidates; forget the last episodes.

    Args:
        rules: of the family.
        users: a state of N users.
        work: scratch.
    """
    rules, users, work = lent(rules), lent(users), lent(work)
    counters, zero = users.counters, np.uint64(0)
    for n in range(len(counters)):
        seed, stream = counters[n, SEED], counters[n, STREAM]
        key = _episode_key(seed, stream, counters[n, EPISODE])
        counters[n, KEY], counters[n, STEP] = key, zero
        at = _step_key(key, zero)
        draw_user(rules, at, users.user[n])
        if not rules.resample_documents:
            at = _step_key(_episode_key(seed, stream, NO_EPISODE), zero)
        counters[n, DRAWN] = at
    draw_candidates(rules, users, work)
    users.tally[:] = 0.0
    users.past_value[:] = -1.0


@_compiled
def advance(rules: Rules, users: State, slates: KeyArray, out: Response, luck: Luck) -> int:
    """Take a step of a block of N users; return how many episodes ended.

    Args:
        rules: of the family.
        users: a state of N users.
        slates: (N, K) positions; unsigned, so that no code for negative ones is made.
        out: written.
        luck: scratch.
    """
    rules, users, slates = lent(rules), lent(users), lent(slates)
    out, luck = lent(out), lent(luck)
    counters, ended = users.counters, 0
    for n in range(len(counters)):
        # Candidates that were drawn in this step carry its key.
        drawn = counters[n, DRAWN]
        here = rules.resample_documents
        luck.at[n] = drawn if here else _step_key(counters[n, KEY], counters[n, STEP])
    _record(rules, users, slates, out)
    meet(rules, users, slates, out, luck)
    _remember(rules, users, slates, out, luck)
    for n in range(len(counters)):
        step = counters[n, STEP] + _ONE
        counters[n, STEP] = step
        out.term[n] = out.reward[n]
        cut = not out.terminated[n] and step >= np.uint64(rules.horizon)
        out.truncated[n] = cut
        ended += out.terminated[n] or cut
    if rules.resample_documents:
        for n in range(len(counters)):
            counters[n, DRAWN] = _step_key(counters[n, KEY], counters[n, STEP])
        draw_candidates(rules, users, luck.work)
    return ended


@_inline
def _record(rules: Rules, users: State, slates: KeyArray, out: Response) -> None:
    """Write slates and their clusters to the response, without a click yet; tally what is shown."""
    flat, click, slate = slates.reshape(-1), out.click.reshape(-1), out.slate.reshape(-1)
    shown = MEANS + (users.tally.shape[1] - MEANS) // 2
    for i in range(len(flat)):
        click[i] = 0.0
        slate[i] = flat[i]
    for i in range(slates.shape[1]):
        for n in range(len(slates)):
            cluster = users.cluster[n, slates[n, i]]
            out.cluster[n, i] = cluster
            feature = feature_of(users, n, slates[n, i])
            tally_document(rules, cluster, feature, np.float32(1.0), users.tally[n], shown)


@_inline
def _remember(rules: Rules, users: State, slates: KeyArray, out: Response, luck: Luck) -> None:
    """Put what was clicked into the history in place of the oldest, and tally it.

    The history is a ring: the i-th click of an episode is at i modulo H. Who clicked nothing is
    written what was there before: guessing who clicks costs the processor more.
    """
    index = luck.work.order
    oldest(users, index)
    for n in range(len(luck.slot)):
        slot, at, tally = luck.slot[n], index[n], users.tally[n]
        clicked = slot >= 0
        weight = np.float32(1.0) if clicked else np.float32(0.0)
        place = slot if clicked else 0
        position = slates[n, place]
        cluster, feature = users.cluster[n, position], feature_of(users, n, position)
        value = luck.value[n]
        out.click[n, place] = weight
        users.past_cluster[n, at] = cluster if clicked else users.past_cluster[n, at]
        users.past_value[n, at] = value if clicked else users.past_value[n, at]
        if users.feature.shape[1] > 0:
            users.past_feature[n, at] = feature if clicked else users.past_feature[n, at]
        tally_document(rules, cluster, feature, weight, tally, MEANS)
        tally[CLICKS] += weight
        tally[VALUES] += value
        tally[LAST_CLICK], tally[LAST_VALUE] = weight, value


@_inline
def oldest(users: State, index: LongArray) -> None:
    """Write where the oldest entry of each user's history is, in the ring: clicks modulo H."""
    past = np.float64(users.past_value.shape[1])
    for n in range(len(users.counters)):
        clicks = np.float64(users.tally[n, CLICKS])
        index[n] = np.int64(clicks - past * math.floor(clicks / past))


@_inline
def feature_of(users: State, n: int, position: np.uint64) -> float:
    """Return what else is seen of a candidate; 0 in interest evolution."""
    if users.feature.shape[1] == 0:
        return np.float32(0.0)  # type: ignore[return-value]  # a double would slow its sums
    return users.feature[n, position]
