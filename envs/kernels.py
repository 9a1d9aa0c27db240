"""The compiled loops over users: begin an episode, take a step, write what is observed.

Each is one loop that calls the per-user formulas of `slategym.envs.physics`. They are compiled
once and kept in numba's disk cache: beside this file, or in the user's cache folder where this
one cannot be written to (``NUMBA_CACHE_DIR`` overrides both).
"""

import hashlib
import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np

from slategym.envs import physics, rng, state
from slategym.envs.arrays import BoolArray, FloatArray, LongArray
from slategym.envs.state import Observation, Response, Rules, Tables, UserState

_LOG = logging.getLogger("slategym")

# numba follows names of this module, and not attributes of another: so each is named here.
_draw, _below, _normal = rng.bits, rng.below, rng.normal
_episode_key, _step_key = rng.episode_key, rng.step_key
_USER, _TASTE = rng.USER, rng.TASTE
_fill_slate, _mean_topics, _choose = physics.fill_slate, physics.mean_topics, physics.choose
_feedback, _settle, _refresh = physics.feedback, physics.settle, physics.refresh
_drift, _remember, _satiate = physics.drift, physics.remember, physics.satiate
_expose, _patience_after, _dot = physics.expose, physics.patience_after, physics.dot
_predicted_value, _click_logit = physics.predicted_value, physics.click_logit


@numba.njit
def _key(seed: np.uint64, stream: np.uint64, episode: np.uint64, step: int) -> np.uint64:
    """Return the key of a step of an episode of a user stream."""
    return _step_key(_episode_key(seed, stream, episode), np.uint64(step))


@numba.njit
def _begin_rows(tables: Tables, rules: Rules, users: UserState, rows: BoolArray) -> None:
    """Draw the user of a new episode, and the first candidates, for each row of the mask."""
    clocks = np.empty(len(tables.item_bias))
    for b in range(len(rows)):
        if not rows[b]:
            continue
        at = _key(users.seed[b], users.stream[b], users.episode[b], 0)
        u = tables.pool[_below(_draw(at, _USER, 0), len(tables.pool))]
        users.user[b], users.step[b] = u, 0
        users.bias[b], users.patience[b] = tables.user_bias[u], rules.patience
        for f in range(users.taste.shape[1]):
            spread = rules.taste_spread * np.float64(tables.user_std[u, f])
            noise = spread * _normal(_draw(at, _TASTE, f))
            users.taste[b, f] = np.float64(tables.user_factors[u, f]) + noise
        for z in range(users.satiation.shape[1]):
            users.satiation[b, z] = users.consumed[b, z] = users.shown[b, z] = 0.0
        users.last_click[b] = users.last_watch[b] = users.clicks[b] = users.minutes[b] = 0.0
        for h in range(users.history.shape[1]):
            users.history[b, h] = tables.user_history[u, h]
            users.history_value[b, h] = tables.user_history_value[u, h]
        _refresh(at, tables.cumulative, tables.weight, users.candidates[b], clocks)


@numba.njit
def _step_rows(
    tables: Tables, rules: Rules, users: UserState, actions: LongArray, out: Response
) -> None:
    """Every user meets one slate: choice, feedback, change, departure, new candidates."""
    clocks = np.empty(len(tables.item_bias))
    mean = np.empty(tables.item_topics.shape[1])
    taken = np.empty(tables.item_topics.shape[1])
    for b in range(len(actions)):
        at = _key(users.seed[b], users.stream[b], users.episode[b], users.step[b])
        out.user[b] = users.user[b]
        filled = _fill_slate(users.candidates[b], actions[b], out.slate[b])
        _mean_topics(tables.item_topics, out.slate[b], filled, mean)
        tired = _dot(users.satiation[b], mean)
        slot, value, fatigue = _choose(
            rules, out.slate[b], rules.mean + np.float64(users.bias[b]), users.taste[b],
            users.satiation[b], tables.item_bias, tables.item_factors, tables.item_topics, at,
        )  # fmt: skip
        watch = minutes = rating = 0.0
        taken[:] = 0.0
        if slot >= 0:
            item = out.slate[b, slot]
            watch, rating = _feedback(rules, item, value, fatigue, at)
            minutes = watch * np.float64(tables.item_duration[item])
            out.click[b, slot], out.watch[b, slot] = 1.0, watch
            out.minutes[b, slot], out.rating[b, slot] = minutes, rating
            _drift(rules.interest_drift, users.taste[b], tables.item_factors[item])
            _remember(users.history[b], users.history_value[b], item, watch)
            for z in range(len(taken)):
                taken[z] = tables.item_topics[item, z]
        _satiate(rules, users.satiation[b], taken, mean)
        _expose(users.consumed[b], taken)
        _expose(users.shown[b], mean)
        users.last_click[b], users.last_watch[b] = (1.0 if slot >= 0 else 0.0), watch
        users.clicks[b] += users.last_click[b]
        users.minutes[b] += minutes
        patience = np.float64(users.patience[b])
        users.patience[b] = _patience_after(rules, patience, slot >= 0, tired)
        users.step[b] += 1
        bored = users.patience[b] <= 0.0
        spent = 0.0 < rules.minute_budget <= users.minutes[b]
        out.terminated[b] = bored or spent
        out.truncated[b] = users.step[b] >= rules.horizon and not (bored or spent)
        feed, diversity = (watch, minutes, rating), 1.0 - _dot(mean, mean)
        out.reward[b] = _settle(rules, out.terms, b, feed, slot, bored, diversity)
        at = _key(users.seed[b], users.stream[b], users.episode[b], users.step[b])
        _refresh(at, tables.cumulative, tables.weight, users.candidates[b], clocks)


@numba.njit
def _observe_users(
    tables: Tables, rules: Rules, users: UserState, rows: BoolArray, out: Observation
) -> None:
    """Write what is observed of the users beside the items."""
    topics = users.satiation.shape[1]
    for b in range(len(rows)):
        if not rows[b]:
            continue
        for d in range(out.user.shape[1]):
            out.user[b, d] = tables.user_profile[users.user[b], d]
        for h in range(users.history.shape[1]):
            if users.history[b, h] >= 0:
                out.history_feedback[b, h, 0] = 1.0
                out.history_feedback[b, h, 1] = users.history_value[b, h]
                out.history_feedback[b, h, 2] = tables.recency[h]
        out.context[b, 0] = users.step[b] / rules.horizon
        out.context[b, 1] = users.last_click[b]
        out.context[b, 2] = users.last_watch[b]
        out.context[b, 3] = users.clicks[b] / 20.0
        out.context[b, 4] = users.minutes[b] / 100.0
        for z in range(topics):
            out.context[b, 6 + z] = users.consumed[b, z]
            out.context[b, 6 + topics + z] = users.shown[b, z]


@numba.njit
def _observe_ids(padding: int, users: UserState, rows: BoolArray, out: Observation) -> None:
    """Write histories and candidates as item rows."""
    for b in range(len(rows)):
        if rows[b]:
            for h in range(users.history.shape[1]):
                item = users.history[b, h]
                out.history_ids[b, h] = item if item >= 0 else padding
            for c in range(users.candidates.shape[1]):
                out.candidate_ids[b, c] = users.candidates[b, c]


@numba.njit
def _observe_vectors(
    vectors: FloatArray, users: UserState, rows: BoolArray, out: Observation
) -> None:
    """Write histories and candidates as item vectors."""
    width = vectors.shape[1]
    for b in range(len(rows)):
        if not rows[b]:
            continue
        for h in range(users.history.shape[1]):
            item = users.history[b, h]
            for d in range(width if item >= 0 else 0):
                out.history_vectors[b, h, d] = vectors[item, d]
        for c in range(users.candidates.shape[1]):
            item = users.candidates[b, c]
            for d in range(width):
                out.candidate_vectors[b, c, d] = vectors[item, d]


@numba.njit
def _logit_rows(tables: Tables, rules: Rules, users: UserState, out: FloatArray) -> None:
    """Write the click logit of each candidate of each user."""
    for b in range(out.shape[0]):
        base = rules.mean + np.float64(users.bias[b])
        for c in range(out.shape[1]):
            i = users.candidates[b, c]
            bias, q = np.float64(tables.item_bias[i]), tables.item_factors[i]
            out[b, c] = _click_logit(rules, _predicted_value(base, bias, users.taste[b], q))


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
        _observe_users(tables, rules, users, rows, out)
        if len(out.candidate_ids) > 0:
            _observe_ids(len(tables.item_bias), users, rows, out)
        else:
            _observe_vectors(tables.item_vectors, users, rows, out)

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


def run(name: str, *arguments: Any) -> None:  # noqa: ANN401
    """Call a kernel by name; log one line if its first call in a process is slow to compile."""
    kernel = getattr(KERNELS, name)
    if name in _CALLED:
        kernel(*arguments)
        return
    timer = threading.Timer(_PATIENCE, _tell)
    timer.daemon = True
    timer.start()
    try:
        kernel(*arguments)
    finally:
        timer.cancel()
    _CALLED.add(name)


_CALLED: set[str] = set()  # kernels this process has called
_PATIENCE = 2.0  # seconds to compile in silence


def _tell() -> None:
    """Log the line. At level WARNING, so that it is seen where logging was not set up."""
    if "told" not in _CALLED:
        _CALLED.add("told")
        _LOG.warning("slategym: compiling the simulation kernel, once; this takes some seconds")
