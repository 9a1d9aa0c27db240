"""How well content predicts the values of items that nobody has rated yet.

Letters: N rows, I items, D content dimensions.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from slategym.cf_baselines.calibration import labelled
from slategym.cf_baselines.content_map import fit_content_map
from slategym.cf_baselines.factorization import fit_rating_model
from slategym.cf_baselines.interactions import FloatArray, Interactions, Split, default_threshold
from slategym.cf_baselines.logistic import describe, fit_line
from slategym.errors import DataError

VALIDATION_SHARE = 0.1


def evaluate_cold_items(
    interactions: Interactions,
    content: npt.ArrayLike,
    *,
    share: float = 0.1,
    factors: int = 16,
    seed: int = 0,
) -> dict[str, Any]:
    """Return how well content predicts ratings of items held out with all their ratings.

    The model and the map are fitted on the other items; a tenth of the other items is kept from
    the fit as well, to turn values into probabilities where items are as cold as in the test. The
    baseline, ``user_bias``, cannot know an item's mean either: mean plus the user's bias.

    Args:
        interactions: An explicit log.
        content: (I, D) content of its items.
        share: Of the items with ratings, to hold out, in (0, 1).
        factors: Of the rating model.
        seed: For the items held out and the fits.

    Returns:
        JSON-ready: ``items``, ``rows``, ``strength`` and ``explained`` of the map and, for
        ``user_bias``, ``content_map`` and ``joint`` (content in the model's own prior), the
        ``rmse`` over rows, ``rmse_by_item`` (every item counting the same) and what
        `slategym.cf_baselines.logistic.describe` gives.

    Raises:
        DataError: the log is implicit, so it has no values to predict.
    """
    if interactions.implicit:
        raise DataError(f"{interactions.name} is implicit; cold items are scored on values.")
    split = _split_by_item(interactions, share, seed)
    x = np.asarray(content, dtype=np.float32)
    model = fit_rating_model(interactions, split.train, factors=factors, seed=seed)
    joint = fit_rating_model(
        interactions, split.train, factors=factors, seed=seed, item_features=x, audience=0
    )
    content_map = fit_content_map(model, x, seed=seed)
    cold_factors, cold_bias = content_map.predict(x)

    def user_bias(rows: Interactions) -> FloatArray:
        return np.float32(model.mean) + model.user_bias[rows.users]

    def by_map(rows: Interactions) -> FloatArray:
        taste = (model.user_factors[rows.users] * cold_factors[rows.items]).sum(axis=1)
        return np.asarray(user_bias(rows) + cold_bias[rows.items] + taste)

    ways: dict[str, Callable[[Interactions], FloatArray]] = {
        "user_bias": user_bias,
        "content_map": by_map,
        "joint": joint.predict_rows,
    }
    validation, test = interactions.take(split.validation), interactions.take(split.test)
    threshold = default_threshold(interactions)
    measured = {
        name: _measure(way(validation), validation, way(test), test, threshold)
        for name, way in ways.items()
    }
    return {
        "items": len(np.unique(test.items)),
        "rows": len(test),
        "strength": content_map.strength,
        "explained": content_map.explained,
        **measured,
    }


def _split_by_item(interactions: Interactions, share: float, seed: int) -> Split:
    """Return rows of three disjoint sets of items."""
    rated = np.flatnonzero(interactions.item_counts())
    order = np.random.default_rng(seed).permutation(rated)
    test = max(1, round(len(order) * share))
    held = max(1, round((len(order) - test) * VALIDATION_SHARE))
    part = np.zeros(len(interactions.item_ids), dtype=np.int64)
    part[order[:test]] = 2
    part[order[test : test + held]] = 1
    of_row = part[interactions.items]
    return Split(*(np.flatnonzero(of_row == number) for number in range(3)))


def _measure(
    known: FloatArray,
    validation: Interactions,
    guessed: FloatArray,
    test: Interactions,
    threshold: float,
) -> dict[str, Any]:
    """Return the errors of predicted values and the quality of the probabilities they give.

    Values are first shifted by their mean error on the validation rows: popular items are liked
    better and have most of the rows, which content cannot tell.
    """
    value = guessed.astype(np.float64) + float((validation.values - known).mean())
    label = labelled(test, None, threshold).values.astype(np.float64)
    known_label = labelled(validation, None, threshold).values.astype(np.float64)
    intercept, slope = fit_line(known.astype(np.float64), known_label)
    squared = (value - test.values) ** 2
    counts = np.bincount(test.items)
    by_item = np.bincount(test.items, squared)[counts > 0] / counts[counts > 0]
    return {
        "rmse": float(np.sqrt(squared.mean())),
        "rmse_by_item": float(np.sqrt(by_item.mean())),
        **describe(expit(intercept + slope * guessed.astype(np.float64)), label),
    }
