"""What is observed of the users of a classic, written block by block into one buffer."""

import numba
import numpy as np

from slategym.envs.arrays import FloatArray, IntArray
from slategym.envs.classic_constants import N_TOPICS
from slategym.envs.classic_dispatch import progress, put_documents, put_user
from slategym.envs.classic_lend import lent
from slategym.envs.classic_loops import oldest
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
def observe(rules: Rules, users: State, out: Blocks, slate_size: int) -> None:
    """Write what is observed of N users to the first N rows of blocks."""
    rules, users, out = lent(rules), lent(users), lent(out)
    ids = len(out.ids) > 0
    for n in range(len(users.counters)):
        put_user(rules, users.user[n], out.user[n])
        if ids:
            _put_ids(users, n, out.past_ids[n], out.ids[n])
        else:
            _put_documents(rules, users, n, out.history[n], out.candidates[n])
        _put_feedback(users, n, out.feedback[n])
        _put_context(rules, users, n, slate_size, out.context[n])


@_inline
def rows_from(blocks: Blocks, first: int) -> Blocks:
    """Return the blocks without their first rows."""
    return Blocks(
        blocks.user[first:],
        blocks.history[first:],
        blocks.candidates[first:],
        blocks.feedback[first:],
        blocks.context[first:],
        blocks.past_ids[first:],
        blocks.ids[first:],
    )


@_inline
def _put_documents(
    rules: Rules, users: State, n: int, history: FloatArray, candidates: FloatArray
) -> None:
    """Write the history, zero where nothing was clicked yet, and the candidates.

    The ring is read from its oldest place to its end, and then from its beginning.
    """
    past, at = users.past_value.shape[1], oldest(users, n)
    clusters, features = users.past_cluster[n], users.past_feature[n]
    older = len(history) // past * (past - at)
    if users.past_value[n, past - 1] >= 0.0:
        put_documents(rules, clusters[at:], features[at:], history[:older])
    else:
        for i in range(older):
            history[i] = 0.0
    put_documents(rules, clusters[:at], features[:at], history[older:])
    put_documents(rules, users.cluster[n], users.feature[n], candidates)


@_inline
def _put_ids(users: State, n: int, history: IntArray, candidates: IntArray) -> None:
    """Write history and candidates as cluster numbers; the number of clusters is padding."""
    past, at = users.past_value.shape[1], oldest(users, n)
    for h in range(past):
        seen = users.past_value[n, at] >= 0.0
        history[h] = users.past_cluster[n, at] if seen else N_TOPICS
        at = at + 1 if at + 1 < past else 0
    for c in range(users.cluster.shape[1]):
        candidates[c] = users.cluster[n, c]


@_inline
def _put_feedback(users: State, n: int, out: FloatArray) -> None:
    """Write [present, value, recency weight] of each place of the history."""
    past, at, weight = users.past_value.shape[1], oldest(users, n), 1.0
    for age in range(past):  # the newest first
        at = at - 1 if at > 0 else past - 1
        value = users.past_value[n, at]
        seen, place = value >= 0.0, 3 * (past - 1 - age)
        out[place] = 1.0 if seen else 0.0
        out[place + 1] = value if seen else 0.0
        out[place + 2] = weight if seen else 0.0
        weight *= RECENCY_DECAY


@_inline
def _put_context(rules: Rules, users: State, n: int, slate_size: int, out: FloatArray) -> None:
    """Write progress, last click and value, rates, and means of what was consumed and shown."""
    tally, step = users.tally[n], np.int64(users.counters[n, STEP])
    means = (len(tally) - MEANS) // 2
    one = np.float32(1.0)
    per_step = one / np.float32(max(step, 1))
    per_click = one / max(tally[CLICKS], one)
    per_shown = one / np.float32(max(step, 1) * slate_size)
    out[0] = progress(rules, step)
    out[1], out[2] = tally[LAST_CLICK], tally[LAST_VALUE]
    out[3], out[4] = tally[CLICKS] * per_step, tally[VALUES] * per_step
    consumed = out[CONTEXT_SCALARS : CONTEXT_SCALARS + means]
    shown = out[CONTEXT_SCALARS + means :]
    for z in range(means):
        consumed[z] = tally[MEANS + z] * per_click
        shown[z] = tally[MEANS + means + z] * per_shown
