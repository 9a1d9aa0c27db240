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
    classic_output,
    classic_state,
    rng,
)
from slategym.envs.arrays import BoolArray, DoubleArray, LongArray
from slategym.envs.classic_dispatch import FORMULAS
from slategym.envs.classic_lend import lent
from slategym.envs.classic_loops import advance, begin, room_for, some, work_for
from slategym.envs.classic_observing import observe
from slategym.envs.classic_output import compiled_blocks, compiled_response
from slategym.envs.classic_state import (
    DRAWN,
    EPISODE,
    EvolutionRules,
    Output,
    Rules,
    Sizes,
    State,
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
def _observe_rows(rules: Rules, state: State, rows: BoolArray, out: Output, sizes: Sizes) -> None:
    """Write what is observed of the rows of the mask."""
    blocks = compiled_blocks(lent(out), sizes)
    for b in range(len(rows)):
        if rows[b]:
            observe(rules, state, b, 1, blocks, b, sizes.slate)


@_compiled
def _in_range(slates: LongArray, count: int) -> bool:
    """Return whether every position is in [0, count)."""
    outside = 0
    for b in range(slates.shape[0]):
        for i in range(slates.shape[1]):
            outside += np.uint64(slates[b, i]) >= np.uint64(count)
    return outside == 0


@_compiled
def _step_rows(
    rules: Rules, state: State, slates: LongArray, out: Output, sizes: Sizes, look: bool
) -> int:
    """Take a step in every row, and observe; return how many ended, or `BAD_POSITION`."""
    if not _in_range(slates, sizes.count):
        return BAD_POSITION
    room = room_for(min(BLOCK, sizes.batch), sizes.slate, sizes.count)
    out = lent(out)
    blocks, response = compiled_blocks(out, sizes), compiled_response(out, sizes)
    ended = 0
    for first in range(0, sizes.batch, BLOCK):
        luck = some(lent(room), min(BLOCK, sizes.batch - first))
        ended += advance(rules, state, slates, response, first, luck)
        if look:
            observe(rules, state, first, len(luck.clocks), blocks, first, sizes.slate)
    return ended


@_compiled
def _turn_rows(
    rules: Rules, state: State, slates: LongArray, out: Output, last: Output, sizes: Sizes
) -> int:
    """Step, observe the rows that ended and begin anew there, observe; return how many ended.

    The last observations of the rows that ended are written to the first rows of ``last``.
    """
    if not _in_range(slates, sizes.count):
        return BAD_POSITION
    room = room_for(min(BLOCK, sizes.batch), sizes.slate, sizes.count)
    out, counters = lent(out), lent(state).counters
    blocks, response = compiled_blocks(out, sizes), compiled_response(out, sizes)
    finals = compiled_blocks(lent(last), sizes)
    total = 0
    for first in range(0, sizes.batch, BLOCK):
        luck = some(lent(room), min(BLOCK, sizes.batch - first))
        if advance(rules, state, slates, response, first, luck):
            for b in range(first, first + len(luck.clocks)):
                if response.ended[0, b] or response.ended[1, b]:
                    observe(rules, state, b, 1, finals, total, sizes.slate)
                    total += 1
                    counters[b, EPISODE] += _ONE
                    begin(rules, state, b, luck.work)
        observe(rules, state, first, len(luck.clocks), blocks, first, sizes.slate)
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

    begin: Any
    """(rules, state, rows (B,) bool): start an episode in those rows."""
    step: Any
    """(rules, state, slates (B, K) int64, output, sizes, look): take one step; ``look`` says
    whether to observe, too."""
    observe: Any
    """(rules, state, rows (B,) bool, output, sizes): write the observation of rows."""
    quality: Any
    """(rules, state, out (B, C)): write the quality of the candidates of interest evolution."""
    turn: Any
    """(rules, state, slates, output, last output, sizes): a step with autoreset; the last
    observations of rows that ended are written to the first rows of the last output."""


def _compile(sources: str) -> Kernels:
    """Return the compiled loops, closed over the hash of their sources (numba issue 2439)."""

    @numba.njit(cache=True)
    def begin(rules: Rules, state: State, rows: BoolArray) -> None:
        _ = sources
        _begin_rows(rules, state, rows)

    @numba.njit(cache=True)
    def step(
        rules: Rules, state: State, slates: LongArray, out: Output, sizes: Sizes, look: bool
    ) -> int:
        _ = sources
        return _step_rows(rules, state, slates, out, sizes, look)

    @numba.njit(cache=True)
    def observe(rules: Rules, state: State, rows: BoolArray, out: Output, sizes: Sizes) -> None:
        _ = sources
        _observe_rows(rules, state, rows, out, sizes)

    @numba.njit(cache=True)
    def quality(rules: EvolutionRules, state: State, out: DoubleArray) -> None:
        _ = sources
        _quality_rows(rules, state, out)

    @numba.njit(cache=True)
    def turn(
        rules: Rules, state: State, slates: LongArray, out: Output, last: Output, sizes: Sizes
    ) -> int:
        _ = sources
        return _turn_rows(rules, state, slates, out, last, sizes)

    return Kernels(begin, step, observe, quality, turn)


def _sources() -> str:
    """Return a hash of the source of every file the loops are built from."""
    modules = (
        rng, classic_lend, classic_draws, classic_choice, classic_state, classic_loops,
        classic_observing, classic_output, *FORMULAS.values(),
    )  # fmt: skip
    text = "".join(inspect.getsource(module) for module in modules)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


KERNELS = _compile(_sources())


def run(name: str, rules: Rules, *arguments: Any) -> Any:  # noqa: ANN401
    """Call a kernel by name; log one line if its first call in a process is slow to compile.

    The types of the arguments follow from the rules, so they are looked up in the first call
    only: numba would do it in each, which takes longer than a user's step.
    """
    entry = _ENTRIES.get((name, type(rules)))
    if entry is None:
        entry = _ENTRIES[name, type(rules)] = _entry(name, (rules, *arguments))
    return entry(rules, *arguments)


def _entry(name: str, arguments: tuple[Any, ...]) -> Callable[..., Any]:
    """Return the compiled code of a kernel for arguments of these types."""
    timer = threading.Timer(_PATIENCE, _tell)
    timer.daemon = True
    timer.start()
    try:
        types = tuple(numba.typeof(argument) for argument in arguments)
        compiled: Callable[..., Any] = getattr(KERNELS, name).compile(types)
    finally:
        timer.cancel()
    return compiled


_ENTRIES: dict[tuple[str, type], Callable[..., Any]] = {}
_PATIENCE = 2.0  # seconds to compile in silence
_TOLD: set[str] = set()


def _tell() -> None:
    """Log the line, once. At level WARNING, so that it is seen where logging was not set up."""
    if not _TOLD:
        _TOLD.add("compiling")
        _LOG.warning("slategym: compiling a classic simulation, once; this takes some seconds")
