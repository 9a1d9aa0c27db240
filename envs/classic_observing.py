"""What is observed of the users of a classic, written block by block into one buffer.

Every loop runs over the users of a block and does one thing to each: the compiler turns such
loops into vector instructions, and none is started anew for the few places of one user.
"""

import numba
import numpy as np

from slategym.envs.arrays import LongArray
from slategym.envs.classic_constants import N_TOPICS
from slategym.envs.classic_dispatch import progress, put_document, put_documents, put_user
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

_ONE, _TWO = np.uint64(1), np.uint64(2)
_inline = numba.njit(forceinline=True, error_model="numpy")
_compiled = numba.njit(error_model="numpy")


@_compiled
def observe(rules: Rules, users: State, out: Blocks, slate_size: int, index: LongArray) -> None:
    """Write what is observed of N users to the first N rows of blocks.

    Args:
        rules: of the family.
        users: a state of N users.
        out: written.
        slate_size: K.
        index: (N,) scratch at least.
    """
    rules, users, out, index = lent(rules), lent(users), lent(out), lent(index)
    index = index[: len(users.counters)]
    put_user(rules, users.user, out.user)
    oldest(users, index)
    if len(out.ids) > 0:
        _put_ids(users, index, out)
    else:
        candidates = out.candidates[: len(index)].reshape(-1)
        put_documents(rules, users.cluster.reshape(-1), users.feature.reshape(-1), candidates)
        _put_history(rules, users, index, out)
    _put_feedback(users, index, out)
    _put_context(rules, users, slate_size, out)


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
def _place(oldest: int, h: int, past: int) -> np.uint64:
    """Return where the h-th oldest entry of a history is, in the ring.

    Unsigned, so that no code is made for positions that count from the end.
    """
    at = oldest + h
    return np.uint64(at - past if at >= past else at)


@_inline
def _put_history(rules: Rules, users: State, index: LongArray, out: Blocks) -> None:
    """Write the history, oldest first: zero where nothing was clicked yet."""
    past, width = users.past_value.shape[1], out.history.shape[1] // users.past_value.shape[1]
    rows = out.history[: len(index)].reshape(-1)
    for i in range(len(rows)):
        rows[i] = 0.0
    for h in range(past):
        for n in range(len(index)):
            at = _place(index[n], h, past)
            if users.past_value[n, at] >= 0.0:
                cluster, feature = users.past_cluster[n, at], users.past_feature[n, at]
                put_document(rules, cluster, feature, rows, (n * past + h) * width)


@_inline
def _put_ids(users: State, index: LongArray, out: Blocks) -> None:
    """Write history and candidates as cluster numbers; the number of clusters is padding."""
    past, history, candidates = users.past_value.shape[1], out.past_ids, out.ids.reshape(-1)
    for h in range(past):
        for n in range(len(index)):
            at = _place(index[n], h, past)
            seen = users.past_value[n, at] >= 0.0
            history[n, h] = users.past_cluster[n, at] if seen else N_TOPICS
    clusters = users.cluster.reshape(-1)
    for i in range(len(clusters)):
        candidates[i] = clusters[i]


@_inline
def _put_feedback(users: State, index: LongArray, out: Blocks) -> None:
    """Write [present, value, recency weight] of each place of the history."""
    past, weight = users.past_value.shape[1], 1.0
    for h in range(past - 1, -1, -1):  # the newest first
        first = np.uint64(3 * h)
        for n in range(len(index)):
            value = users.past_value[n, _place(index[n], h, past)]
            seen = value >= 0.0
            out.feedback[n, first] = 1.0 if seen else 0.0
            out.feedback[n, first + _ONE] = value if seen else 0.0
            out.feedback[n, first + _TWO] = weight if seen else 0.0
        weight *= RECENCY_DECAY


@_inline
def _put_context(rules: Rules, users: State, slate_size: int, out: Blocks) -> None:
    """Write progress, last click and value, rates, and means of what was consumed and shown."""
    tally, context, one = users.tally, out.context, np.float32(1.0)
    means = (tally.shape[1] - MEANS) // 2
    consumed, shown = CONTEXT_SCALARS, CONTEXT_SCALARS + means
    for n in range(len(tally)):
        step = np.int64(users.counters[n, STEP])
        per_step = one / np.float32(max(step, np.int64(1)))
        context[n, 0] = progress(rules, step)
        context[n, 1], context[n, 2] = tally[n, LAST_CLICK], tally[n, LAST_VALUE]
        context[n, 3] = tally[n, CLICKS] * per_step
        context[n, 4] = tally[n, VALUES] * per_step
    for z in range(means):
        for n in range(len(tally)):
            steps = max(np.int64(users.counters[n, STEP]), np.int64(1))
            per_click = one / max(tally[n, CLICKS], one)
            per_shown = one / np.float32(steps * slate_size)
            context[n, consumed + z] = tally[n, MEANS + z] * per_click
            context[n, shown + z] = tally[n, MEANS + means + z] * per_shown
