"""Compiled steps of alternating least squares: one side's factors given the other's.

Letters: R rows to solve (users or items), N observed pairs, F factors.
"""

import numba
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
Index = npt.NDArray[np.int32]


@numba.njit(cache=True, fastmath=True, nogil=True)
def _apply(
    gram: F32, ridge: np.float32, other: F32, found: Index, extra: F32, given: F32, out: F32
) -> None:
    """Set out = (gram + ridge I + sum of extra y y^T) given, over the observed rows y of other."""
    size = len(given)
    for f in range(size):
        out[f] = ridge * given[f]
    for g in range(size):
        part = given[g]
        for f in range(size):
            out[f] += gram[g, f] * part
    for n in range(len(found)):
        y = other[found[n]]
        dot = np.float32(0.0)
        for f in range(size):
            dot += y[f] * given[f]
        dot *= extra[n]
        for f in range(size):
            out[f] += dot * y[f]


@numba.njit(cache=True, fastmath=True, nogil=True)
def _descend(
    gram: F32,
    ridge: np.float32,
    other: F32,
    found: Index,
    extra: F32,
    x: F32,
    r: F32,
    p: F32,
    ap: F32,
    steps: int,
) -> None:
    """Move x by conjugate gradients; r comes in as the right-hand side."""
    size = len(x)
    _apply(gram, ridge, other, found, extra, x, ap)
    old = np.float32(0.0)
    for f in range(size):
        r[f] -= ap[f]
        p[f] = r[f]
        old += r[f] * r[f]
    for _ in range(steps):
        if old < 1e-20:
            return
        _apply(gram, ridge, other, found, extra, p, ap)
        curve = np.float32(0.0)
        for f in range(size):
            curve += p[f] * ap[f]
        step, new = old / curve, np.float32(0.0)
        for f in range(size):
            x[f] += step * p[f]
            r[f] -= step * ap[f]
            new += r[f] * r[f]
        for f in range(size):
            p[f] = r[f] + (new / old) * p[f]
        old = new


@numba.njit(cache=True, fastmath=True, nogil=True)
def conjugate_rows(
    indptr: Index,
    indices: Index,
    weights: F32,
    other: F32,
    gram: F32,
    unseen: float,
    ridge: F32,
    prior: F32,
    solution: F32,
    steps: int,
) -> None:
    """Improve each row of ``solution`` by a few steps of conjugate gradients, in place.

    Row r minimises  sum_n w_n (1 - x.y_n)^2 + unseen sum_(others) (x.y)^2 + ridge |x - prior|^2
    (Hu, Koren, Volinsky 2008, equation 3; Takacs, Pilaszy, Tikk 2011 for the solver).

    Args:
        indptr: (R + 1,) as in a CSR matrix.
        indices: (N,) rows of ``other`` that were observed.
        weights: (N,) their weights.
        other: (M, F) the other side's factors.
        gram: (F, F) ``unseen`` times other^T other.
        unseen: Weight of a pair that was not observed.
        ridge: (R,).
        prior: (R, F), or (0, F) for none.
        solution: (R, F) where to start.
        steps: Of conjugate gradients.
    """
    size = other.shape[1]
    r = np.empty(size, np.float32)
    p = np.empty(size, np.float32)
    ap = np.empty(size, np.float32)
    for row in range(len(ridge)):
        start, stop = indptr[row], indptr[row + 1]
        r[:] = 0
        if len(prior):
            for f in range(size):
                r[f] = ridge[row] * prior[row, f]
        for n in range(start, stop):
            y = other[indices[n]]
            for f in range(size):
                r[f] += weights[n] * y[f]
        extra = weights[start:stop] - np.float32(unseen)
        _descend(
            gram,
            ridge[row],
            other,
            indices[start:stop],
            extra,
            solution[row],
            r,
            p,
            ap,
            steps,
        )


@numba.njit(cache=True, fastmath=True, nogil=True)
def exact_rows(
    indptr: Index,
    indices: Index,
    weights: F32,
    other: F32,
    gram: F32,
    unseen: float,
    ridge: F32,
    prior: F32,
    solution: F32,
) -> None:
    """Set each row of ``solution`` to its exact minimum; arguments as for `conjugate_rows`."""
    size = other.shape[1]
    for row in range(len(ridge)):
        found = indices[indptr[row] : indptr[row + 1]]
        w = weights[indptr[row] : indptr[row + 1]]
        right = np.zeros(size, np.float32)
        if len(prior):
            right[:] = ridge[row] * prior[row]
        a = gram.copy()
        for f in range(size):
            a[f, f] += ridge[row]
        rows = np.empty((len(found), size), np.float32)
        scaled = np.empty((len(found), size), np.float32)
        for n in range(len(found)):
            y = other[found[n]]
            extra = w[n] - np.float32(unseen)
            for f in range(size):
                right[f] += w[n] * y[f]
                rows[n, f] = y[f]
                scaled[n, f] = extra * y[f]
        if len(found):
            a += scaled.T @ rows
        solution[row] = np.linalg.solve(a, right)
