"""Items nobody has rated are placed by their content; with ratings they speak for themselves."""

import numpy as np
import pytest

from slategym.cf_baselines.cold_items import evaluate_cold_items
from slategym.cf_baselines.content_map import fit_content_map
from slategym.cf_baselines.factorization import fit_rating_model
from slategym.cf_baselines.interactions import Interactions
from slategym.errors import DataError, UsageError

USERS, ITEMS, DIM = 120, 150, 6


def content_log(tie: float, seed: int = 0) -> tuple[Interactions, np.ndarray]:
    """Return a log whose items' taste follows content by a share ``tie``, and that content."""
    rng = np.random.default_rng(seed)
    content = rng.normal(0, 1, (ITEMS, DIM))
    own = rng.normal(0, 1, (ITEMS, 3))
    kind = tie * (content @ rng.normal(0, DIM**-0.5, (DIM, 3))) + (1 - tie) * own
    users = np.repeat(np.arange(USERS), 50)
    items = np.concatenate([rng.permutation(ITEMS)[:50] for _ in range(USERS)])
    taste = rng.normal(0, 0.7, (USERS, 2))
    values = 3 + kind[items, 0] * 0.5 + (taste[users] * kind[items, 1:]).sum(axis=1)
    values += rng.normal(0, 0.4, len(users))
    return (
        Interactions(
            tuple(map(str, range(USERS))),
            tuple(map(str, range(ITEMS))),
            users,
            items,
            np.clip(np.round(values), 1, 5),
            [0] * len(users),
        ),
        content,
    )


def test_content_that_matters_is_used() -> None:
    log, content = content_log(tie=1.0)
    warm = np.flatnonzero(log.items >= 30)
    model = fit_rating_model(log, warm, factors=4)
    fitted = fit_content_map(model, content)
    assert fitted.explained > 0.8
    full = fit_rating_model(log, factors=4)
    factors, bias = fitted.predict(content[:30])
    users = np.arange(USERS)
    guessed = model.mean + model.user_bias[users, None] + bias + model.user_factors @ factors.T
    truth = full.score(users, np.tile(np.arange(30), (USERS, 1)))
    assert np.corrcoef(guessed.ravel(), truth.ravel())[0, 1] > 0.9


def test_content_that_says_nothing_is_shrunk_away() -> None:
    log, content = content_log(tie=0.0)
    model = fit_rating_model(log, factors=4)
    fitted = fit_content_map(model, content)
    assert fitted.explained < 0.05
    assert fitted.strength > fit_content_map(model, np.c_[model.item_factors, content]).strength


def test_evidence_decides_the_blend() -> None:
    log, content = content_log(tie=0.7)
    model = fit_rating_model(log, factors=4)
    fitted = fit_content_map(model, content)
    none, some, many = (
        fitted.blend(content, model.item_factors, model.item_bias, np.full(ITEMS, n))
        for n in (0, 5, 10**7)
    )
    guess_factors, guess_bias = fitted.predict(content)
    assert np.allclose(none[0], guess_factors)
    assert np.allclose(none[1], guess_bias)
    assert np.allclose(many[0], model.item_factors, atol=1e-3)
    assert np.allclose(many[1], model.item_bias, atol=1e-3)
    gap = np.abs(some[0] - guess_factors) + np.abs(some[0] - model.item_factors)
    assert np.allclose(gap, np.abs(guess_factors - model.item_factors), atol=1e-5)


def test_the_less_content_explains_the_fewer_ratings_outweigh_it() -> None:
    tied, loose = (
        fit_content_map(fit_rating_model(log, factors=2), content)
        for log, content in (content_log(0.95), content_log(0.3))
    )
    assert tied.half[0] > loose.half[0]


def test_cold_items_are_predicted_better_with_their_content() -> None:
    log, content = content_log(tie=0.8)
    report = evaluate_cold_items(log, content, share=0.2, factors=4)
    base = report["user_bias"]
    for way in ("content_map", "joint"):
        assert report[way]["rmse"] < 0.9 * base["rmse"]
        assert report[way]["rmse_by_item"] < 0.9 * base["rmse_by_item"]
        assert report[way]["log_loss"] < base["log_loss"]
    assert report["items"] == 30


def test_content_that_does_not_fit_is_refused() -> None:
    log, content = content_log(tie=0.8)
    model = fit_rating_model(log, factors=2, rounds=8)
    with pytest.raises(DataError, match=r"\(150, D\), not \(149, 6\)"):
        fit_content_map(model, content[1:])
    with pytest.raises(DataError, match="finite"):
        fit_content_map(model, np.where(content > 2, np.nan, content))
    with pytest.raises(UsageError, match=r"\(I, 6\)"):
        fit_content_map(model, content).predict(content[:, :3])


def test_a_map_needs_some_items() -> None:
    log, content = content_log(tie=0.8)
    few = fit_rating_model(log, np.flatnonzero(log.items < 4), factors=1, rounds=5)
    with pytest.raises(DataError, match="4 items have ratings"):
        fit_content_map(few, content)
