"""The compiled entry points: begin episodes, take a step, observe, tell an oracle.

Each is built from the stages of `slategym.envs.stages` and the formulas of
`slategym.envs.physics`. They are compiled once and kept in numba's disk cache: beside this file,
or in the user's cache folder where this one cannot be written to (``NUMBA_CACHE_DIR`` overrides
both).
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
    observing,
    physics,
    physics_candidates,
    physics_choice,
    rng,
    rules,
    stages,
    stages_response,
    stages_session,
    state,
    valuing,
)
from slategym.envs.arrays import AnyArray, BoolArray, FloatArray, LongArray, Record
from slategym.envs.stages import Scratch
from slategym.envs.state import Items, Observation, People, Response, Users, Views

_LOG = logging.getLogger("slategym")

# numba follows names of this module, and not attributes of another: so each is named here.
_BLOCK = stages.BLOCK
_begin_rows, _leave, _settle = (
    stages_session.begin_rows,
    stages_session.leave,
    stages_session.settle,
)
_begin_step, _pick = stages.begin_step, stages.pick
_show, _take = stages.show, stages.take
_respond, _change, _refresh = stages_response.respond, stages.change, stages.refresh
_observe_context, _observe_history = observing.observe_context, observing.observe_history
_observe_profile, _observe_latent = observing.observe_profile, observing.observe_latent
_observe_ids, _observe_vectors = observing.observe_ids, observing.observe_vectors
_observe_traits, _observe_query = observing.observe_traits, observing.observe_query
_value_candidates = valuing.value_candidates


@numba.njit
def _scratch(rules: Record, items: Items, users: Users, slots: int) -> Scratch:
    """Return room for the stages of one block of users."""
    count, topics = len(items.rows), rules.topics
    # Most of the catalogue is drawn by a race between all items, few by trying again.
    shown = users.candidates.shape[1]
    raced = count if 2 * shown > count else 0
    # Few of many are drawn for all users of a block at once: hardly any is drawn twice.
    at_once = shown if shown * shown < count else 0
    return Scratch(
        np.empty(_BLOCK, np.uint64),
        np.zeros(_BLOCK, np.uint64),
        np.zeros(_BLOCK, np.int64),
        np.empty((_BLOCK, topics)),
        np.empty((_BLOCK, topics)),
        np.empty((_BLOCK, slots)),
        np.empty((_BLOCK, slots)),
        np.zeros((_BLOCK, slots)),
        np.empty(_BLOCK),
        np.empty(_BLOCK),
        np.empty(_BLOCK, np.int64),
        np.empty(_BLOCK, np.int64),
        np.empty(_BLOCK, np.bool_),
        np.empty(_BLOCK),
        np.empty(rules.factors),
        np.empty((at_once, _BLOCK), np.int32),
        np.empty(_BLOCK, np.bool_),
        np.empty(raced),
        np.empty(raced, np.bool_),
    )


class Kernels(NamedTuple):
    """The compiled entry points."""

    begin: Callable[..., None]
    """(rules, items, people, users, rows (B,) bool): start an episode in those rows."""
    step: Callable[..., None]
    """(rules, items, people, users, actions (B, K) int64, response): take one step."""
    observe: Callable[..., None]
    """(rules, items, people, users, views, rows (B,) bool, observation, latent): observe."""
    value: Callable[..., None]
    """(rules, items, people, users, logit, utility, worth, each (B, C)): tell an oracle."""


def _compile(sources: str) -> Kernels:
    """Return the compiled loops.

    numba's disk cache is keyed by the file of the function alone, so a change of another file
    would go unseen (numba issue 2439). It does include what a function closes over: each loop
    below therefore mentions ``sources``, the hash of every file it is built from.
    """

    @numba.njit(cache=True)
    def begin(rules: AnyArray, items: Items, people: People, users: Users, rows: BoolArray) -> None:
        _ = sources
        _begin_rows(rules[0], items, people, users, rows, _scratch(rules[0], items, users, 1))

    @numba.njit(cache=True)
    def step(
        rules: AnyArray, items: Items, people: People, users: Users, actions: LongArray,
        out: Response,
    ) -> None:  # fmt: skip
        _ = sources
        r, scratch = rules[0], _scratch(rules[0], items, users, actions.shape[1])
        for lo in range(0, len(actions), _BLOCK):
            hi = min(lo + _BLOCK, len(actions))
            _begin_step(r, users, scratch, lo, hi)
            _pick(r, items, users, actions, out, scratch, lo, hi)
            _show(r, items, users, out, scratch, lo, hi)
            _take(r, items, users, people, out, scratch, lo, hi)
            _respond(r, items, users, out, scratch, lo, hi)
            _change(r, items, users, people, out, scratch, lo, hi)
            _leave(r, items, users, out, scratch, lo, hi)
            _settle(r, items, out, scratch, lo, hi)
            _begin_step(r, users, scratch, lo, hi)
            _refresh(r, items, users, people, scratch, lo, hi)

    @numba.njit(cache=True)
    def observe(
        rules: AnyArray, items: Items, people: People, users: Users, views: Views,
        rows: BoolArray, out: Observation, latent: bool,
    ) -> None:  # fmt: skip
        _ = sources
        r = rules[0]
        _observe_context(r, users, r.topics, rows, out)
        _observe_history(r, users, people, rows, out)
        if latent:
            _observe_latent(r, users, r.factors, rows, out)
        else:
            _observe_profile(r, users, people, views, rows, out)
        if len(out.history_ids) > 0:
            _observe_ids(len(items.rows), users, rows, out)
        else:
            _observe_vectors(views, users, rows, out)
        if out.traits.shape[2] > 0:
            _observe_traits(r, items, users, rows, out)
        if out.query.shape[1] > 0:
            _observe_query(views, users, rows, out)

    @numba.njit(cache=True)
    def value(
        rules: AnyArray, items: Items, people: People, users: Users, logit: FloatArray,
        utility: FloatArray, worth: FloatArray,
    ) -> None:  # fmt: skip
        _ = sources
        _value_candidates(rules[0], items, users, people, logit, utility, worth)

    return Kernels(begin, step, observe, value)


def _sources() -> str:
    """Return a hash of the source of every file the kernels are built from."""
    modules = (
        rng, physics, physics_choice, physics_candidates, stages, stages_response,
        stages_session, observing, valuing, state,
    )  # fmt: skip
    text = "".join(inspect.getsource(module) for module in modules) + str(rules.RULES)
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
