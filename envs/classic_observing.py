"""What is observed of the users of a classic, written block by block into one buffer."""

import numba
import numpy as np

from slategym.envs.arrays import FloatArray, IntArray
from slategym.envs.classic_constants import N_TOPICS
from slategym.envs.classic_dispatch import progress, put_document, put_user
from slategym.envs.classic_lend import lent
from slategym.envs.classic_loops import feature_of, oldest
from slategym.envs.classic_state import (
    CLICKS,
    CONTEXT_SCALARS,
    LAST_CLICK,
    LAST_VALUE,
    MEANS,
    RECENCY_DECAY,
    STEP,
    VALUES,
    Blocks,
    Rules,
    State,
)

_inline = numba.njit(forceinline=True, error_model="numpy")
_compiled = numba.njit(error_model="numpy")


@_compiled
def observe(
    rules: Rules, state: State, first: int, count: int, out: Blocks, at: int, slate_size: int
) -> None:
    """Write what is observed of ``count`` users, from ``first`` on, to rows from ``at`` on."""
    rules, state, out = lent(rules), lent(state), lent(out)
    ids = len(out.ids) > 0
    for n in range(count):
        b, row = first + n, at + n
        put_user(rules, state.user[b], out.user[row])
        if ids:
            _put_ids(state, b, out.past_ids[row], out.ids[row])
        else:
            _put_documents(rules, state, b, out.history[row], out.candidates[row])
        _put_feedback(state, b, out.feedback[row])
        _put_context(rules, state, b, slate_size, out.context[row])


@_inline
def _put_documents(
    rules: Rules, state: State, b: int, history: FloatArray, candidates: FloatArray
) -> None:
    """Write the history, zero where nothing was clicked yet, and the candidates."""
    past, at = state.past_value.shape[1], oldest(state, b)
    for h in range(past):
        row = history[h]
        if state.past_value[b, at] >= 0.0:
            put_document(rules, state.past_cluster[b, at], state.past_feature[b, at], row)
        else:
            for d in range(len(row)):
                row[d] = 0.0
        at = at + 1 if at + 1 < past else 0
    for c in range(state.cluster.shape[1]):
        put_document(rules, state.cluster[b, c], feature_of(state, b, c), candidates[c])


@_inline
def _put_ids(state: State, b: int, history: IntArray, candidates: IntArray) -> None:
    """Write history and candidates as cluster numbers; the number of clusters is padding."""
    past, at = state.past_value.shape[1], oldest(state, b)
    for h in range(past):
        seen = state.past_value[b, at] >= 0.0
        history[h] = state.past_cluster[b, at] if seen else N_TOPICS
        at = at + 1 if at + 1 < past else 0
    for c in range(state.cluster.shape[1]):
        candidates[c] = state.cluster[b, c]


@_inline
def _put_feedback(state: State, b: int, out: FloatArray) -> None:
    """Write [present, value, recency weight] of each place of the history."""
    past, at, weight = state.past_value.shape[1], oldest(state, b), 1.0
    for age in range(past):  # the newest first
        at = at - 1 if at > 0 else past - 1
        value = state.past_value[b, at]
        seen, row = value >= 0.0, out[past - 1 - age]
        row[0] = 1.0 if seen else 0.0
        row[1] = value if seen else 0.0
        row[2] = weight if seen else 0.0
        weight *= RECENCY_DECAY


@_inline
def _put_context(rules: Rules, state: State, b: int, slate_size: int, out: FloatArray) -> None:
    """Write progress, last click and value, rates, and means of what was consumed and shown."""
    tally, step = state.tally[b], np.int64(state.counters[b, STEP])
    steps = max(step, np.int64(1))
    means = (len(tally) - MEANS) // 2
    one = np.float32(1.0)
    per_step = one / np.float32(steps)
    per_click = one / max(tally[CLICKS], one)
    per_shown = one / np.float32(steps * slate_size)
    out[0] = progress(rules, step)
    out[1], out[2] = tally[LAST_CLICK], tally[LAST_VALUE]
    out[3], out[4] = tally[CLICKS] * per_step, tally[VALUES] * per_step
    consumed = out[CONTEXT_SCALARS : CONTEXT_SCALARS + means]
    shown = out[CONTEXT_SCALARS + means :]
    for z in range(means):
        consumed[z] = tally[MEANS + z] * per_click
        shown[z] = tally[MEANS + means + z] * per_shown
