"""Intervals for off-policy estimates: delta method, user-cluster bootstrap, empirical Bernstein.

Letters: N units (rounds, slates or trajectories), U users, R resamples. Units of one user depend on
one another; all three methods treat users, not units, as what was drawn at random.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import scipy.special

from slategym.benchmarks.ope_estimate import Estimate, FloatArray, IntArray
from slategym.benchmarks.statistics import LEVEL, REPLICATES, Interval, percentile_interval
from slategym.errors import DataError, UsageError, unknown_name

Method = Literal["bootstrap-t", "bootstrap", "delta", "bernstein"]
# User ids (N,), clusters already made of them, or None: each unit is its own user.
Users: TypeAlias = "npt.ArrayLike | Clusters | None"
METHODS: tuple[Method, ...] = get_args(Method)
# What is taken if nothing is said: it holds up best where weights are skewed.
METHOD: Method = "bootstrap-t"

# Cells of resampling counts held at once; the result does not depend on it.
_CHUNK_CELLS = 4_000_000


@dataclass(frozen=True)
class Clusters:
    """Which user each unit of a log belongs to.

    Attributes:
        members: user of each unit (N,), in 0 .. U - 1.
        users: number of users U.
    """

    members: IntArray
    users: int

    @classmethod
    def of(cls, users: Users, units: int) -> "Clusters":
        """Return the clusters for user ids (N,), any integers; ``None``: each unit its own user.

        Clusters are returned as they are: making them sorts, so make them once for many calls.

        Raises:
            DataError: another number of users than units.
        """
        if users is None:
            return cls(np.arange(units), units)
        if isinstance(users, Clusters):
            return users
        given = np.asarray(users)
        if given.shape != (units,):
            raise DataError(f"users has shape {given.shape}; the log has {units} units.")
        distinct, members = np.unique(given, return_inverse=True)
        return cls(members, len(distinct))

    def counts(self, replicates: int, seed: int) -> Iterator[FloatArray]:
        """Yield how often each user is drawn in successive resamples (r, U), R in all.

        Users are drawn with replacement, as many as there are (cluster bootstrap; Davison and
        Hinkley 1997, section 3.8). Equal seeds give equal draws, so that estimates that share
        a log stay paired.
        """
        rng = np.random.default_rng(seed)
        step = max(1, _CHUNK_CELLS // self.users)
        for start in range(0, replicates, step):
            size = min(step, replicates - start)
            drawn = rng.integers(0, self.users, (size, self.users))
            drawn += np.arange(size)[:, None] * self.users
            flat = np.bincount(drawn.ravel(), minlength=size * self.users)
            yield flat.reshape(size, self.users).astype(np.float64)


def interval(
    estimate: Estimate,
    users: Users = None,
    *,
    method: str = METHOD,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Interval:
    """Return the confidence interval of an estimate by the method named.

    Args:
        estimate: of `ope_bandit`, `ope_slate`, `ope_sequence`, ...
        users: user of each unit (N,), any integers; ``None``: each unit its own user.
        method: one of `METHODS`.
        level: nominal coverage in (0, 1).
        replicates: resamples R of the bootstrap.
        seed: seed of the bootstrap.

    Raises:
        UsageError: an unknown method or a level outside (0, 1).
        DataError: another number of users than units.
    """
    if method not in METHODS:
        raise unknown_name("interval method", method, METHODS)
    if not 0.0 < level < 1.0:
        raise UsageError(f"level is {level}; it must lie between 0 and 1.")
    if method == "delta":
        return delta_interval(estimate, users, level=level)
    if method == "bernstein":
        return bernstein_interval(estimate, users, level=level)
    resampled = bootstrap_t_interval if method == "bootstrap-t" else bootstrap_interval
    return resampled(estimate, users, level=level, replicates=replicates, seed=seed)


def standard_error(estimate: Estimate, users: Users = None) -> float:
    """Return the cluster-robust standard error of an estimate; NaN for a single user.

    The root of ``U / (U - 1) sum_u (sum of the user's deviations)^2 / N^2`` on the linearised
    terms (Liang and Zeger 1986; with one unit a user this is ``sd / sqrt(N)``).
    """
    clusters = Clusters.of(users, len(estimate.base))
    if clusters.users < 2:
        return np.nan
    sums = np.bincount(clusters.members, weights=estimate.terms - estimate.value)
    scale = clusters.users / (clusters.users - 1.0)
    return float(np.sqrt(scale * np.square(sums).sum()) / len(estimate.base))


def spread_units(estimate: Estimate, users: Users = None) -> float:
    """Return how many users carry the variance of an estimate, in [1, U]; NaN without variance.

    ``(sum d^2)^2 / sum d^4`` of the users' summed deviations d: about U / 3 for a normal
    spread, a handful where a few large weights or rare rewards decide. Below some tens, no interval
    that leans on the central limit theorem can be trusted.
    """
    clusters = Clusters.of(users, len(estimate.base))
    squares = np.square(np.bincount(clusters.members, weights=estimate.terms - estimate.value))
    fourth = np.square(squares).sum()
    return float(squares.sum() ** 2 / fourth) if fourth > 0 else np.nan


def delta_interval(estimate: Estimate, users: Users = None, *, level: float = LEVEL) -> Interval:
    """Return the Student interval of the linearised terms: the delta method for ratios.

    Args:
        estimate: what is estimated.
        users: user of each unit (N,); ``None``: each unit its own user.
        level: nominal coverage in (0, 1).
    """
    clusters = Clusters.of(users, len(estimate.base))
    error = standard_error(estimate, users)
    width = error * scipy.special.stdtrit(max(clusters.users - 1, 1), (1.0 + level) / 2.0)
    return Interval(estimate.value, estimate.value - width, estimate.value + width)


def bootstrap_interval(
    estimate: Estimate,
    users: Users = None,
    *,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Interval:
    """Return the percentile interval over resampled users, the ratio computed anew in each.

    Args:
        estimate: what is estimated.
        users: user of each unit (N,); ``None``: each unit its own user.
        level: nominal coverage in (0, 1).
        replicates: number of resamples R.
        seed: seed of the resampling.
    """
    clusters = Clusters.of(users, len(estimate.base))

    def again(counts: FloatArray) -> FloatArray:
        return estimate.replicates(counts, clusters.members)

    return _resampled(estimate.value, again, clusters, level, replicates, seed)


def bootstrap_t_interval(
    estimate: Estimate,
    users: Users = None,
    *,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Interval:
    """Return the studentised interval over resampled users (Efron and Tibshirani 1993, ch. 12).

    Each resample's deviation is divided by its own standard error, so that the interval leans to
    where skewed weights have yet to be seen; it covers better than percentiles where few users
    carry the variance. Resamples without a spread are left out.

    Args:
        estimate: what is estimated.
        users: user of each unit (N,); ``None``: each unit its own user.
        level: nominal coverage in (0, 1).
        replicates: number of resamples R.
        seed: seed of the resampling.
    """
    clusters = Clusters.of(users, len(estimate.base))
    parts = [
        studentised_deviations(estimate, counts, clusters)
        for counts in clusters.counts(replicates, seed)
    ]
    return studentised_interval(estimate, np.concatenate(parts), clusters, level=level)


def studentised_deviations(
    estimate: Estimate, counts: FloatArray, clusters: Clusters
) -> FloatArray:
    """Return how many of its own errors each resample is above the estimate (R,), NaN if none."""
    values, errors = estimate.studentised(counts, clusters.members)
    out = np.full(values.shape, np.nan)
    return np.divide(values - estimate.value, errors, out=out, where=errors > 0)


def studentised_interval(
    estimate: Estimate, deviations: FloatArray, clusters: Clusters, *, level: float = LEVEL
) -> Interval:
    """Return the interval of `bootstrap_t_interval` from its deviations (R,)."""
    error = standard_error(estimate, clusters)
    if not error > 0.0:
        return Interval(estimate.value, estimate.value - error, estimate.value + error)
    ends = percentile_interval(0.0, deviations, level)
    return Interval(
        estimate.value, estimate.value - ends.high * error, estimate.value - ends.low * error
    )


def refitted_interval(
    value: float,
    again: Callable[[FloatArray], FloatArray],
    users: npt.ArrayLike,
    *,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Interval:
    """Return the percentile interval of anything that can be computed anew on a resample.

    For estimates that are no mean of terms: FQE fitted again (`ope_tabular.fqe_replicates`),
    quantiles of the return (`ope_cumulative.quantile_replicates`).

    Args:
        value: the estimate on the log as it is.
        again: from how often each unit is drawn (R, N) to estimates (R,).
        users: user of each unit (N,).
        level: nominal coverage in (0, 1).
        replicates: number of resamples R.
        seed: seed of the resampling.
    """
    clusters = Clusters.of(users, len(np.asarray(users)))

    def by_unit(counts: FloatArray) -> FloatArray:
        return again(counts[:, clusters.members])

    return _resampled(value, by_unit, clusters, level, replicates, seed)


def bernstein_interval(
    estimate: Estimate,
    users: Users = None,
    *,
    level: float = LEVEL,
    span: float | None = None,
) -> Interval:
    """Return the empirical Bernstein interval (Maurer and Pontil 2009, theorem 4), both sides.

    ``sqrt(2 V log(4 / d) / U) + 7 R log(4 / d) / (3 (U - 1))`` on the users' contributions, V
    their variance, R their range, d = 1 - level. It holds at any sample size, which makes it wide.
    For a ratio it bounds the linearised terms only.

    Args:
        estimate: what is estimated.
        users: user of each unit (N,); ``None``: each unit its own user.
        level: nominal coverage in (0, 1).
        span: R, what a user's contribution can range over; ``None`` takes the range seen, which
            is at most that.
    """
    clusters = Clusters.of(users, len(estimate.base))
    count = clusters.users
    if count < 2:
        return Interval(estimate.value, np.nan, np.nan)
    sums = np.bincount(clusters.members, weights=estimate.terms) * count / len(estimate.base)
    nats = np.log(4.0 / (1.0 - level))
    wide = float(np.ptp(sums)) if span is None else span
    width = np.sqrt(2.0 * sums.var(ddof=1) * nats / count) + 7.0 * wide * nats / (3 * (count - 1))
    return Interval(estimate.value, estimate.value - width, estimate.value + width)


def _resampled(
    value: float,
    again: Callable[[FloatArray], FloatArray],
    clusters: Clusters,
    level: float,
    replicates: int,
    seed: int,
) -> Interval:
    """Return the percentile interval; NaN ends for a single user."""
    if clusters.users < 2:
        return Interval(value, np.nan, np.nan)
    parts = [again(counts) for counts in clusters.counts(replicates, seed)]
    return percentile_interval(value, np.concatenate(parts), level)
