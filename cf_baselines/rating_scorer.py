"""The rating model as a baseline: rank by the value a user is expected to give."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.base import Rows, Scorer
from slategym.cf_baselines.factorization import FoldedUsers, RatingModel, fit_rating_model
from slategym.cf_baselines.interactions import FloatArray, RowArray
from slategym.cf_baselines.settings import in_range
from slategym.errors import UsageError


@dataclass(frozen=True)
class RatingConfig:
    """Settings of `RatingScorer`.

    Attributes:
        factors: Dimensions of taste, at least 1.
        seed: For the start values.
    """

    factors: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        in_range("rating-model", self.factors >= 1, f"factors={self.factors}", "at least 1")


class RatingScorer(Scorer):
    """Scores by expected value, in the log's units (in [0, 1] for implicit logs)."""

    name = "rating-model"
    Config = RatingConfig
    config: RatingConfig
    _model: RatingModel | None = None

    @property
    def model(self) -> RatingModel:
        """The fitted model.

        Raises:
            UsageError: not fitted yet.
        """
        if self._model is None:
            raise UsageError("the rating-model scorer is not fitted; call fit first.")
        return self._model

    def _learn(self) -> None:
        config = self.config
        self._model = fit_rating_model(self.log, factors=config.factors, seed=config.seed)

    def _states(self, users: Rows) -> FoldedUsers:
        model, known = self.model, (users >= 0).astype(np.float32)
        return FoldedUsers(
            model.user_bias[users] * known,
            model.user_factors[users] * known[:, None],
            model.user_std[users],
        )

    def _fold(self, items: Rows, values: FloatArray, times: RowArray) -> FoldedUsers:  # noqa: ARG002
        return self.model.fold_in(items, values)

    def _score(self, state: FoldedUsers, items: Rows) -> FloatArray:
        return self.model.score_folded(state, items)

    def _score_everything(self, state: FoldedUsers) -> FloatArray:
        model = self.model
        offset = np.float32(model.mean) + state.bias[:, None] + model.item_bias
        return np.asarray(offset + state.factors @ model.item_factors.T, dtype=np.float32)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {
            each.name: np.asarray(getattr(self.model, each.name)) for each in fields(RatingModel)
        }

    def _restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        scalars = {name: array.item() for name, array in arrays.items() if array.ndim == 0}
        self._model = RatingModel(**{**arrays, **scalars})
