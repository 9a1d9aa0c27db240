"""The public collaborative model, and how it takes in a user it sees for the first time."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from slategym.envs.world import World

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class PublicModel:
    """The rating model anyone may use: fitted on the public part of the log only.

    A user is ``x = [bias, factors]`` with prior ``N(prior_mean, prior_precision^-1)``, the
    population of the training users. An item is ``[1, q_i]``. A rating is
    ``mean + b_i + [1, q_i] . x + noise``.
    """

    mean: float
    item_bias: FloatArray  # (I + 1,), the last row is padding
    item_rows: FloatArray  # (I + 1, 1 + F): [1, q_i], padding is zero
    prior_mean: FloatArray  # (1 + F,)
    prior_precision: FloatArray  # (1 + F, 1 + F)
    noise_std: float  # rating points
    low: float  # rating of value 0
    high: float  # rating of value 1

    @classmethod
    def from_world(cls, world: World, noise_std: float | None = None) -> Self:
        """Return the public model of a world.

        Args:
            world: only its public tables are read.
            noise_std: standard deviation of a rating around the model, in rating points; by
                default measured on the recorded histories of the training users.
        """
        factors = np.asarray(world.public_item_factors, np.float64)
        bias = np.asarray(world.public_item_bias, np.float64)
        train = np.flatnonzero(world.users["split"].to_numpy() == "train")
        population = np.concatenate(
            [world.public_user_bias[train, None], world.public_user_factors[train]], axis=1
        ).astype(np.float64)
        rows = np.concatenate([np.ones((len(factors), 1)), factors], axis=1)
        model = cls(
            mean=float(world.info.public_mean),
            item_bias=np.append(bias, 0.0),
            item_rows=np.concatenate([rows, np.zeros((1, rows.shape[1]))]),
            prior_mean=population.mean(0),
            prior_precision=_precision(population),
            noise_std=1.0,
            low=float(world.info.value_low),
            high=float(world.info.value_high),
        )
        noise = model.measure_noise(world, train, population) if noise_std is None else noise_std
        return cls(**(vars(model) | {"noise_std": float(noise)}))

    def measure_noise(self, world: World, users: NDArray[np.intp], population: FloatArray) -> float:
        """Return the standard deviation of recorded values around the model, rating points."""
        history = np.asarray(world.user_history)[users]  # (B, H)
        present = history >= 0
        rows = np.where(present, history, len(self.item_bias) - 1)
        predicted = self.mean + self.item_bias[rows]
        predicted += np.einsum("bhf,bf->bh", self.item_rows[rows], population)
        error = (self.rating(np.asarray(world.user_history_value)[users]) - predicted)[present]
        spread = float(np.sqrt(np.mean(error**2))) if error.size else 1.0
        # A model that fits its own log without error would let one rating overrule the prior.
        return max(spread, 0.1 * (self.high - self.low))

    def rating(self, value: NDArray[Any]) -> FloatArray:
        """Return ratings for values in [0, 1]."""
        return self.low + (self.high - self.low) * np.asarray(value, np.float64)

    def fold_in(
        self, history: NDArray[Any], value: NDArray[Any], weight: NDArray[Any]
    ) -> FloatArray:
        """Return the posterior mean ``(B, 1 + F)`` of users known by their history alone.

        The posterior of a Gaussian linear model (Bishop 2006, eq. 3.50 to 3.51), all rows in
        one solve.

        Args:
            history: item rows ``(B, H)``; ``I`` is padding.
            value: observed values ``(B, H)`` in [0, 1].
            weight: how much each observation counts ``(B, H)``, 0 = not at all.
        """
        rows = self.item_rows[history]  # (B, H, 1 + F)
        residual = self.rating(value) - self.mean - self.item_bias[history]  # (B, H)
        trust = np.asarray(weight, np.float64) / self.noise_std**2
        weighted = rows * trust[..., None]
        precision = self.prior_precision + np.swapaxes(weighted, 1, 2) @ rows
        target = self.prior_precision @ self.prior_mean
        target = target + np.einsum("bhf,bh->bf", weighted, residual)
        return np.linalg.solve(precision, target[..., None])[..., 0]

    def score(self, user: FloatArray, candidates: NDArray[Any]) -> FloatArray:
        """Return predicted ratings ``(B, C)`` of candidates for folded-in users."""
        affinity = np.einsum("bcf,bf->bc", self.item_rows[candidates], user)
        return self.mean + self.item_bias[candidates] + affinity


def _precision(population: FloatArray) -> FloatArray:
    """Return the inverse covariance of the population, kept invertible."""
    covariance = np.atleast_2d(np.cov(population, rowvar=False))
    floor = 1e-3 * np.trace(covariance) / len(covariance) + 1e-9
    return np.linalg.inv(covariance + floor * np.eye(len(covariance)))
