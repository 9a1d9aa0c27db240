"""The world card's numbers: right by closed form, by another program, or by a known flaw."""

import dataclasses
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit

from slategym.cf_baselines.interactions import Interactions
from slategym.cf_baselines.logistic import area_under_curve, calibration_error, fit_line
from slategym.envs import card_twosample as twosample
from slategym.envs.card import world_card
from slategym.envs.card_findings import findings, span
from slategym.envs.card_marginals import _tv, _w1, transitions
from slategym.envs.card_rows import (
    MOST_PAST,
    capped_rows,
    held_out_users,
    judged_rows,
    past_and_later,
)
from slategym.envs.card_scores import (
    Clusters,
    Judged,
    calibration,
    centred_interval,
    interval,
    quantile_groups,
    resampled_lines,
    score_ways,
    slices,
    user_auc,
)
from slategym.envs.card_selection import MOST_WEIGHT, repeated, row_weights
from slategym.envs.card_sequences import (
    Sequences,
    gini,
    ks_distance,
    logged_sequences,
    simulated_sequences,
)
from slategym.envs.tiny import tiny_world
from slategym.envs.world import OPTIONAL_ARRAYS, World
from slategym.errors import DataError


@lru_cache(maxsize=1)
def town() -> World:
    """A world whose public model is the truth, and whose log obeys its click model throughout."""
    world = tiny_world(items=100, users=200, history=24, seed=1)
    known = ("item_factors", "item_bias", "user_factors", "user_bias")
    users, items = world.log.users, world.log.items
    taste = (world.user_factors[users] * world.item_factors[items]).sum(axis=1)
    value = world.info.mean + world.user_bias[users] + world.item_bias[items] + taste
    noise = np.random.default_rng(5).logistic(0, 1 / world.info.click_slope, len(users))
    return dataclasses.replace(
        world,
        log_value=np.clip(value + noise, 1, 5).astype(np.float32),
        **{f"public_{n}": world.arrays[n] for n in known},
    )


@lru_cache(maxsize=1)
def town_card() -> dict[str, Any]:
    """Its card."""
    return world_card(town(), draws=200, sessions=300)


def judged(seed: int = 0, rows: int = 6000, stretch: float = 1.0) -> Judged:
    """Rows whose true log odds are told ``stretch`` times too large."""
    rng = np.random.default_rng(seed)
    users = rng.integers(0, 150, rows)
    truth = rng.normal(0, 1, rows) + rng.normal(0, 0.5, 150)[users]
    label = (rng.random(rows) < expit(truth)).astype(float)
    ways = {"model": expit(stretch * truth), "global_rate": np.full(rows, label.mean())}
    return Judged(users.astype(np.int32), np.zeros(rows, np.int32), label, ways)


# --- intervals ----------------------------------------------------------------------------------


def test_resampled_means_are_those_of_users_drawn_whole() -> None:
    users = np.array([5, 5, 9, 2, 2, 2])
    values = np.array([1.0, 3.0, 10.0, 0.0, 0.0, 3.0])
    clusters = Clusters(users, 400, 0)
    assert clusters.groups == 3
    assert (clusters.weights.sum(axis=1) == 3).all()
    by_user = {2: (3.0, 3), 5: (4.0, 2), 9: (10.0, 1)}
    sums, counts = np.array(list(by_user.values())).T
    expected = (clusters.weights @ sums) / (clusters.weights @ counts)
    np.testing.assert_allclose(clusters.means(values), expected)
    among = np.array([True, True, False, False, False, False])
    alone = clusters.means(values, among)
    drawn = clusters.weights[:, 1] > 0
    np.testing.assert_allclose(alone[drawn], 2.0)
    assert np.isnan(alone[~drawn]).all()


def test_intervals_that_ignore_users_would_be_too_narrow() -> None:
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(50), 40)
    values = rng.normal(0, 1, 50)[users] + rng.normal(0, 0.1, 2000)
    whole = Clusters(users, 500, 0).means(values).std()
    rows = Clusters(np.arange(2000), 500, 0).means(values).std()
    assert whole > 4 * rows
    assert whole == pytest.approx(1 / np.sqrt(50), rel=0.25)


def test_an_interval_without_an_estimate_is_null_and_reads_n_a() -> None:
    empty = interval(np.nan, np.zeros(0))
    assert empty == {"estimate": None, "low": None, "high": None}
    assert span(empty) == "n/a"
    assert span({"estimate": -0.5, "low": None, "high": None}, 1) == "\N{MINUS SIGN}0.5"
    centred = centred_interval(0.1, np.array([0.3, 0.4, 0.5]))
    assert centred["low"] == pytest.approx(0.005, abs=1e-6)


# --- scores and calibration ---------------------------------------------------------------------


def test_scores_are_those_of_the_formulas() -> None:
    rows = judged()
    said = score_ways(rows, Clusters(rows.users, 200, 0))
    p, y = rows.own, rows.label
    loss = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    rate = y.mean()
    base = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    own = said["ways"]["model"]
    assert own["log_loss"]["estimate"] == pytest.approx(loss, abs=1e-6)
    assert own["brier"]["estimate"] == pytest.approx(((p - y) ** 2).mean(), abs=1e-6)
    assert said["ways"]["global_rate"]["auc"] == 0.5
    skill = said["skill"]["global_rate"]["log_loss"]
    assert skill["estimate"] == pytest.approx(1 - loss / base, abs=1e-6)
    assert 0 < skill["low"] < skill["estimate"] < skill["high"]


def test_the_auc_of_users_is_the_mean_of_their_own() -> None:
    rows = judged(rows=900)
    each = [
        area_under_curve(rows.own[rows.users == u], rows.label[rows.users == u])
        for u in np.unique(rows.users)
    ]
    said = user_auc(rows.own, rows.label, Clusters(rows.users, 200, 0))
    assert said["estimate"] == pytest.approx(np.nanmean(each), abs=1e-6)
    one_kind = user_auc(rows.own, np.ones(900), Clusters(rows.users, 50, 0))
    assert one_kind["estimate"] is None


def test_perfect_probabilities_are_calibrated_and_stretched_ones_are_not() -> None:
    for stretch, slope in ((1.0, 1.0), (2.0, 0.5), (0.5, 2.0)):
        rows = judged(stretch=stretch)
        clusters = Clusters(rows.users, 300, 0)
        said = calibration(rows, clusters, 0)
        assert said["ece"]["estimate"] == pytest.approx(
            calibration_error(rows.own, rows.label), abs=1e-6
        )
        assert said["slope"]["low"] < slope < said["slope"]["high"]
        assert said["slope"]["high"] - said["slope"]["low"] < 0.5
        excess = said["ece"]["estimate"] - said["floor"]
        assert (excess < 0.01) == (stretch == 1.0)
        assert sum(point["rows"] for point in said["curve"]) == len(rows.label)


def test_resampled_lines_are_fits_of_repeated_rows() -> None:
    rows = judged(rows=800)
    score = logit(rows.own)
    clusters = Clusters(rows.users, 5, 0)
    start = fit_line(score, rows.label, ridge=0.0)
    lines = resampled_lines(score, rows.label, clusters, start)
    for weight, line in zip(clusters.weights, lines, strict=True):
        again = np.repeat(np.arange(800), weight[clusters.place].astype(int))
        expected = fit_line(score[again], rows.label[again], ridge=0.0)
        np.testing.assert_allclose(line, expected, atol=1e-5)


def test_a_part_that_is_off_is_found() -> None:
    rows = judged()
    off = np.arange(len(rows.label)) % 4 == 0
    label = np.where(off, 1.0, rows.label)
    rows = dataclasses.replace(rows, label=label)
    groups = {"off": off, "fine": ~off, "few": np.arange(len(label)) < 5}
    said = slices(rows, groups, Clusters(rows.users, 300, 0))
    assert [entry["name"] for entry in said] == ["off", "fine"]
    assert said[0]["gap"]["high"] < -0.3
    assert said[1]["gap"]["low"] < 0 < said[1]["gap"]["high"]


def test_groups_by_a_value_are_of_about_equal_size_and_named_by_its_range() -> None:
    values = np.repeat([1, 2, 3, 50], [10, 5, 5, 20])
    groups = quantile_groups(values, 4)
    assert list(groups) == ["1", "2 to 3", "50"]
    assert sum(mask.sum() for mask in groups.values()) == 40


# --- rows ---------------------------------------------------------------------------------------


def test_the_past_is_the_older_half_of_each_user() -> None:
    log = Interactions(
        user_ids=("a", "b", "c"),
        item_ids=("x", "y", "z"),
        users=np.array([0, 0, 0, 1, 2, 2], np.int32),
        items=np.array([0, 1, 2, 0, 0, 1], np.int32),
        values=np.array([1, 2, 3, 1, 2, 1], np.float32),
        times=np.array([30, 10, 20, 5, 7, 7]),
    )
    past, later = past_and_later(log, np.array([True, True, True]))
    assert past.tolist() == [1, 2, 4]  # of one second: in the order of the log
    assert later.tolist() == [0, 5]  # the second user has one row and is left out
    assert past_and_later(log, np.array([False, True, False]))[1].tolist() == []


def test_a_long_past_is_cut_to_its_newest_rows() -> None:
    n = 3 * MOST_PAST
    log = Interactions(
        user_ids=("a",),
        item_ids=tuple(str(i) for i in range(n)),
        users=np.zeros(n, np.int32),
        items=np.arange(n, dtype=np.int32),
        values=(np.arange(n) % 2).astype(np.float32),
        times=np.arange(n),
    )
    past, later = past_and_later(log, np.array([True]))
    half = n - n // 2
    assert (past.min(), past.max(), len(past)) == (half - MOST_PAST, half - 1, MOST_PAST)
    assert len(later) == n // 2


def test_too_many_rows_are_cut_by_whole_users() -> None:
    log = town().log
    rows = np.arange(len(log))
    kept = capped_rows(log, rows, 0, most=1000)
    assert 900 < len(kept) <= 1000
    for user in np.unique(log.users[kept])[:5]:
        assert (log.users[kept] == user).sum() == (log.users == user).sum()
    assert capped_rows(log, rows, 0) is rows


def test_held_out_users_are_judged_by_a_model_that_never_saw_them() -> None:
    world = town()
    held = held_out_users(world, 0)
    assert held is not None
    outside = (world.users["split"] == "held_out").to_numpy()
    assert outside[held.rows.users].all()
    assert (held.model.user_counts[outside] == 0).all()
    value = held.predicted(
        held.state.bias.astype(np.float64), held.state.factors.astype(np.float64)
    )
    direct = held.model.score_folded(
        dataclasses.replace(
            held.state,
            bias=held.state.bias[held.place],
            factors=held.state.factors[held.place],
        ),
        held.rows.items[:, None],
    )
    np.testing.assert_allclose(value, direct[:, 0], atol=1e-4)
    drawn = held.drawn(np.random.default_rng(0))
    assert 0.01 < np.std(drawn - value) < 2
    np.testing.assert_array_equal(
        held.rows.label, (held.values >= town_card()["world"]["threshold"]).astype(float)
    )


# --- distances and sequences ---------------------------------------------------------------------


def test_distances_agree_with_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 200), rng.integers(2, 12, 150)
    assert ks_distance(a.astype(float), b.astype(float)) == pytest.approx(
        stats.ks_2samp(a, b).statistic
    )
    levels = np.array([1.0, 2.0, 4.0])
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])
    assert _w1(p - q, levels) == pytest.approx(stats.wasserstein_distance(levels, levels, p, q))
    assert _tv(p - q) == pytest.approx(0.4)


def test_gini_of_known_cases() -> None:
    assert gini(np.ones(10)) == pytest.approx(0)
    assert gini(np.r_[np.zeros(9), 7.0]) == pytest.approx(0.9)
    assert gini(np.array([1.0, 3.0])) == pytest.approx(0.25)
    assert gini(np.zeros(3)) == 0


def test_sequences_are_taken_whole_and_in_order() -> None:
    whole = Sequences(np.array([0, 0, 0, 1, 2, 2]), np.array([5, 6, 7, 8, 9, 4], np.int32), 3)
    taken = whole.take(np.array([2, 0]))
    assert taken.owner.tolist() == [0, 0, 1, 1, 1]
    assert taken.items.tolist() == [9, 4, 5, 6, 7]
    owner, first, second = whole.pairs()
    assert (owner.tolist(), first.tolist(), second.tolist()) == ([0, 0, 2], [5, 6, 9], [6, 7, 4])


def test_logged_sequences_are_what_held_out_users_liked_in_order_of_time() -> None:
    world = town()
    found = logged_sequences(world, 4.0)
    log = world.log
    user = int(np.flatnonzero((world.users["split"] == "held_out").to_numpy())[0])
    mine = np.flatnonzero((log.users == user) & (log.values >= 4))
    expected = log.items[mine[np.argsort(log.times[mine], kind="stable")]]
    np.testing.assert_array_equal(found.items[found.owner == 0], expected)


def test_order_matters_only_where_it_does() -> None:
    world = town()
    topic = world.item_topics.argmax(axis=1)
    blocks = np.concatenate([np.flatnonzero(topic == z)[:6] for z in range(6)])
    rng = np.random.default_rng(0)
    in_blocks = Sequences(np.repeat(np.arange(60), 36), np.tile(blocks, 60).astype(np.int32), 60)
    mixed = np.concatenate([rng.permutation(blocks) for _ in range(60)]).astype(np.int32)
    shuffled = Sequences(in_blocks.owner, mixed, 60)
    said = transitions(in_blocks, shuffled, world, 0)
    assert said["lift"]["real"]["low"] > 0.2
    assert said["lift"]["simulated"]["low"] < 0 < said["lift"]["simulated"]["high"]
    assert said["joint"]["distance"]["low"] > 0.3


def test_simulated_sequences_are_clicks_of_held_out_users() -> None:
    world = town()
    found = simulated_sequences(world, sessions=100, seed=0)
    assert 50 < found.count <= 100
    assert (found.lengths() >= 1).all()
    again = simulated_sequences(world, sessions=100, seed=0)
    np.testing.assert_array_equal(found.items, again.items)
    popularity = world.item_popularity
    assert popularity[found.items].mean() > popularity.mean()


# --- real or simulated ---------------------------------------------------------------------------


def test_the_classifier_tells_what_differs_and_only_that() -> None:
    rng = np.random.default_rng(0)
    groups = (np.arange(300), np.arange(300))
    first, second = rng.normal(0, 1, (2, 300, 4))
    same = twosample.classifier_auc(first, [second], groups, 0)["auc"]
    assert same["low"] < 0.5 < same["high"]
    moved = twosample.classifier_auc(first, [second + np.array([0, 0, 1.5, 0])], groups, 0)["auc"]
    assert moved["low"] > 0.75
    wider = twosample.classifier_auc(first, [3 * second], groups, 0)["auc"]
    assert wider["low"] > 0.75  # only the squares tell
    few = twosample.classifier_auc(first[:5], [second[:5]], (np.arange(5), np.arange(5)), 0)
    assert few["auc"]["estimate"] is None


def test_simulated_responses_are_not_told_from_simulated_ones_and_wrong_ones_are() -> None:
    world = tiny_world(items=100, users=600, history=24, seed=2)
    held = held_out_users(world, 0)
    assert held is not None
    rng = np.random.default_rng(9)
    p = held.click.probability(held.drawn(rng)).astype(np.float64)
    for wrong, told_apart in ((p, False), (1 - p, True)):
        label = (rng.random(len(p)) < wrong).astype(np.float64)
        played = dataclasses.replace(held, rows=dataclasses.replace(held.rows, label=label))
        said = twosample.classifier_auc(*twosample.response_examples(played, world, 3), 0)
        assert (said["auc"]["low"] > 0.6) == told_apart
        assert (said["auc"]["estimate"] > said["chance"]) == told_apart
        assert 0.5 < said["chance"] < 0.6


def test_a_weighted_auc_is_the_auc_of_repeated_rows() -> None:
    rng = np.random.default_rng(0)
    score, label = np.round(rng.normal(0, 1, 60), 1), (rng.random(60) < 0.4).astype(float)
    weight = rng.integers(0, 4, 60)
    again = np.repeat(np.arange(60), weight)
    assert twosample._weighted_auc(score, label, weight) == pytest.approx(
        area_under_curve(score[again], label[again])
    )


# --- selection ------------------------------------------------------------------------------------


def test_row_weights_undo_popularity_within_bounds() -> None:
    counts = np.array([100, 25, 1, 0])  # the last item is not rated
    items = np.repeat([0, 1, 2], [100, 25, 1])
    weight = row_weights(counts, items)
    assert weight.mean() == pytest.approx(1)
    assert weight[100] / weight[0] == pytest.approx(2)
    rare = row_weights(np.array([10_000, 1]), np.repeat([0, 1], [10_000, 1]))
    assert rare[-1] / rare[0] == pytest.approx(MOST_WEIGHT, rel=0.02)  # and not 100
    rows = np.arange(126) + 7
    counted = np.mean(
        [np.bincount(repeated(rows, weight, s) - 7, minlength=126) for s in range(400)], axis=0
    )
    np.testing.assert_allclose(counted[:125], weight[:125], atol=0.12)
    np.testing.assert_array_equal(repeated(rows, np.ones(126), 0), rows)


# --- the card -------------------------------------------------------------------------------------


def test_a_card_is_json_and_the_same_each_time() -> None:
    card = town_card()
    text = json.dumps(card, allow_nan=False, sort_keys=True)
    again = world_card(town(), draws=200, sessions=300)
    assert json.dumps(again, allow_nan=False, sort_keys=True) == text
    assert card["world"]["rows_by_split"][2] == card["held_out_rows"]["rows"]


def test_the_card_of_a_world_that_fits_its_log_says_so() -> None:
    card = town_card()
    rows = card["held_out_rows"]
    assert rows["skill"]["user_item_bias"]["log_loss"]["low"] > 0
    assert rows["calibration"]["slope"]["low"] < 1 < rows["calibration"]["slope"]["high"]
    assert card["held_out_users"]["skill"]["global_rate"]["log_loss"]["low"] > 0
    tones = {one["about"]: one["tone"] for one in findings(card)}
    assert tones["Likelihood on held-out rows"] == "good"
    assert tones["Calibration on held-out rows"] == "good"
    assert "no exposures" in card["statements"]["selection_bias"]
    assert any("Satiation" in s or "satiation" in s for s in card["statements"]["not_learned"])


def test_a_simulator_that_is_too_sure_is_found_out() -> None:
    world = town()
    info = world.info
    sure = dataclasses.replace(
        info,
        click_slope=3 * info.click_slope,
        click_intercept=3 * info.click_intercept,
    )
    rows = judged_rows(dataclasses.replace(world, info=sure), 0)
    assert rows is not None
    said = calibration(rows, Clusters(rows.users, 200, 0), 0)
    assert said["slope"]["high"] < 0.5
    assert said["ece"]["low"] > said["floor"]


def test_a_simulator_that_mixes_up_its_users_is_found_out() -> None:
    world = town()
    order = np.random.default_rng(0).permutation(world.n_users)
    mixed = dataclasses.replace(
        world,
        public_user_factors=world.public_user_factors[order],
        public_user_bias=world.public_user_bias[order],
    )
    rows = judged_rows(mixed, 0)
    assert rows is not None
    skill = score_ways(rows, Clusters(rows.users, 200, 0))["skill"]["user_item_bias"]["log_loss"]
    assert skill["high"] < 0


def test_sections_that_cannot_be_made_say_why() -> None:
    world = tiny_world(items=30, users=20)
    everyone = dataclasses.replace(world, users=world.users.assign(split="train"))
    card = world_card(everyone, draws=100, sessions=50)
    assert "no user is held out" in card["held_out_users"]["missing"]
    assert "no user is held out" in card["values"]["missing"]
    assert "ways" in card["held_out_rows"]
    split = np.zeros_like(np.asarray(world.log_split))
    untested = dataclasses.replace(world, log_split=split)
    card = world_card(untested, draws=100, sessions=50)
    assert card["held_out_rows"] == {"missing": "the world has no test rows"}
    assert "missing" in card["selection"]
    said = [one["says"] for one in findings(card)]
    assert "Not judged: the world has no test rows." in said
    older = dataclasses.replace(world, **dict.fromkeys(OPTIONAL_ARRAYS))
    with pytest.raises(DataError, match="keeps no log"):
        world_card(older)


def test_an_implicit_log_has_a_card_too() -> None:
    world = town()
    assert world.log_value is not None
    liked = np.flatnonzero(world.log_value >= 3.5)
    implicit = dataclasses.replace(
        world,
        info=dataclasses.replace(world.info, value_low=0.0, value_high=1.0),
        log_user=world.log.users[liked],
        log_item=world.log.items[liked],
        log_value=np.ones(len(liked), np.float32),
        log_time=world.log.times[liked],
        log_split=np.asarray(world.log_split)[liked],
    )
    card = world_card(implicit, draws=100, sessions=100)
    assert card["world"]["implicit"]
    assert card["values"]["missing"] == "the log is implicit: it has no values"
    assert 0.1 < card["held_out_users"]["positive_rate"] < 0.5
    assert any("no negatives" in sentence for sentence in card["statements"]["judged"])
    # How many negatives were sampled, and that they stand last, must not give the real ones away.
    assert card["two_sample"]["responses"]["auc"]["low"] < 0.75


@pytest.mark.slow
def test_the_movielens_card_holds_its_bars(movielens_world: Callable[[], World]) -> None:
    world = movielens_world()
    card = world_card(world)
    for part in (card["held_out_rows"], card["held_out_users"]):
        assert part["skill"]["user_item_bias"]["log_loss"]["low"] > 0.02
        assert part["calibration"]["ece"]["estimate"] < part["calibration"]["floor"] + 0.01
    assert card["two_sample"]["responses"]["auc"]["estimate"] < 0.62
    assert card["transitions"]["lift"]["real"]["low"] > 0
