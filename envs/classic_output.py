"""How what a step hands out lies in three flat buffers: few arrays to make, few to pass.

Reals: the blocks of the observation (user, history, candidates, feedback, context), then those of
the response (quantities, reward and its term). Whole numbers: slate, clusters, and in ids mode
the history and the candidates. Truth values: terminated, truncated. Each block holds all users.

The functions are plain NumPy, and compiled as they stand for the loops.
"""

from typing import Any

import numba

from slategym.envs.classic_state import Blocks, Output, Response, Sizes

_inline = numba.njit(forceinline=True, error_model="numpy")


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
        out.real[a:b].reshape(n, past, width),
        out.real[b:c].reshape(n, count, width),
        out.real[c:d].reshape(n, past, 3),
        out.real[d:e].reshape(n, sizes.context),
        out.whole[f:g].reshape(-1, past),
        out.whole[g:].reshape(-1, count),
    )


def response_of(out: Output, sizes: Sizes) -> Response:
    """Return the response in the buffers, with its shapes."""
    n, size = sizes.batch, sizes.slate
    per_user = sizes.seen + (sizes.past + sizes.count) * sizes.document
    a = n * (per_user + 3 * sizes.past + sizes.context)
    b = a + n * size * sizes.quantities
    return Response(
        out.real[a:b].reshape(sizes.quantities, n * size),
        out.whole[: 2 * n * size].reshape(2, n * size),
        out.real[b:].reshape(2, n),
        out.ended.reshape(2, n),
    )


compiled_blocks: Any = _inline(blocks_of)
"""`blocks_of` for the compiled loops."""
compiled_response: Any = _inline(response_of)
"""`response_of` for the compiled loops."""
