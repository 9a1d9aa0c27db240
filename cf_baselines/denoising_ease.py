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

    content_prior: float = 0.25
    """What an item's nearest by content weigh together where nothing is known, >= 0."""
    neighbours: int = 50
    """Items nearest by content that get such a weight, at least 1."""

    def __post_init__(self) -> None:
        in_range(
            "denoising-ease",
            self.content_prior >= 0 and self.neighbours >= 1,
            f"content_prior={self.content_prior}, neighbours={self.neighbours}",
            "the prior must be at least 0, neighbours at least 1",
        )
        in_range(
            "denoising-ease",
            self.penalty > 0 and 0 <= self.dropout < 1 and 0 <= self.user_power <= 1,
            f"penalty={self.penalty}, dropout={self.dropout}, user_power={self.user_power}",
            "the penalty must be positive, the dropout in [0, 1), the power in [0, 1]",
        )


def content_weights(content: FloatArray, neighbours: int) -> FloatArray:
    """Return weights (I, I) of items by content; those that lead to one item add up to 1.

    An item's nearest weigh by the cube of the cosine, after columns are centred, others nothing.

    Args:
        content: (I, D) vectors; items whose vector is all zeros neither give nor get.
        neighbours: How many nearest, at least 1.
    """
    there = np.abs(content).sum(axis=1) > 0
    if not there.any():
        return np.zeros((len(content), len(content)), np.float32)
    centred = np.where(there[:, None], content - content[there].mean(axis=0), 0.0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    near = np.maximum(unit @ unit.T, 0.0).astype(np.float32)
    np.fill_diagonal(near, 0.0)
    if neighbours < len(near):
        least = -np.partition(-near, neighbours - 1, axis=0)[neighbours - 1]
        near[near < least] = 0.0
    near **= 3
    return np.asarray(near / np.maximum(near.sum(axis=0), 1e-9), dtype=np.float32)


class DenoisingEaseScorer(HistoryLinearScorer):
    """Scores a profile x as x B, B trained to restore profiles with a part hidden.

    The expected loss over random dropouts has a closed form (Steck 2020, equation 12), see
    `linear_weights`. The pair counts are weighted by user, n_u ** -user_power and 1 on average,
    so that people with very many likes do not decide alone which items go together. With content
    the penalty pulls not to 0 but to `content_weights`.
    """

    name: ClassVar[str] = "denoising-ease"
    uses_content: ClassVar[bool] = True
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
        prior, config = None, self.config
        if self.content is not None and config.content_prior:
            prior = content_weights(self.content, config.neighbours)
            prior *= np.float32(config.content_prior)
        self.weights = linear_weights(gram, config.penalty, config.dropout, prior)

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
