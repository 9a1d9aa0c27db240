"""A table of off-policy estimates in which every row says how far it can be trusted.

Letters: N units (rounds, slates or trajectories), U users.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from slategym.benchmarks.ope_estimate import (
    Estimate,
    effective_sample_size,
    largest_weight,
    mean_estimate,
    mean_weight,
)
from slategym.benchmarks.ope_intervals import (
    METHOD,
    Clusters,
    Users,
    interval,
    spread_units,
    standard_error,
)
from slategym.benchmarks.ope_tail import tail_index
from slategym.benchmarks.statistics import LEVEL, REPLICATES, Interval

Verdict = Literal["reliable", "weak", "do not use"]


@dataclass(frozen=True)
class Limits:
    """Where a verdict turns; how the defaults were found is in docs/off-policy.md.

    Attributes:
        sample_useless: effective units below which an estimate must not be used.
        sample_weak: effective units below which it is weak.
        spread_weak: users that carry the variance (`ope_intervals.spread_units`) below which it
            is weak.
        tail_weak: Pareto index of the largest weights (`ope_tail.tail_index`) above which it is
            weak: their variance is not finite.
        share_weak: share of all weight on one unit above which it is weak.
        mean_useless: a mean weight farther from 1 than this factor must not be used.
        mean_weak: a mean weight farther from 1 than this, and than three standard errors, is weak.
        unsupported_useless: share of the judged policy on impossible actions that rules it out.
        unsupported_weak: share of it that makes the estimate weak.
        bias_share: bound on the bias, in half-widths of the interval, above which it is weak.
    """

    sample_useless: float = 15.0
    sample_weak: float = 50.0
    spread_weak: float = 8.0
    tail_weak: float = 0.5
    share_weak: float = 0.1
    mean_useless: float = 2.0
    mean_weak: float = 0.1
    unsupported_useless: float = 0.1
    unsupported_weak: float = 0.01
    bias_share: float = 0.25


LIMITS = Limits()


@dataclass(frozen=True)
class Row:
    """One estimator's line.

    Attributes:
        name: of the estimator.
        interval: estimate and ends of its interval, in units of the reward.
        units: number of units N.
        sample: effective sample size; NaN where no weight is used.
        largest: largest weight.
        mean: mean weight; 1 if the propensities are right.
        unsupported: share of the judged policy on actions the log cannot contain.
        setting: hyperparameter, NaN if none.
        bias: bound on the bias against an unbiased estimate; NaN if there is none to compare with.
        verdict: "reliable", "weak" or "do not use".
        reasons: why it is not reliable, the gravest first.
    """

    name: str
    interval: Interval
    units: int
    sample: float
    largest: float
    mean: float
    unsupported: float
    setting: float
    bias: float
    verdict: Verdict
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON, with ``None`` for what is not a number."""
        numbers = {
            "ess": self.sample,
            "largest_weight": self.largest,
            "mean_weight": self.mean,
            "unsupported": self.unsupported,
            "setting": self.setting,
            "bias_bound": self.bias,
        }
        finite = {key: float(v) if np.isfinite(v) else None for key, v in numbers.items()}
        return {
            "estimator": self.name,
            **self.interval.to_json(),
            "units": self.units,
            **finite,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
        }


def estimate_table(
    estimates: Sequence[Estimate],
    *,
    users: Users = None,
    unsupported: float = 0.0,
    reward_range: tuple[float, float] | None = None,
    reference: Estimate | None = None,
    estimated_propensities: bool = False,
    method: str = METHOD,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    seed: int = 0,
    limits: Limits = LIMITS,
) -> tuple[Row, ...]:
    """Return a row for each estimate of one log, with interval, diagnostics and verdict.

    Args:
        estimates: what was estimated, all on the same units.
        users: user of each unit (N,), whom intervals resample; ``None``: each its own user.
        unsupported: share of the judged policy on actions the log cannot contain.
        reward_range: lowest and highest value a policy can have.
        reference: an unbiased estimate on the same units (DR, or IPW without a model), against
            which the bias of tamed weights and assumptions is bounded.
        estimated_propensities: whether the propensities were estimated and not logged.
        method: how intervals are made: a name in `ope_intervals.METHODS`.
        level: nominal coverage in (0, 1).
        replicates: resamples of the bootstrap.
        seed: seed of the bootstrap; equal for all rows, so that they stay paired.
        limits: where verdicts turn.

    Raises:
        UsageError: an unknown method or a level outside (0, 1).
        DataError: another number of users than units.
    """
    rows = []
    users = Clusters.of(users, len(estimates[0].base)) if estimates else users
    for one in estimates:
        ends = interval(one, users, method=method, level=level, replicates=replicates, seed=seed)
        bias = bias_bound(one, reference, users, limits)
        grave = tuple(_grave(one, unsupported, reward_range, limits))
        slight = tuple(_slight(one, ends, unsupported, bias, users, limits))
        if estimated_propensities and one.weights.shape[1]:
            slight = (*slight, "its propensities were estimated, not logged")
        verdict: Verdict = "do not use" if grave else "weak" if slight else "reliable"
        rows.append(
            Row(
                name=one.name,
                interval=ends,
                units=len(one.base),
                sample=effective_sample_size(one.weights),
                largest=largest_weight(one.weights),
                mean=mean_weight(one.weights),
                unsupported=unsupported if one.weights.shape[1] else 0.0,
                setting=one.setting,
                bias=bias,
                verdict=verdict,
                reasons=grave + slight,
            )
        )
    return tuple(rows)


def bias_bound(
    estimate: Estimate,
    reference: Estimate | None,
    users: Users = None,
    limits: Limits = LIMITS,
) -> float:
    """Return an upper bound on the bias of an estimate that has a caveat, at least 0.

    The paired difference to an unbiased estimate on the same units, plus 1.64 of its standard
    errors. 0 for an estimate without a caveat; NaN without a reference, or where the reference
    cannot tell: too few effective units, or a mean weight that is not 1.
    """
    if not estimate.caveat:
        return 0.0
    if reference is None or not np.isfinite(reference.value):
        return np.nan
    if not effective_sample_size(reference.weights) >= limits.sample_weak:  # NaN: all are zero
        return np.nan
    mean = mean_weight(reference.weights)
    if not 1.0 / limits.mean_useless <= mean <= limits.mean_useless:
        return np.nan
    gap = mean_estimate("gap", estimate.terms - reference.terms, reference.weights)
    return float(abs(gap.value) + 1.64 * standard_error(gap, users))


def table_text(rows: Sequence[Row]) -> str:
    """Return the rows as an aligned text table with the reasons on the right."""
    head = (
        "estimator", "estimate", "interval", "ESS", "max w", "mean w", "unsupported",
        "setting", "verdict", "why",
    )  # fmt: skip
    lines = [head]
    for row in rows:
        ends = f"[{_said(row.interval.low)}, {_said(row.interval.high)}]"
        lines.append(
            (
                row.name,
                _said(row.interval.estimate),
                ends,
                _said(row.sample, 1),
                _said(row.largest, 2),
                _said(row.mean, 3),
                f"{100 * row.unsupported:.1f} %" if row.sample == row.sample else "-",
                f"{row.setting:g}" if np.isfinite(row.setting) else "-",
                row.verdict,
                "; ".join(row.reasons),
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    padded = ("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded) + "\n"


def _grave(
    one: Estimate, unsupported: float, reward_range: tuple[float, float] | None, limits: Limits
) -> list[str]:
    """Return why an estimate must not be used."""
    reasons = []
    if not np.isfinite(one.value):
        return ["there is no estimate: every weight is 0"]
    if reward_range is not None:
        low, high = reward_range
        slack = 1e-9 * max(1.0, abs(low), abs(high))
        if not low - slack <= one.value <= high + slack:
            reasons.append(f"it is outside the range of rewards, {low:g} to {high:g}")
    if one.weights.shape[1] == 0:
        return reasons
    sample, mean = effective_sample_size(one.weights), mean_weight(one.weights)
    if not sample >= limits.sample_useless:
        reasons.append(f"only {0.0 if np.isnan(sample) else sample:.1f} effective units")
    if not 1.0 / limits.mean_useless <= mean <= limits.mean_useless:
        reasons.append(f"the mean weight is {mean:.2f}, not 1")
    if unsupported > limits.unsupported_useless:
        reasons.append(f"{100 * unsupported:.1f} % of the policy is not in the log")
    return reasons


def _slight(
    one: Estimate,
    ends: Interval,
    unsupported: float,
    bias: float,
    users: Users,
    limits: Limits,
) -> list[str]:
    """Return why an estimate is weak."""
    reasons = []
    if one.caveat and not bias <= limits.bias_share * (ends.high - ends.low) / 2.0:
        bound = f" (bias up to {bias:.3g})" if np.isfinite(bias) else ""
        reasons.append(one.caveat + bound)
    if np.isnan(ends.low) and np.isfinite(one.value):
        reasons.append("a single user leaves nothing to tell chance by")
    if one.weights.shape[1] == 0:
        return reasons
    reasons += _few_reasons(one, users, limits)
    reasons += _mean_reason(one, users, limits)
    if limits.unsupported_weak < unsupported <= limits.unsupported_useless:
        reasons.append(f"{100 * unsupported:.1f} % of the policy is not in the log")
    return reasons


def _few_reasons(one: Estimate, users: Users, limits: Limits) -> list[str]:
    """Return in which ways too few units decide."""
    sample, spread = effective_sample_size(one.weights), spread_units(one, users)
    tail = tail_index(one.weights)
    share = float((one.weights.max(axis=0) / np.maximum(one.weights.sum(axis=0), 1e-300)).max())
    said = (
        (limits.sample_useless <= sample < limits.sample_weak, f"{sample:.1f} effective units"),
        (spread < limits.spread_weak, f"{spread:.1f} users carry the variance"),
        (tail > limits.tail_weak, f"the weights have a heavy tail (Pareto index {tail:.2f})"),
        (share > limits.share_weak, f"one unit has {100 * share:.0f} % of the weight"),
    )
    return [reason for true, reason in said if true]


def _mean_reason(one: Estimate, users: Users, limits: Limits) -> list[str]:
    """Return why the mean weight speaks against the propensities, if it does."""
    mean = mean_weight(one.weights)
    column = one.weights[:, int(np.abs(one.weights.mean(axis=0) - 1.0).argmax())]
    error = standard_error(mean_estimate("weight", column, column), users)
    far = abs(mean - 1.0) > max(limits.mean_weak, 3.0 * error)
    inside = 1.0 / limits.mean_useless <= mean <= limits.mean_useless
    return [f"the mean weight is {mean:.2f}, not 1"] if far and inside else []


def _said(value: float, digits: int = 4) -> str:
    """Return a number for people, "-" if there is none."""
    if not np.isfinite(value):
        return "-"
    return f"{value:.{digits}f}" if abs(value) >= 0.01 or value == 0 else f"{value:.3g}"
