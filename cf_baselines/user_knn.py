"""User-based nearest neighbours: what people with similar likes liked."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from slategym.cf_baselines.explanations import Case, Part
from slategym.cf_baselines.interactions import FloatArray
from slategym.cf_baselines.item_knn import check_likeness, check_neighbours
from slategym.cf_baselines.neighbour_tables import Likeness, multiply_dense, nearest, weighted
from slategym.cf_baselines.profile_scorer import ProfileScorer
from slategym.cf_baselines.settings import in_range


@dataclass(frozen=True)
class UserKNNConfig:
    """Settings of `UserKNNScorer`.

    Attributes:
        neighbours: Who vote for a user, at least 1.
        shrinkage: Pulls the likeness of those who share little to 0; >= 0.
        power: Of likeness in the vote, > 0; above 1 the nearest count more.
        similarity: See `slategym.cf_baselines.neighbour_tables`.
        weighting: Of each like: an item that nearly everybody likes says less.
        positive: Values from here on are positive; by default `default_threshold` of the log.
    """

    neighbours: int = 80
    shrinkage: float = 10.0
    power: float = 2.0
    similarity: Literal["cosine", "pearson", "jaccard", "dot"] = "cosine"
    weighting: Literal["none", "tfidf"] = "none"
    positive: float | None = None

    def __post_init__(self) -> None:
        check_neighbours("user-knn", self.neighbours, self.shrinkage)
        check_likeness("user-knn", self.similarity, self.weighting, 0.0, 0.0)
        in_range("user-knn", self.power > 0, f"power={self.power}", "must be above 0")
        weighting: str = self.weighting
        in_range("user-knn", weighting != "bm25", "weighting='bm25'", "none or tfidf")


class UserKNNScorer(ProfileScorer):
    """Scores an item by the likeness of the nearest users who liked it, to a power.

    By default likeness is the shrunk cosine of their sets of likes (Resnick et al. 1994 for the
    idea; Aiolli 2013, "Efficient top-N recommendation for very large scale binary rated
    datasets", section 2, for sets). A user with just the likes of the one asked about has nothing
    to add and is no neighbour.
    """

    name = "user-knn"
    Config = UserKNNConfig
    config: UserKNNConfig
    table = sparse.csr_matrix((0, 0), dtype=np.float32)
    rarity: FloatArray = np.zeros(0, np.float32)

    def _learn_items(self) -> None:
        self.table = weighted(self.likes, self.config.weighting)
        # What a like of each item weighs, for profiles to come.
        weight = np.zeros(self.likes.shape[1], np.float32)
        weight[self.table.indices] = self.table.data
        self.rarity = weight

    def _neighbours(self, profiles: sparse.csr_matrix) -> sparse.csr_matrix:
        """Return the likeness (B, U) to the nearest users."""
        config = self.config
        rows = sparse.csr_matrix(
            (self.rarity[profiles.indices], profiles.indices, profiles.indptr), profiles.shape
        )
        likeness = Likeness(config.similarity, config.weighting, config.shrinkage)
        return nearest(rows, self.table, likeness, config.neighbours, same=False)

    def _score_all(self, profiles: sparse.csr_matrix) -> FloatArray:
        near = self._neighbours(profiles)
        near.data **= self.config.power
        return multiply_dense(near, self.likes)

    def _parts(self, case: Case) -> list[Part]:
        """Return shares by what the neighbours who liked the item have in common with the user.

        Each neighbour's vote is split over the items both liked, by the weight of each.
        """
        liked = np.unique(case.items[case.values >= self.threshold])
        if not len(liked):
            return super()._parts(case)
        profile = sparse.csr_matrix(
            (np.ones(len(liked), np.float32), liked, [0, len(liked)]), (1, self.likes.shape[1])
        )
        near = self._neighbours(profile)
        votes = near.data.astype(np.float64) ** self.config.power
        for_item = np.asarray(self.likes[near.indices][:, [case.item]].todense()).ravel()
        common = self.likes[near.indices][:, liked].toarray() * self.rarity[liked] ** 2
        total = np.maximum(common.sum(axis=1, keepdims=True), 1e-12)
        shares = (votes * for_item) @ (common / total)
        return [
            Part("history", float(share), int(row))
            for share, row in zip(shares, liked, strict=True)
        ]

    def _restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        super()._restore(arrays)
        self._learn_items()
