"""How heavy the tail of importance weights is: whether a larger log would show larger weights.

Letters: N units, W weights of a unit, M largest weights, B candidates.
"""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# Fewer largest weights than this say nothing about a tail.
FEWEST = 10
# Nor do they if fewer than this share of them are different numbers.
DISTINCT = 0.5


def tail_index(weights: npt.ArrayLike) -> float:
    """Return the Pareto index k of the largest weights; NaN where they say nothing about a tail.

    Above 0.5 the variance of the weights is not finite, above 1 not even their mean: what was
    drawn so far does not show how large weights can be, and intervals are too short however
    large the effective sample looks (Vehtari, Simpson, Gelman, Yao and Gabry 2024, "Pareto
    smoothed importance sampling"). The M = min(N / 5, 3 sqrt(N)) largest are
    fitted, less the next largest; there must be ten, and not the same few numbers again and
    again. Of several weights of a unit (N, W), those with the smallest effective sample count.
    """
    columns = np.asarray(weights, np.float64)
    columns = columns[:, None] if columns.ndim == 1 else columns
    if columns.shape[1] == 0:
        return np.nan
    shares = np.square(columns).sum(axis=0) / np.maximum(columns.sum(axis=0) ** 2, 1e-300)
    return _index(columns[:, int(shares.argmax())])


def _index(weights: FloatArray) -> float:
    """Return the index of one column, -inf where the largest weights are all alike."""
    count = int(min(len(weights) / 5, 3.0 * np.sqrt(len(weights))))
    if count < FEWEST:
        return np.nan
    ordered = np.sort(weights)
    excess = ordered[-count:] - ordered[-count - 1]
    if excess[-1] <= 1e-9 * max(float(ordered[-1]), 1e-300):
        return -np.inf
    if len(np.unique(excess)) < DISTINCT * count:
        return np.nan
    return _pareto_shape(np.maximum(excess, 1e-9 * excess[-1]))


def _pareto_shape(excess: FloatArray) -> float:
    """Return the shape of a generalised Pareto distribution fitted to ascending excesses (M,).

    The quasi-Bayesian fit of Zhang and Stephens 2009 with the weak prior of Vehtari et
    al. 2024 (ten made-up points at 0.5).
    """
    size = len(excess)
    count = 30 + int(np.sqrt(size))
    spread = 1.0 - np.sqrt(count / (np.arange(1, count + 1) - 0.5))
    scales = 1.0 / excess[-1] + spread / (3.0 * excess[int(size / 4 + 0.5) - 1])  # (B,)
    shapes = np.log1p(-scales[:, None] * excess).mean(axis=1)
    fit = size * (np.log(-scales / shapes) - shapes - 1.0)
    mass = np.exp(fit - fit.max())
    scale = float((scales * mass).sum() / mass.sum())
    shape = float(np.log1p(-scale * excess).mean())
    return (shape * size + 5.0) / (size + 10.0)
