"""Values in ordered levels as a hidden normal cut into pieces: the ordered probit likelihood.

A rating of level l was given because  cut_l < f + noise < cut_(l+1),  noise ~ N(0, 1), with f the
model's linear predictor (Albert and Chib 1993, section 4). Stars are seldom evenly spaced, and
the cuts say how they are.

Letters: N ratings, L levels, T points of a table.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

Array = npt.NDArray[np.float64]
TABLE_LOW, TABLE_STEP, TABLE_POINTS = -8.0, 1 / 64, 1025
SMALLEST = 1e-300
# Share of a scoring step that cuts move in a sweep; of 0.02, 0.05 and 1 the best by validation.
PACE = 0.02


class OrderedLevels:
    """The cuts between levels, which follow the model.

    Attributes:
        values: (L,) the value of each level, ascending.
        level: (N,) level of each rating.
        cuts: (L - 1,) ascending.
    """

    def __init__(self, values: npt.ArrayLike) -> None:
        self.values, self.level = np.unique(np.asarray(values, np.float64), return_inverse=True)
        counts = np.bincount(self.level, minlength=len(self.values))
        self.cuts: Array = ndtri(np.cumsum(counts)[:-1] / max(1, len(self.level)))

    @property
    def bounds(self) -> Array:
        """(L + 1,) from -inf to inf."""
        return np.concatenate([[-np.inf], self.cuts, [np.inf]])

    def draw_hidden(self, predictor: Array, uniform: Array) -> Array:
        """Return z (N,), drawn from N(predictor, 1) between the bounds of each rating's level.

        Args:
            predictor: (N,).
            uniform: (N,) uniform draws in [0, 1).
        """
        bounds = self.bounds
        low = ndtr(bounds[self.level] - predictor)
        high = ndtr(bounds[self.level + 1] - predictor)
        share = np.clip(low + (high - low) * uniform, 1e-12, 1 - 1e-12)
        return np.asarray(predictor + ndtri(share))

    def move_cuts(self, predictor: Array) -> None:
        """Move the cuts a `PACE` of a scoring step towards their likeliest place.

        Cuts further apart stand for less noise. Where they follow at once, or are drawn
        (Cowles 1996), noise shrinks before tastes have settled, and tastes settle in a worse
        place; so this works like a slow cooling.
        """
        if not len(self.cuts):
            return
        slope, information = self._derivatives(predictor)
        moved = self.cuts + PACE * np.linalg.solve(information, slope)
        if (np.diff(moved) > 0).all():
            self.cuts = moved

    def table(self) -> npt.NDArray[np.float32]:
        """Return E[value] at T predictors from ``TABLE_LOW`` on, ``TABLE_STEP`` apart."""
        points = TABLE_LOW + TABLE_STEP * np.arange(TABLE_POINTS)
        above = ndtr(points[:, None] - self.cuts)
        return np.asarray(self.values[0] + above @ np.diff(self.values), dtype=np.float32)

    def _shares(self, cuts: Array, predictor: Array) -> Array:
        bounds = np.concatenate([[-np.inf], cuts, [np.inf]])
        high = ndtr(bounds[self.level + 1] - predictor)
        return np.maximum(high - ndtr(bounds[self.level] - predictor), SMALLEST)

    def _derivatives(self, predictor: Array) -> tuple[Array, Array]:
        """Return the slope (L - 1,) of the log likelihood and its outer-product information."""
        share, size = self._shares(self.cuts, predictor), len(self.cuts)
        bounds = self.bounds

        def density(at: Array) -> Array:
            return np.asarray(np.exp(-0.5 * np.minimum(at * at, 700.0)) / np.sqrt(2 * np.pi))

        upper = density(bounds[self.level + 1] - predictor) / share
        lower = density(bounds[self.level] - predictor) / share
        count = len(self.values)
        slope = (
            np.bincount(self.level, upper, count)[:-1] - np.bincount(self.level, lower, count)[1:]
        )
        information = np.diag(
            np.bincount(self.level, upper**2, count)[:-1]
            + np.bincount(self.level, lower**2, count)[1:]
        )
        both = np.bincount(self.level, upper * lower, count)[1:-1]
        at = np.arange(size - 1)
        information[at, at + 1] = information[at + 1, at] = -both
        return np.asarray(slope, np.float64), information + 1e-6 * np.eye(size)
