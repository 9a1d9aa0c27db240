"""Mean-field variational Bayes for matrix factorisation with biases: the updates only.

The model, for a value r of user u and item i, centred and scaled beforehand:

    r_ui ~ N(b_u + c_i + p_u . q_i, 1/tau)
    x_u = (b_u, p_u) ~ N(m_x, inv(P_x)),   y_i = (c_i, q_i) ~ N(W^T f_i, inv(P_y))

The posterior is taken as a product of one Gaussian with full covariance for each user and each
item (Lim and Teh 2007, "Variational Bayesian approach to movie rating prediction", equations 9
to 13; Raiko, Ilin and Karhunen 2007). The bias rides in the same Gaussian as the factors, so
that their covariance counts. m_x, P_x, W, P_y and tau are set by empirical Bayes: each maximises
the variational bound given the rest. f_i are optional features of the item, so that an item with
few ratings starts where items like it are (Simm et al. 2017, "Macau", equation 4).

Letters: E entities of one side, O of the other, F factors, G = F + 1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse
import scipy.sparse.linalg

Array = npt.NDArray[np.float64]

# Rows handled at once, so that memory for second moments stays bounded for large sides.
CHUNK = 16384
# Entities for each audience feature: more features than this would fit their noise, and the last
# singular vectors of a small table are not well defined.
ENTITIES_EACH = 20


@dataclass(frozen=True)
class Side:
    """One side's ratings as sparse rows, (E, O): how many per pair, and the sum of their values.

    ``count`` is the number of ratings and ``squares`` the sum of their squared values.
    """

    pattern: Any
    values: Any
    count: int
    squares: float

    def transpose(self) -> "Side":
        """Return the same ratings seen from the other side."""
        return Side(self.pattern.T.tocsr(), self.values.T.tocsr(), self.count, self.squares)


@dataclass(frozen=True)
class Posterior:
    """Gaussians of one side: means (E, G), covariances (E, G, G); the bias comes first."""

    mean: Array
    covariance: Array


@dataclass(frozen=True)
class Prior:
    """Prior means of each entity, (E, G), the precision they share, (G, G), and the map's ridge."""

    mean: Array
    precision: Array
    ridge: float = 1.0


def make_side(rows: npt.ArrayLike, columns: npt.ArrayLike, values: Array, shape: Any) -> Side:  # noqa: ANN401
    """Return the sparse rows of a log."""
    ones = np.ones(len(values))
    return Side(
        sparse.csr_matrix((ones, (rows, columns)), shape),
        sparse.csr_matrix((values, (rows, columns)), shape),
        len(values),
        float(values @ values),
    )


def design(other: Posterior) -> tuple[Array, Array, Array]:
    """Return what one rating adds to the evidence on the side that looks at ``other``.

    With z = (1, q): E[z z^T] flattened (O, G*G), E[c z] (O, G) and E[z] (O, G).
    """
    z = other.mean.copy()
    z[:, 0] = 1.0
    second = z[:, :, None] * z[:, None, :]
    second[:, 1:, 1:] += other.covariance[:, 1:, 1:]
    offset = other.mean[:, :1] * z
    offset[:, 1:] += other.covariance[:, 0, 1:]
    return second.reshape(len(z), -1), offset, z


def update(side: Side, other: Posterior, prior: Prior, tau: float) -> tuple[Posterior, float]:
    """Return the side's optimal Gaussians and the expected sum of squared errors under them."""
    size = prior.mean.shape[1]
    second, offset, z = design(other)
    means, covariances = [], []
    values = side.values
    error = side.squares - 2 * float((values @ other.mean[:, 0]).sum())
    bias_moment = other.mean[:, 0] ** 2 + other.covariance[:, 0, 0]
    error += float((side.pattern @ bias_moment).sum())
    for start in range(0, len(prior.mean), CHUNK):
        rows = slice(start, start + CHUNK)
        pattern = side.pattern[rows]
        gram = np.asarray(pattern @ second).reshape(-1, size, size)
        target = np.asarray(values[rows] @ z - pattern @ offset)
        covariance = np.linalg.inv(prior.precision + tau * gram)
        right = tau * target + prior.mean[rows] @ prior.precision
        mean = np.matmul(covariance, right[:, :, None])[:, :, 0]
        moment = mean[:, :, None] * mean[:, None, :] + covariance
        error += float((gram * moment).sum() - 2 * (mean * target).sum())
        means.append(mean)
        covariances.append(covariance)
    return Posterior(np.concatenate(means), np.concatenate(covariances)), error


def refit_prior(posterior: Posterior, features: Array, before: Prior) -> Prior:
    """Return the prior that fits the posterior best: a linear map of features, one covariance.

    The map has a Gaussian prior itself, with the entities' covariance and one precision, the
    ridge (Simm et al. 2017, equation 6). The ridge is set by empirical Bayes, so that features
    that say nothing are not listened to.

    Args:
        posterior: Gaussians of the side, E entities.
        features: (E, 1 + D), the first column all ones; standardised otherwise.
        before: The prior of the last round; its ridge is where this one starts.
    """
    count, size = features.shape[1], posterior.mean.shape[1]
    penalty = np.diag([0.0] + [before.ridge] * (count - 1))
    inverse = np.linalg.inv(features.T @ features + penalty)
    weights = inverse @ (features.T @ posterior.mean)
    mean = features @ weights
    gap = posterior.mean - mean
    # The map's rows share the covariance, so they count as evidence on it; their number cancels
    # against what the uncertainty of the map adds.
    spread = gap.T @ gap + posterior.covariance.sum(axis=0)
    spread += before.ridge * weights[1:].T @ weights[1:]
    precision = np.linalg.inv(spread / len(gap))
    moment = float(((weights[1:] @ precision) * weights[1:]).sum())
    moment += size * float(np.trace(inverse[1:, 1:]))
    ridge = size * (count - 1) / moment if count > 1 else before.ridge
    return Prior(mean, precision, float(np.clip(ridge, 1e-3, 1e9)))


def audience_features(side: Side, count: int) -> Array:
    """Return (E, 1 + at most count) features of who rated what, whatever the value they gave.

    The leading singular vectors of the pattern, both sides scaled by one over the root of their
    counts, plus the log of the count. That who rates an item says much about how it is liked is
    the finding behind SVD++ (Koren 2008, equation 15); this is the linear form of it.
    """
    counts = np.asarray(side.pattern.sum(axis=1)).ravel()
    others = np.asarray(side.pattern.sum(axis=0)).ravel()
    scaled = (
        sparse.diags_array(np.maximum(counts, 1) ** -0.5)
        @ side.pattern
        @ sparse.diags_array(np.maximum(others, 1) ** -0.5)
    )
    rank = min(count, max(scaled.shape[0] // ENTITIES_EACH, 1), min(scaled.shape) - 1)
    log_count = np.log1p(counts)[:, None]
    if rank < 1:
        return standardise(log_count)
    start = np.ones(min(scaled.shape))  # fixed start: the same vectors every time
    left, strength, _ = scipy.sparse.linalg.svds(scaled.astype(np.float64), k=rank, v0=start)
    order = np.argsort(-strength)
    vectors = left[:, order] / np.sqrt(np.maximum(counts, 1))[:, None]
    return standardise(np.hstack([log_count, vectors]))


def standardise(columns: Array) -> Array:
    """Return the columns with mean 0 and deviation 1; constant columns become 0."""
    centred = columns - columns.mean(axis=0)
    spread = centred.std(axis=0)
    return np.asarray(centred / np.where(spread > 1e-9, spread, 1.0))
