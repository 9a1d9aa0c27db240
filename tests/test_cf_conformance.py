"""What every collaborative-filtering model promises, checked on each in the register."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slategym.cf_baselines.base import SCORERS, Scorer, make_scorer, scorer_class
from slategym.cf_baselines.interactions import Interactions, load_interactions
from slategym.cf_baselines.scorer_files import load_scorer
from slategym.errors import DataError, UsageError

USERS, ITEMS = 40, 30
# Those that cannot know taste: everybody gets the same order.
TASTELESS = {"popularity", "bias"}
# Those that solve for the same optimum however the rows came in. The others start from random
# values or stop early, so that a refit is near, not the same.
EXACT = {"popularity", "bias", "item-knn", "user-knn", "rating-knn", "rp3beta", "ease", "slim"}
EVERY = np.arange(-1, USERS)
# Passes over the data of a model that is trained step by step; its own default is for real logs.
EPOCHS = 12


def make(name: str) -> Scorer:
    """Return an unfitted model with its default settings, trained for a short time only."""
    return make_scorer(
        name, **({"epochs": EPOCHS} if hasattr(make_scorer(name).config, "epochs") else {})
    )


def make_log(users: Any, items: Any, values: Any, times: Any = None, **more: Any) -> Interactions:  # noqa: ANN401
    """Return a log of `USERS` users and `ITEMS` items."""
    when = np.zeros(len(users), int) if times is None else times
    user_ids = tuple(f"u{row}" for row in range(USERS))
    item_ids = tuple(f"i{row}" for row in range(ITEMS))
    return Interactions(user_ids, item_ids, users, items, values, when, **more)


BOARD = np.add.outer(np.arange(USERS), np.arange(ITEMS)) % 2 == 0
HIDDEN = np.random.default_rng(0).random((USERS, ITEMS)) < 0.25


def checkerboard() -> Interactions:
    """Return a log where even users love even items and odd users odd ones; a quarter is hidden."""
    users, items = np.nonzero(~HIDDEN)
    return make_log(users, items, np.where(BOARD[users, items], 5.0, 1.0))


def noisy() -> Interactions:
    """Return a log of random stars."""
    rng = np.random.default_rng(2)
    users, items = np.nonzero(rng.random((USERS, ITEMS)) < 0.5)
    return make_log(
        users, items, rng.integers(1, 6, len(users)), rng.integers(1, 10**6, len(users))
    )


@cache
def fitted(name: str) -> Scorer:
    """Return the model fitted on the checkerboard; nobody may change it."""
    return make(name).fit(checkerboard())


@cache
def fitted_on_noise(name: str) -> Scorer:
    """Return the model fitted on random stars; nobody may change it."""
    return make(name).fit(noisy())


@pytest.fixture(params=sorted(SCORERS))
def name(request: pytest.FixtureRequest) -> str:
    """Each model in the register."""
    return str(request.param)


def spread(scores: np.ndarray) -> float:
    """Return the range of scores, to measure differences by."""
    return float(scores.max() - scores.min())


def test_the_register_knows_it_by_its_own_name(name: str) -> None:
    assert scorer_class(name).name == name
    assert issubclass(scorer_class(name), Scorer)


def test_held_out_cells_of_a_checkerboard_are_filled_in(name: str) -> None:
    if name in TASTELESS:
        pytest.skip("it cannot know taste, which the next test holds it to")
    scores = fitted(name).score_all(np.arange(USERS))
    right = []
    for user in range(USERS):
        loved, other = scores[user, HIDDEN[user] & BOARD[user]], scores[user, ~BOARD[user]]
        right += (loved[:, None] > other).mean(axis=1).tolist()
    assert np.mean(right) > 0.95


@pytest.mark.parametrize("tasteless", sorted(TASTELESS))
def test_models_without_taste_order_items_alike_for_all(tasteless: str) -> None:
    lists = fitted(tasteless).recommend(EVERY, ITEMS, exclude_seen=False).items
    assert (lists == lists[0]).all()


def test_scores_have_the_shape_and_type_asked_for(name: str) -> None:
    scorer = fitted(name)
    out = scorer.score([3, 1], [[0, 5, 5], [9, 2, 29]])
    assert out.shape == (2, 3)
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert out[0, 1] == out[0, 2]
    assert scorer.score(np.zeros(0, int), np.zeros((0, 4), int)).shape == (0, 4)
    every = scorer.score_all(EVERY)
    assert every.shape == (USERS + 1, ITEMS)
    assert every.dtype == np.float32
    rows = np.tile(np.arange(ITEMS), (USERS + 1, 1))
    assert np.allclose(scorer.score(EVERY, rows), every, atol=1e-5 * max(1.0, spread(every)))


def test_a_batch_is_many_single_users(name: str) -> None:
    scorer = fitted(name)
    users = np.array([5, 0, 5, -1, 17])
    together = scorer.score_all(users)
    alone = np.concatenate([scorer.score_all([user]) for user in users])
    assert np.allclose(alone, together, atol=1e-5 * max(1.0, spread(together)))
    items, values, times = scorer.histories(users)
    state = scorer.score_all_folded(scorer.fold_in(items, values, times))
    singly = [
        scorer.fold_in(items[n : n + 1], values[n : n + 1], times[n : n + 1]) for n in range(5)
    ]
    single = np.concatenate([scorer.score_all_folded(one) for one in singly])
    assert np.allclose(single, state, atol=1e-5 * max(1.0, spread(state)))


def test_folding_in_a_known_history_orders_items_like_the_known_user(name: str) -> None:
    scorer = fitted(name)
    users = np.arange(8)
    folded = scorer.score_all_folded(scorer.fold_in(*scorer.histories(users)))
    known = scorer.score_all(users)
    unseen = HIDDEN[users]
    if name in EXACT:
        assert np.allclose(folded, known, atol=1e-5 * max(1.0, spread(known)))
    elif name not in TASTELESS:
        agree = [np.corrcoef(folded[u, unseen[u]], known[u, unseen[u]])[0, 1] for u in users]
        assert np.mean(agree) > 0.9


def test_padding_may_stand_anywhere(name: str) -> None:
    scorer = fitted(name)
    left = ([[-1, -1, 4, 7]], [[0.0, 0.0, 5.0, 1.0]], [[0, 0, 10, 20]])
    apart = ([[4, -1, 7, -1, -1]], [[5.0, np.nan, 1.0, 9.0, 9.0]], [[10, 0, 20, 99, 99]])
    first, second = (scorer.score_all_folded(scorer.fold_in(*history)) for history in (left, apart))
    assert np.allclose(first, second, atol=1e-5 * max(1.0, spread(first)))


def test_unknown_users_and_empty_histories_score_alike(name: str) -> None:
    scorer = fitted(name)
    unknown = scorer.score_all([-1, 2, -1])
    nothing = scorer.fold_in(np.full((2, 3), -1), np.zeros((2, 3)))
    assert np.isfinite(unknown).all()
    assert np.allclose(unknown[[0, 2]], scorer.score_all_folded(nothing), atol=1e-5)
    none = scorer.fold_in(np.zeros((1, 0), int), np.zeros((1, 0)))
    assert np.allclose(unknown[:1], scorer.score_all_folded(none), atol=1e-5)
    assert name in TASTELESS or not np.allclose(unknown[1], unknown[0])


def test_an_item_nobody_had_still_gets_a_score(name: str) -> None:
    log = checkerboard()
    rows = np.flatnonzero(log.items != 7)
    scores = make(name).fit(log, rows).score_all(EVERY)
    assert np.isfinite(scores).all()


def test_recommendations_are_the_best_unseen_items(name: str) -> None:
    scorer = fitted(name)
    users = np.array([0, 1, -1])
    found = scorer.recommend(users, ITEMS)
    scores = scorer.score_all(users)
    for row, user in enumerate(users):
        unseen = np.flatnonzero(HIDDEN[user]) if user >= 0 else np.arange(ITEMS)
        listed = found.items[row][found.items[row] >= 0]
        assert sorted(listed.tolist()) == unseen.tolist()
        assert (np.diff(found.scores[row, : len(listed)]) <= 0).all()
        assert np.allclose(found.scores[row, : len(listed)], scores[row, listed], atol=1e-5)
        assert np.isneginf(found.scores[row, len(listed) :]).all()
    state = scorer.fold_in(*scorer.histories(users))
    folded = scorer.recommend_folded(state, 3, exclude=scorer.index.items_of(users))
    assert folded.items.shape == (3, 3)
    assert HIDDEN[0, folded.items[0]].all()


def test_a_second_fit_gives_the_same_bytes(name: str) -> None:
    again = make(name).fit(checkerboard())
    assert np.array_equal(again.score_all(EVERY), fitted(name).score_all(EVERY))


def test_saved_and_loaded_it_scores_the_same_to_the_bit(name: str, tmp_path: Path) -> None:
    scorer = fitted_on_noise(name)
    scorer.save(tmp_path / "model")
    loaded = load_scorer(tmp_path / "model")
    assert loaded.config == scorer.config
    assert np.array_equal(loaded.score_all(EVERY), scorer.score_all(EVERY))
    history = scorer.histories([4, 9])
    states = (each.fold_in(*history) for each in (scorer, loaded))
    first, second = (scorer.score_all_folded(state) for state in states)
    assert np.array_equal(first, second)
    shares = [[part.share for part in each.explain(4, 5).parts] for each in (scorer, loaded)]
    assert shares[0] == pytest.approx(shares[1], rel=1e-4, abs=1e-6)


def test_a_damaged_folder_is_told_in_one_sentence(name: str, tmp_path: Path) -> None:
    fitted(name).save(tmp_path / "model")
    arrays = tmp_path / "model" / "scorer.safetensors"
    whole = arrays.read_bytes()
    arrays.write_bytes(whole[:-3] + b"xyz")
    with pytest.raises(DataError, match="damaged"):
        load_scorer(tmp_path / "model")
    arrays.unlink()
    with pytest.raises(DataError, match="damaged"):
        load_scorer(tmp_path / "model")


def test_only_the_rows_given_are_learned_from(name: str) -> None:
    log = checkerboard()
    rows = np.flatnonzero(log.items < 20)
    out = make(name).fit(log, rows).score_all([0])
    alone = make(name).fit(log.take(rows)).score_all([0])
    assert np.array_equal(out, alone)


def test_further_rows_with_new_users_and_items_equal_a_full_fit(name: str) -> None:
    log = noisy()
    first = (log.users < USERS - 5) & (log.items < ITEMS - 4) & (np.arange(len(log)) % 5 > 0)
    known = Interactions(
        log.user_ids[: USERS - 5],
        log.item_ids[: ITEMS - 4],
        *(column[first] for column in (log.users, log.items, log.values, log.times)),
    )
    grown = make(name).fit(known).partial_fit(log.take(np.flatnonzero(~first)))
    assert set(grown.log.item_ids) == set(log.item_ids)
    assert len(grown.log) == len(log)
    whole = make(name).fit(grown.log)
    scores, target = grown.score_all(EVERY), whole.score_all(EVERY)
    if name in EXACT:
        assert np.allclose(scores, target, atol=1e-5 * max(1.0, spread(target)))
    else:
        assert np.corrcoef(scores.ravel(), target.ravel())[0, 1] > 0.9


def test_a_changed_mind_replaces_the_older_row(name: str) -> None:
    if name not in EXACT:
        pytest.skip("held to it by the test above, up to its random start")
    log = noisy()
    later = make_log(log.users[:9], log.items[:9], 6 - log.values[:9], log.times[:9] + 1)
    grown = make(name).fit(log).partial_fit(later)
    values = log.values.copy()
    values[:9] = 6 - values[:9]
    whole = make(name).fit(
        make_log(log.users, log.items, values, np.concatenate([log.times[:9] + 1, log.times[9:]]))
    )
    assert len(grown.log) == len(log)
    target = whole.score_all(EVERY)
    assert np.allclose(grown.score_all(EVERY), target, atol=1e-5 * max(1.0, spread(target)))


def test_shares_of_an_explanation_add_up_to_the_score(name: str) -> None:
    scorer = fitted_on_noise(name)
    scores = scorer.score_all(EVERY)
    for user, item in ((0, 3), (7, 12), (-1, 5)):
        why = scorer.explain(user, item, top=3)
        score = float(scores[user + 1, item])
        assert why.score == pytest.approx(score, abs=1e-5 * max(1.0, spread(scores)))
        total = sum(part.share for part in why.parts)
        assert total == pytest.approx(why.score, abs=1e-6 * max(1.0, abs(score)))
        assert sum(part.kind == "history" for part in why.parts) <= 3
        assert scorer.log.item_ids[item] in why.text(scorer.log.item_ids)
    items, values, times = (part[0] for part in scorer.histories([7]))
    folded = scorer.explain_folded(items, values, 12, times=times)
    assert sum(part.share for part in folded.parts) == pytest.approx(folded.score, abs=1e-4)


def test_an_implicit_log_is_fine(name: str) -> None:
    users, items = np.nonzero(BOARD & ~HIDDEN)
    log = make_log(users, items, np.ones(len(users)), implicit=True)
    scores = make(name).fit(log).score_all([0, 1])
    assert np.isfinite(scores).all()
    if name not in TASTELESS | {"rating-knn"}:  # which needs values that differ
        unseen = HIDDEN[0]
        assert scores[0, unseen & BOARD[0]].mean() > scores[0, unseen & ~BOARD[0]].mean()


def test_a_user_without_positives_is_scored(name: str) -> None:
    users, items = np.nonzero(~HIDDEN)
    values = np.where(BOARD[users, items], 5.0, 2.0)
    values[users == 3] = 1.0
    scores = make(name).fit(make_log(users, items, values)).score_all([3])
    assert np.isfinite(scores).all()


def test_values_that_are_all_equal_are_scored_or_refused_in_words(name: str) -> None:
    users, items = np.nonzero(~HIDDEN)
    log = make_log(users, items, np.full(len(users), 4.0))
    if name == "rating-model":
        with pytest.raises(DataError, match="one value or none"):
            make(name).fit(log)
        return
    assert np.isfinite(make(name).fit(log).score_all(EVERY)).all()


def test_of_duplicate_pairs_the_last_by_time_counts(name: str) -> None:
    log = checkerboard()
    twice = make_log(
        np.concatenate([log.users[:50], log.users]),
        np.concatenate([log.items[:50], log.items]),
        np.concatenate([6 - log.values[:50], log.values]),
    )
    scores = make(name).fit(twice).score_all(EVERY)
    assert np.array_equal(scores, fitted(name).score_all(EVERY))


def test_wrong_rows_histories_and_settings_are_refused(name: str) -> None:
    scorer = fitted(name)
    with pytest.raises(UsageError, match="users must be"):
        scorer.score([USERS], [[0]])
    with pytest.raises(UsageError, match="items must be"):
        scorer.score([0], [[ITEMS]])
    with pytest.raises(UsageError, match="shape"):
        scorer.score([0, 1], [[0]])
    with pytest.raises(UsageError, match="history"):
        scorer.fold_in([[ITEMS]], [[5.0]])
    for bad in (np.nan, np.inf):
        with pytest.raises(UsageError, match="finite"):
            scorer.fold_in([[1]], [[bad]])
    with pytest.raises(UsageError, match="no setting 'nonsense'"):
        make_scorer(name, nonsense=3)
    with pytest.raises(UsageError, match="not fitted"):
        make(name).score([0], [[0]])
    with pytest.raises(DataError, match="no rows"):
        make(name).fit(checkerboard(), [])
    with pytest.raises(UsageError, match="at least 1"):
        scorer.recommend([0], 0)


def test_content_is_used_or_refused(name: str) -> None:
    vectors = np.random.default_rng(3).normal(size=(ITEMS, 6)).astype(np.float32)
    if not scorer_class(name).uses_content:
        with pytest.raises(UsageError, match="does not use content"):
            make(name).fit(checkerboard(), content=vectors)
        return
    scores = make(name).fit(checkerboard(), content=vectors).score_all(EVERY)
    assert np.isfinite(scores).all()
    with pytest.raises(DataError, match="content"):
        make(name).fit(checkerboard(), content=vectors[:3])
    with pytest.raises(DataError, match="content"):
        make(name).fit(checkerboard(), content=np.full_like(vectors, np.nan))


def write(path: Path, rows: list[str]) -> Path:
    path.write_text("user_id,item_id,rating,timestamp\n" + "\n".join(rows) + "\n")
    return path


def test_a_log_with_a_value_that_is_no_number_never_reaches_a_model(tmp_path: Path) -> None:
    for bad in ("nan", "inf", "-inf", "many"):
        with pytest.raises(DataError, match="row 2"):
            load_interactions(write(tmp_path / "log.csv", ["a,x,5,1", f"a,y,{bad},2"]))
    with pytest.raises(DataError, match="not finite"):
        make_log([0], [0], [np.nan])


def test_ids_as_text_and_times_in_milliseconds_or_missing(tmp_path: Path) -> None:
    rows = [
        f"u{user},it {item},{5 if (user + item) % 2 else 1},{{}}"
        for user in range(8)
        for item in range(8)
    ]
    stamps = {"s": 1_700_000_000, "ms": 1_700_000_000_000}
    logs = {
        unit: load_interactions(
            write(tmp_path / f"{unit}.csv", [r.format(t + n) for n, r in enumerate(rows)])
        )[0]
        for unit, t in stamps.items()
    }
    missing, _ = load_interactions(write(tmp_path / "none.csv", [r.format("") for r in rows]))
    for log in (*logs.values(), missing):
        best = make_scorer("item-knn").fit(log).recommend([0], 4, exclude_seen=False)
        assert {log.item_ids[item] for item in best.items[0]} == {f"it {n}" for n in (1, 3, 5, 7)}
    assert abs(int(logs["ms"].times[0]) - int(logs["s"].times[0])) < 100


def test_wrong_names_and_values_are_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'item-knn'"):
        make_scorer("itemknn")
    with pytest.raises(UsageError, match="Did you mean 'penalty'"):
        make_scorer("ease", penalti=3)
    with pytest.raises(UsageError, match="penalty='x' must be a float"):
        make_scorer("ease", penalty="x")
    with pytest.raises(UsageError, match="penalty=0"):
        make_scorer("ease", penalty=0)
    with pytest.raises(UsageError, match="neighbours=0"):
        make_scorer("item-knn", neighbours=0)


def test_a_folder_that_is_no_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no scorer\.json"):
        load_scorer(tmp_path / "nothing")
    other = tmp_path / "notes"
    other.mkdir()
    (other / "text").write_text("mine")
    with pytest.raises(DataError, match="not a saved scorer"):
        fitted("popularity").save(other)
    fitted("popularity").save(tmp_path / "model")
    head = json.loads((tmp_path / "model" / "scorer.json").read_text())
    for change in ({"version": 99}, {"scorer": "nobody"}, {"config": {"half_life": -1.0}}):
        (tmp_path / "model" / "scorer.json").write_text(json.dumps({**head, **change}))
        with pytest.raises(DataError, match="anew"):
            load_scorer(tmp_path / "model")
