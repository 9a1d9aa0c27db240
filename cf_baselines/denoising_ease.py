"""Denoising EASE: linear item-to-item weights that do not lean on what was hidden from them."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from slategym.cf_baselines.base import Rows
from slategym.cf_baselines.history_linear import (
    HistoryLinearScorer,
    history_matrix,
    likes_of,
    linear_weights,
)
from slategym.cf_baselines.interactions import FloatArray
from slategym.cf_baselines.settings import in_range


@dataclass(frozen=True)
class DenoisingEaseConfig:
    """Settings of `DenoisingEaseScorer`; chosen by validation on ML-1M."""

    penalty: float = 300.0
    """Ridge penalty, > 0, in likes."""
    dropout: float = 0.5
    """Share of each profile that training hides, in [0, 1); 0 is plain EASE."""
    user_power: float = 0.75
    """A user of n likes counts n to the minus this in training, in [0, 1]; 0 counts likes."""

    def __post_init__(self) -> None:
        in_range(
            "denoising-ease",
            self.penalty > 0 and 0 <= self.dropout < 1 and 0 <= self.user_power <= 1,
            f"penalty={self.penalty}, dropout={self.dropout}, user_power={self.user_power}",
            "the penalty must be positive, the dropout in [0, 1), the power in [0, 1]",
        )


class DenoisingEaseScorer(HistoryLinearScorer):
    """Scores a profile x as x B, B trained to restore profiles with a part hidden.

    The expected loss over random dropouts has a closed form (Steck 2020, equation 12), see
    `linear_weights`. The pair counts are weighted by user, n_u ** -user_power and 1 on average,
    so that people with very many likes do not decide alone which items go together.
    """

    name: ClassVar[str] = "denoising-ease"
    Config = DenoisingEaseConfig

    def __init__(self, config: Any = None, **options: Any) -> None:  # noqa: ANN401
        super().__init__(config, **options)
        self.weights: FloatArray = np.zeros((0, 0), np.float32)

    def _learn(self) -> None:
        likes, self.threshold, self.popularity = likes_of(self.log)
        counts = np.asarray(likes.sum(axis=1)).ravel()
        power = np.maximum(counts, 1.0) ** -self.config.user_power
        power *= len(counts) / power.sum()
        gram = (likes.T @ sparse.diags_array(power.astype(np.float32)) @ likes).toarray()
        self.weights = linear_weights(gram, self.config.penalty, self.config.dropout)

    def _profiles(self, items: Rows, values: FloatArray) -> tuple[sparse.csr_matrix, ...]:
        liked = (values >= self.threshold).astype(np.float32)
        return (history_matrix(items, liked, len(self.weights)),)

    def _linear(self, profiles: tuple[sparse.csr_matrix, ...]) -> FloatArray:
        return np.asarray(profiles[0] @ self.weights)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {
            "weights": self.weights,
            "popularity": self.popularity,
            "threshold": np.array(self.threshold),
        }

    def _restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self.weights, self.popularity = arrays["weights"], arrays["popularity"]
        self.threshold = float(arrays["threshold"])
