"""Tables of what is alike, made of who liked what, and the models that score through one.

Letters: Q rows asked about, T targets, U users, I items, B batch of users.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from slategym.cf_baselines.interactions import FloatArray
from slategym.cf_baselines.profile_scorer import ProfileScorer

WEIGHTINGS = ("none", "tfidf", "bm25")
SIMILARITIES = ("cosine", "pearson", "jaccard", "dot")


@dataclass(frozen=True)
class Likeness:
    """How alike two sets of weighted likes are.

    Attributes:
        similarity: ``cosine``; ``pearson``, the correlation of 0 and 1 over all; ``jaccard``,
            shared by either; or ``dot``.
        weighting: Of each like, see `weighted`.
        shrinkage: Added to what is divided by, so that what shares little is less alike.
    """

    similarity: str
    weighting: str
    shrinkage: float


def weighted(
    likes: sparse.csr_matrix, weighting: str, k1: float = 1.2, b: float = 0.75
) -> sparse.csr_matrix:
    """Return the likes (rows, features) with a weight each.

    With N rows, n_f those with feature f, and |r| the features of row r:

    - ``none``: 1.
    - ``tfidf``: log(N / (1 + n_f)) (Salton and Buckley 1988, without length, which the cosine
      takes care of).
    - ``bm25``: the same times (k1 + 1) / (1 + k1 (1 - b + b |r| / mean |r|)) (Robertson and
      Zaragoza 2009, equation 3.15).

    A feature that nearly all rows have gets a weight of nearly 0, never less.
    """
    table = sparse.csr_matrix(likes, dtype=np.float32)
    if weighting == "none":
        return table
    features = np.bincount(table.indices, minlength=table.shape[1])
    rarity = np.maximum(np.log(table.shape[0]) - np.log1p(features), 0.0)
    weight = rarity[table.indices]
    if weighting == "bm25":
        length = np.diff(table.indptr)
        norm = 1.0 - b + b * length / max(float(length.mean()), 1e-12)
        weight = weight * ((k1 + 1) / (1 + k1 * np.repeat(norm, length)))
    return sparse.csr_matrix(
        (weight.astype(np.float32), table.indices, table.indptr), shape=table.shape
    )


def nearest(
    rows: sparse.csr_matrix,
    targets: sparse.csr_matrix,
    likeness: Likeness,
    k: int,
    *,
    same: bool,
) -> sparse.csr_matrix:
    """Return the k most alike targets of each row, (Q, T) float32; of equals the first.

    Args:
        rows: (Q, F) weighted likes.
        targets: (T, F) likewise.
        likeness: How to compare.
        k: Neighbours kept, at least 1.
        same: True if rows are the targets: then none is its own neighbour. Else a target with
            just the likes of the row is left out, as it can only repeat them.
    """
    row_scale, row_shift = _scales(rows, likeness)
    scale, shift = _scales(targets, likeness)
    sizes = np.diff(targets.indptr).astype(np.int32)
    return find_nearest(
        rows,
        sparse.csr_matrix(targets.T),
        (row_scale, row_shift, scale, shift),
        np.full_like(sizes, -1) if same else sizes,
        np.arange(rows.shape[0]) if same else np.full(rows.shape[0], -1),
        k,
        likeness.similarity == "jaccard",
        likeness.shrinkage,
    )


def find_nearest(
    rows: sparse.csr_matrix,
    onward: sparse.csr_matrix,
    scales: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    sizes: npt.NDArray[Any],
    selves: npt.NDArray[Any],
    k: int,
    jaccard: bool,
    shrinkage: float,
) -> sparse.csr_matrix:
    """Return the table of `nearest_rows` compressed, (Q, T)."""
    from slategym.cf_baselines.neighbour_kernels import nearest_rows

    k = min(k, onward.shape[1])
    targets, values, kept = nearest_rows(
        rows.indptr.astype(np.int32),
        rows.indices.astype(np.int32),
        rows.data,
        onward.indptr.astype(np.int32),
        onward.indices.astype(np.int32),
        onward.data,
        *scales,
        sizes.astype(np.int32),
        selves.astype(np.int32),
        k,
        int(jaccard),
        float(shrinkage),
    )
    there = np.arange(k) < kept[:, None]
    indptr = np.concatenate([[0], np.cumsum(kept)]).astype(np.int32)
    shape = (rows.shape[0], onward.shape[1])
    return sparse.csr_matrix((values[there], targets[there], indptr), shape=shape)


def _scales(table: sparse.csr_matrix, likeness: Likeness) -> tuple[FloatArray, FloatArray]:
    """Return what to divide by and what to take off, for each row."""
    squares = np.asarray(table.multiply(table).sum(axis=1), dtype=np.float64).ravel()
    none = np.zeros(len(squares))
    if likeness.similarity == "dot":
        scale, shift = np.ones(len(squares)), none
    elif likeness.similarity == "jaccard":
        scale, shift = squares, none
    elif likeness.similarity == "pearson":
        # Of 0 and 1 over F features: covariance n_ab - n_a n_b / F, variance n_a - n_a^2 / F.
        features = table.shape[1]
        total = np.asarray(table.sum(axis=1), dtype=np.float64).ravel()
        shift = total / np.sqrt(features)
        scale = np.sqrt(np.maximum(squares - shift**2, 1e-12))
    else:
        scale, shift = np.sqrt(squares), none
    return scale.astype(np.float32), shift.astype(np.float32)


def multiply_dense(table: sparse.csr_matrix, other: sparse.csr_matrix) -> FloatArray:
    """Return table @ other as a dense float32 array."""
    from slategym.cf_baselines.neighbour_kernels import spread

    out: FloatArray = spread(
        table.indptr.astype(np.int32),
        table.indices.astype(np.int32),
        table.data,
        other.indptr.astype(np.int32),
        other.indices.astype(np.int32),
        other.data,
        other.shape[1],
    )
    return out


def table_arrays(table: sparse.csr_matrix) -> dict[str, npt.NDArray[Any]]:
    """Return a compressed table as arrays, for a file."""
    return {"data": table.data, "indices": table.indices, "indptr": table.indptr}


class ItemTableScorer(ProfileScorer):
    """Scores an item by how like the items of the profile it is, through a sparse table.

    Attributes:
        likeness: (I, I); row j is what a like of item j adds to each item.
    """

    likeness = sparse.csr_matrix((0, 0), dtype=np.float32)

    @abstractmethod
    def _table(self) -> sparse.csr_matrix:
        """Return (I, I): the neighbours that each item's score looks at, by row."""

    def _learn_items(self) -> None:
        # Row i holds the neighbours of item i, so its transpose spreads a like to them.
        self.likeness = sparse.csr_matrix(self._table().T)

    def _score_all(self, profiles: sparse.csr_matrix) -> FloatArray:
        return multiply_dense(profiles, self.likeness)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return table_arrays(self.likeness)

    def _restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        super()._restore(arrays)
        size = len(arrays["indptr"]) - 1
        parts = (arrays["data"], arrays["indices"], arrays["indptr"])
        self.likeness = sparse.csr_matrix(parts, shape=(size, size))
