"""Item-based nearest neighbours: items liked by the same people are alike."""

from dataclasses import dataclass
from typing import Literal

import scipy.sparse as sparse

from slategym.cf_baselines.neighbour_tables import (
    SIMILARITIES,
    WEIGHTINGS,
    ItemTableScorer,
    Likeness,
    nearest,
    weighted,
)
from slategym.cf_baselines.settings import in_range


@dataclass(frozen=True)
class ItemKNNConfig:
    """Settings of `ItemKNNScorer`.

    Attributes:
        neighbours: Kept for each item, at least 1.
        shrinkage: Pulls the likeness of rarely seen pairs to 0; >= 0.
        similarity: See `slategym.cf_baselines.neighbour_tables`.
        weighting: Of each like: a user who likes nearly everything says less.
        k1: Of ``bm25``: how fast weight saturates, >= 0. b: How much length counts, in [0, 1].
        positive: Values from here on are positive; by default `default_threshold` of the log.
    """

    neighbours: int = 150
    shrinkage: float = 10.0
    similarity: Literal["cosine", "pearson", "jaccard", "dot"] = "cosine"
    weighting: Literal["none", "tfidf", "bm25"] = "none"
    k1: float = 1.2
    b: float = 0.75
    positive: float | None = None

    def __post_init__(self) -> None:
        check_neighbours("item-knn", self.neighbours, self.shrinkage)
        check_likeness("item-knn", self.similarity, self.weighting, self.k1, self.b)


def check_neighbours(model: str, neighbours: int, shrinkage: float) -> None:
    """Refuse less than one neighbour, or a shrinkage below 0."""
    said = f"neighbours={neighbours}, shrinkage={shrinkage}"
    in_range(model, neighbours >= 1 and shrinkage >= 0, said, "at least 1 and 0")


def check_likeness(model: str, similarity: str, weighting: str, k1: float, b: float) -> None:
    """Refuse a similarity or weighting that there is not, and numbers out of range."""
    allowed = ", ".join(SIMILARITIES)
    in_range(model, similarity in SIMILARITIES, f"similarity={similarity!r}", f"one of {allowed}")
    allowed = ", ".join(WEIGHTINGS)
    in_range(model, weighting in WEIGHTINGS, f"weighting={weighting!r}", f"one of {allowed}")
    plain = similarity not in ("pearson", "jaccard") or weighting == "none"
    said = f"similarity={similarity!r} with weighting={weighting!r}"
    in_range(model, plain, said, "pearson and jaccard compare unweighted likes")
    in_range(model, k1 >= 0 and 0 <= b <= 1, f"k1={k1}, b={b}", "at least 0, and in [0, 1]")


class ItemKNNScorer(ItemTableScorer):
    """Scores an item by how like the items of the profile it is.

    Likeness is by default the shrunk cosine  n_ij / (sqrt(n_i n_j) + shrinkage)  (Sarwar et al.
    2001, equation 1, with the shrinkage of Bell and Koren 2007), n_ij being the users who liked
    both; each item keeps its nearest ``neighbours``.
    """

    name = "item-knn"
    Config = ItemKNNConfig
    config: ItemKNNConfig

    def _table(self) -> sparse.csr_matrix:
        config = self.config
        table = weighted(sparse.csr_matrix(self.likes.T), config.weighting, config.k1, config.b)
        likeness = Likeness(config.similarity, config.weighting, config.shrinkage)
        return nearest(table, table, likeness, config.neighbours, same=True)
