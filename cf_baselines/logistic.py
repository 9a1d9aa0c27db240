"""Logistic models small enough to write down, and how good probabilities are."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from slategym.cf_baselines.interactions import Interactions

Array = npt.NDArray[np.float64]


def fit_line(score: Array, label: Array, ridge: float = 1e-2) -> tuple[float, float]:
    """Return (intercept, slope) of P(label) = sigmoid(intercept + slope * score), by Newton.

    Args:
        score: (N,) in any units.
        label: (N,) 0 or 1, both occurring.
        ridge: Penalty on the slope per deviation of the score; keeps separable data finite.
    """
    centre, spread = float(score.mean()), float(score.std()) or 1.0
    design = np.stack([np.ones_like(score), (score - centre) / spread], axis=1)
    penalty = np.diag([0.0, ridge])
    rate = float(label.mean())
    weights = np.array([np.log(rate / (1 - rate)), 0.0])

    def loss(candidate: Array) -> float:
        logit = design @ candidate
        return float((np.logaddexp(0, logit) - label * logit).sum() + ridge * candidate[1] ** 2 / 2)

    for _ in range(50):
        p = expit(design @ weights)
        gradient = design.T @ (p - label) + penalty @ weights
        hessian = (design * (p * (1 - p))[:, None]).T @ design + penalty + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-6 and loss(weights - size * step) > loss(weights):
            size /= 2
        weights = weights - size * step
        if np.abs(step).max() < 1e-9:
            break
    slope = float(weights[1]) / spread
    return float(weights[0]) - slope * centre, slope


class BiasLogit:
    """P(positive) = sigmoid(a + b_user + c_item) with a Gaussian prior on the biases.

    Args:
        data: Rows with labels 0 or 1 as values.
        precision: Of the prior, > 0, in natural-log odds to the power -2.
    """

    def __init__(self, data: Interactions, precision: float) -> None:
        label = data.values.astype(np.float64)
        self.user = np.zeros(len(data.user_ids))
        self.item = np.zeros(len(data.item_ids))
        self.constant = float(np.log(label.mean() / (1 - label.mean())))
        for _ in range(30):  # Newton by blocks: within a block the biases do not touch each other
            for biases, index in ((self.user, data.users), (self.item, data.items)):
                p = self.probability(data.users, data.items)
                slope = np.bincount(index, label - p, len(biases)) - precision * biases
                bend = np.bincount(index, p * (1 - p), len(biases)) + precision
                biases += slope / bend
            p = self.probability(data.users, data.items)
            self.constant += float((label - p).sum() / (p * (1 - p)).sum())

    def probability(self, users: npt.ArrayLike, items: npt.ArrayLike) -> Array:
        """Return P(positive) for each pair, (N,)."""
        logit = self.constant + self.user[np.asarray(users)] + self.item[np.asarray(items)]
        return np.asarray(expit(logit))


def log_losses(probability: Array, label: Array) -> Array:
    """Return -log P(what happened) of each row, (N,), in nats."""
    p = np.clip(probability, 1e-7, 1 - 1e-7)
    return np.asarray(-np.where(label > 0, np.log(p), np.log1p(-p)))


def calibration_error(probability: Array, label: Array, bins: int = 15) -> float:
    """Return the expected calibration error over bins of equal mass.

    The mean over rows of |mean probability - share of positives| of the row's bin; bins are cut
    from the sorted probabilities (Nixon et al. 2019, section 3.3, adaptive bins).
    """
    parts = equal_mass_bins(probability, bins)
    gaps = [len(rows) * abs(probability[rows].mean() - label[rows].mean()) for rows in parts]
    return float(sum(gaps) / len(probability))


def equal_mass_bins(probability: Array, bins: int) -> list[npt.NDArray[np.int64]]:
    """Return the rows of at most ``bins`` bins of about equal size, from low to high.

    Rows that tie share a bin, that of their middle rank: were they cut apart, the order of the
    log would decide who is where, and a log sorted by outcome would look badly calibrated.
    """
    _, place, times = np.unique(probability, return_inverse=True, return_counts=True)
    middle = np.cumsum(times) - times / 2
    bin_of_row = np.floor(middle * bins / len(probability)).astype(np.int64)[place]
    return [np.flatnonzero(bin_of_row == number) for number in np.unique(bin_of_row)]


def area_under_curve(probability: Array, label: Array) -> float:
    """Return the chance that a positive row is ranked above a negative one; ties count half."""
    positives = float(label.sum())
    negatives = len(label) - positives
    if not positives or not negatives:
        return float("nan")
    _, place, times = np.unique(probability, return_inverse=True, return_counts=True)
    ranks = np.cumsum(times) - (times - 1) / 2  # rows that tie share the mean of their ranks
    above = float(ranks[place][label > 0].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def describe(probability: Array, label: Array) -> dict[str, Any]:
    """Return log loss (nats), Brier score, calibration error and AUC of probabilities (N,)."""
    return {
        "log_loss": float(log_losses(probability, label).mean()),
        "brier": float(((probability - label) ** 2).mean()),
        "ece": calibration_error(probability, label),
        "auc": area_under_curve(probability, label),
    }
