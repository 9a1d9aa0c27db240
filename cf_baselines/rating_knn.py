"""Nearest neighbours for ratings: how far like-minded people, or similar items, were off.

Letters: B batch of users, U users, I items, H history, K items to score, A rows compared,
F features.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from slategym.cf_baselines.base import Rows, Scorer
from slategym.cf_baselines.biases import DAMPING, BiasModel, fit_biases
from slategym.cf_baselines.explanations import Case, Part
from slategym.cf_baselines.interactions import FloatArray, RowArray
from slategym.cf_baselines.settings import in_range

SIDES = ("item", "user")
SIMILARITIES = ("cosine", "pearson", "adjusted", "baseline")


@dataclass(frozen=True)
class RatingKNNConfig:
    """Settings of `RatingKNNScorer`.

    Attributes:
        side: Whether similar items vote or like-minded users.
        similarity: Over those who rated both: ``cosine`` of values; ``pearson`` correlation of
            values; ``adjusted`` cosine of values less the other side's mean; ``baseline``,
            cosine of values less the baseline.
        neighbours: Who vote at most, at least 1.
        least: Votes needed for a say, at least 1.
        shrinkage: n in common count n / (n + shrinkage), >= 0.
        damping: Of the baseline's biases, >= 0.
    """

    side: Literal["item", "user"] = "item"
    similarity: Literal["cosine", "pearson", "adjusted", "baseline"] = "baseline"
    neighbours: int = 40
    least: int = 1
    shrinkage: float = 100.0
    damping: float = DAMPING

    def __post_init__(self) -> None:
        name = "rating-knn"
        in_range(name, self.side in SIDES, f"side={self.side!r}", "item or user")
        said, allowed = f"similarity={self.similarity!r}", ", ".join(SIMILARITIES)
        in_range(name, self.similarity in SIMILARITIES, said, f"one of {allowed}")
        said = f"neighbours={self.neighbours}, least={self.least}"
        in_range(name, self.neighbours >= 1 and self.least >= 1, said, "at least 1 each")
        said = f"shrinkage={self.shrinkage}, damping={self.damping}"
        in_range(name, self.shrinkage >= 0 and self.damping >= 0, said, "at least 0 each")


@dataclass(frozen=True)
class Raters:
    """States: histories (B, H) with what is not baseline in their values, and biases (B,)."""

    items: Rows
    values: FloatArray
    residuals: FloatArray
    bias: FloatArray


class RatingKNNScorer(Scorer):
    """Scores by  b_ui + sum_j s_ij (r_uj - b_uj) / sum_j s_ij,  in the log's units.

    b is the baseline, mean and biases; j are the most similar items the user rated, of a
    similarity above 0 (Koren 2010, "Factor in the neighbors", equation 3, and Bell and Koren 2007
    for the shrinkage); with ``side="user"`` they are the most like-minded users who rated the
    item (Herlocker et al. 1999). A user's own rating of an item does not vote on it if items
    vote.
    """

    name = "rating-knn"
    Config = RatingKNNConfig
    config: RatingKNNConfig

    def _learn(self) -> None:
        self._biases = fit_biases(self.log, damping=self.config.damping)
        self._prepare()
        table = self._ratings
        if self.config.side == "item":
            shifted = self._shifted(table)
            self._likeness: FloatArray = likeness(
                sparse.csr_matrix(shifted.T), sparse.csr_matrix(shifted.T), self.config
            )

    def _prepare(self) -> None:
        log = self.log
        shape = (len(log.user_ids), len(log.item_ids))
        self._ratings = sparse.csr_matrix((log.values, (log.users, log.items)), shape)
        self._likeness = np.zeros((0, 0), np.float32)
        rows = np.repeat(np.arange(shape[0]), np.diff(self._ratings.indptr))
        users = Raters(*self._raters(*_padded(self._ratings)))
        gap = self._ratings.data - self._biases.mean - users.bias[rows]
        gap -= self._biases.item_bias[self._ratings.indices]
        residuals = sparse.csr_matrix((gap, self._ratings.indices, self._ratings.indptr), shape)
        self._by_item = sparse.csc_matrix(residuals)
        self._known = self._shifted(self._ratings) if self.config.side == "user" else None

    def _raters(
        self, items: Rows, values: FloatArray
    ) -> tuple[Rows, FloatArray, FloatArray, FloatArray]:
        there = items >= 0
        gap = np.where(there, values - self._biases.mean - self._biases.item_bias[items], 0.0)
        count = np.maximum(there.sum(axis=1) + self.config.damping, 1e-12)
        bias = (gap.sum(axis=1) / count).astype(np.float32)
        left = np.where(there, gap - bias[:, None], 0.0).astype(np.float32)
        return items, values, left, bias

    def _fold(self, items: Rows, values: FloatArray, times: RowArray) -> Raters:  # noqa: ARG002
        return Raters(*self._raters(items, values))

    def _shifted(self, table: sparse.csr_matrix, bias: FloatArray | None = None) -> Any:  # noqa: ANN401
        """Return ratings (A, I) as they are compared, without an entry becoming 0."""
        rows = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
        if self.config.similarity == "adjusted":
            if self.config.side == "item":
                sums = np.asarray(table.sum(axis=1)).ravel()
                off = (sums / np.maximum(np.diff(table.indptr), 1))[rows]
            else:
                off = self._biases.mean + self._biases.item_bias[table.indices]
        elif self.config.similarity == "baseline":
            if bias is None:
                bias = Raters(*self._raters(*_padded(table))).bias
            off = self._biases.mean + bias[rows] + self._biases.item_bias[table.indices]
        else:
            off = np.zeros(len(rows), np.float32)
        data = (table.data - off).astype(np.float32)
        data[data == 0] = 1e-6  # an entry at the baseline is still one in common
        return sparse.csr_matrix((data, table.indices, table.indptr), table.shape)

    def _score(self, state: Raters, items: Rows) -> FloatArray:
        from slategym.cf_baselines.neighbour_kernels import item_votes, user_votes

        config = self.config
        base = self._biases.mean + state.bias[:, None] + self._biases.item_bias[items]
        asked = np.ascontiguousarray(items, dtype=np.int32)
        if config.side == "item":
            votes = item_votes(
                state.items.astype(np.int32),
                state.residuals,
                asked,
                self._likeness,
                config.neighbours,
                config.least,
            )
        else:
            votes = user_votes(
                self._alike(state),
                asked,
                self._by_item.indptr.astype(np.int32),
                self._by_item.indices.astype(np.int32),
                self._by_item.data.astype(np.float32),
                config.neighbours,
                config.least,
            )
        return np.asarray(base + votes, dtype=np.float32)

    def _alike(self, state: Raters) -> FloatArray:
        """Return the likeness (B, U) of the users to those of the log."""
        there = state.items >= 0
        rows = np.nonzero(there)[0]
        table = sparse.csr_matrix(
            (state.values[there], (rows, state.items[there])),
            (len(state.items), len(self.log.item_ids)),
        )
        return likeness(self._shifted(table, state.bias), self._known, self.config)

    def _score_everything(self, state: Raters) -> FloatArray:
        every = np.tile(np.arange(len(self.log.item_ids)), (len(state.bias), 1))
        return self._score(state, every)

    def _parts(self, case: Case) -> list[Part]:
        state = self._fold(case.items[None], case.values[None], case.times[None])
        parts = [
            Part("average", self._biases.mean),
            Part("user", float(state.bias[0])),
            Part("item", float(self._biases.item_bias[case.item])),
        ]
        if self.config.side == "user":
            votes = self._score(state, np.array([[case.item]]))[0, 0] - sum(p.share for p in parts)
            return [*parts, Part("people", float(votes))]
        alike = np.where(case.items == case.item, 0.0, self._likeness[case.item, case.items])
        order = np.argsort(-alike, kind="stable")[: self.config.neighbours]
        chosen = order[alike[order] > 0]
        if len(chosen) < max(1, self.config.least):
            return parts
        shares = alike[chosen] * state.residuals[0, chosen] / alike[chosen].sum()
        return parts + [
            Part("history", float(share), int(case.items[at]))
            for share, at in zip(shares, chosen, strict=True)
        ]

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        model = self._biases
        return {
            "likeness": self._likeness,
            "mean": np.asarray(model.mean),
            "user_bias": model.user_bias,
            "item_bias": model.item_bias,
        }

    def _restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        mean = float(arrays["mean"].item())
        self._biases = BiasModel(mean, arrays["user_bias"], arrays["item_bias"])
        self._prepare()
        self._likeness = arrays["likeness"]


def likeness(
    rows: sparse.csr_matrix, targets: sparse.csr_matrix, config: RatingKNNConfig
) -> FloatArray:
    """Return how alike rows (A, F) and targets (T, F) are over what both have, (A, T).

    Cosine, or Pearson correlation, times n / (n + shrinkage) with n in common.
    """
    ones_a, ones_b = _ones(rows), _ones(targets)
    both = _cross(ones_a, ones_b)
    dot = _cross(rows, targets)
    left = _cross(rows.multiply(rows).tocsr(), ones_b)
    right = _cross(ones_a, targets.multiply(targets).tocsr())
    if config.similarity == "pearson":
        count = np.maximum(both, 1)
        sum_a, sum_b = _cross(rows, ones_b), _cross(ones_a, targets)
        dot -= sum_a * sum_b / count
        left -= sum_a**2 / count
        right -= sum_b**2 / count
    # What is left of two equal numbers in single precision is not a variance.
    enough = (left > 1e-4) & (right > 1e-4)
    under = np.sqrt(np.where(enough, left * right, 1.0))
    out = np.where(enough, dot / under, 0.0)
    return np.asarray(out * both / np.maximum(both + config.shrinkage, 1e-12), dtype=np.float32)


def _ones(table: sparse.csr_matrix) -> sparse.csr_matrix:
    ones = np.ones(len(table.data), np.float32)
    return sparse.csr_matrix((ones, table.indices, table.indptr), table.shape)


def _cross(rows: sparse.csr_matrix, targets: sparse.csr_matrix) -> FloatArray:
    """Return rows @ targets^T as a dense table (A, T)."""
    dense = rows.shape[0] * rows.shape[1] * targets.shape[0]
    if rows.nnz * targets.nnz * 100.0 > dense * rows.shape[1]:
        return np.asarray(rows.toarray() @ targets.toarray().T, dtype=np.float32)
    return np.asarray((rows @ targets.T).toarray(), dtype=np.float32)


def _padded(table: sparse.csr_matrix) -> tuple[Rows, FloatArray]:
    """Return items and values (A, H) of the rows of a table, -1 and 0 where none."""
    sizes = np.diff(table.indptr)
    there = np.arange(int(sizes.max(initial=0))) < sizes[:, None]
    items = np.full(there.shape, -1, dtype=np.intp)
    values = np.zeros(there.shape, np.float32)
    items[there], values[there] = table.indices, table.data
    return items, values
