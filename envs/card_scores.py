"""How good probabilities of a positive response are, with intervals that resample users whole.

Letters: N judged rows, G users, R resamples, W ways to predict, S slices.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from slategym.cf_baselines.logistic import area_under_curve, equal_mass_bins, fit_line, log_losses
from slategym.envs.arrays import BoolArray, DoubleArray, IntArray, LongArray

BINS = 15
# A slice with fewer rows says nothing.
LEAST_ROWS = 30
_LINE_DRAWS = 200
_CHUNK = 2_000_000  # numbers held at once while recalibrations are resampled


class Clusters:
    """Resamples of users, each with all of their rows (Davison and Hinkley 1997, section 3.8).

    Every statistic is taken on the same resamples, so differences stay paired.

    Args:
        users: (N,) the user of each row; any integers.
        draws: R, number of resamples.
        seed: of the resampling.
    """

    def __init__(self, users: npt.NDArray[np.integer], draws: int, seed: int) -> None:
        found, self.place = np.unique(users, return_inverse=True)
        self.groups = len(found)
        share = np.full(self.groups, 1.0 / max(self.groups, 1))
        rng = np.random.default_rng(seed)
        self.weights: DoubleArray = rng.multinomial(self.groups, share, size=draws).astype(float)

    def sums(self, values: DoubleArray, among: BoolArray | None = None) -> DoubleArray:
        """Return the sum of values (N,) in each resample, (R,); only of the rows ``among``."""
        if among is not None:
            values = np.where(among, values, 0.0)
        return np.asarray(self.weights @ np.bincount(self.place, values, self.groups))

    def means(self, values: DoubleArray, among: BoolArray | None = None) -> DoubleArray:
        """Return the mean of values (N,) in each resample, (R,); NaN where no row was drawn."""
        count = self.sums(np.ones(len(values)), among)
        total = self.sums(values, among)
        return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def interval(estimate: float, replicates: DoubleArray, digits: int = 6) -> dict[str, float | None]:
    """Return an estimate with its 95 % percentile interval (Efron 1979), JSON-ready."""
    known = replicates[np.isfinite(replicates)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) > 1 else (np.nan, np.nan)
    named = {"estimate": estimate, "low": low, "high": high}
    return {k: round(float(v), digits) if np.isfinite(v) else None for k, v in named.items()}


def centred_interval(
    estimate: float, replicates: DoubleArray, least: float = 0.0
) -> dict[str, float | None]:
    """Return an interval for a distance: resampling inflates it, so the excess is taken off."""
    known = replicates[np.isfinite(replicates)]
    if not len(known):
        return interval(estimate, known)
    return interval(estimate, np.maximum(known - known.mean() + estimate, least))


@dataclass(frozen=True, eq=False)
class Judged:
    """Rows nobody was fitted on, with what each way predicted for them.

    Attributes:
        users: (N,) user rows of the world.
        items: (N,) item rows.
        label: (N,) 1 where the response was positive, else 0.
        ways: name to P(positive) (N,); the world's own way is ``model``.
    """

    users: IntArray
    items: IntArray
    label: DoubleArray
    ways: Mapping[str, DoubleArray]

    @property
    def own(self) -> DoubleArray:
        """P(positive) of the world's own click model, (N,)."""
        return self.ways["model"]


def score_ways(rows: Judged, clusters: Clusters) -> dict[str, Any]:
    """Return log loss, Brier score and AUC of each way, and the model's skill over the others.

    Skill is ``1 - loss of the model / loss of the other``; 0 is no better, 1 perfect. AUC is
    pooled over all rows, and ``user_auc`` the mean over users that have both kinds of rows.
    """
    losses = {name: log_losses(p, rows.label) for name, p in rows.ways.items()}
    briers = {name: (p - rows.label) ** 2 for name, p in rows.ways.items()}
    return {
        "rows": len(rows.label),
        "users": clusters.groups,
        "positive_rate": round(float(rows.label.mean()), 6),
        "ways": {
            name: {
                "log_loss": interval(float(losses[name].mean()), clusters.means(losses[name])),
                "brier": interval(float(briers[name].mean()), clusters.means(briers[name])),
                "auc": _plain(area_under_curve(p, rows.label)),
                "user_auc": user_auc(p, rows.label, clusters),
            }
            for name, p in rows.ways.items()
        },
        "skill": {
            name: {
                "log_loss": _skill(losses["model"], losses[name], clusters),
                "brier": _skill(briers["model"], briers[name], clusters),
            }
            for name in rows.ways
            if name != "model"
        },
    }


def _plain(value: float) -> float | None:
    """Return a number for JSON, which has no NaN."""
    return round(value, 6) if np.isfinite(value) else None


def _skill(own: DoubleArray, other: DoubleArray, clusters: Clusters) -> dict[str, float | None]:
    """Return 1 - own / other of two mean losses, with its interval."""
    ratio = clusters.sums(own) / clusters.sums(other)
    return interval(1.0 - float(own.sum() / other.sum()), 1.0 - ratio)


def user_auc(
    probability: DoubleArray, label: DoubleArray, clusters: Clusters
) -> dict[str, float | None]:
    """Return the mean over users of the AUC among their own rows; users of one kind left out."""
    order = np.argsort(clusters.place, kind="stable")
    ends = np.cumsum(np.bincount(clusters.place, minlength=clusters.groups))
    parts = np.split(order, ends[:-1])
    each = np.array([area_under_curve(probability[part], label[part]) for part in parts])
    known = np.isfinite(each)
    if not known.any():
        return interval(np.nan, np.zeros(0))
    weight = clusters.weights[:, known]
    total = weight.sum(axis=1)
    means = (weight @ each[known]) / np.where(total > 0, total, np.nan)
    return interval(float(each[known].mean()), means)


def calibration(rows: Judged, clusters: Clusters, seed: int) -> dict[str, Any]:
    """Return the reliability curve, the calibration error and the line of recalibration.

    The expected calibration error (ECE) is that of 15 bins of equal mass, as in
    `slategym.cf_baselines.logistic.calibration_error`; ``floor`` is the error that perfect
    probabilities would show on this many rows, for even they are off by chance. The line is
    ``logit P = intercept + slope * logit p`` (Cox 1958): 0 and 1 if perfect, a slope below 1
    says overconfident.
    """
    p, label = rows.own, rows.label
    bins = equal_mass_bins(p, BINS)
    curve = [
        {
            "predicted": round(float(p[part].mean()), 6),
            "rows": len(part),
            "observed": _observed(rows, part, clusters),
        }
        for part in bins
    ]
    luck = np.random.default_rng(seed).random((50, len(p))) < p
    floor = np.mean([_error(p, one.astype(float), bins) for one in luck])
    return {
        "curve": curve,
        "ece": centred_interval(_error(p, label, bins), _errors(rows, bins, clusters)),
        "floor": round(float(floor), 6),
        **_line(rows, clusters),
    }


def _observed(rows: Judged, part: LongArray, clusters: Clusters) -> dict[str, float | None]:
    """Return the share of positives of a bin with its interval."""
    among = np.zeros(len(rows.label), dtype=np.bool_)
    among[part] = True
    return interval(float(rows.label[part].mean()), clusters.means(rows.label, among))


def _error(p: DoubleArray, label: DoubleArray, bins: list[LongArray]) -> float:
    """Return the calibration error over given bins."""
    return float(sum(abs((p[part] - label[part]).sum()) for part in bins) / max(len(p), 1))


def _errors(rows: Judged, bins: list[LongArray], clusters: Clusters) -> DoubleArray:
    """Return the calibration error in each resample, (R,), its bins kept."""
    total = np.zeros(len(clusters.weights))
    for part in bins:
        gap = np.zeros(len(rows.label))
        gap[part] = rows.own[part] - rows.label[part]
        total += np.abs(clusters.sums(gap))
    return np.asarray(total / clusters.sums(np.ones(len(rows.label))))


def _line(rows: Judged, clusters: Clusters) -> dict[str, Any]:
    """Return intercept and slope of the recalibration, with intervals."""
    score = logit(np.clip(rows.own, 1e-7, 1 - 1e-7))
    if not 0 < rows.label.mean() < 1 or np.ptp(score) == 0:
        return {"intercept": interval(np.nan, np.zeros(0)), "slope": interval(np.nan, np.zeros(0))}
    start = fit_line(score, rows.label, ridge=0.0)
    lines = resampled_lines(score, rows.label, clusters, start)
    return {
        "intercept": interval(start[0], lines[:, 0]),
        "slope": interval(start[1], lines[:, 1]),
    }


def resampled_lines(
    score: DoubleArray, label: DoubleArray, clusters: Clusters, start: tuple[float, float]
) -> DoubleArray:
    """Return intercept and slope (R', 2) of a logistic line in each resample, by Newton."""
    draws = clusters.weights[:_LINE_DRAWS]
    step = max(1, _CHUNK // max(1, len(score)))
    found = []
    for first in range(0, len(draws), step):
        weight = draws[first : first + step][:, clusters.place]  # (r, N)
        line = np.tile(np.asarray(start), (len(weight), 1))
        for _ in range(4):  # from the full data's answer, Newton is there at once
            p = expit(line[:, :1] + line[:, 1:] * score)
            gap, bend = weight * (label - p), weight * p * (1 - p)
            gradient = np.stack([gap.sum(axis=1), gap @ score], axis=1)
            cross = bend @ score
            hessian = np.stack([bend.sum(axis=1), cross, cross, bend @ score**2], axis=1)
            hessian = hessian.reshape(-1, 2, 2) + 1e-9 * np.eye(2)
            line = line + np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        found.append(line)
    return np.concatenate(found)


def slices(
    rows: Judged, groups: Mapping[str, BoolArray], clusters: Clusters
) -> list[dict[str, Any]]:
    """Return how well calibrated the model is among some of the rows.

    Args:
        rows: the judged rows.
        groups: name to mask (N,).
        clusters: of all rows.

    Returns:
        For each group of at least `LEAST_ROWS` rows: ``name``, ``rows``, mean ``predicted``
        and ``observed``, their ``gap`` with its interval, and the calibration error ``ece``.
    """
    found = []
    for name, among in groups.items():
        if int(among.sum()) < LEAST_ROWS:
            continue
        p, label = rows.own[among], rows.label[among]
        gap = rows.own - rows.label
        found.append(
            {
                "name": name,
                "rows": int(among.sum()),
                "predicted": round(float(p.mean()), 6),
                "observed": round(float(label.mean()), 6),
                "gap": interval(float(gap[among].mean()), clusters.means(gap, among)),
                "ece": round(_error(p, label, equal_mass_bins(p, BINS)), 6),
            }
        )
    return found


def quantile_groups(values: npt.NDArray[np.number], count: int) -> dict[str, BoolArray]:
    """Return masks (N,) of about equal size by a value of each row, named by their range."""
    groups = {}
    for part in equal_mass_bins(np.asarray(values, dtype=np.float64), count):
        low, high = values[part].min(), values[part].max()
        mask = np.zeros(len(values), dtype=np.bool_)
        mask[part] = True
        groups[f"{low:g}" if low == high else f"{low:g} to {high:g}"] = mask
    return groups
