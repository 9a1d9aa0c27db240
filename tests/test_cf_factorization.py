"""The rating model finds low-rank taste, knows how sure it is, and folds in new users."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from slategym.cf_baselines.factorization import RatingModel, fit_rating_model
from slategym.cf_baselines.interactions import Interactions, split_random
from slategym.errors import DataError

USERS, ITEMS, RANK = 150, 120, 3
NOISE = 0.4


def low_rank_log(per_user: int = 40, seed: int = 0, taste: float = 0.6) -> Interactions:
    """A log made by the model itself: biases, three factors and noise around a mean of 3.5."""
    rng = np.random.default_rng(seed)
    bias = rng.normal(0, 0.3, USERS)[:, None] + rng.normal(0, 0.4, ITEMS)
    product = rng.normal(0, 1, (USERS, RANK)) @ rng.normal(0, taste, (ITEMS, RANK)).T
    items = np.stack([rng.permutation(ITEMS)[:per_user] for _ in range(USERS)])
    users = np.repeat(np.arange(USERS), per_user)
    flat = items.ravel()
    values = 3.5 + (bias + product)[users, flat] + rng.normal(0, NOISE, len(users))
    return Interactions(
        tuple(f"u{i}" for i in range(USERS)),
        tuple(f"i{i}" for i in range(ITEMS)),
        users,
        flat,
        values,
        np.zeros(len(users), int),
    )


def rmse(model: RatingModel, log: Interactions, rows: np.ndarray) -> float:
    return float(np.sqrt(np.mean((model.predict_rows(log, rows) - log.values[rows]) ** 2)))


@pytest.fixture(scope="module")
def log() -> Interactions:
    return low_rank_log()


@pytest.fixture(scope="module")
def model(log: Interactions) -> RatingModel:
    return fit_rating_model(log, factors=6, audience=0)


def test_taste_is_recovered_where_biases_alone_fail(log: Interactions) -> None:
    split = split_random(log, 0.2, seed=0, validation=0.0)
    model = fit_rating_model(log, split.train, factors=6, audience=0)
    without = model.mean + model.user_bias[log.users] + model.item_bias[log.items]
    bias_only = np.sqrt(np.mean((without - log.values)[split.test] ** 2))
    assert rmse(model, log, split.test) < 0.7 * bias_only
    assert rmse(model, log, split.test) < 1.35 * NOISE
    assert 0.8 * NOISE < model.noise_std < 1.2 * NOISE


def test_factors_that_are_not_there_are_switched_off(model: RatingModel) -> None:
    strength = model.item_factors.std(axis=0)
    assert (strength[:RANK] > 5 * strength[RANK:].max()).all()


def test_a_log_without_structure_is_predicted_by_its_mean() -> None:
    rng = np.random.default_rng(0)
    base = low_rank_log(20)
    noise = Interactions(
        base.user_ids, base.item_ids, base.users, base.items, rng.normal(0, 1, 3000), base.times
    )
    split = split_random(noise, 0.3, seed=0, validation=0.0)
    model = fit_rating_model(noise, split.train, factors=8)
    assert rmse(model, noise, split.test) < 1.03 * float(noise.values[split.test].std())


def test_uncertainty_shrinks_with_evidence(log: Interactions) -> None:
    few = np.concatenate([np.flatnonzero(log.users == u)[: 1 + (u % 2) * 39] for u in range(USERS)])
    model = fit_rating_model(log, few, factors=3, audience=0)
    little, much = model.user_std[0::2, :3].mean(), model.user_std[1::2, :3].mean()
    assert much < 0.5 * little
    assert little < 1.05


def test_uncertainty_is_honest() -> None:
    """About two thirds of the true values lie within one predicted deviation."""
    log = low_rank_log(60, seed=3)
    split = split_random(log, 0.3, seed=0, validation=0.0)
    model = fit_rating_model(log, split.train, factors=RANK, audience=0)
    test = log.take(split.test)
    variance = (
        model.noise_std**2
        + model.user_bias_std[test.users] ** 2
        + model.item_bias_std[test.items] ** 2
        + (model.user_std[test.users] ** 2 * model.item_factors[test.items] ** 2).sum(axis=1)
        + (model.user_factors[test.users] ** 2 * model.item_std[test.items] ** 2).sum(axis=1)
    )
    gap = np.abs(model.predict_rows(test) - test.values) / np.sqrt(variance)
    assert 0.6 < (gap < 1).mean() < 0.78


def test_users_have_mean_zero_and_unit_variance_in_the_basis(model: RatingModel) -> None:
    assert np.abs(model.user_factors.mean(axis=0)).max() < 0.05
    second = (model.user_factors**2 + model.user_std**2).mean(axis=0)
    assert np.allclose(second, 1, atol=0.05)
    overlap = model.item_factors.T @ model.item_factors
    assert np.abs(overlap - np.diag(np.diag(overlap))).max() < 1e-3 * overlap.max()
    assert (np.diff(np.diag(overlap)) <= 0).all()


def test_folding_in_the_training_history_gives_the_fitted_user(
    log: Interactions, model: RatingModel
) -> None:
    history = np.full((USERS, 45), -1)
    values = np.full((USERS, 45), np.nan)
    for user in range(USERS):
        rows = np.flatnonzero(log.users == user)
        history[user, 45 - len(rows) :] = log.items[rows]
        values[user, 45 - len(rows) :] = log.values[rows]
    folded = model.fold_in(history, values)
    assert np.abs(folded.bias - model.user_bias).max() < 0.05
    assert np.abs(folded.factors - model.user_factors).max() < 0.1
    assert np.abs(folded.std - model.user_std).max() < 0.05
    items = np.tile(np.arange(ITEMS), (USERS, 1))
    gap = model.score_folded(folded, items) - model.score(np.arange(USERS), items)
    assert np.abs(gap).max() < 0.1


def test_an_empty_history_is_the_average_user(model: RatingModel) -> None:
    folded = model.fold_in(np.full((2, 4), -1), np.zeros((2, 4)))
    assert np.array_equal(folded.bias, np.zeros(2))
    assert np.array_equal(folded.factors, np.zeros((2, 6)))
    items = np.array([[0, 1, 2], [5, 5, 5]])
    unknown = model.score(np.array([-1, -1]), items)
    assert np.array_equal(model.score_folded(folded, items), unknown)
    assert np.array_equal(model.fold_in(np.zeros((1, 0), int), np.zeros((1, 0))).bias, [0])


def test_a_batch_gives_what_single_users_give(log: Interactions, model: RatingModel) -> None:
    history = log.items.reshape(USERS, 40)[:7]
    values = log.values.reshape(USERS, 40)[:7]
    together = model.fold_in(history, values)
    for row in range(7):
        alone = model.fold_in(history[row : row + 1], values[row : row + 1])
        assert np.allclose(alone.factors[0], together.factors[row], atol=1e-5)


def test_more_history_tells_more(log: Interactions, model: RatingModel) -> None:
    history, values = log.items.reshape(USERS, 40), log.values.reshape(USERS, 40)
    truth = model.user_factors
    gaps = [
        np.abs(model.fold_in(history[:, :n], values[:, :n]).factors - truth)[:, :RANK].mean()
        for n in (1, 5, 20, 40)
    ]
    assert gaps == sorted(gaps, reverse=True)


def test_equal_arguments_give_equal_arrays_and_the_log_is_not_read_outside_its_rows(
    log: Interactions,
) -> None:
    rows = np.arange(0, len(log), 2)
    changed = log.values.copy()
    changed[1::2] = 99.0
    other = Interactions(log.user_ids, log.item_ids, log.users, log.items, changed, log.times)
    first = fit_rating_model(log, rows, factors=3, rounds=12)
    second = fit_rating_model(other, rows, factors=3, rounds=12)
    for field in fields(RatingModel):
        assert np.array_equal(getattr(first, field.name), getattr(second, field.name))


def test_the_unit_of_the_log_does_not_matter(log: Interactions) -> None:
    tenfold = Interactions(
        log.user_ids, log.item_ids, log.users, log.items, 10 * log.values - 7, log.times
    )
    plain = fit_rating_model(log, factors=3, rounds=20)
    scaled = fit_rating_model(tenfold, factors=3, rounds=20)
    expected = 10 * plain.predict_rows(log) - 7
    assert np.allclose(scaled.predict_rows(tenfold), expected, atol=1e-2)
    history, values = log.items.reshape(USERS, 40)[:5], log.values.reshape(USERS, 40)[:5]
    folded = scaled.fold_in(history, 10 * values - 7)
    assert np.allclose(folded.factors, plain.fold_in(history, values).factors, atol=1e-2)
    assert scaled.noise_std == pytest.approx(10 * plain.noise_std, rel=1e-3)


def test_who_rates_an_item_tells_about_it_before_its_ratings_do() -> None:
    """Fans of a kind of item rate that kind only, so the audience gives the kind away."""
    rng = np.random.default_rng(1)
    users, items, values = [], [], []
    for user in range(100):
        for item in rng.permutation(100)[:60]:
            kin = user % 2 == item % 2
            if rng.random() < (0.8 if kin else 0.1):
                users.append(user)
                items.append(item)
                values.append((4.0 if kin else 2.0) + rng.normal(0, 0.5))
    n = len(users)
    names = tuple(map(str, range(100)))
    log = Interactions(names, names, users, items, values, [0] * n)
    # Keep two ratings of every tenth item.
    drop = np.isin(log.items, np.arange(0, 100, 10))
    keep = np.zeros(n, dtype=bool)
    for item in range(0, 100, 10):
        keep[np.flatnonzero(log.items == item)[:8]] = True
    train, test = np.flatnonzero(~drop | keep), np.flatnonzero(drop & ~keep)
    blind = fit_rating_model(log, train, factors=2, audience=0)
    told = fit_rating_model(log, train, factors=2, audience=2)
    assert rmse(told, log, test) <= rmse(blind, log, test) + 0.01


def test_content_tells_about_items_without_any_rating() -> None:
    rng = np.random.default_rng(0)
    content = rng.normal(0, 1, (ITEMS, 4))
    factors = content @ rng.normal(0, 0.4, (4, RANK))
    users = np.repeat(np.arange(USERS), 40)
    items = np.concatenate([rng.permutation(ITEMS)[:40] for _ in range(USERS)])
    taste = rng.normal(0, 1, (USERS, RANK))
    values = (taste[users] * factors[items]).sum(axis=1) + rng.normal(0, NOISE, len(users))
    log = Interactions(
        tuple(map(str, range(USERS))),
        tuple(map(str, range(ITEMS))),
        users,
        items,
        values,
        [0] * len(users),
    )
    cold = np.flatnonzero(log.items < 20)
    warm = np.flatnonzero(log.items >= 20)
    without = fit_rating_model(log, warm, factors=3)
    told = fit_rating_model(log, warm, factors=3, item_features=content)
    assert (told.counts[:20] == 0).all()
    assert rmse(told, log, cold) < 0.7 * rmse(without, log, cold)


def test_an_implicit_log_is_fitted_against_sampled_negatives() -> None:
    """Two groups that like one half of the items each: the model tells which half."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(60), 12)
    items = np.concatenate([(u % 2) * 30 + rng.permutation(30)[:12] for u in range(60)])
    log = Interactions(
        tuple(map(str, range(60))),
        tuple(map(str, range(60))),
        users,
        items,
        np.ones(len(users)),
        np.zeros(len(users), int),
        implicit=True,
    )
    model = fit_rating_model(log, factors=2)
    scores = model.score(np.arange(60), np.tile(np.arange(60), (60, 1)))
    own = np.arange(60)[:, None] % 2 == np.arange(60)[None, :] // 30
    assert scores[own].min() > scores[~own].max()
    assert (model.low, model.high) == (0.0, 1.0)


def test_a_tiny_log_is_fitted() -> None:
    log = Interactions(("a", "b"), ("x", "y", "z"), [0, 0, 1], [0, 1, 0], [5, 1, 4], [0, 0, 0])
    model = fit_rating_model(log)
    assert np.isfinite(model.score(np.array([0, 1, -1]), np.tile(np.arange(3), (3, 1)))).all()
    assert model.counts.tolist() == [2, 1, 0]


@pytest.mark.parametrize("values", [[], [3.0, 3.0]])
def test_nothing_to_learn_is_refused(values: list[float]) -> None:
    n = len(values)
    log = Interactions(("a",), ("x", "y"), [0] * n, range(n), values, [0] * n)
    with pytest.raises(DataError, match=f"{n} rows"):
        fit_rating_model(log)


def test_a_log_of_one_user_is_refused() -> None:
    log = Interactions(("a", "b"), ("x", "y"), [1, 1], [0, 1], [3.0, 4.0], [0, 0])
    with pytest.raises(DataError, match="of one user, 'b'"):
        fit_rating_model(log)


def test_clipping_keeps_predictions_in_the_range_seen(
    log: Interactions, model: RatingModel
) -> None:
    users, items = np.repeat(np.arange(USERS), ITEMS), np.tile(np.arange(ITEMS), USERS)
    free, cut = model.predict(users, items), model.predict(users, items, clip=True)
    assert cut.min() >= model.low
    assert cut.max() <= model.high
    assert np.array_equal(cut, np.clip(free, log.values.min(), log.values.max()))


def test_a_saved_model_comes_back_the_same(tmp_path: Path, model: RatingModel) -> None:
    model.save(tmp_path / "model.safetensors")
    back = RatingModel.load(tmp_path / "model.safetensors")
    for field in fields(RatingModel):
        mine, theirs = getattr(model, field.name), getattr(back, field.name)
        assert np.array_equal(mine, theirs)
        assert type(mine) is type(theirs)


def test_a_damaged_model_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not a model")
    with pytest.raises(DataError, match="not a saved rating model"):
        RatingModel.load(path)
