"""The rating model as a baseline: rank by the value a user is expected to give."""

from typing import Self

import numpy.typing as npt

from slategym.cf_baselines.factorization import FoldedUsers, RatingModel, fit_rating_model
from slategym.cf_baselines.interactions import FloatArray, Interactions
from slategym.errors import UsageError


class RatingScorer:
    """Scores by expected value, in the log's units (in [0, 1] for implicit logs).

    Args:
        factors: Dimensions of taste.
        seed: For the start values.
    """

    name = "rating-model"

    def __init__(self, factors: int = 16, seed: int = 0) -> None:
        self.factors, self.seed = factors, seed
        self._model: RatingModel | None = None

    @property
    def model(self) -> RatingModel:
        """The fitted model.

        Raises:
            UsageError: not fitted yet.
        """
        if self._model is None:
            raise UsageError("the rating-model scorer is not fitted; call fit first.")
        return self._model

    def fit(self, interactions: Interactions, rows: npt.ArrayLike | None = None) -> Self:
        """Fit the rating model on these rows."""
        self._model = fit_rating_model(interactions, rows, factors=self.factors, seed=self.seed)
        return self

    def score(self, users: npt.ArrayLike, items: npt.ArrayLike) -> FloatArray:
        """Return expected values (B, K); a user of -1 is the average user."""
        return self.model.score(users, items)

    def fold_in(self, items: npt.ArrayLike, values: npt.ArrayLike) -> FoldedUsers:
        """Return the posterior of users with histories (B, H), -1 for no entry."""
        return self.model.fold_in(items, values)

    def score_folded(self, state: FoldedUsers, items: npt.ArrayLike) -> FloatArray:
        """Return expected values (B, K)."""
        return self.model.score_folded(state, items)
