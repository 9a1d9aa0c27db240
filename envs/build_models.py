"""The two rating models of a world: the public one, and the simulator's own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from slategym.cf_baselines.biases import fit_biases
from slategym.cf_baselines.calibration import (
    ClickModel,
    evaluate_click_model,
    fit_click_model,
    labelled,
)
from slategym.cf_baselines.content_map import fit_content_map
from slategym.cf_baselines.factorization import RatingModel, fit_rating_model
from slategym.cf_baselines.interactions import Interactions, Split
from slategym.cf_baselines.logistic import equal_mass_bins
from slategym.envs.arrays import FloatArray, LongArray
from slategym.envs.no_click import POSITION_BIAS, calibrate_no_click
from slategym.progress import Progress, stage

# The simulator's fit starts from another seed than the public one.
SIMULATOR_SEED = 1_000_003
CLICK_TARGET = 0.4
CLICK_SLATE = 5
RELIABILITY_BINS = 10
_SLATES = 20_000


@dataclass(frozen=True)
class FittedModels:
    """What the log taught.

    Attributes:
        public: fitted on the training rows; agents and baselines may use it.
        simulator: fitted on all rows, from another seed; hidden.
        click: calibrated on the validation rows with the public model.
        metrics: JSON-ready measures on the test rows.
    """

    public: RatingModel
    simulator: RatingModel
    click: ClickModel
    metrics: dict[str, Any]


def fit_models(
    log: Interactions,
    split: Split,
    content: FloatArray,
    factors: int,
    seed: int,
    progress: Progress,
) -> FittedModels:
    """Fit both rating models and the click model, and measure them on the test rows.

    Items with little or no evidence get factors and bias from their ``content`` (I, D), blended
    by how much evidence they have.
    """
    with stage(progress, "fit the public rating model"):
        public, about = fit_with_content(log, split.train, content, factors, seed)
    with stage(progress, "calibrate clicks and measure on held-out rows"):
        click = fit_click_model(public, log, split.validation, seed=seed)
        metrics = {"content_map": about, **measure(public, click, log, split, seed)}
    with stage(progress, "fit the simulator's rating model"):
        simulator, _ = fit_with_content(
            log, None, content, factors, seed, model_seed=seed + SIMULATOR_SEED
        )
    return FittedModels(public, simulator, click, metrics)


def measure(
    public: RatingModel, click: ClickModel, log: Interactions, split: Split, seed: int
) -> dict[str, Any]:
    """Return how well a public model does on the test rows of a split, JSON-ready.

    ``rows`` of each part; ``click``: the calibration, and what
    `slategym.cf_baselines.calibration.evaluate_click_model` gives; ``rating``: root mean squared
    errors in the log's units, unless the log is implicit.
    """
    metrics: dict[str, Any] = {
        "rows": {name: len(getattr(split, name)) for name in ("train", "validation", "test")},
        "click": {
            "intercept": click.intercept,
            "slope": click.slope,
            "threshold": click.threshold,
        },
    }
    if len(split.test):
        metrics["click"] |= evaluate_click_model(click, public, log, split, seed=seed)
        metrics["click"]["reliability"] = _reliability(public, click, log, split, seed)
        if not log.implicit:
            metrics["rating"] = _rating_metrics(public, log, split)
    return metrics


def fit_with_content(
    log: Interactions,
    rows: LongArray | None,
    content: FloatArray,
    factors: int,
    seed: int,
    *,
    model_seed: int | None = None,
) -> tuple[RatingModel, dict[str, float]]:
    """Return a rating model, its items with few rows informed by content, and about the map.

    Args:
        log: the log.
        rows: those to fit on; None for all.
        content: (I, D) content of the items.
        factors: F.
        seed: of the fit, and of the folds by which the map is chosen.
        model_seed: of the fit, if it is another.
    """
    start = seed if model_seed is None else model_seed
    model = fit_rating_model(log, rows, factors=factors, seed=start)
    learned = fit_content_map(model, content, seed=seed)
    taste, bias = learned.blend(content, model.item_factors, model.item_bias, model.counts)
    about = {"explained": learned.explained, "strength": learned.strength}
    return replace(model, item_factors=taste, item_bias=bias), about


def _rating_metrics(model: RatingModel, log: Interactions, split: Split) -> dict[str, float]:
    """Return root mean squared errors on the test rows, in the log's units."""
    test = log.take(split.test)

    def rmse(predicted: FloatArray | float) -> float:
        return float(np.sqrt(np.mean((predicted - test.values.astype(np.float64)) ** 2)))

    biases = fit_biases(log, split.train).predict(test.users, test.items)
    return {
        "rmse": rmse(model.predict_rows(test, clip=True)),
        "rmse_user_item_bias": rmse(np.clip(biases, model.low, model.high)),
        "rmse_global_mean": rmse(float(log.values[split.train].mean())),
    }


def _reliability(
    model: RatingModel, click: ClickModel, log: Interactions, split: Split, seed: int
) -> dict[str, list[float]]:
    """Return predicted and observed shares of positives in `RELIABILITY_BINS` of equal mass."""
    test = labelled(log, split.test, click.threshold, seed=seed + 2)
    predicted = click.probability(model.predict_rows(test)).astype(np.float64)
    bins = equal_mass_bins(predicted, RELIABILITY_BINS)
    return {
        "predicted": [float(predicted[rows].mean()) for rows in bins],
        "observed": [float(test.values[rows].mean()) for rows in bins],
    }


def no_click_logit(models: FittedModels, seed: int) -> float:
    """Return the no-click logit at which fresh users click `CLICK_TARGET` of random slates."""
    model, click = models.simulator, models.click
    rng = np.random.default_rng(seed)
    users = rng.integers(0, len(model.user_bias), _SLATES)
    items = rng.integers(0, len(model.item_bias), (_SLATES, CLICK_SLATE))
    noise = rng.standard_normal((_SLATES, model.user_factors.shape[1]))
    taste = model.user_factors[users] + model.user_std[users] * noise
    value = model.mean + model.user_bias[users, None] + model.item_bias[items]
    value = value + (taste[:, None, :] * model.item_factors[items]).sum(axis=2)
    place = POSITION_BIAS * np.arange(CLICK_SLATE)
    return calibrate_no_click(click.intercept + click.slope * value - place, CLICK_TARGET)


def assumptions(models: FittedModels, extra: Mapping[str, bool]) -> tuple[str, ...]:
    """Return what was assumed and not learned, one sentence each.

    Args:
        models: what was learned.
        extra: sentence -> whether it applies.
    """
    always = (
        "The no-click option was set so that a fresh user clicks a random slate of "
        f"{CLICK_SLATE} with probability {CLICK_TARGET:g}; the log does not tell what was shown "
        "and left.",
        f"A click stands for a value of at least {models.click.threshold:g}; the click logit was "
        "calibrated on validation rows with the public model and is used with the simulator's.",
        "Satiation, interest drift, patience and leaving are assumed dynamics with stated "
        "constants; the log was not used to learn them.",
        "The watched fraction is an assumed logistic function of taste and satiation.",
        "A user's taste is drawn around the fitted factors with their posterior deviation, "
        "dimension by dimension.",
    )
    return always + tuple(sentence for sentence, applies in extra.items() if applies)
