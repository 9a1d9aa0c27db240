"""Probabilities of a positive response, and that they beat simpler ways to guess it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from slategym.cf_baselines.calibration import (
    ClickModel,
    evaluate_click_model,
    fit_click_model,
    labelled,
)
from slategym.cf_baselines.factorization import RatingModel, fit_rating_model
from slategym.cf_baselines.interactions import Interactions, Split, split_random
from slategym.cf_baselines.logistic import (
    BiasLogit,
    area_under_curve,
    calibration_error,
    describe,
    fit_line,
)
from slategym.errors import DataError

USERS, ITEMS = 200, 80


def taste_log(seed: int = 0, per_user: int = 50) -> Interactions:
    """Stars from 1 to 5 by biases and two factors."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(USERS), per_user)
    items = np.concatenate([rng.permutation(ITEMS)[:per_user] for _ in range(USERS)])
    score = 3.3 + rng.normal(0, 0.4, USERS)[users] + rng.normal(0, 0.4, ITEMS)[items]
    taste, kind = rng.normal(0, 1, (USERS, 2)), rng.normal(0, 0.6, (ITEMS, 2))
    score += (taste[users] * kind[items]).sum(axis=1) + rng.normal(0, 0.6, len(users))
    return Interactions(
        tuple(map(str, range(USERS))),
        tuple(map(str, range(ITEMS))),
        users,
        items,
        np.clip(np.round(score), 1, 5),
        [0] * len(users),
    )


@pytest.fixture(scope="module")
def fitted() -> tuple[Interactions, Split, RatingModel, ClickModel]:
    log = taste_log()
    split = split_random(log, 0.2, seed=0)
    model = fit_rating_model(log, split.train, factors=4)
    return log, split, model, fit_click_model(model, log, split.validation)


def test_a_known_line_is_found() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(3, 2, 200_000)
    label = (rng.random(len(score)) < expit(-2.0 + 0.7 * score)).astype(float)
    intercept, slope = fit_line(score, label)
    assert intercept == pytest.approx(-2.0, abs=0.05)
    assert slope == pytest.approx(0.7, abs=0.02)


def test_separable_rows_give_a_finite_line() -> None:
    intercept, slope = fit_line(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert np.isfinite([intercept, slope]).all()
    assert slope > 0


def test_measures_agree_with_answers_worked_by_hand() -> None:
    label = np.array([1.0, 0.0, 1.0, 0.0])
    assert area_under_curve(np.array([0.9, 0.1, 0.8, 0.2]), label) == 1.0
    assert area_under_curve(np.array([0.5, 0.5, 0.5, 0.5]), label) == 0.5
    assert area_under_curve(np.array([0.9, 0.8, 0.7, 0.1]), label) == 0.75
    half = describe(np.full(4, 0.5), label)
    assert half["log_loss"] == pytest.approx(np.log(2))
    assert half["brier"] == 0.25
    assert calibration_error(np.full(4, 0.7), label, bins=1) == pytest.approx(0.2)
    assert calibration_error(np.array([0.1, 0.9, 0.2, 0.8]), label[[1, 0, 3, 2]], bins=2) == (
        pytest.approx(0.15)
    )


def test_true_probabilities_are_calibrated_and_shifted_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(50_000)
    label = (rng.random(len(p)) < p).astype(float)
    assert calibration_error(p, label) < 0.012
    assert calibration_error(np.clip(p + 0.2, 0, 1), label) > 0.12


def test_a_log_of_noise_that_turns_liking_around_is_refused() -> None:
    rng = np.random.default_rng(0)
    users, items = np.repeat(np.arange(30), 20), np.tile(np.arange(20), 30)
    names = tuple(map(str, range(30)))
    values = rng.integers(1, 6, 600).astype(float)
    log = Interactions(names, names[:20], users, items, values, [0] * 600)
    model = fit_rating_model(log, factors=2)
    turned = replace(log, values=6 - log.values)
    with pytest.raises(DataError, match="higher predicted value does not mean more positives"):
        fit_click_model(model, turned, np.arange(600))


def test_equal_probabilities_are_judged_together_however_the_rows_are_sorted() -> None:
    label = np.repeat([1.0, 0.0], [20, 80])  # positives first, as with sampled negatives
    assert calibration_error(np.full(100, 0.2), label) == pytest.approx(0.0)
    two = np.where(np.arange(100) % 2, 0.1, 0.3)
    assert calibration_error(two, label) == pytest.approx(0.1)


def test_two_biases_are_found() -> None:
    rng = np.random.default_rng(0)
    users, items = np.repeat(np.arange(60), 50), np.tile(np.arange(50), 60)
    user, item = rng.normal(0, 1, 60), rng.normal(0, 1, 50)
    label = rng.random(3000) < expit(0.3 + user[users] + item[items])
    names = tuple(map(str, range(60)))
    log = Interactions(names, names[:50], users, items, label.astype(float), [0] * 3000)
    fitted = BiasLogit(log, precision=1.0)
    assert np.corrcoef(fitted.user, user)[0, 1] > 0.9
    assert np.corrcoef(fitted.item, item)[0, 1] > 0.9
    assert fitted.probability(users, items).mean() == pytest.approx(label.mean(), abs=1e-3)


def test_the_model_beats_two_biases_beat_item_means_beat_the_global_rate(
    fitted: tuple[Interactions, Split, RatingModel, ClickModel],
) -> None:
    log, split, model, click = fitted
    report = evaluate_click_model(click, model, log, split)
    loss = {name: measures["log_loss"] for name, measures in report["models"].items()}
    assert loss["model"] < loss["user_item_bias"] < loss["item_mean"] < loss["global_rate"]
    assert report["models"]["model"]["ece"] < 0.05
    assert report["rows"] == len(split.test)
    for gap in report["difference"].values():
        assert gap["low"] < gap["mean"] < gap["high"] < 0


def test_probability_rises_with_the_predicted_value(
    fitted: tuple[Interactions, Split, RatingModel, ClickModel],
) -> None:
    click = fitted[3]
    p = click.probability(np.array([[1.0, 3.0], [4.0, 5.0]]))
    assert p.shape == (2, 2)
    assert (np.diff(p.ravel()) > 0).all()
    assert np.allclose(expit(click.logit([2.0])), click.probability([2.0]))


def test_the_test_rows_do_not_touch_the_fit(
    fitted: tuple[Interactions, Split, RatingModel, ClickModel],
) -> None:
    log, split, model, click = fitted
    values = log.values.copy()
    values[split.test] = np.where(np.arange(len(split.test)) % 2, 1.0, 4.0)
    other = Interactions(log.user_ids, log.item_ids, log.users, log.items, values, log.times)
    again = fit_click_model(model, other, split.validation, positive=click.threshold)
    assert again == click


def test_rows_of_one_kind_are_refused(
    fitted: tuple[Interactions, Split, RatingModel, ClickModel],
) -> None:
    log, split, model, _ = fitted
    with pytest.raises(DataError, match="another threshold"):
        fit_click_model(model, log, split.validation, positive=99.0)
    with pytest.raises(DataError, match="0 validation rows"):
        fit_click_model(model, log, np.zeros(0, int), positive=4.0)


def test_an_implicit_log_gets_probabilities_of_positive_against_sampled_negative() -> None:
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(80), 15)
    items = np.concatenate([(u % 2) * 40 + rng.permutation(40)[:15] for u in range(80)])
    names = tuple(map(str, range(80)))
    log = Interactions(
        names, names, users, items, np.ones(1200), np.zeros(1200, int), implicit=True
    )
    split = split_random(log, 0.2, seed=0)
    model = fit_rating_model(log, split.train, factors=2)
    click = fit_click_model(model, log, split.validation)
    report = evaluate_click_model(click, model, log, split)
    assert click.threshold == 0.5
    assert report["models"]["model"]["log_loss"] < report["models"]["user_item_bias"]["log_loss"]
    assert labelled(log, split.test, 0.5).values.sum() == len(split.test)
