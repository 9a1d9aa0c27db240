"""The compiled loops of the classics: begin an episode, take a step, write what is observed.

One loop serves the three families: what a user does is looked up by the type of the rules when
the loop is compiled, and inlined. The loops are compiled once and kept in numba's disk cache,
like those of `slategym.envs.kernels`.
"""

import hashlib
import inspect
import logging
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.extending import overload

from slategym.envs import (
    classic_choice,
    classic_draws,
    classic_evolution,
    classic_exploration,
    classic_satisfaction,
    classic_state,
    rng,
)
from slategym.envs.arrays import BoolArray, DoubleArray, FloatArray, LongArray
from slategym.envs.classic_constants import N_TOPICS
from slategym.envs.classic_draws import NO_EPISODE
from slategym.envs.classic_lend import lent
from slategym.envs.classic_state import (
    CLICKS,
    CONTEXT_SCALARS,
    DRAWN,
    EPISODE,
    KEY,
    LAST_CLICK,
    LAST_VALUE,
    MEANS,
    RECENCY_DECAY,
    SEED,
    STEP,
    STREAM,
    VALUES,
    Blocks,
    EvolutionRules,
    ExplorationRules,
    Luck,
    Response,
    Rules,
    SatisfactionRules,
    State,
    View,
    Work,
)

_LOG = logging.getLogger("slategym")

FORMULAS: dict[type, ModuleType] = {
    EvolutionRules: classic_evolution,
    ExplorationRules: classic_exploration,
    SatisfactionRules: classic_satisfaction,
}
"""Rules -> the module that holds what a user of that family does."""
BAD_POSITION = -1
"""Returned by a step that met a position outside [0, C); nothing has changed then."""

BLOCK = 64
"""Users whose luck is drawn together; their scratch fits the fastest cache."""

_ONE = np.uint64(1)
_episode_key, _step_key = rng.episode_key, rng.step_key


def _by_rules(name: str) -> Callable[..., Any]:
    """Return a function that compiled code replaces by the family's own of that name."""

    def chosen(rules: Any, *arguments: Any) -> Any:  # noqa: ANN401
        raise NotImplementedError(f"{name} is for compiled code")

    @overload(chosen, strict=False, jit_options={"forceinline": True, "error_model": "numpy"})
    def choose(rules: Any, *arguments: Any) -> Any:  # noqa: ANN401
        formula = getattr(FORMULAS[rules.instance_class], name)

        def call(rules: Any, *arguments: Any) -> Any:  # noqa: ANN401
            return formula(rules, *arguments)

        return call

    return chosen


_draw_user, _draw_candidates = _by_rules("draw_user"), _by_rules("draw_candidates")
_prepare, _meet, _progress = _by_rules("prepare"), _by_rules("meet"), _by_rules("progress")
_put_user, _put_document = _by_rules("put_user"), _by_rules("put_document")
_tally_document = _by_rules("tally_document")
_quality_of = classic_evolution.quality_of

_compiled = numba.njit(error_model="numpy")
_inline = numba.njit(forceinline=True, error_model="numpy")


@_compiled
def _begin(rules: Rules, state: State, b: int, work: Work) -> None:
    """Draw the user of a new episode and the first candidates; forget the last episode."""
    counters = state.counters[b]
    key = _episode_key(counters[SEED], counters[STREAM], counters[EPISODE])
    counters[KEY], counters[STEP] = key, np.uint64(0)
    at = _step_key(key, np.uint64(0))
    _draw_user(rules, at, state.user[b])
    if not rules.resample_documents:
        at = _step_key(_episode_key(counters[SEED], counters[STREAM], NO_EPISODE), np.uint64(0))
    counters[DRAWN] = at
    _draw_candidates(rules, state, b, 1, work)
    state.tally[b, :] = 0.0
    state.past_value[b, :] = -1.0


@_inline
def _remember(state: State, b: int, position: int, value: float) -> None:
    """Push a clicked document to the end of the history, forgetting the oldest."""
    last = state.past_value.shape[1] - 1
    for h in range(last):
        state.past_cluster[b, h] = state.past_cluster[b, h + 1]
        state.past_value[b, h] = state.past_value[b, h + 1]
        state.past_feature[b, h] = state.past_feature[b, h + 1]
    state.past_cluster[b, last] = state.cluster[b, position]
    state.past_value[b, last] = value
    if state.feature.shape[1] > 0:
        state.past_feature[b, last] = state.feature[b, position]


@_inline
def _document(state: State, b: int, position: int) -> tuple[int, float]:
    """Return cluster and feature of a candidate."""
    feature = state.feature[b, position] if state.feature.shape[1] > 0 else np.float32(0.0)
    return state.cluster[b, position], feature


@_inline
def _step(
    rules: Rules, state: State, slate: LongArray, out: Response, b: int, luck: Luck, n: int
) -> bool:
    """One user meets one slate: choice, feedback, change, ending, new candidates."""
    counters, tally = state.counters[b], state.tally[b]
    means = (len(tally) - MEANS) // 2
    slot, reward, value, left = _meet(rules, state, slate, out, b, luck, n)
    for i in range(len(slate)):
        cluster, feature = _document(state, b, slate[i])
        out.real[0, b, i] = 1.0 if i == slot else 0.0
        out.whole[0, b, i], out.whole[1, b, i] = slate[i], cluster
        _tally_document(rules, cluster, feature, tally, MEANS + means)
    tally[LAST_CLICK], tally[LAST_VALUE] = (1.0 if slot >= 0 else 0.0), value
    if slot >= 0:
        cluster, feature = _document(state, b, slate[slot])
        _tally_document(rules, cluster, feature, tally, MEANS)
        tally[CLICKS] += 1.0
        tally[VALUES] += value
        _remember(state, b, slate[slot], value)
    counters[STEP] += _ONE
    cut = not left and counters[STEP] >= np.uint64(rules.horizon)
    out.reward[0, b] = out.reward[1, b] = reward
    out.ended[0, b], out.ended[1, b] = left, cut
    return left or cut


@_inline
def _resample(rules: Rules, state: State, first: int, count: int, work: Work) -> None:
    """Draw the candidates of the present step of a block, unless one set stays for ever."""
    if rules.resample_documents:
        for b in range(first, first + count):
            counters = state.counters[b]
            counters[DRAWN] = _step_key(counters[KEY], counters[STEP])
        _draw_candidates(rules, state, first, count, work)


@_inline
def _room(block: int, size: int, count: int) -> Luck:
    """Return room for the luck of a block of users."""
    clocks, weights = np.empty((block, size + 1)), np.empty((block, size + 1))
    work = _work(block * max(size, count, 2))
    return Luck(clocks, weights, np.empty(block), np.empty(block * size), work)


@_inline
def _work(size: int) -> Work:
    """Return scratch for ``size`` numbers."""
    return Work(np.empty((4, size)), np.empty(size + 1, dtype=np.int64))


@_inline
def _some(luck: Luck, count: int) -> Luck:
    """Return the room for the first ``count`` users of a block."""
    size = luck.clocks.shape[1] - 1
    noise = luck.noise[: count * size]
    return Luck(luck.clocks[:count], luck.weights[:count], luck.drift[:count], noise, luck.work)


@_inline
def _blocks(state: State, view: View, layout: LongArray) -> Blocks:
    """Return the blocks of a view's buffer, with their shapes."""
    batch, past, count = len(state.counters), state.past_value.shape[1], state.cluster.shape[1]
    width = 0 if len(view.ids) > 0 else layout[1]
    a = layout[0] * batch
    b = a + width * past * batch
    c = b + width * count * batch
    d = c + 3 * past * batch
    return Blocks(
        view.real[:a].reshape(batch, layout[0]),
        view.real[a:b].reshape(batch, past, width),
        view.real[b:c].reshape(batch, count, width),
        view.real[c:d].reshape(batch, past, 3),
        view.real[d:].reshape(batch, layout[2]),
        view.ids.reshape(-1, count),
        view.past_ids.reshape(-1, past),
    )


@_inline
def _observe(rules: Rules, state: State, b: int, out: Blocks, slate_size: int) -> None:
    """Write what is observed of one user."""
    _put_user(rules, state.user[b], out.user[b])
    if len(out.ids) > 0:
        _put_ids(state, b, out)
    else:
        _put_documents(rules, state, b, out)
    weight = 1.0
    for h in range(state.past_value.shape[1] - 1, -1, -1):
        value = state.past_value[b, h]
        seen = value >= 0.0
        out.feedback[b, h, 0] = 1.0 if seen else 0.0
        out.feedback[b, h, 1] = value if seen else 0.0
        out.feedback[b, h, 2] = weight if seen else 0.0
        weight *= RECENCY_DECAY
    _put_context(rules, state, b, slate_size, out.context[b])


@_inline
def _put_documents(rules: Rules, state: State, b: int, out: Blocks) -> None:
    """Write the history, zero where nothing was clicked yet, and the candidates."""
    for h in range(state.past_value.shape[1]):
        if state.past_value[b, h] >= 0.0:
            cluster, feature = state.past_cluster[b, h], state.past_feature[b, h]
            _put_document(rules, cluster, feature, out.history[b, h])
        else:
            for d in range(out.history.shape[2]):
                out.history[b, h, d] = 0.0
    for c in range(state.cluster.shape[1]):
        cluster, feature = _document(state, b, c)
        _put_document(rules, cluster, feature, out.candidates[b, c])


@_inline
def _put_ids(state: State, b: int, out: Blocks) -> None:
    """Write history and candidates as cluster numbers; the number of clusters is padding."""
    for h in range(state.past_value.shape[1]):
        seen = state.past_value[b, h] >= 0.0
        out.past_ids[b, h] = state.past_cluster[b, h] if seen else N_TOPICS
    for c in range(state.cluster.shape[1]):
        out.ids[b, c] = state.cluster[b, c]


@_inline
def _put_context(rules: Rules, state: State, b: int, slate_size: int, out: FloatArray) -> None:
    """Write progress, last click and value, rates, and means of what was consumed and shown."""
    tally, step = state.tally[b], np.int64(state.counters[b, STEP])
    means = (len(tally) - MEANS) // 2
    one = np.float32(1.0)
    per_step = one / np.float32(max(step, 1))
    per_click = one / max(tally[CLICKS], one)
    out[0] = _progress(rules, step)
    out[1], out[2] = tally[LAST_CLICK], tally[LAST_VALUE]
    out[3], out[4] = tally[CLICKS] * per_step, tally[VALUES] * per_step
    per_shown = one / np.float32(max(step, 1) * slate_size)
    for z in range(means):
        out[CONTEXT_SCALARS + z] = tally[MEANS + z] * per_click
    for z in range(means):
        out[CONTEXT_SCALARS + means + z] = tally[MEANS + means + z] * per_shown


@_compiled
def _begin_rows(rules: Rules, state: State, rows: BoolArray) -> None:
    """Start the episode of their counters in the rows of the mask."""
    work = _work(max(state.cluster.shape[1], 2))
    for b in range(len(rows)):
        if rows[b]:
            _begin(rules, state, b, work)


@_compiled
def _observe_rows(
    rules: Rules, state: State, rows: BoolArray, view: View, layout: LongArray
) -> None:
    """Write what is observed of the rows of the mask."""
    blocks = _blocks(state, view, layout)
    for b in range(len(rows)):
        if rows[b]:
            _observe(rules, state, b, blocks, layout[3])


@_compiled
def _in_range(slates: LongArray, count: int) -> bool:
    """Return whether every position is in [0, count)."""
    outside = 0
    for b in range(slates.shape[0]):
        for i in range(slates.shape[1]):
            outside += np.uint64(slates[b, i]) >= np.uint64(count)
    return outside == 0


@_compiled
def _step_rows(rules: Rules, state: State, slates: LongArray, out: Response) -> int:
    """Take a step in every row; return how many episodes ended, or `BAD_POSITION`."""
    if not _in_range(slates, state.cluster.shape[1]):
        return BAD_POSITION
    room = _room(min(BLOCK, len(slates)), slates.shape[1], state.cluster.shape[1])
    rules, state, slates, out = lent(rules), lent(state), lent(slates), lent(out)
    ended = 0
    for first in range(0, len(slates), BLOCK):
        luck = _some(lent(room), min(BLOCK, len(slates) - first))
        _prepare(rules, state, slates, first, luck)
        for n in range(len(luck.clocks)):
            b = first + n
            ended += _step(rules, state, slates[b], out, b, luck, n)
        _resample(rules, state, first, len(luck.clocks), luck.work)
    return ended


@_compiled
def _quality_rows(rules: EvolutionRules, state: State, out: DoubleArray) -> None:
    """Write the quality of every candidate of interest evolution."""
    for b in range(out.shape[0]):
        for c in range(out.shape[1]):
            out[b, c] = _quality_of(rules, state.counters[b, DRAWN], state.cluster[b, c], c)


@_compiled
def _turn_rows(
    rules: Rules,
    state: State,
    slates: LongArray,
    out: Response,
    view: View,
    last: View,
    layout: LongArray,
) -> int:
    """Step, write the last observation of rows that ended and begin anew there, observe."""
    if not _in_range(slates, state.cluster.shape[1]):
        return BAD_POSITION
    room = _room(min(BLOCK, len(slates)), slates.shape[1], state.cluster.shape[1])
    rules, state, slates, out = lent(rules), lent(state), lent(slates), lent(out)
    layout = lent(layout)
    blocks, finals = _blocks(state, lent(view), layout), _blocks(state, lent(last), layout)
    ended = 0
    for first in range(0, len(slates), BLOCK):
        luck = _some(lent(room), min(BLOCK, len(slates) - first))
        _prepare(rules, state, slates, first, luck)
        for n in range(len(luck.clocks)):
            b = first + n
            ended += _step(rules, state, slates[b], out, b, luck, n)
        _resample(rules, state, first, len(luck.clocks), luck.work)
        for b in range(first, first + len(luck.clocks)):
            if out.ended[0, b] or out.ended[1, b]:
                _observe(rules, state, b, finals, layout[3])
                state.counters[b, EPISODE] += _ONE
                _begin(rules, state, b, luck.work)
            _observe(rules, state, b, blocks, layout[3])
    return ended


class Kernels(NamedTuple):
    """The compiled entry points; each is compiled for the rules it is called with."""

    begin: Callable[..., None]
    """(rules, state, rows (B,) bool): start an episode in those rows."""
    step: Callable[..., int]
    """(rules, state, slates (B, K) int64, response): take one step."""
    observe: Callable[..., None]
    """(rules, state, rows (B,) bool, view, layout): write the observation of rows."""
    quality: Callable[..., None]
    """(rules, state, out (B, C)): write the quality of the candidates of interest evolution."""
    turn: Callable[..., int]
    """(rules, state, slates, response, view, last view, layout): a step with autoreset."""


def _compile(sources: str) -> Kernels:
    """Return the compiled loops, closed over the hash of their sources (numba issue 2439)."""

    @numba.njit(cache=True)
    def begin(rules: Rules, state: State, rows: BoolArray) -> None:
        _ = sources
        _begin_rows(rules, state, rows)

    @numba.njit(cache=True)
    def step(rules: Rules, state: State, slates: LongArray, out: Response) -> int:
        _ = sources
        return _step_rows(rules, state, slates, out)

    @numba.njit(cache=True)
    def observe(rules: Rules, state: State, rows: BoolArray, view: View, layout: LongArray) -> None:
        _ = sources
        _observe_rows(rules, state, rows, view, layout)

    @numba.njit(cache=True)
    def quality(rules: EvolutionRules, state: State, out: DoubleArray) -> None:
        _ = sources
        _quality_rows(rules, state, out)

    @numba.njit(cache=True)
    def turn(
        rules: Rules, state: State, slates: LongArray, out: Response, view: View, last: View,
        layout: LongArray,
    ) -> int:  # fmt: skip
        _ = sources
        return _turn_rows(rules, state, slates, out, view, last, layout)

    return Kernels(begin, step, observe, quality, turn)


def _sources() -> str:
    """Return a hash of the source of every file the loops are built from."""
    modules = (rng, classic_draws, classic_choice, classic_state, *FORMULAS.values())
    text = "".join(inspect.getsource(module) for module in modules)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


KERNELS = _compile(_sources())


def run(name: str, rules: Rules, *arguments: Any) -> Any:  # noqa: ANN401
    """Call a kernel by name; log one line if its first call in a process is slow to compile."""
    kernel = getattr(KERNELS, name)
    if (name, type(rules)) in _CALLED:
        return kernel(rules, *arguments)
    timer = threading.Timer(_PATIENCE, _tell)
    timer.daemon = True
    timer.start()
    try:
        result = kernel(rules, *arguments)
    finally:
        timer.cancel()
    _CALLED.add((name, type(rules)))
    return result


_CALLED: set[tuple[str, type]] = set()  # kernels this process has called, by family
_PATIENCE = 2.0  # seconds to compile in silence


def _tell() -> None:
    """Log the line, once. At level WARNING, so that it is seen where logging was not set up."""
    if ("told", object) not in _CALLED:
        _CALLED.add(("told", object))
        _LOG.warning("slategym: compiling a classic simulation, once; this takes some seconds")
