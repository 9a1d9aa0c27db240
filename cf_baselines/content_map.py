"""From what an item is to how it is liked: a linear map for items with few ratings or none.

In the basis of `RatingModel` user factors have mean 0 and unit variance, so the squared error of
an item's bias and factors, summed, is the mean squared error of its predicted values over users.
That is the error the map is chosen by.

Letters: I items, D content dimensions, F factors, G = F + 1.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.factorization import RatingModel
from slategym.cf_baselines.interactions import FloatArray
from slategym.errors import DataError, UsageError

Array = npt.NDArray[np.float64]

# Penalties tried, as shares of the mean eigenvalue of the content's weighted covariance.
STRENGTHS = tuple(float(s) for s in np.logspace(-2, 3, 16))
FOLDS = 5
# Ratings from which an item's factors count half as evidence for the map.
HALF_WEIGHT = 10.0


@dataclass(frozen=True)
class ContentMap:
    """A ridge map from item content to (bias, factors).

    Attributes:
        centre: (D,) subtracted from content.
        weights: (D, G) map of centred content; the bias comes first.
        offset: (G,) its value at the centre.
        half: (G,) ratings of an item at which its own estimate weighs as much as the map.
        strength: The chosen penalty, as a share of the content's mean variance.
        explained: Share of the items' weighted variance explained on items left out, <= 1.
    """

    centre: FloatArray
    weights: FloatArray
    offset: FloatArray
    half: FloatArray
    strength: float
    explained: float

    def predict(self, content: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return factors (I, F) and bias (I,) that content (I, D) suggests."""
        rows = np.asarray(content, dtype=np.float32)
        if rows.ndim != 2 or rows.shape[1] != len(self.centre):
            raise UsageError(
                f"content has shape {rows.shape}; this map was fitted on (I, {len(self.centre)})."
            )
        both: FloatArray = ((rows - self.centre) @ self.weights + self.offset).astype(np.float32)
        return both[:, 1:], both[:, 0]

    def blend(
        self,
        content: npt.ArrayLike,
        factors: npt.ArrayLike,
        bias: npt.ArrayLike,
        counts: npt.ArrayLike,
    ) -> tuple[FloatArray, FloatArray]:
        """Return factors (I, F) and bias (I,): the items' own where there is evidence.

        An item with n ratings keeps n / (n + half) of its own estimate in each dimension, the
        rest comes from the map: the weights of two independent Gaussian estimates.

        Args:
            content: (I, D).
            factors: (I, F) of the rating model.
            bias: (I,) of the rating model.
            counts: (I,) ratings of each item.
        """
        guess_factors, guess_bias = self.predict(content)
        n = np.asarray(counts, dtype=np.float32)[:, None]
        own = n / (n + self.half)
        mixed_factors = own[:, 1:] * np.asarray(factors) + (1 - own[:, 1:]) * guess_factors
        mixed_bias = own[:, 0] * np.asarray(bias) + (1 - own[:, 0]) * guess_bias
        return mixed_factors.astype(np.float32), mixed_bias.astype(np.float32)


def fit_content_map(model: RatingModel, content: npt.ArrayLike, *, seed: int = 0) -> ContentMap:
    """Return the map fitted on the items with ratings, weighted by how many they have.

    The penalty is chosen from `STRENGTHS` by cross-validation over items in five folds.

    Args:
        model: The rating model; its item counts say how much each item is worth.
        content: (I, D) content of the model's items, finite.
        seed: For the folds.

    Raises:
        DataError: content of another length or not finite, or fewer than 10 items with ratings.
    """
    x = np.asarray(content, dtype=np.float64)
    if x.ndim != 2 or len(x) != len(model.counts) or not np.isfinite(x).all():
        raise DataError(
            f"content must be finite with shape ({len(model.counts)}, D), not {x.shape}."
        )
    rated = np.flatnonzero(model.counts > 0)
    if len(rated) < 2 * FOLDS:
        raise DataError(
            f"only {len(rated)} items have ratings; a content map needs at least {2 * FOLDS}."
        )
    both = np.column_stack([model.item_bias, model.item_factors])
    x, y = x[rated], np.asarray(both[rated], dtype=np.float64)
    counts = model.counts[rated]
    weight = counts / (counts + HALF_WEIGHT)
    strength, errors = _choose_strength(x, y, weight, seed)
    centre, weights, offset = _solve(x, y, weight, (strength,))
    total = np.average((y - np.average(y, axis=0, weights=weight)) ** 2, axis=0, weights=weight)
    # A rating says noise**2 about a dimension of unit variance, the map errors**2.
    half = model.noise_std**2 / np.maximum(errors, 1e-9)
    return ContentMap(
        centre=centre.astype(np.float32),
        weights=weights[0].astype(np.float32),
        offset=offset.astype(np.float32),
        half=half.astype(np.float32),
        strength=strength,
        explained=1.0 - float(errors.sum() / total.sum()),
    )


def _choose_strength(x: Array, y: Array, weight: Array, seed: int) -> tuple[float, Array]:
    """Return the best penalty and its squared errors (G,) on items left out."""
    folds = np.array_split(np.random.default_rng(seed).permutation(len(x)), FOLDS)
    errors = np.zeros((len(STRENGTHS), y.shape[1]))
    for fold in folds:
        rest = np.setdiff1d(np.arange(len(x)), fold)
        centre, weights, offset = _solve(x[rest], y[rest], weight[rest], STRENGTHS)
        for row, each in enumerate(weights):
            gap = (x[fold] - centre) @ each + offset - y[fold]
            errors[row] += weight[fold] @ gap**2
    errors /= weight.sum()
    best = int(errors.sum(axis=1).argmin())
    return STRENGTHS[best], errors[best]


def _solve(
    x: Array, y: Array, weight: Array, strengths: tuple[float, ...]
) -> tuple[Array, list[Array], Array]:
    """Return centre (D,), ridge weights (D, G) for each strength, and offset (G,)."""
    centre = np.average(x, axis=0, weights=weight)
    offset = np.average(y, axis=0, weights=weight)
    scaled = (x - centre) * weight[:, None]
    values, vectors = np.linalg.eigh(scaled.T @ (x - centre))
    values = np.maximum(values, 0.0)
    right = vectors.T @ (scaled.T @ (y - offset))
    level = max(float(values.mean()), 1e-12)
    solved = [vectors @ (right / (values + s * level)[:, None]) for s in strengths]
    return centre, solved, offset
