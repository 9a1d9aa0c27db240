"""The compiled entry points of the classics: begin an episode, take a step, write observations.

One loop serves the three families: what a user does is looked up by the type of the rules when
the loop is compiled. The loops are compiled once and kept in numba's disk cache, like those of
`slategym.envs.kernels`.
"""

import hashlib
import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np

from slategym.envs import (
    classic_choice,
    classic_draws,
    classic_evolution,
    classic_lend,
    classic_loops,
    classic_observing,
    classic_state,
    rng,
)
from slategym.envs.arrays import BoolArray, DoubleArray, LongArray
from slategym.envs.classic_dispatch import FORMULAS
from slategym.envs.classic_lend import lent
from slategym.envs.classic_loops import advance, begin, room_for, some, work_for
from slategym.envs.classic_observing import blocks_of, observe
from slategym.envs.classic_state import (
    DRAWN,
    EPISODE,
    EvolutionRules,
    Response,
    Rules,
    State,
    View,
)

_LOG = logging.getLogger("slategym")

BAD_POSITION = -1
"""Returned by a step that met a position outside [0, C); nothing has changed then."""
BLOCK = 64
"""Users whose luck is drawn together; their scratch fits the fastest cache."""

_ONE = np.uint64(1)
_quality_of = classic_evolution.quality_of
_compiled = numba.njit(error_model="numpy")


@_compiled
def _begin_rows(rules: Rules, state: State, rows: BoolArray) -> None:
    """Start the episode of their counters in the rows of the mask."""
    room = work_for(max(state.cluster.shape[1], 2))
    for b in range(len(rows)):
        if rows[b]:
            begin(rules, state, b, room)


@_compiled
def _observe_rows(
    rules: Rules, state: State, rows: BoolArray, view: View, layout: LongArray
) -> None:
    """Write what is observed of the rows of the mask."""
    blocks = blocks_of(lent(state), lent(view), lent(layout))
    for b in range(len(rows)):
        if rows[b]:
            observe(rules, state, b, 1, blocks, layout[3])


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
    room = room_for(min(BLOCK, len(slates)), slates.shape[1], state.cluster.shape[1])
    rules, state, slates, out = lent(rules), lent(state), lent(slates), lent(out)
    ended = 0
    for first in range(0, len(slates), BLOCK):
        luck = some(lent(room), min(BLOCK, len(slates) - first))
        ended += advance(rules, state, slates, out, first, luck)
    return ended


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
    room = room_for(min(BLOCK, len(slates)), slates.shape[1], state.cluster.shape[1])
    rules, state, slates, out = lent(rules), lent(state), lent(slates), lent(out)
    layout = lent(layout)
    blocks, finals = blocks_of(state, lent(view), layout), blocks_of(state, lent(last), layout)
    total = 0
    for first in range(0, len(slates), BLOCK):
        luck = some(lent(room), min(BLOCK, len(slates) - first))
        ended = advance(rules, state, slates, out, first, luck)
        if ended:
            for b in range(first, first + len(luck.clocks)):
                if out.ended[0, b] or out.ended[1, b]:
                    observe(rules, state, b, 1, finals, layout[3])
                    state.counters[b, EPISODE] += _ONE
                    begin(rules, state, b, luck.work)
        observe(rules, state, first, len(luck.clocks), blocks, layout[3])
        total += ended
    return total


@_compiled
def _quality_rows(rules: EvolutionRules, state: State, out: DoubleArray) -> None:
    """Write the quality of every candidate of interest evolution."""
    rules, state = lent(rules), lent(state)
    for b in range(out.shape[0]):
        for c in range(out.shape[1]):
            out[b, c] = _quality_of(rules, state.counters[b, DRAWN], state.cluster[b, c], c)


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
    modules = (
        rng, classic_lend, classic_draws, classic_choice, classic_state, classic_loops,
        classic_observing, *FORMULAS.values(),
    )  # fmt: skip
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
