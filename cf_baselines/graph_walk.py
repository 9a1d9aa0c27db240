"""Walks over the graph of people and things: no training, strong where histories are short."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from slategym.cf_baselines.base import SCORES_AT_ONCE, Rows
from slategym.cf_baselines.history_linear import (
    HistoryLinearScorer,
    history_matrix,
    likes_of,
)
from slategym.cf_baselines.interactions import FloatArray
from slategym.cf_baselines.lightgcn_training import content_graph, standardised
from slategym.cf_baselines.settings import in_range


@dataclass(frozen=True)
class GraphWalkConfig:
    """Settings of `GraphWalkScorer`; chosen by validation on the TikTok split."""

    from_power: float = 0.3
    """An item of n likes starts a walk with n to the minus this, in [0, 2]."""
    user_power: float = 1.0
    """A user of n likes passes on n to the minus this, in [0, 2]."""
    to_power: float = 0.0
    """An item of n likes receives n to the minus this, in [-1, 2]."""
    second_step: float = 1.0
    """Weight of walks of two steps against those of one, both scaled to one spread; >= 0."""
    content_step: float = 0.3
    """Weight of starting from items that are alike by content, >= 0."""
    neighbours: int = 20
    """Items alike by content to start from, at least 1."""

    def __post_init__(self) -> None:
        powers = (self.from_power, self.user_power, self.to_power + 1)
        in_range(
            "graph-walk",
            min(powers) >= 0
            and max(powers) <= 3
            and min(self.second_step, self.content_step) >= 0
            and self.neighbours >= 1,
            f"powers {self.from_power}, {self.user_power} and {self.to_power}, second_step="
            f"{self.second_step}, content_step={self.content_step}, neighbours={self.neighbours}",
            "powers must be in [0, 2], to_power from -1, steps at least 0, neighbours at least 1",
        )


class GraphWalkScorer(HistoryLinearScorer):
    """Scores an item by the walks that lead to it from what a user liked.

    One step goes from an item over a user to an item,  M = D_i^-f X^T D_u^-u X D_i^-t  with X the
    likes, D the numbers of likes and f, u, t the powers of the settings; RP3-beta is f = u = 1
    (Paudel et al. 2017, equation 4), and a linear graph filter has all at 1/2 (Shen et al. 2021,
    "How powerful is graph convolution for recommendation?", section 4.2). The score of a profile
    x is  x M / s_1 + second_step x M M / s_2,  s being the standard deviations over the training
    users. With content, x also holds items like the liked ones, x + content_step x N, N the
    nearest by content, its rows adding up to 1.
    """

    name: ClassVar[str] = "graph-walk"
    uses_content: ClassVar[bool] = True
    Config = GraphWalkConfig

    def __init__(self, config: Any = None, **options: Any) -> None:  # noqa: ANN401
        super().__init__(config, **options)
        self.to_users = sparse.csr_matrix((0, 0), dtype=np.float32)  # (I, U) first half of a step
        self.to_items = sparse.csr_matrix((0, 0), dtype=np.float32)  # (U, I) the other half
        self.alike = sparse.csr_matrix((0, 0), dtype=np.float32)
        self.spread: FloatArray = np.ones(2, np.float32)

    def _learn(self) -> None:
        config = self.config
        likes, self.threshold, self.popularity = likes_of(self.log)
        of_user = np.maximum(np.asarray(likes.sum(axis=1)).ravel(), 1.0)
        of_item = np.maximum(np.asarray(likes.sum(axis=0)).ravel(), 1.0)
        passed = sparse.diags_array(of_user**-config.user_power) @ likes
        start = sparse.diags_array(of_item**-config.from_power) @ likes.T
        # The halves of a step hold a number for each like, their product far more.
        self.to_users = sparse.csr_matrix(start, dtype=np.float32)
        passed = passed @ sparse.diags_array(of_item**-config.to_power)
        self.to_items = sparse.csr_matrix(passed, dtype=np.float32)
        n_items = len(of_item)
        self.alike = sparse.csr_matrix((n_items, n_items), dtype=np.float32)
        if self.content is not None and config.content_step:
            near = content_graph(standardised(self.content), config.neighbours)
            rows = np.maximum(np.asarray(near.sum(axis=1)).ravel(), 1e-9)
            self.alike = sparse.csr_matrix(sparse.diags_array(1 / rows) @ near, dtype=np.float32)
        self.spread = np.ones(2, np.float32)
        self._scale(likes)

    def _scale(self, likes: sparse.csr_matrix) -> None:
        """Set the standard deviations of both terms over the training users."""
        sums, squares = np.zeros(2), np.zeros(2)
        step = self._step()
        for at in range(0, likes.shape[0], step):
            for term, scores in enumerate(self._terms(likes[at : at + step])):
                sums[term] += scores.sum(dtype=np.float64)
                squares[term] += np.square(scores, dtype=np.float64).sum()
        count = max(1, likes.shape[0] * likes.shape[1])
        spread = np.sqrt(np.maximum(squares / count - (sums / count) ** 2, 0.0))
        self.spread = np.where(spread > 0, spread, 1.0).astype(np.float32)

    def _terms(self, profile: sparse.csr_matrix) -> tuple[FloatArray, FloatArray]:
        """Return what walks of one and of two steps bring, (B, I) each."""
        start = profile
        if self.alike.nnz:
            start = profile + self.config.content_step * (profile @ self.alike)
        once = (start @ self.to_users @ self.to_items).toarray()
        twice = np.zeros_like(once)
        if self.config.second_step:
            step = max(1, SCORES_AT_ONCE // max(1, self.to_users.shape[1]))
            for at in range(0, len(once), step):
                twice[at : at + step] = once[at : at + step] @ self.to_users @ self.to_items
        return once, twice

    def _profiles(self, items: Rows, values: FloatArray) -> tuple[sparse.csr_matrix, ...]:
        liked = (values >= self.threshold).astype(np.float32)
        return (history_matrix(items, liked, len(self.popularity)),)

    def _linear(self, profiles: tuple[sparse.csr_matrix, ...]) -> FloatArray:
        once, twice = self._terms(profiles[0])
        return once / self.spread[0] + self.config.second_step * twice / self.spread[1]

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        out = {
            "popularity": self.popularity,
            "threshold": np.array(self.threshold),
            "spread": self.spread,
        }
        for name, table in self._tables().items():
            out |= {
                f"{name}.data": table.data,
                f"{name}.indices": table.indices,
                f"{name}.indptr": table.indptr,
            }
        return out

    def _tables(self) -> dict[str, sparse.csr_matrix]:
        return {"to_users": self.to_users, "to_items": self.to_items, "alike": self.alike}

    def _restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self.popularity, self.threshold = arrays["popularity"], float(arrays["threshold"])
        self.spread = arrays["spread"]
        users, items = len(self.log.user_ids), len(self.popularity)
        shapes = {"to_users": (items, users), "to_items": (users, items), "alike": (items, items)}
        self.to_users, self.to_items, self.alike = (
            sparse.csr_matrix(
                tuple(arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr")), shape
            )
            for name, shape in shapes.items()
        )
