"""Means, interquartile means and the intervals around them, by seeded bootstrap."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]
Statistic = Callable[[FloatArray], FloatArray]

REPLICATES = 2_000
LEVEL = 0.95
# Rows of resampled numbers held at once; the result does not depend on it.
_CHUNK_CELLS = 4_000_000


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its confidence interval, in the estimate's unit.

    Attributes:
        estimate: the statistic on the data as they are.
        low: lower end; NaN where there is nothing to resample.
        high: upper end.
    """

    estimate: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether both ends lie strictly on the same side of 0."""
        return self.low > 0.0 or self.high < 0.0

    def to_json(self) -> dict[str, float | None]:
        """Return the three numbers, with ``None`` for NaN (JSON has no NaN)."""
        pairs = {"estimate": self.estimate, "low": self.low, "high": self.high}
        return {key: None if np.isnan(value) else value for key, value in pairs.items()}

    @classmethod
    def from_json(cls, value: dict[str, float | None]) -> "Interval":
        """Return the interval that `to_json` wrote."""
        numbers = {key: np.nan if entry is None else entry for key, entry in value.items()}
        return cls(**numbers)


def iqm(values: npt.ArrayLike, axis: int = -1) -> FloatArray:
    """Return the interquartile mean: the mean of what is left without both outer quarters.

    ``floor(n / 4)`` values are cut at each end, as in `scipy.stats.trim_mean`
    (Agarwal et al. 2021, "Deep RL at the edge of the statistical precipice", section 4.3).

    Args:
        values: runs along ``axis``.
        axis: the axis that is averaged away.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=axis)
    ordered = np.moveaxis(ordered, axis, -1)
    size = ordered.shape[-1]
    cut = size // 4
    return np.asarray(ordered[..., cut : size - cut].mean(axis=-1))


def mean(values: FloatArray) -> FloatArray:
    """Return the mean over the last axis, as a `Statistic`."""
    return np.asarray(values.mean(axis=-1))


def percentile_interval(estimate: float, replicates: FloatArray, level: float = LEVEL) -> Interval:
    """Return the percentile interval (Efron 1979) of bootstrap replicates.

    Args:
        estimate: the statistic on the data.
        replicates: the statistic on each resample (R,); NaN replicates are left out.
        level: nominal coverage in (0, 1).
    """
    kept = replicates[np.isfinite(replicates)]
    if kept.size == 0:
        return Interval(float(estimate), np.nan, np.nan)
    tail = 100.0 * (1.0 - level) / 2.0
    low, high = np.percentile(kept, [tail, 100.0 - tail])
    return Interval(float(estimate), float(low), float(high))


def stratified_interval(
    scores: Sequence[npt.ArrayLike],
    statistic: Statistic = iqm,
    *,
    replicates: int = REPLICATES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Return a statistic over runs with its percentile stratified bootstrap interval.

    Runs are resampled with replacement inside each stratum and never across strata, then
    pooled (Agarwal et al. 2021, section 4.1, where a stratum is a task and a run is a
    training seed). A stratum with one run cannot vary: the interval is then too narrow.

    Args:
        scores: one array of runs for each stratum.
        statistic: reduces the last axis.
        replicates: number of resamples.
        level: nominal coverage in (0, 1).
        seed: seed of the resampling.
    """
    strata = [np.asarray(part, dtype=np.float64).ravel() for part in scores]
    rng = np.random.default_rng(seed)
    resampled = [part[rng.integers(0, part.size, (replicates, part.size))] for part in strata]
    estimate = statistic(np.concatenate(strata))
    return percentile_interval(float(estimate), statistic(np.concatenate(resampled, axis=1)), level)


def paired_interval(
    treatment: npt.ArrayLike,
    control: npt.ArrayLike,
    statistic: Statistic = iqm,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Interval:
    """Return a statistic of the differences of paired runs, resampling pairs.

    Args:
        treatment: one score for each pair (N,).
        control: the score of the same pair (N,), e.g. of the same training seed.
        statistic: reduces the last axis.
        replicates: number of resamples.
        seed: seed of the resampling.
    """
    first, second = np.asarray(treatment, np.float64), np.asarray(control, np.float64)
    if first.shape != second.shape:
        raise ValueError(f"pairs need equal shapes, got {first.shape} and {second.shape}")
    return stratified_interval([first - second], statistic, replicates=replicates, seed=seed)


def probability_of_improvement(treatment: npt.ArrayLike, control: npt.ArrayLike) -> float:
    """Return P(a run of ``treatment`` beats a run of ``control``), ties counting one half.

    All pairs are compared (Mann and Whitney 1947; Agarwal et al. 2021, section 4.3).
    """
    first = np.asarray(treatment, np.float64)[:, None]
    second = np.asarray(control, np.float64)[None, :]
    return float(np.mean((first > second) + 0.5 * (first == second)))


def paired_superiority(treatment: npt.ArrayLike, control: npt.ArrayLike) -> float:
    """Return the share of pairs in which ``treatment`` is higher, ties counting one half."""
    first, second = np.asarray(treatment, np.float64), np.asarray(control, np.float64)
    return float(np.mean((first > second) + 0.5 * (first == second)))


class UserBootstrap:
    """Resamples users, and with each user all of its sessions.

    Sessions of one user share that user's taste, so they are not independent: a resample
    draws users with replacement (cluster bootstrap; Davison and Hinkley 1997, section 3.8).
    One object holds one set of resamples, so that every policy and every metric is
    measured on the same ones and differences stay paired.

    Attributes:
        weights: how often each user is drawn in each resample (R, G), G distinct users.
    """

    def __init__(self, users: IntArray, *, replicates: int = REPLICATES, seed: int = 0) -> None:
        """Draw the resamples.

        Args:
            users: the user of each session (N,); any integers.
            replicates: number of resamples R.
            seed: seed of the resampling.
        """
        distinct, member = np.unique(np.asarray(users), return_inverse=True)
        groups = distinct.size
        rng = np.random.default_rng(seed)
        self.weights: IntArray = rng.multinomial(
            groups, np.full(groups, 1.0 / groups), size=replicates
        ).astype(np.uint16)
        rows = np.arange(member.size)
        ones = np.ones(member.size)
        self._sum_by_user = sp.csr_array((ones, (member, rows)), shape=(groups, member.size))

    @property
    def groups(self) -> int:
        """Number of distinct users."""
        return int(self.weights.shape[1])

    def mean_replicates(self, values: npt.ArrayLike) -> FloatArray:
        """Return the mean over sessions (N,) in each resample (R,), NaN sessions left out."""
        numbers = np.asarray(values, np.float64)
        known = np.isfinite(numbers)
        sums = self._sum_by_user @ np.where(known, numbers, 0.0)
        counts = self._sum_by_user @ known.astype(np.float64)
        weights = self.weights.astype(np.float64)
        total, size = weights @ sums, weights @ counts
        return np.divide(total, size, out=np.full(total.shape, np.nan), where=size > 0)

    def mean(self, values: npt.ArrayLike) -> Interval:
        """Return the mean over sessions (N,) with its percentile interval; NaN left out."""
        numbers = np.asarray(values, np.float64)
        known = numbers[np.isfinite(numbers)]
        estimate = float(known.mean()) if known.size else np.nan
        return percentile_interval(estimate, self._varying(self.mean_replicates(numbers)))

    def difference(self, treatment: npt.ArrayLike, control: npt.ArrayLike) -> Interval:
        """Return the mean paired difference over sessions (N,) with its percentile interval.

        Only sessions known under both policies count.
        """
        return self.mean(np.asarray(treatment, np.float64) - np.asarray(control, np.float64))

    def set_statistic(
        self, exposure: sp.csr_array, statistic: Statistic, bounds: tuple[float, float]
    ) -> Interval:
        """Return a statistic of summed exposure, with a bias-corrected percentile interval.

        See `set_replicates` for the arguments and the correction.
        """
        drawn = self.set_replicates(exposure, statistic, bounds)
        return percentile_interval(float(drawn[0]), drawn[1:])

    def set_replicates(
        self, exposure: sp.csr_array, statistic: Statistic, bounds: tuple[float, float]
    ) -> FloatArray:
        """Return a statistic of summed exposure as it is, then on each resample (1 + R,).

        Set-level numbers such as coverage are not means: a resample holds fewer distinct
        users, so its coverage is lower than that of the data. The replicates are therefore
        shifted to have the estimate as their mean, then cut to ``bounds``.

        Args:
            exposure: how often each item was shown in each session (N, I).
            statistic: maps counts (R, I) to numbers (R,).
            bounds: range of the statistic.
        """
        by_user = sp.csr_array(self._sum_by_user @ exposure)
        estimate = float(statistic(np.asarray(by_user.sum(axis=0))[None, :])[0])
        parts = [statistic(counts) for counts in self._resampled_counts(by_user)]
        replicates = self._varying(np.concatenate(parts))
        shifted = np.clip(replicates + estimate - replicates.mean(), *bounds)
        return np.concatenate([[estimate], shifted])

    def _resampled_counts(self, by_user: sp.csr_array) -> Iterator[FloatArray]:
        """Yield the summed counts of successive resamples (r, I), a bounded number at once."""
        step = max(1, _CHUNK_CELLS // max(1, by_user.shape[1]))
        for start in range(0, len(self.weights), step):
            yield np.asarray(self.weights[start : start + step].astype(np.float64) @ by_user)

    def _varying(self, replicates: FloatArray) -> FloatArray:
        """Return the replicates, or NaN where a single user leaves nothing to resample."""
        return replicates if self.groups > 1 else np.full_like(replicates, np.nan)
