"""How what a step hands out lies in three flat buffers: few arrays to make, few to pass.

Reals: the blocks of the observation (user, history, candidates, feedback, context), then those of
the response (quantities, reward and its term). Whole numbers: slate, clusters, and in ids mode
the history and the candidates. Truth values: terminated, truncated. Each block holds all users.

`blocks_of` is plain NumPy, and compiled as it stands for the loops.
"""

from typing import Any, NamedTuple

import numba

from slategym.envs.arrays import BoolArray, FloatArray, IntArray
from slategym.envs.classic_state import Blocks, Output, Response, Sizes

_inline = numba.njit(forceinline=True, error_model="numpy")


class Told(NamedTuple):
    """What B users did in one step, as it is handed out."""

    real: FloatArray  # (R, B, K) click, then the family's quantities, in the order of its names
    whole: IntArray  # (2, B, K) slate positions, clusters
    reward: FloatArray  # (2, B) the reward, and its only term
    ended: BoolArray  # (2, B) terminated, truncated


def real_widths(sizes: Sizes) -> tuple[int, int, int, int, int, int, int]:
    """Return the entries per user of each block of reals."""
    documents = sizes.past * sizes.document
    return (
        sizes.seen,
        documents,
        sizes.count * sizes.document,
        3 * sizes.past,
        sizes.context,
        sizes.quantities * sizes.slate,
        2,
    )


def whole_widths(sizes: Sizes) -> tuple[int, int, int]:
    """Return the entries per user of each block of whole numbers."""
    ids = 1 if sizes.ids else 0
    return 2 * sizes.slate, ids * sizes.past, ids * sizes.count


def blocks_of(out: Output, sizes: Sizes) -> Blocks:
    """Return the observation in the buffers, with its shapes."""
    n, past, count, width = sizes.batch, sizes.past, sizes.count, sizes.document
    a = n * sizes.seen
    b = a + n * past * width
    c = b + n * count * width
    d = c + n * past * 3
    e = d + n * sizes.context
    f = 2 * n * sizes.slate
    g = f + (n * past if sizes.ids else 0)
    return Blocks(
        out.real[:a].reshape(n, sizes.seen),
        out.real[a:b].reshape(n, past * width),
        out.real[b:c].reshape(n, count * width),
        out.real[c:d].reshape(n, past * 3),
        out.real[d:e].reshape(n, sizes.context),
        out.whole[f:g].reshape(-1, past),
        out.whole[g:].reshape(-1, count),
    )


def told_of(out: Output, sizes: Sizes) -> Told:
    """Return the response in the buffers, of all users."""
    n, size = sizes.batch, sizes.slate
    a = n * (sum(real_widths(sizes)) - sizes.quantities * size - 2)
    b = a + n * size * sizes.quantities
    return Told(
        out.real[a:b].reshape(sizes.quantities, n, size),
        out.whole[: 2 * n * size].reshape(2, n, size),
        out.real[b:].reshape(2, n),
        out.ended.reshape(2, n),
    )


@_inline
def response_of(out: Output, sizes: Sizes, first: int, count: int) -> Response:
    """Return the response of a block of users in the buffers, for the compiled loops."""
    n, size = sizes.batch, sizes.slate
    per_user = sizes.seen + (sizes.past + sizes.count) * sizes.document
    start = n * (per_user + 3 * sizes.past + sizes.context)
    row, a, b = n * size, first * size, (first + count) * size
    real, pay = out.real[start:], start + sizes.quantities * n * size
    third = row if sizes.quantities > 2 else 0
    fourth = row if sizes.quantities > 3 else 0
    return Response(
        real[a:b].reshape(count, size),
        real[row + a : row + b].reshape(count, size),
        real[2 * third + a : 2 * third + b].reshape(count, size),
        real[3 * fourth + a : 3 * fourth + b].reshape(count, size),
        out.whole[a:b].reshape(count, size),
        out.whole[row + a : row + b].reshape(count, size),
        out.real[pay + first : pay + first + count],
        out.real[pay + n + first : pay + n + first + count],
        out.ended[first : first + count],
        out.ended[n + first : n + first + count],
    )


compiled_blocks: Any = _inline(blocks_of)
"""`blocks_of` for the compiled loops."""
