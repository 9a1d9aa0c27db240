"""The whole distribution of returns of a policy from a log: CDF, quantiles, CVaR.

Letters: N trajectories, R resamples.
"""

import numpy as np
import numpy.typing as npt

from slategym.benchmarks.ope_estimate import Estimate, ratio_estimate
from slategym.benchmarks.ope_sequence import SequenceLog
from slategym.errors import UsageError

FloatArray = npt.NDArray[np.float64]


def cdf(log: SequenceLog) -> tuple[FloatArray, FloatArray]:
    """Return the self-normalised CDF of returns: ascending returns (N,), probabilities (N,).

    ``F(x) = sum(w_T 1[return <= x]) / sum(w_T)`` (Huang, Leqi, Lipton and Azizzadenesheli 2021,
    "Off-policy risk assessment in contextual bandits", normalised). Probabilities
    are NaN where every weight is 0.
    """
    returns = log.returns
    order = np.argsort(returns, kind="stable")
    mass = np.cumsum(log.weights[order, -1])
    return returns[order], mass / mass[-1] if mass[-1] > 0 else np.full(mass.shape, np.nan)


def cdf_mean(log: SequenceLog) -> float:
    """Return the mean of the self-normalised CDF; it equals self-normalised TIS."""
    returns, shares = cdf(log)
    return float(returns @ np.diff(shares, prepend=0.0))


def quantile(log: SequenceLog, share: float) -> float:
    """Return the smallest return whose probability of being reached or undercut is ``share``.

    Args:
        log: the trajectories.
        share: in (0, 1].

    Raises:
        UsageError: a share outside (0, 1].
    """
    returns, shares = cdf(log)
    if np.isnan(shares).any():
        return np.nan
    place = int(np.searchsorted(shares, _checked(share) - 1e-12))
    return float(returns[min(place, len(returns) - 1)])


def quantile_replicates(log: SequenceLog, share: float, counts: npt.ArrayLike) -> FloatArray:
    """Return the quantile on resamples (R,), each trajectory drawn ``counts`` (R, N) times."""
    order = np.argsort(log.returns, kind="stable")
    drawn = np.asarray(counts, np.float64)[:, order] * log.weights[order, -1]
    mass = np.cumsum(drawn, axis=1)
    reached = mass >= (_checked(share) - 1e-12) * mass[:, -1:]
    return np.where(mass[:, -1] > 0, log.returns[order][reached.argmax(axis=1)], np.nan)


def cvar(log: SequenceLog, share: float) -> Estimate:
    """Return the mean of the worst ``share`` of returns (conditional value at risk).

    ``q - sum(w max(q - return, 0)) / (share sum(w))`` with q the quantile (Rockafellar and
    Uryasev 2000). At its maximiser q does not move the value to first order, so
    holding it leaves the interval right.

    Args:
        log: the trajectories.
        share: in (0, 1]; 1 is the mean.

    Raises:
        UsageError: a share outside (0, 1].
    """
    level = quantile(log, share)
    weights = log.weights[:, -1]
    missing = level - np.maximum(level - log.returns, 0.0) / _checked(share)
    return ratio_estimate(
        f"cvar{round(100 * share)}", weights * np.nan_to_num(missing), weights, weights
    )


def _checked(share: float) -> float:
    """Refuse a share outside (0, 1]."""
    if not 0.0 < share <= 1.0:
        raise UsageError(f"share is {share}; it must be above 0 and at most 1.")
    return share
