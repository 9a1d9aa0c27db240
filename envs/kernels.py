"""The compiled loops over users: begin an episode, take a step, write what is observed.

Each is one loop that calls the per-user formulas of `slategym.envs.physics`. They are compiled
once and kept in numba's disk cache: beside this file, or in the user's cache folder where this
one cannot be written to (``NUMBA_CACHE_DIR`` overrides both).
"""

import hashlib
import inspect
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numba
import numpy as np

from slategym.envs import physics, rng, state
from slategym.envs.arrays import BoolArray, DoubleArray, FloatArray, IntArray, LongArray
from slategym.envs.physics import EXPOSURE_DECAY
from slategym.envs.state import Observation, Response, Rules, Tables, UserState

_LOG = logging.getLogger("slategym")

_draw, _below, _normal, _gumbel = rng.bits, rng.below, rng.normal, rng.gumbel
_episode_key, _step_key = rng.episode_key, rng.step_key
_USER, _TASTE, _CHOICE, _WATCH, _RATING = rng.USER, rng.TASTE, rng.CHOICE, rng.WATCH, rng.RATING
_predicted_value, _click_logit, _utility = (
    physics.predicted_value,
    physics.click_logit,
    physics.utility,
)
_watched, _rated, _drift, _dot = physics.watched, physics.rated, physics.drift, physics.dot
_patience_after, _draw_candidates = physics.patience_after, physics.draw_candidates
_is_among = physics.is_among


@numba.njit
def _key(users: UserState, b: int) -> np.uint64:
    """Return the key of the present step of user ``b``."""
    key = _episode_key(users.seed[b], users.stream[b], users.episode[b])
    return _step_key(key, np.uint64(users.step[b]))


@numba.njit
def _begin_user(
    tables: Tables, rules: Rules, users: UserState, b: int, clocks: DoubleArray
) -> None:
    """Draw the user of a new episode, and the first candidates."""
    users.step[b] = 0
    at = _key(users, b)
    u = tables.pool[_below(_draw(at, _USER, 0), len(tables.pool))]
    users.user[b] = u
    users.bias[b] = tables.user_bias[u]
    for f in range(users.taste.shape[1]):
        spread = rules.taste_spread * tables.user_std[u, f]
        users.taste[b, f] = tables.user_factors[u, f] + spread * _normal(_draw(at, _TASTE, f))
    users.patience[b] = rules.patience
    users.satiation[b, :] = 0.0
    users.consumed[b, :] = 0.0
    users.shown[b, :] = 0.0
    users.last_click[b] = users.last_watch[b] = users.clicks[b] = users.minutes[b] = 0.0
    users.history[b, :] = tables.user_history[u]
    users.history_value[b, :] = tables.user_history_value[u]
    _draw_candidates(tables, at, users.candidates[b], clocks)


@numba.njit
def _fill_slate(users: UserState, b: int, action: LongArray, slate: IntArray) -> int:
    """Write the slate's items, a repeated position as an empty slot; return how many there are."""
    filled = 0
    for k in range(len(action)):
        item = users.candidates[b, action[k]]
        if _is_among(item, slate, k):
            slate[k] = -1
        else:
            slate[k] = item
            filled += 1
    return filled


@numba.njit
def _mean_topics(tables: Tables, slate: IntArray, filled: int, mean: DoubleArray) -> None:
    """Write the mean topics of the items on the slate."""
    mean[:] = 0.0
    for k in range(len(slate)):
        if slate[k] >= 0:
            for z in range(len(mean)):
                mean[z] += np.float64(tables.item_topics[slate[k], z])
    for z in range(len(mean)):
        mean[z] /= filled


@numba.njit
def _choose(
    tables: Tables, rules: Rules, users: UserState, b: int, slate: IntArray, at: np.uint64
) -> tuple[int, float, float]:
    """Return the slot taken (or -1), its predicted value and its fatigue."""
    best, slot = rules.no_click_logit + _gumbel(_draw(at, _CHOICE, 0)), -1
    value = fatigue = 0.0
    for k in range(len(slate)):
        i = slate[k]
        if i < 0:
            continue
        tired = _dot(users.satiation[b], tables.item_topics[i])
        worth = _predicted_value(tables, rules, users.taste[b], users.bias[b], i)
        attraction = _utility(rules, _click_logit(rules, worth), tired) - rules.position_bias * k
        attraction += _gumbel(_draw(at, _CHOICE, i + 1))
        if attraction > best:
            best, slot, value, fatigue = attraction, k, worth, tired
    return slot, value, fatigue


@numba.njit
def _consume(
    tables: Tables, rules: Rules, users: UserState, b: int, out: Response, slot: int,
    value: float, fatigue: float, at: np.uint64,
) -> None:  # fmt: skip
    """Write the feedback on the item taken; remember it and drift towards it."""
    item = out.slate[b, slot]
    noise = _normal(_draw(at, _WATCH, item))
    watch = _watched(rules, _click_logit(rules, value), fatigue, noise)
    out.click[b, slot] = 1.0
    out.watch[b, slot] = watch
    out.minutes[b, slot] = watch * tables.item_duration[item]
    out.rating[b, slot] = _rated(rules, value, fatigue, _normal(_draw(at, _RATING, item)))
    users.clicks[b] += 1.0
    users.minutes[b] += out.minutes[b, slot]
    users.last_watch[b] = watch
    _drift(rules, users.taste[b], tables.item_factors[item])
    last = users.history.shape[1] - 1
    for h in range(last):
        users.history[b, h] = users.history[b, h + 1]
        users.history_value[b, h] = users.history_value[b, h + 1]
    if last >= 0:
        users.history[b, last] = item
        users.history_value[b, last] = watch


@numba.njit
def _satiate(
    tables: Tables, rules: Rules, users: UserState, b: int, item: int, mean: DoubleArray
) -> None:
    """Update satiation and the observable exposure by topic; ``item`` is -1 without a click."""
    for z in range(len(mean)):
        taken = np.float64(tables.item_topics[item, z]) if item >= 0 else 0.0
        kept = rules.satiation_decay * np.float64(users.satiation[b, z])
        users.satiation[b, z] = kept + rules.consume_gain * taken + rules.expose_gain * mean[z]
        users.consumed[b, z] = EXPOSURE_DECAY * np.float64(users.consumed[b, z]) + taken
        users.shown[b, z] = EXPOSURE_DECAY * np.float64(users.shown[b, z]) + mean[z]


@numba.njit
def _settle(rules: Rules, b: int, out: Response, slot: int, bored: bool, diversity: float) -> None:
    """Write the reward terms and their sum."""
    if slot >= 0:
        out.terms[0, b] = rules.click_weight
        out.terms[1, b] = rules.watch_weight * np.float64(out.watch[b, slot])
        out.terms[2, b] = rules.minutes_weight * np.float64(out.minutes[b, slot])
        out.terms[3, b] = rules.rating_weight * np.float64(out.rating[b, slot])
    if bored:
        out.terms[4, b] = -rules.leave_weight
    out.terms[5, b] = rules.diversity_weight * diversity
    total = 0.0
    for j in range(out.terms.shape[0]):
        total += np.float64(out.terms[j, b])
    out.reward[b] = total


@numba.njit
def _step_user(
    tables: Tables, rules: Rules, users: UserState, b: int, action: LongArray, out: Response,
    mean: DoubleArray, clocks: DoubleArray,
) -> None:  # fmt: skip
    """One user meets one slate: choice, feedback, change, departure, new candidates."""
    at = _key(users, b)
    slate = out.slate[b]
    out.user[b] = users.user[b]
    filled = _fill_slate(users, b, action, slate)
    _mean_topics(tables, slate, filled, mean)
    tired = _dot(users.satiation[b], mean)
    slot, value, fatigue = _choose(tables, rules, users, b, slate, at)
    users.last_click[b] = 1.0 if slot >= 0 else 0.0
    users.last_watch[b] = 0.0
    if slot >= 0:
        _consume(tables, rules, users, b, out, slot, value, fatigue, at)
    _satiate(tables, rules, users, b, slate[slot] if slot >= 0 else -1, mean)
    users.patience[b] = _patience_after(rules, np.float64(users.patience[b]), slot >= 0, tired)
    bored = users.patience[b] <= 0.0
    spent = rules.minute_budget > 0.0 and users.minutes[b] >= rules.minute_budget
    users.step[b] += 1
    out.terminated[b] = bored or spent
    out.truncated[b] = users.step[b] >= rules.horizon and not out.terminated[b]
    _settle(rules, b, out, slot, bored, 1.0 - _dot(mean, mean))
    _draw_candidates(tables, _key(users, b), users.candidates[b], clocks)


@numba.njit
def _observe_user(tables: Tables, rules: Rules, users: UserState, b: int, out: Observation) -> None:
    """Write what is observed of a user beside the items."""
    topics, history = users.satiation.shape[1], users.history.shape[1]
    out.user[b, :] = tables.user_profile[users.user[b]]
    for h in range(history):
        if users.history[b, h] >= 0:
            out.history_feedback[b, h, 0] = 1.0
            out.history_feedback[b, h, 1] = users.history_value[b, h]
            out.history_feedback[b, h, 2] = tables.recency[h]
    row = out.context[b]
    row[0] = users.step[b] / rules.horizon
    row[1], row[2] = users.last_click[b], users.last_watch[b]
    row[3], row[4] = users.clicks[b] / 20.0, users.minutes[b] / 100.0
    for z in range(topics):
        row[6 + z] = users.consumed[b, z]
        row[6 + topics + z] = users.shown[b, z]


@numba.njit
def _observe_items(tables: Tables, users: UserState, b: int, out: Observation) -> None:
    """Write the history and the candidates, as ids or as vectors."""
    ids = len(out.candidate_ids) > 0
    for h in range(users.history.shape[1]):
        item = users.history[b, h]
        if ids:
            out.history_ids[b, h] = item if item >= 0 else len(tables.item_bias)
        elif item >= 0:
            out.history_vectors[b, h, :] = tables.item_vectors[item]
    for c in range(users.candidates.shape[1]):
        item = users.candidates[b, c]
        if ids:
            out.candidate_ids[b, c] = item
        else:
            out.candidate_vectors[b, c, :] = tables.item_vectors[item]


@numba.njit
def _candidate_logits(
    tables: Tables, rules: Rules, users: UserState, b: int, out: FloatArray
) -> None:
    """Write the click logit of each candidate of a user."""
    for c in range(len(out)):
        i = users.candidates[b, c]
        value = _predicted_value(tables, rules, users.taste[b], users.bias[b], i)
        out[c] = _click_logit(rules, value)


@numba.njit
def _begin_rows(tables: Tables, rules: Rules, users: UserState, rows: BoolArray) -> None:
    clocks = np.empty(len(tables.item_bias))
    for b in range(len(rows)):
        if rows[b]:
            _begin_user(tables, rules, users, b, clocks)


@numba.njit
def _step_rows(
    tables: Tables, rules: Rules, users: UserState, actions: LongArray, out: Response
) -> None:
    clocks = np.empty(len(tables.item_bias))
    mean = np.empty(tables.item_topics.shape[1])
    for b in range(len(actions)):
        _step_user(tables, rules, users, b, actions[b], out, mean, clocks)


@numba.njit
def _observe_rows(
    tables: Tables, rules: Rules, users: UserState, rows: BoolArray, out: Observation
) -> None:
    for b in range(len(rows)):
        if rows[b]:
            _observe_user(tables, rules, users, b, out)
            _observe_items(tables, users, b, out)


@numba.njit
def _logit_rows(tables: Tables, rules: Rules, users: UserState, out: FloatArray) -> None:
    for b in range(out.shape[0]):
        _candidate_logits(tables, rules, users, b, out[b])


class Kernels(NamedTuple):
    """The compiled entry points."""

    begin: Callable[..., None]
    """(tables, rules, users, rows (B,) bool): start an episode in those rows."""
    step: Callable[..., None]
    """(tables, rules, users, actions (B, K) int64, response): take one step."""
    observe: Callable[..., None]
    """(tables, rules, users, rows (B,) bool, observation): write the observation of rows."""
    logits: Callable[..., None]
    """(tables, rules, users, out (B, C)): write the click logit of each candidate."""


def _compile(sources: str) -> Kernels:
    """Return the compiled loops.

    numba's disk cache is keyed by the file of the function alone, so a change of `rng` or
    `physics` would go unseen (numba issue 2439). It does include what a function closes over:
    each loop below therefore mentions ``sources``, the hash of every file it is built from.
    """

    @numba.njit(cache=True)
    def begin(tables: Tables, rules: Rules, users: UserState, rows: BoolArray) -> None:
        _ = sources
        _begin_rows(tables, rules, users, rows)

    @numba.njit(cache=True)
    def step(
        tables: Tables, rules: Rules, users: UserState, actions: LongArray, out: Response
    ) -> None:
        _ = sources
        _step_rows(tables, rules, users, actions, out)

    @numba.njit(cache=True)
    def observe(
        tables: Tables, rules: Rules, users: UserState, rows: BoolArray, out: Observation
    ) -> None:
        _ = sources
        _observe_rows(tables, rules, users, rows, out)

    @numba.njit(cache=True)
    def logits(tables: Tables, rules: Rules, users: UserState, out: FloatArray) -> None:
        _ = sources
        _logit_rows(tables, rules, users, out)

    return Kernels(begin, step, observe, logits)


def _sources() -> str:
    """Return a hash of the source of every file the kernels are built from."""
    text = "".join(inspect.getsource(module) for module in (rng, physics, state))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


KERNELS = _compile(_sources())


@contextmanager
def told_if_slow(seconds: float = 2.0) -> Iterator[None]:
    """Log one line if the block takes longer: the first use on a machine has to compile."""
    timer = threading.Timer(seconds, _tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _tell(*_: Any) -> None:  # noqa: ANN401
    """Log the line. At level WARNING, so that it is seen where logging was not set up."""
    _LOG.warning("slategym: compiling the simulation kernel, once; this takes some seconds")
