"""Item-based nearest neighbours: items liked by the same people are alike."""

import numpy as np
import scipy.sparse as sparse

from slategym.cf_baselines.base import ProfileScorer
from slategym.cf_baselines.interactions import FloatArray
from slategym.errors import UsageError

# Rows of the item-by-item table made at once.
CHUNK = 2048


class ItemKNNScorer(ProfileScorer):
    """Scores an item by how like the items of the profile it is.

    Likeness is the shrunk cosine  n_ij / (sqrt(n_i n_j) + shrinkage)  (Sarwar et al. 2001,
    equation 1, with the shrinkage of Bell and Koren 2007), n_ij being the users who liked both;
    each item keeps its nearest ``neighbours``.

    Args:
        neighbours: Kept for each item, at least 1.
        shrinkage: Pulls the likeness of rarely seen pairs to 0; >= 0.

    Raises:
        UsageError: a number out of range.
    """

    name = "item-knn"

    def __init__(self, neighbours: int = 150, shrinkage: float = 10.0) -> None:
        super().__init__()
        if neighbours < 1 or shrinkage < 0:
            raise UsageError(
                f"neighbours={neighbours}, shrinkage={shrinkage}: need at least 1 and 0."
            )
        self.neighbours, self.shrinkage = neighbours, shrinkage
        self.likeness = sparse.csr_matrix((0, 0), dtype=np.float32)

    def _learn(self) -> None:
        by_item = sparse.csr_matrix(self.likes.T)
        root = np.sqrt(np.asarray(by_item.sum(axis=1)).ravel())
        parts = [
            self._nearest(by_item[start : start + CHUNK] @ self.likes, root, start)
            for start in range(0, by_item.shape[0], CHUNK)
        ]
        # Row i holds the neighbours of item i, so its transpose spreads a like to them.
        self.likeness = sparse.csr_matrix(sparse.vstack(parts).T)

    def _nearest(self, both: sparse.csr_matrix, root: FloatArray, start: int) -> sparse.csr_matrix:
        """Return the likeness of a few items to all, only the nearest kept."""
        table = both.toarray()
        rows = np.arange(table.shape[0])
        table /= root[start + rows][:, None] * root[None, :] + self.shrinkage + 1e-9
        table[rows, start + rows] = 0.0
        if table.shape[1] > self.neighbours:
            # Stable order, so that ties keep the same neighbours on every machine.
            far = np.argsort(-table, axis=1, kind="stable")[:, self.neighbours :]
            np.put_along_axis(table, far, 0.0, axis=1)
        return sparse.csr_matrix(table.astype(np.float32))

    def _score_all(self, profiles: sparse.csr_matrix) -> FloatArray:
        return np.asarray((profiles @ self.likeness).toarray(), dtype=np.float32)
