"""Item-based nearest neighbours: items liked by the same people are alike."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from slategym.cf_baselines.interactions import FloatArray
from slategym.cf_baselines.profile_scorer import ProfileScorer
from slategym.cf_baselines.settings import in_range

# Rows of the item-by-item table made at once.
CHUNK = 2048


@dataclass(frozen=True)
class ItemKNNConfig:
    """Settings of `ItemKNNScorer`.

    Attributes:
        neighbours: Kept for each item, at least 1.
        shrinkage: Pulls the likeness of rarely seen pairs to 0; >= 0.
        positive: Values from here on are positive; by default `default_threshold` of the log.
    """

    neighbours: int = 150
    shrinkage: float = 10.0
    positive: float | None = None

    def __post_init__(self) -> None:
        said = f"neighbours={self.neighbours}, shrinkage={self.shrinkage}"
        in_range("item-knn", self.neighbours >= 1 and self.shrinkage >= 0, said, "at least 1 and 0")


class ItemKNNScorer(ProfileScorer):
    """Scores an item by how like the items of the profile it is.

    Likeness is the shrunk cosine  n_ij / (sqrt(n_i n_j) + shrinkage)  (Sarwar et al. 2001,
    equation 1, with the shrinkage of Bell and Koren 2007), n_ij being the users who liked both;
    each item keeps its nearest ``neighbours``.
    """

    name = "item-knn"
    Config = ItemKNNConfig
    config: ItemKNNConfig
    likeness = sparse.csr_matrix((0, 0), dtype=np.float32)

    def _learn_items(self) -> None:
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
        table /= root[start + rows][:, None] * root[None, :] + self.config.shrinkage + 1e-9
        table[rows, start + rows] = 0.0
        if table.shape[1] > self.config.neighbours:
            # Stable order, so that ties keep the same neighbours on every machine.
            far = np.argsort(-table, axis=1, kind="stable")[:, self.config.neighbours :]
            np.put_along_axis(table, far, 0.0, axis=1)
        return sparse.csr_matrix(table.astype(np.float32))

    def _score_all(self, profiles: sparse.csr_matrix) -> FloatArray:
        return np.asarray((profiles @ self.likeness).toarray(), dtype=np.float32)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        table = self.likeness
        return {"data": table.data, "indices": table.indices, "indptr": table.indptr}

    def _restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        super()._restore(arrays)
        size = len(arrays["indptr"]) - 1
        parts = (arrays["data"], arrays["indices"], arrays["indptr"])
        self.likeness = sparse.csr_matrix(parts, shape=(size, size))
