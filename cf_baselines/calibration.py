"""From a predicted value to the probability of a positive response, and how good that is.

Letters: N rows.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from slategym.cf_baselines.factorization import RatingModel
from slategym.cf_baselines.interactions import FloatArray, Interactions, Split, default_threshold
from slategym.cf_baselines.logistic import Array, BiasLogit, describe, fit_line, log_losses
from slategym.cf_baselines.negatives import with_negatives
from slategym.errors import DataError

ITEM_PRIORS = (1.0, 3.0, 10.0, 30.0)  # rows that the global rate counts for
BIAS_PRECISIONS = (0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class ClickModel:
    """P(positive | user, item) = sigmoid(intercept + slope * predicted value).

    Attributes:
        intercept: Natural-log odds at a predicted value of 0.
        slope: Natural-log odds per unit of the log's values.
        threshold: Values from here on count as positive.
        rows: Rows it was fitted on, sampled negatives included.
    """

    intercept: float
    slope: float
    threshold: float
    rows: int

    def logit(self, score: npt.ArrayLike) -> FloatArray:
        """Return natural-log odds for predicted values of any shape."""
        return np.asarray(self.intercept + self.slope * np.asarray(score), dtype=np.float32)

    def probability(self, score: npt.ArrayLike) -> FloatArray:
        """Return P(positive) for predicted values of any shape."""
        return np.asarray(expit(self.logit(score)), dtype=np.float32)


def labelled(
    interactions: Interactions,
    rows: npt.ArrayLike | None,
    positive: float,
    *,
    negatives: int = 4,
    seed: int = 0,
) -> Interactions:
    """Return these rows with values 1 (at least ``positive``) or 0.

    For an implicit log the rows are positives, and negatives are sampled to them; see
    `slategym.cf_baselines.negatives`.
    """
    if interactions.implicit:
        return with_negatives(interactions, rows, per_positive=negatives, seed=seed)
    part = interactions.take(interactions.rows_or_all(rows))
    return replace(part, values=(part.values >= positive).astype(np.float32))


def fit_click_model(
    model: RatingModel,
    interactions: Interactions,
    rows: npt.ArrayLike,
    *,
    positive: float | None = None,
    negatives: int = 4,
    seed: int = 0,
) -> ClickModel:
    """Return the logistic map from predicted value to P(positive) (Platt 1999, equation 2).

    Args:
        model: The rating model; must not have seen the rows.
        interactions: The log.
        rows: Validation rows.
        positive: Values from here on are positive. By default `default_threshold` of the log:
            the smallest value that at most 60 % of its rows reach, 4 stars on MovieLens 100K.
        negatives: Sampled per positive if the log is implicit.
        seed: For these.

    Raises:
        DataError: the rows are all positive or all negative, there are none, or those of a
            higher predicted value are positive less often.
    """
    threshold = default_threshold(interactions) if positive is None else float(positive)
    data = labelled(interactions, rows, threshold, negatives=negatives, seed=seed + 1)
    rate = float(data.values.mean()) if len(data) else 0.0
    if rate in (0.0, 1.0):
        raise DataError(
            f"{interactions.name}: {rate:.0%} of the {len(data)} validation rows reach "
            f"{threshold:g}; P(positive) needs both kinds: give a larger log, or in Python "
            "another threshold."
        )
    score = model.predict_rows(data).astype(np.float64)
    intercept, slope = fit_line(score, data.values.astype(np.float64))
    if slope <= 0:
        # Simulated users would flee what they are predicted to like.
        raise DataError(
            f"{interactions.name}: on the {len(data)} validation rows a higher predicted value "
            f"does not mean more positives (slope {slope:.2g}), so nothing about users was "
            "learned from this log; it is too small, or its values are noise: give a larger one."
        )
    return ClickModel(intercept, slope, threshold, len(data))


def evaluate_click_model(
    click: ClickModel,
    model: RatingModel,
    interactions: Interactions,
    split: Split,
    *,
    draws: int = 1000,
    negatives: int = 4,
    seed: int = 0,
) -> dict[str, Any]:
    """Return how good the probabilities are on the test rows, beside three simpler ways.

    ``global_rate`` knows the share of positives only; ``item_mean`` each item's, smoothed;
    ``user_item_bias`` is a logistic model with a bias for each user and item. They are fitted on
    the training rows and their smoothing is chosen on the validation rows.

    Returns:
        JSON-ready: ``rows``, ``threshold``, ``positive_rate``; ``models``: name to log loss
        (nats), Brier score, ECE (15 bins of equal mass) and AUC; ``difference``: name of a
        simpler way to the mean log loss of the model less its, with the 95 % interval of a
        bootstrap over users, ``low`` and ``high``. Below 0 the model is better.
    """
    train, validation, test = (
        labelled(interactions, rows, click.threshold, negatives=negatives, seed=seed + number)
        for number, rows in enumerate(split)
    )
    label = test.values.astype(np.float64)
    ways = {
        "global_rate": np.full(len(test), float(train.values.mean())),
        "item_mean": _item_mean(train, validation)(test),
        "user_item_bias": _user_item_bias(train, validation)(test),
        "model": click.probability(model.predict_rows(test)).astype(np.float64),
    }
    losses = {name: log_losses(p, label) for name, p in ways.items()}
    return {
        "rows": len(test),
        "threshold": click.threshold,
        "positive_rate": float(label.mean()),
        "models": {name: describe(p, label) for name, p in ways.items()},
        "difference": {
            name: _user_bootstrap(losses["model"] - loss, test.users, draws, seed)
            for name, loss in losses.items()
            if name != "model"
        },
    }


def _item_mean(train: Interactions, validation: Interactions) -> Callable[[Interactions], Array]:
    """Return the smoothed share of positives of each item, as a function of rows."""
    rate = float(train.values.mean())
    counts = train.item_counts()
    hits = np.bincount(train.items, train.values, len(train.item_ids))

    def with_prior(prior: float) -> Callable[[Interactions], Array]:
        share = (hits + prior * rate) / (counts + prior)
        return lambda rows: np.asarray(share[rows.items])

    return min(map(with_prior, ITEM_PRIORS), key=lambda way: _mean_loss(way, validation))


def _user_item_bias(
    train: Interactions, validation: Interactions
) -> Callable[[Interactions], Array]:
    """Return the two-bias logistic model, as a function of rows."""

    def with_precision(precision: float) -> Callable[[Interactions], Array]:
        fitted = BiasLogit(train, precision)
        return lambda rows: fitted.probability(rows.users, rows.items)

    return min(map(with_precision, BIAS_PRECISIONS), key=lambda way: _mean_loss(way, validation))


def _mean_loss(way: Callable[[Interactions], Array], rows: Interactions) -> float:
    if not len(rows):
        return 0.0
    return float(log_losses(way(rows), rows.values.astype(np.float64)).mean())


def _user_bootstrap(
    difference: Array, users: npt.NDArray[np.int32], draws: int, seed: int
) -> dict[str, float]:
    """Return the mean of a per-row difference and its 95 % interval, users resampled whole."""
    _, place = np.unique(users, return_inverse=True)
    sums, counts = np.bincount(place, difference), np.bincount(place)
    n = len(sums)
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
    means = (times @ sums) / (times @ counts)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"mean": float(difference.mean()), "low": float(low), "high": float(high)}
