"""What every off-policy estimator returns: one number, and the terms its interval is made of.

Letters: N units of a log (rounds, slates or trajectories), J ratios, W weights of a unit, R
resamples.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from slategym.errors import DataError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Estimate:
    """The value of a policy as ``mean(base) + sum_j mean(numerator_j) / mean(denominator_j)``.

    Plain importance sampling and doubly robust estimators have ``base`` alone; self-normalised
    ones divide by a mean weight, which is random too: an interval must resample or linearise
    both (Owen 2013, "Monte Carlo theory, methods and examples", chapter 9).

    Attributes:
        name: what it is called in tables.
        base: terms that are averaged (N,).
        numerators: terms above each fraction line (N, J); J may be 0.
        denominators: terms below it (N, J).
        weights: importance weights (N, W), each column with mean 1 if the propensities are
            right; W is 0 where no weight is used.
        setting: the hyperparameter, e.g. where weights are clipped; NaN if there is none.
        caveat: why the estimate is biased even in a large log, "" if it is not.
    """

    name: str
    base: FloatArray
    numerators: FloatArray
    denominators: FloatArray
    weights: FloatArray
    setting: float = np.nan
    caveat: str = ""

    def __post_init__(self) -> None:
        """Refuse an empty log.

        Raises:
            DataError: there is no unit, or the arrays do not have the same units.
        """
        units = {len(self.base), len(self.numerators), len(self.denominators), len(self.weights)}
        if units != {len(self.base)} or not len(self.base):
            raise DataError(
                f"estimator {self.name!r} got arrays of {sorted(units)} units; a log needs at "
                "least one unit, and every array one row for each."
            )

    @cached_property
    def ratios(self) -> FloatArray:
        """The J fractions; NaN where the weights sum to 0."""
        return _fractions(self.numerators.sum(axis=0), self.denominators.sum(axis=0))

    @cached_property
    def value(self) -> float:
        """The estimate, in units of the reward."""
        return float(self.base.mean() + self.ratios.sum())

    @cached_property
    def terms(self) -> FloatArray:
        """Linearised terms (N,): their mean is the estimate, their spread its standard error.

        ``base + sum_j [ratio_j + (numerator_j - ratio_j denominator_j) / mean(denominator_j)]``,
        the delta method for ratios (Owen 2013, chapter 9); plain terms where J is 0.
        """
        residual = self.numerators - self.ratios * self.denominators
        linear = _fractions(residual, self.denominators.mean(axis=0)) + self.ratios
        return self.base + linear.sum(axis=1)

    @property
    def is_ratio(self) -> bool:
        """Whether something is divided by a mean weight."""
        return self.numerators.shape[1] > 0

    def renamed(self, name: str, setting: float) -> "Estimate":
        """Return the same estimate under another name, with its hyperparameter."""
        return replace(self, name=name, setting=setting)

    def replicates(self, counts: npt.ArrayLike, members: IntArray) -> FloatArray:
        """Return the estimate on resamples (R,), numerators and denominators alike resampled.

        Args:
            counts: how often each of G groups (users) is drawn in each resample (R, G).
            members: the group of each unit (N,), in 0 .. G - 1.
        """
        return self.studentised(counts, members)[0]

    def studentised(
        self, counts: npt.ArrayLike, members: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return the estimate and its standard error on resamples, each (R,).

        The error is that of the linearised terms summed over each group, as
        `ope_intervals.standard_error` has it for the log itself, the divisor being G.

        Args:
            counts: how often each of G groups (users) is drawn in each resample (R, G).
            members: the group of each unit (N,), in 0 .. G - 1.
        """
        drawn = np.asarray(counts, np.float64)
        sums = self._group_sums(members, drawn.shape[1])  # (G, 2 + 2 J)
        means = drawn @ sums
        size = means[:, :1].copy()
        means = _fractions(means, size)
        split = 2 + self.numerators.shape[1]
        base, above, below = means[:, 1:2], means[:, 2:split], means[:, split:]
        ratios = _fractions(above, below)
        # What a group adds, linear in its sums: base less its mean, and the ratios' residuals.
        weights = np.concatenate(
            [-base, np.ones_like(base), _fractions(np.ones_like(below), below),
             -_fractions(ratios, below)], axis=1
        )  # fmt: skip
        added = weights @ sums.T  # (R, G)
        errors = np.sqrt((drawn * np.square(added)).sum(axis=1)) / size[:, 0]
        return base[:, 0] + ratios.sum(axis=1), errors

    def _group_sums(self, members: IntArray, groups: int) -> FloatArray:
        """Return units, base, numerators and denominators summed over each group (G, 2 + 2 J)."""
        ones = np.ones((len(self.base), 1))
        columns = np.concatenate(
            [ones, self.base[:, None], self.numerators, self.denominators], axis=1
        )
        summed = [np.bincount(members, weights=column, minlength=groups) for column in columns.T]
        return np.stack(summed, axis=1)


def mean_estimate(
    name: str,
    terms: npt.ArrayLike,
    weights: FloatArray,
    *,
    setting: float = np.nan,
    caveat: str = "",
) -> Estimate:
    """Return the estimate that is the mean of terms (N,).

    Args:
        name: what it is called.
        terms: what is averaged (N,).
        weights: importance weights (N,) or (N, W).
        setting: hyperparameter, NaN for none.
        caveat: why it is biased, or "".
    """
    base = np.asarray(terms, np.float64)
    none = np.empty((len(base), 0))
    return Estimate(name, base, none, none, _columns(weights), setting, caveat)


def ratio_estimate(
    name: str,
    numerators: npt.ArrayLike,
    denominators: npt.ArrayLike,
    weights: FloatArray,
    *,
    base: npt.ArrayLike | None = None,
    caveat: str = "",
) -> Estimate:
    """Return the estimate ``mean(base) + sum_j mean(numerator_j) / mean(denominator_j)``.

    Args:
        name: what it is called.
        numerators: (N,) or (N, J).
        denominators: same shape.
        weights: importance weights (N,) or (N, W).
        base: what is averaged plainly (N,); ``None`` means nothing.
        caveat: why it is biased, or "".
    """
    above, below = _columns(numerators), _columns(denominators)
    plain = np.zeros(len(above)) if base is None else np.asarray(base, np.float64)
    return Estimate(name, plain, above, below, _columns(weights), caveat=caveat)


def no_weights(units: int) -> FloatArray:
    """Return the weights (N, 0) of an estimator that uses none."""
    return np.empty((units, 0))


def effective_sample_size(weights: npt.ArrayLike) -> float:
    """Return ``(sum w)^2 / sum w^2``, in [0, N] (Kish 1965; Owen 2013, chapter 9).

    For weights (N, W), the smallest over the columns; NaN where there are no weights.
    """
    columns = _columns(weights)
    if columns.shape[1] == 0:
        return np.nan
    return float(_fractions(columns.sum(axis=0) ** 2, np.square(columns).sum(axis=0)).min())


def largest_weight(weights: npt.ArrayLike) -> float:
    """Return the largest weight; NaN where there are none."""
    columns = _columns(weights)
    return float(columns.max()) if columns.size else np.nan


def mean_weight(weights: npt.ArrayLike) -> float:
    """Return the mean weight, of several columns the one farthest from 1; NaN without weights."""
    means = _columns(weights).mean(axis=0)
    return float(means[np.abs(means - 1.0).argmax()]) if means.size else np.nan


def _columns(values: npt.ArrayLike) -> FloatArray:
    """Return values (N,) or (N, W) as (N, W)."""
    array = np.asarray(values, np.float64)
    return array[:, None] if array.ndim == 1 else array


def _fractions(above: FloatArray, below: FloatArray) -> FloatArray:
    """Return above / below, NaN where below is 0."""
    shape = np.broadcast_shapes(above.shape, below.shape)
    return np.divide(above, below, out=np.full(shape, np.nan), where=np.not_equal(below, 0))
