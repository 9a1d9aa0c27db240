"""Gram matrices of sparse tables, whichever way is cheaper, and inverses of what they make.

Letters: R rows, C columns.
"""

import numpy as np
import scipy.linalg.blas as blas
import scipy.linalg.lapack as lapack
import scipy.sparse as sparse

from slategym.cf_baselines.interactions import FloatArray
from slategym.errors import DataError

# Measured on one core: a multiplication in a sparse product costs about as much as this many in a
# dense one.
SPARSE_COST = 240.0
# The same for a sparse table times a dense one.
SPARSE_ROW_COST = 30.0
ROWS_AT_ONCE = 4096


def gram(table: sparse.csr_matrix) -> FloatArray:
    """Return table^T table, (C, C) float32, for a table (R, C); exact for counts below 2^24."""
    matrix = sparse.csr_matrix(table, dtype=np.float32)
    rows, columns = matrix.shape
    sizes = np.diff(matrix.indptr).astype(np.float64)
    if SPARSE_COST * float((sizes**2).sum()) < float(rows) * columns**2:
        return np.asarray((matrix.T @ matrix).toarray(), dtype=np.float32)
    out = np.zeros((columns, columns), np.float32, order="F")
    for at in range(0, rows, ROWS_AT_ONCE):
        part = matrix[at : at + ROWS_AT_ONCE].toarray()
        # The transpose of a C-ordered part is F-ordered, so nothing is copied.
        out = blas.ssyrk(1.0, part.T, beta=1.0, c=out, overwrite_c=1)
    return symmetric(out)


def add_to_gram(
    known: FloatArray, before: sparse.csr_matrix, after: sparse.csr_matrix
) -> FloatArray:
    """Return the Gram matrix of ``after`` from that of ``before``, both (R, C) by now.

    With the change D = after - before it is  G + D^T after + before^T D.

    Args:
        known: Gram matrix of ``before``, of its first columns if it has more by now.
        before: What ``known`` was made of.
        after: What it is now.
    """
    grown = after.shape[1] - len(known)
    out = np.pad(known, ((0, grown), (0, grown)))
    change = sparse.csr_matrix(after - before)
    change.eliminate_zeros()
    rows = np.flatnonzero(np.diff(change.indptr))
    change, new, old = change[rows], after[rows], before[rows]
    more = sparse.coo_matrix(change.T @ new + old.T @ change)
    np.add.at(out, (more.row, more.col), more.data)
    return out


def inverse(matrix: FloatArray, ridge: float) -> FloatArray:
    """Return inv(matrix + ridge I) of a Gram matrix (C, C), float32, by Cholesky.

    Raises:
        DataError: it is not positive definite in float32: the ridge is too small.
    """
    whole = np.array(matrix, dtype=np.float32, order="F")
    whole[np.diag_indices_from(whole)] += np.float32(ridge)
    factor, failed = lapack.spotrf(whole, lower=0, overwrite_a=1)
    if failed:
        raise DataError(
            f"a penalty of {ridge:g} is too small for this log to solve in single precision; "
            "take a larger one."
        )
    out, _ = lapack.spotri(factor, lower=0, overwrite_c=1)
    return symmetric(out)


def symmetric(upper: FloatArray) -> FloatArray:
    """Return the symmetric matrix whose upper triangle is given; the rest is overwritten."""
    size, step = len(upper), 512
    for at in range(0, size, step):
        end = min(at + step, size)
        block = np.triu(upper[at:end, at:end], 1)
        upper[at:end, at:end] = np.triu(upper[at:end, at:end]) + block.T
        upper[end:, at:end] = upper[at:end, end:].T
    return upper


def multiply(table: sparse.csr_matrix, dense: FloatArray) -> FloatArray:
    """Return table @ dense, (R, N) float32, through a dense product where that is cheaper."""
    rows, columns = table.shape
    if table.nnz * SPARSE_ROW_COST > rows * columns:
        return np.asarray(table.toarray() @ dense, dtype=np.float32)
    return np.asarray(table @ dense, dtype=np.float32)
