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
from slategym.envs.arrays import BoolArray, DoubleArray, KeyArray
from slategym.envs.classic_dispatch import FORMULAS
from slategym.envs.classic_lend import lent
from slategym.envs.classic_loops import (
    advance,
    begin,
    copy_user,
    room_for,
    room_like,
    some_luck,
    some_users,
    work_for,
)
from slategym.envs.classic_observing import observe, rows_from
from slategym.envs.classic_output import compiled_blocks, response_of
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
BLOCK = 256
"""Users who are simulated together; their scratch, state and observations fit the cache."""

_ONE = np.uint64(1)
_quality_of = classic_evolution.quality_of
_compiled = numba.njit(error_model="numpy")


@_compiled
def _begin_rows(rules: Rules, state: State, rows: BoolArray) -> None:
    """Start the episode of their counters in the rows of the mask."""
    room = work_for(min(BLOCK, len(rows)) * max(state.cluster.shape[1], 2))
    first = 0
    while first < len(rows):
        count = _run(rows, first)
        if count > 0:
            begin(rules, some_users(lent(state), first, count), room)
        first += max(count, 1)


@_compiled
def _observe_rows(rules: Rules, state: State, rows: BoolArray, out: Output, sizes: Sizes) -> None:
    """Write what is observed of the rows of the mask."""
    blocks, index = compiled_blocks(lent(out), sizes), np.empty(BLOCK, dtype=np.int64)
    first = 0
    while first < len(rows):
        count = _run(rows, first)
        if count > 0:
            users = some_users(lent(state), first, count)
            observe(rules, users, rows_from(blocks, first), sizes.slate, index)
        first += max(count, 1)


@_compiled
def _run(rows: BoolArray, first: int) -> int:
    """Return how many rows of the mask follow each other from ``first`` on, at most `BLOCK`."""
    last = first
    while last < len(rows) and rows[last] and last - first < BLOCK:
        last += 1
    return last - first


@_compiled
def _in_range(slates: KeyArray, count: int) -> bool:
    """Return whether every position is in [0, count); negative ones are huge, unsigned."""
    outside, limit = 0, np.uint64(count)
    for b in range(slates.shape[0]):
        for i in range(slates.shape[1]):
            outside += slates[b, i] >= limit
    return outside == 0


@_compiled
def _step_rows(
    rules: Rules, state: State, slates: KeyArray, out: Output, sizes: Sizes, look: bool
) -> int:
    """Take a step in every row, and observe; return how many ended, or `BAD_POSITION`."""
    if not _in_range(slates, sizes.count):
        return BAD_POSITION
    room = room_for(min(BLOCK, sizes.batch), sizes.slate, sizes.count)
    state, slates, out = lent(state), lent(slates), lent(out)
    blocks, ended = compiled_blocks(out, sizes), 0
    for first in range(0, sizes.batch, BLOCK):
        count = min(BLOCK, sizes.batch - first)
        users, response = some_users(state, first, count), response_of(out, sizes, first, count)
        luck = some_luck(lent(room), count, sizes.slate)
        ended += advance(rules, users, slates[first : first + count], response, luck)
        if look:
            observe(rules, users, rows_from(blocks, first), sizes.slate, luck.work.order)
    return ended


@_compiled
def _turn_rows(
    rules: Rules, state: State, slates: KeyArray, out: Output, last: Output, sizes: Sizes
) -> int:
    """Step, observe the rows that ended and begin anew there, observe; return how many ended.

    The last observations of the rows that ended are written to the first rows of ``last``.
    """
    if not _in_range(slates, sizes.count):
        return BAD_POSITION
    room = room_for(min(BLOCK, sizes.batch), sizes.slate, sizes.count)
    state, slates, out = lent(state), lent(slates), lent(out)
    blocks, finals, ended = compiled_blocks(out, sizes), compiled_blocks(lent(last), sizes), 0
    own = room_like(state, min(BLOCK, sizes.batch))
    who = np.empty(BLOCK, dtype=np.int64)
    for first in range(0, sizes.batch, BLOCK):
        count = min(BLOCK, sizes.batch - first)
        users, response = some_users(state, first, count), response_of(out, sizes, first, count)
        luck, spare = some_luck(lent(room), count, sizes.slate), lent(own)
        if advance(rules, users, slates[first : first + count], response, luck):
            # Gathered, so that they too are drawn and written in loops over many users.
            came = 0
            for n in range(count):
                if response.terminated[n] or response.truncated[n]:
                    who[came] = n
                    copy_user(users, n, spare, came)
                    came += 1
            over = some_users(spare, 0, came)
            observe(rules, over, rows_from(finals, ended), sizes.slate, luck.work.order)
            for m in range(came):
                over.counters[m, EPISODE] += _ONE
            begin(rules, over, luck.work)
            for m in range(came):
                copy_user(over, m, users, who[m])
            ended += came
        observe(rules, users, rows_from(blocks, first), sizes.slate, luck.work.order)
    return ended


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
    """(rules, state, slates (B, K) uint64, output, sizes, look): take one step; ``look`` says
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
        rules: Rules, state: State, slates: KeyArray, out: Output, sizes: Sizes, look: bool
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
        rules: Rules, state: State, slates: KeyArray, out: Output, last: Output, sizes: Sizes
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
