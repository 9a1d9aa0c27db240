"""Measures against hand-made answers, splits, search, and the public splits as published."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sparse

from slategym.cf_baselines.base import make_scorer
from slategym.cf_baselines.benchmark_data import load_ranking_task, load_rating_task
from slategym.cf_baselines.evaluation import evaluate_ranking, evaluate_ratings, predict_pairs
from slategym.cf_baselines.interactions import Interactions
from slategym.cf_baselines.joining import join_logs, last_of_each_pair
from slategym.cf_baselines.metrics import (
    coverage,
    diversity,
    hit_table,
    interval,
    novelty,
    ranking_metrics,
    rating_errors,
)
from slategym.cf_baselines.ranking import top_k
from slategym.cf_baselines.splits import (
    leave_one_out,
    split_users_at_random,
    split_users_by_time,
)
from slategym.cf_baselines.tuning import tune
from slategym.errors import DataError, UsageError


def random_log(seed: int = 0, users: int = 30, items: int = 20) -> Interactions:
    rng = np.random.default_rng(seed)
    who, what = np.nonzero(rng.random((users, items)) < 0.4)
    return Interactions(
        tuple(f"u{n}" for n in range(users)),
        tuple(f"i{n}" for n in range(items)),
        who,
        what,
        rng.integers(1, 6, len(who)),
        rng.permutation(len(who)) + 1,
    )


def test_ranking_measures_by_hand() -> None:
    positives = sparse.csr_matrix(np.array([[1, 0, 1, 0, 1], [0, 1, 0, 0, 0]]))
    lists = np.array([[3, 0, 2, -1], [0, 2, 3, 4]])
    hits = hit_table(lists, positives)
    assert hits.tolist() == [[False, True, True, False], [False] * 4]
    found = ranking_metrics(hits, [3, 1], 3)
    ideal = 1 + 1 / np.log2(3) + 1 / 2
    assert found["recall"].tolist() == [2 / 3, 0]
    assert found["precision"].tolist() == [2 / 3, 0]
    assert found["ndcg"][0] == pytest.approx((1 / np.log2(3) + 1 / 2) / ideal)
    assert found["hit_rate"].tolist() == [1, 0]
    assert found["mrr"].tolist() == [1 / 2, 0]
    assert found["map"][0] == pytest.approx((1 / 2 + 2 / 3) / 3)
    # The ideal list is as long as there are positives, or k.
    first = ranking_metrics(np.array([[True, False]]), [1], 2)
    assert first["ndcg"] == first["map"] == [1.0]
    assert ranking_metrics(np.array([[True, True]]), [5], 2)["ndcg"] == [1.0]
    assert ranking_metrics(np.array([[True]]), [1], 4)["precision"] == [1 / 4]


def test_measures_of_all_lists_by_hand() -> None:
    lists = np.array([[0, 1], [1, -1]])
    assert coverage(lists, 4) == 0.5
    assert novelty(lists, [1, 2, 4, 0], 4) == pytest.approx((2 + 1 + 1) / 3)
    assert novelty(np.array([[3]]), [1, 2, 4, 0], 4) == 2.0  # nobody counts as one
    vectors = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 0.0]])
    assert diversity(np.array([[0, 1]]), vectors) == 1.0
    assert diversity(np.array([[0, 2]]), vectors) == 0.0
    assert diversity(np.array([[0, 1, 2]]), vectors) == pytest.approx(2 / 3)
    assert diversity(np.array([[0, 3], [1, -1]]), vectors) == 1.0
    assert rating_errors([1.0, 4.0], [2.0, 2.0]) == (pytest.approx(np.sqrt(2.5)), 1.5)


def test_an_interval_holds_the_mean_and_narrows_with_users() -> None:
    values = np.random.default_rng(0).random(400)
    few, many = interval(values[:40], 1), interval(values, 1)
    assert many.low < many.mean < many.high
    assert many.high - many.low < 0.5 * (few.high - few.low)
    # For a mean of n values of deviation s the interval is 2 * 1.96 s / sqrt(n) wide.
    assert many.high - many.low == pytest.approx(3.92 * values.std() / 20, rel=0.15)
    assert interval(values, 1) == many


def test_equal_scores_are_ordered_by_row() -> None:
    scores = np.array([[1, 3, 3, 2, 3, 0]], np.float32)
    assert top_k(scores, 2).items.tolist() == [[1, 2]]
    assert top_k(scores, 4, [[2, -1]]).items.tolist() == [[1, 4, 3, 0]]
    short = top_k(scores, 8, [[0, 1]])
    assert short.items.tolist() == [[2, 4, 3, 5, -1, -1, -1, -1]]
    assert np.isneginf(short.scores[0, 4:]).all()
    assert scores[0, 0] == 1  # the caller's array stays


def test_a_report_is_what_a_slow_reading_of_the_protocol_gives() -> None:
    log = random_log()
    split = split_users_by_time(log)
    scorer = make_scorer("item-knn").fit(log, np.union1d(split.train, split.validation))
    test = log.take(split.test)
    report = evaluate_ranking(scorer, test, positive=4.0, at=(5,))
    scores = scorer.score_all(np.arange(30))
    recalls = []
    for user in range(30):
        liked = set(test.items[(test.users == user) & (test.values >= 4)].tolist())
        seen = set(scorer.log.items[scorer.log.users == user].tolist())
        ranked = [i for i in np.argsort(-scores[user], kind="stable").tolist() if i not in seen]
        if liked:
            recalls.append(len(liked & set(ranked[:5])) / len(liked))
    assert report["recall@5"] == pytest.approx(np.mean(recalls))
    assert len(report.users) == len(recalls)
    with pytest.raises(UsageError, match="no measure"):
        report["recall@7"]
    only = evaluate_ranking(scorer, test, positive=4.0, at=(5,), candidates=[1, 2, 3])
    assert set(only.items.ravel().tolist()) <= {-1, 1, 2, 3}
    with pytest.raises(DataError, match="none of the"):
        evaluate_ranking(scorer, test, positive=9.0)
    with pytest.raises(UsageError, match="not those"):
        evaluate_ranking(scorer, random_log(users=31))


def test_predicted_pairs_are_the_scores_in_the_order_asked_for() -> None:
    log = random_log()
    scorer = make_scorer("bias").fit(log)
    users, items = np.array([5, 1, 5, 0]), np.array([3, 2, 0, 3])
    every = scorer.score_all(np.arange(30))
    assert np.array_equal(predict_pairs(scorer, users, items), every[users, items])
    report = evaluate_ratings(scorer, log)
    gap = np.clip(every[log.users, log.items], 1, 5) - log.values
    assert report.rmse == pytest.approx(float(np.sqrt((gap**2).mean())), rel=1e-5)
    assert report.rmse_interval.low < report.rmse < report.rmse_interval.high


@pytest.mark.parametrize("fraction", [0.2, 0.5])
def test_the_newest_rows_of_each_user_are_held_out(fraction: float) -> None:
    log = random_log()
    split = split_users_by_time(log, fraction)
    assert np.array_equal(np.sort(np.concatenate(list(split))), np.arange(len(log)))
    for user in range(30):
        parts = [rows[log.users[rows] == user] for rows in split]
        n = sum(map(len, parts))
        assert len(parts[2]) == int(np.ceil(n * fraction))
        assert len(parts[1]) == int(np.ceil((n - len(parts[2])) * fraction))
        newest = [log.times[rows].max(initial=0) for rows in parts]
        oldest = [log.times[rows].min(initial=10**9) for rows in parts]
        assert newest[0] <= oldest[1]
        assert newest[1] <= oldest[2]


def test_other_splits_by_user() -> None:
    log = random_log()
    first, again, other = (split_users_at_random(log, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first.test, again.test)
    assert not np.array_equal(first.test, other.test)
    assert len(first.test) == len(split_users_by_time(log).test)
    one = leave_one_out(log)
    assert (log.user_counts(one.test) == 1).all()
    for user in range(30):
        rows = np.flatnonzero(log.users == user)
        assert rows[log.times[rows].argmax()] in one.test
    with pytest.raises(UsageError, match="fraction"):
        split_users_at_random(log, 1.0)
    timeless = Interactions(("a",), ("x",), [0], [0], [1.0], [0])
    with pytest.raises(DataError, match="no times"):
        split_users_by_time(timeless)
    assert len(leave_one_out(timeless).test) == 0


def test_a_search_takes_the_best_on_validation_and_never_sees_the_test() -> None:
    log = random_log()
    split = split_users_by_time(log)
    grid = {"penalty": [1.0, 10.0, 100.0]}
    found = tune("ease", grid, log, split.train, split.validation, positive=4.0)
    assert found.best.value == max(trial.value for trial in found.trials)
    values = log.values.copy()
    values[split.test] = 6 - values[split.test]
    changed = Interactions(log.user_ids, log.item_ids, log.users, log.items, values, log.times)
    assert tune("ease", grid, changed, split.train, split.validation, positive=4.0) == found
    some = tune("ease", grid, log, split.train, split.validation, trials=2, seed=1, positive=4.0)
    assert len(some.trials) == 2
    errors = tune(
        "bias", {"kind": ["global", "both"]}, log, split.train, split.validation, measure="rmse"
    )
    assert errors.best.value == min(trial.value for trial in errors.trials)
    with pytest.raises(UsageError, match="no values"):
        tune("ease", {"penalty": []}, log, split.train, split.validation)
    with pytest.raises(UsageError, match="measure"):
        tune("ease", {}, log, split.train, split.validation, measure="ndcg")


def test_logs_are_joined_by_id_and_the_last_row_of_a_pair_stays() -> None:
    first = Interactions(("a", "b"), ("x", "y"), [0, 1, 0], [0, 1, 0], [1, 2, 3], [5, 5, 9])
    assert last_of_each_pair(first).values.tolist() == [2, 3]
    second = Interactions(("b", "c"), ("z", "y"), [1, 0], [0, 1], [4, 5], [1, 9])
    joined = join_logs(last_of_each_pair(first), second)
    assert joined.user_ids == ("a", "b", "c")
    assert joined.item_ids == ("x", "y", "z")
    pairs = zip(joined.users.tolist(), joined.items.tolist(), joined.values.tolist(), strict=True)
    assert set(pairs) == {(0, 0, 3.0), (1, 1, 5.0), (2, 2, 4.0)}
    implicit = Interactions(("a",), ("x",), [0], [0], [1], [0], implicit=True)
    with pytest.raises(DataError, match="implicit"):
        join_logs(first, implicit)


def test_splits_in_files_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0 0 1\n1 2\n")
    (tmp_path / "test.txt").write_text("0 2\n1 0 1\n")
    task = load_ranking_task(tmp_path)
    assert task.log.users[task.test].tolist() == [0, 1, 1]
    assert task.log.items[task.fit_rows].tolist() == [0, 1, 2]
    assert not np.intersect1d(task.fit_rows, task.test).size
    (tmp_path / "test.txt").write_text("0 two\n")
    with pytest.raises(DataError, match="line 1"):
        load_ranking_task(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        load_ranking_task(tmp_path / "nothing")


@pytest.mark.slow
def test_measured_protocols_are_reproduced(data_dir: Callable[[str], Path]) -> None:
    """The figures a program of its own measured for the same models and settings."""
    task = load_ranking_task(data_dir("ml-100k"))
    for name, settings, ndcg, recall in (
        ("ease", {"penalty": 200.0}, 0.1855, 0.2434),
        ("user-knn", {"neighbours": 80, "shrinkage": 10.0, "power": 2.0}, 0.1717, 0.2327),
        ("rp3beta", {"alpha": 0.8, "beta": 0.5, "neighbours": 400}, 0.1632, 0.2185),
        ("popularity", {}, 0.0982, 0.1247),
    ):
        scorer = make_scorer(name, **settings).fit(task.log, task.fit_rows)
        report = evaluate_ranking(scorer, task.log.take(task.test), positive=task.positive)
        assert report["ndcg@10"] == pytest.approx(ndcg, abs=1e-3)
        assert report["recall@20"] == pytest.approx(recall, abs=1e-3)
        assert len(report.users) == 908


@pytest.mark.slow
def test_official_folds_partition_the_ratings(data_dir: Callable[[str], Path]) -> None:
    task = load_rating_task(data_dir("ml-100k"))
    tests = np.sort(np.concatenate([test for _, test in task.folds]))
    assert np.array_equal(tests, np.arange(100_000))
    for fit_rows, test in task.folds:
        assert np.array_equal(np.union1d(fit_rows, test), np.arange(100_000))
    fit_rows, test = task.folds[0]
    scorer = make_scorer("bias", kind="global").fit(task.log, fit_rows)
    assert evaluate_ratings(scorer, task.log.take(test)).rmse == pytest.approx(1.1537, abs=1e-4)
