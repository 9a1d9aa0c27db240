"""Content brought to one scale, and linear maps from it to factors.

Letters: R rows (users or items), D content dimensions, F factors.
"""

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]


def unit_blocks(content: npt.ArrayLike) -> F32:
    """Return content (R, D) divided by the root of its mean squared row length.

    Rows of zeros, which have no content, do not count. How blocks of columns weigh against each
    other is left as it is given.
    """
    rows = np.asarray(content, dtype=np.float64)
    length = (rows**2).sum(axis=1)
    there = length > 0
    scale = np.sqrt(length[there].mean()) if there.any() else 1.0
    return np.asarray(rows / scale, dtype=np.float32)


def join_blocks(*blocks: npt.ArrayLike) -> F32:
    """Return blocks of content (R, D1), (R, D2), ... side by side, each with rows of length 1.

    Each block is centred over the rows that have it, so that what all items share says nothing;
    a row of zeros stays zero.
    """
    out = []
    for block in blocks:
        rows = np.array(block, dtype=np.float64)
        there = np.asarray(rows.any(axis=1))
        rows[there] -= rows[there].mean(axis=0)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        out.append(rows * there[:, None])
    return np.concatenate(out, axis=1).astype(np.float32)


def append_one(rows: F32) -> F32:
    """Return rows (R, D + 1) with a constant 1 for the offset."""
    return np.ascontiguousarray(np.column_stack([rows, np.ones(len(rows), np.float32)]))


def linear_map(
    features: F32, factors: F32, weights: npt.NDArray[np.float32], penalty: float
) -> F32:
    """Return W (D, F), which minimises sum_r weights_r |factors_r - features_r W|^2 + p |W|^2."""
    weighted = features * weights[:, None]
    system = weighted.T @ features
    system[np.diag_indices_from(system)] += penalty
    return np.asarray(np.linalg.solve(system, weighted.T @ factors), dtype=np.float32)
