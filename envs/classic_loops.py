"""What happens to the users of a block: episodes begin, slates are met, candidates are drawn."""

import numba
import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import LongArray
from slategym.envs.classic_dispatch import (
    draw_candidates,
    draw_user,
    meet,
    prepare,
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
    """Return room for the luck of a block of users."""
    clocks, weights = np.empty((block, size + 1)), np.empty((block, size + 1))
    work = work_for(block * max(size, count, 2))
    return Luck(clocks, weights, np.empty(block), np.empty(block * size), work)


@_inline
def work_for(size: int) -> Work:
    """Return scratch for ``size`` numbers."""
    return Work(np.empty((4, size)), np.empty(size + 1, dtype=np.int64))


@_inline
def some(luck: Luck, count: int) -> Luck:
    """Return the room for the first ``count`` users of a block."""
    size = luck.clocks.shape[1] - 1
    quality = luck.quality[: count * size]
    return Luck(luck.clocks[:count], luck.weights[:count], luck.drift[:count], quality, luck.work)


@_compiled
def begin(rules: Rules, state: State, b: int, work: Work) -> None:
    """Draw the user of a new episode and the first candidates; forget the last episode."""
    rules, state, work = lent(rules), lent(state), lent(work)
    counters = state.counters[b]
    key = _episode_key(counters[SEED], counters[STREAM], counters[EPISODE])
    counters[KEY], counters[STEP] = key, np.uint64(0)
    at = _step_key(key, np.uint64(0))
    draw_user(rules, at, state.user[b])
    if not rules.resample_documents:
        at = _step_key(_episode_key(counters[SEED], counters[STREAM], NO_EPISODE), np.uint64(0))
    counters[DRAWN] = at
    draw_candidates(rules, state, b, 1, work)
    state.tally[b, :] = 0.0
    state.past_value[b, :] = -1.0


@_compiled
def advance(
    rules: Rules, state: State, slates: LongArray, out: Response, first: int, luck: Luck
) -> int:
    """Take a step of the block of users that starts at ``first``; return how many ended."""
    rules, state, slates = lent(rules), lent(state), lent(slates)
    out, luck = lent(out), lent(luck)
    count, size, ended = len(luck.clocks), slates.shape[1], 0
    _record(rules, state, slates, out, first, count)
    prepare(rules, state, slates, out, first, luck)
    clicks = out.real[0]
    for n in range(count):
        b = first + n
        slot, reward, value, left = meet(rules, state, slates[b], out, b, luck, n)
        if slot >= 0:
            clicks[b * size + slot] = 1.0
            _remember(rules, state, b, slates[b, slot], value)
        state.tally[b, LAST_CLICK], state.tally[b, LAST_VALUE] = (1.0 if slot >= 0 else 0.0), value
        step = state.counters[b, STEP] + _ONE
        state.counters[b, STEP] = step
        cut = not left and step >= np.uint64(rules.horizon)
        out.reward[0, b] = out.reward[1, b] = reward
        out.ended[0, b], out.ended[1, b] = left, cut
        ended += left or cut
    if rules.resample_documents:
        for b in range(first, first + count):
            counters = state.counters[b]
            counters[DRAWN] = _step_key(counters[KEY], counters[STEP])
        draw_candidates(rules, state, first, count, luck.work)
    return ended


@_inline
def _record(
    rules: Rules, state: State, slates: LongArray, out: Response, first: int, count: int
) -> None:
    """Write slates and their clusters to the response, without a click yet; tally what is shown."""
    size, start = slates.shape[1], first * slates.shape[1]
    shown = MEANS + (state.tally.shape[1] - MEANS) // 2
    flat, clicks = slates.reshape(-1), out.real[0]
    positions, clusters = out.whole[0], out.whole[1]
    for i in range(start, start + count * size):
        clicks[i] = 0.0
        positions[i] = flat[i]
    for n in range(count):
        cluster, tally = state.cluster[first + n], state.tally[first + n]
        for i in range(size):
            at = flat[start + n * size + i]
            clusters[start + n * size + i] = cluster[at]
            tally_document(rules, cluster[at], feature_of(state, first + n, at), tally, shown)


@_inline
def _remember(rules: Rules, state: State, b: int, position: int, value: float) -> None:
    """Put a clicked document into the history in place of the oldest, and tally it.

    The history is a ring: the n-th click of an episode is at n modulo H.
    """
    tally, at = state.tally[b], oldest(state, b)
    cluster, feature = state.cluster[b, position], feature_of(state, b, position)
    state.past_cluster[b, at], state.past_value[b, at] = cluster, value
    if state.feature.shape[1] > 0:
        state.past_feature[b, at] = feature
    tally_document(rules, cluster, feature, tally, MEANS)
    tally[CLICKS] += 1.0
    tally[VALUES] += value


@_inline
def oldest(state: State, b: int) -> int:
    """Return where the oldest entry of the history is, in the ring."""
    clicks = np.uint32(state.tally[b, CLICKS])
    at = clicks % np.uint32(state.past_value.shape[1])
    return np.int64(at)  # type: ignore[return-value]  # what compiled code calls int


@_inline
def feature_of(state: State, b: int, position: int) -> float:
    """Return what else is seen of a candidate; 0 in interest evolution."""
    if state.feature.shape[1] == 0:
        return np.float32(0.0)  # type: ignore[return-value]  # a double would slow its sums
    return state.feature[b, position]
