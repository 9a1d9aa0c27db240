"""The Bayesian rating model: levels, its posterior, probabilities of values, cold items."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

from slategym.cf_baselines.gibbs_kernels import fold_rows
from slategym.cf_baselines.gibbs_scorer import BayesScorer
from slategym.cf_baselines.interactions import Interactions
from slategym.cf_baselines.ordinal import TABLE_LOW, TABLE_STEP, OrderedLevels
from slategym.errors import DataError, UsageError

USERS, ITEMS = 60, 40


def make_log(users: np.ndarray, items: np.ndarray, values: np.ndarray) -> Interactions:
    user_ids = tuple(f"u{row}" for row in range(USERS))
    item_ids = tuple(f"i{row}" for row in range(ITEMS))
    return Interactions(user_ids, item_ids, users, items, values, np.zeros(len(users), int))


@cache
def chance() -> Interactions:
    """Return stars that depend on nobody and nothing: 1 to 5 with chances .1 .1 .2 .4 .2."""
    rng = np.random.default_rng(4)
    users, items = np.nonzero(rng.random((USERS, ITEMS)) < 0.6)
    return make_log(users, items, rng.choice(5, len(users), p=[0.1, 0.1, 0.2, 0.4, 0.2]) + 1)


@cache
def fitted() -> BayesScorer:
    return BayesScorer(factors=2, sweeps=60, warm_up=20, samples=20).fit(chance())


def test_hidden_values_lie_between_the_bounds_of_their_level() -> None:
    levels = OrderedLevels([1, 1, 2, 4, 4, 4, 5])
    rng = np.random.default_rng(0)
    hidden = levels.draw_hidden(rng.normal(size=7), rng.random(7))
    assert (hidden >= levels.bounds[levels.level]).all()
    assert (hidden <= levels.bounds[levels.level + 1]).all()
    assert levels.values.tolist() == [1, 2, 4, 5]


def test_cuts_settle_where_the_shares_of_the_levels_are() -> None:
    rng = np.random.default_rng(1)
    values = rng.choice(3, 2000, p=[0.2, 0.5, 0.3])
    levels = OrderedLevels(values)
    levels.cuts = levels.cuts + np.array([0.5, 0.8])
    for _ in range(400):
        levels.move_cuts(np.zeros(len(values)))
    shares = np.bincount(values) / len(values)
    assert np.allclose(np.diff(ndtr(levels.bounds)), shares, atol=1e-3)


def test_the_table_holds_expected_values() -> None:
    levels = OrderedLevels([1, 2, 2, 5])
    at = round((0.25 - TABLE_LOW) / TABLE_STEP)
    chances = np.diff(ndtr(levels.bounds - 0.25))
    assert levels.table()[at] == pytest.approx(chances @ [1, 2, 5], abs=1e-5)


def test_probabilities_of_levels_add_up_and_give_the_score() -> None:
    scorer = fitted()
    users, items = np.array([3, -1]), np.array([[0, 7, 7], [1, 2, 39]])
    levels, chances = scorer.level_probabilities(users, items)
    assert levels.tolist() == [1, 2, 3, 4, 5]
    assert chances.shape == (2, 3, 5)
    assert np.allclose(chances.sum(axis=-1), 1, atol=1e-5)
    assert np.allclose(chances @ levels, scorer.score(users, items), atol=2e-3)


def test_where_nothing_can_be_known_probabilities_are_the_shares() -> None:
    scorer = fitted()
    everything = np.tile(np.arange(ITEMS), (USERS, 1))
    _, chances = scorer.level_probabilities(np.arange(USERS), everything)
    shares = np.bincount(chance().values.astype(int) - 1) / len(chance())
    assert np.allclose(chances.mean(axis=(0, 1)), shares, atol=0.03)


def test_measured_values_have_no_levels_and_say_so() -> None:
    scorer = BayesScorer(factors=1, sweeps=3, warm_up=1, samples=2, likelihood="normal")
    with pytest.raises(UsageError, match="likelihood='ordered'"):
        scorer.fit(chance()).level_probabilities([0], [[0]])


def test_a_new_user_gets_the_posterior_mean_of_a_gaussian_model() -> None:
    rng = np.random.default_rng(5)
    items = rng.normal(size=(6, 1, 3)).astype(np.float32)
    base = rng.normal(size=(1, 1, 3)).astype(np.float32)
    mean, precision, alpha = rng.normal(size=3), np.array([1.0, 2.0, 3.0]), 4.0
    history, values = np.array([[0, -1, 4, 5]], np.int32), rng.normal(size=(1, 4))
    out = np.empty((1, 1, 3), np.float32)
    none, cuts = np.zeros((1, 4), np.int32), np.zeros((1, 0))
    prior = mean[None].astype(np.float32), precision[None].astype(np.float32)
    fold_rows(history, none, values, base, items, cuts, np.array([alpha]), *prior, 1, out)
    rated = items[[0, 4, 5], 0].astype(float)
    design = np.column_stack([np.ones(3), rated[:, 1:]])
    fixed = rated[:, 0] + design @ base[0, 0]
    target = values[0, [0, 2, 3]] - fixed
    system = alpha * design.T @ design + np.diag(precision)
    own = np.linalg.solve(system, precision * mean + alpha * design.T @ target)
    assert np.allclose(out[0, 0], base[0, 0] + own, atol=1e-4)


def test_people_drawn_are_the_same_for_a_seed_and_differ_from_each_other() -> None:
    first, again = (fitted().draw_users(50, seed=7) for _ in range(2))
    assert np.array_equal(first.users, again.users)
    assert not np.array_equal(first.users, fitted().draw_users(50, seed=8).users)
    values = first.values(np.arange(50), np.tile(np.arange(ITEMS), (50, 1)))
    assert ((values >= 1) & (values <= 5)).all()
    same = np.flatnonzero(first.people == np.bincount(first.people).argmax())
    assert len(same) > 1
    assert len(np.unique(values[same], axis=0)) == len(same)


def test_an_item_without_ratings_is_known_by_its_content() -> None:
    rng = np.random.default_rng(6)
    users, items = np.nonzero(rng.random((USERS, ITEMS)) < 0.5)
    values = np.where(users % 2 == items % 2, 5, 1)
    warm = items < ITEMS - 6
    content = np.eye(2, dtype=np.float32)[np.arange(ITEMS) % 2]
    scorer = BayesScorer(factors=2, sweeps=60, warm_up=20, samples=20)
    log = make_log(users[warm], items[warm], values[warm])
    scores = scorer.fit(log, content=content).score_all(np.arange(USERS))[:, ITEMS - 6 :]
    alike = np.add.outer(np.arange(USERS), np.arange(6)) % 2 == 0
    assert scores[alike].mean() > scores[~alike].mean() + 1
    with pytest.raises(DataError, match="user content"):
        BayesScorer().fit(log, user_content=np.ones((3, 2)))


@pytest.mark.slow
def test_first_official_fold_of_movielens(data_dir: Callable[[str], Path]) -> None:
    """Peers: 0.8905 for myFM with histories both ways; the interval over users is +-0.02."""
    from slategym.cf_baselines.benchmark_data import load_rating_task
    from slategym.cf_baselines.evaluation import evaluate_ratings

    task = load_rating_task(data_dir("ml-100k"))
    fit_rows, test = task.folds[0]
    scorer = BayesScorer().fit(task.log, fit_rows)
    assert evaluate_ratings(scorer, task.log.take(test)).rmse < 0.8905
