"""What is counted of sessions: visits, who stays, matched tastes, fair shares, and replays."""

import dataclasses

import numpy as np
import pytest

from slategym.agents.policy import make_policy
from slategym.benchmarks import diversity
from slategym.benchmarks.comparison import all_pairs, matrix
from slategym.benchmarks.metric_list import METRIC, METRICS
from slategym.benchmarks.rollout import Trajectories, rollout
from slategym.benchmarks.session_numbers import (
    history_of,
    interval_of,
    lorenz_of,
    session_metrics,
    set_metrics,
    still_there,
    still_visiting,
)
from slategym.benchmarks.session_replay import replay
from slategym.benchmarks.statistics import UserBootstrap
from slategym.envs.registry import get_variant
from slategym.envs.tiny import tiny_world
from slategym.envs.world import World
from slategym.errors import DataError


@pytest.fixture(scope="module")
def world() -> World:
    return tiny_world()


def played(world: World, name: str, variant: str, users: int = 48, seed: int = 0) -> Trajectories:
    chosen = get_variant(f"slategym/{variant}-v0")
    policy = make_policy(name, world, chosen.slate_size)
    return rollout(policy, world, users=users, seed=seed, variant=chosen)


@pytest.fixture(scope="module")
def shop(world: World) -> Trajectories:
    return played(world, "cf-greedy", "Shop")


def made(over: list[list[int]], away: list[list[float]], length: list[int]) -> Trajectories:
    """Return sessions of which only visits matter; T slates of one item, B users."""
    steps, users = np.array(over).shape
    shown = np.where(np.arange(steps)[:, None] < np.array(length), 0, -1)[:, :, None]
    return Trajectories(
        "made", 0, np.arange(users, dtype=np.int32), np.zeros(users), np.zeros(users, np.int32),
        np.zeros(users), np.array(length, np.int32), np.array([True, False, False][:users]),
        shown.astype(np.int32), np.zeros(shown.shape, np.bool_),
        np.zeros(shown.shape, np.float32), np.array(over, np.bool_), np.array(away, np.float32),
    )  # fmt: skip


def test_visits_and_the_days_between_them(world: World) -> None:
    run = made(
        over=[[1, 0, 0], [0, 1, 0], [1, 1, 0]],
        away=[[2.0, 0, 0], [0, 1.5, 0], [0, 4.0, 0]],
        length=[3, 3, 2],
    )
    found = session_metrics(world, run)
    assert found["visits"].tolist() == [2, 2, 1], "a visit that the horizon cuts is one, too"
    assert found["visit_length"].tolist() == [1.5, 1.5, 2.0]
    assert found["return_days"][:2].tolist() == [2.0, 2.75], "beyond the last day is a gap, too"
    assert np.isnan(found["return_days"][2]), "who never went away never returned"
    assert found["last_visit"].tolist() == [2.0, 1.5, 0.0]
    assert found["stayed"].tolist() == [0.0, 1.0, 1.0]


def test_a_variant_of_single_sessions_has_no_visits_and_sells_nothing(world: World) -> None:
    found = session_metrics(world, played(world, "random", "World"))
    assert not {"visits", "return_days", "last_visit", "purchases"} & set(found)
    assert {"stayed", "length"} <= set(found)


def test_a_shop_counts_purchases_and_visits_within_its_days(
    world: World, shop: Trajectories
) -> None:
    found = session_metrics(world, shop)
    assert shop.purchases is not None
    assert found["purchases"].sum() > 0
    assert (found["purchases"] <= found["clicks"]).all(), "what is bought was opened"
    days = get_variant("slategym/Shop-v0").parameters["days"]
    assert ((found["last_visit"] >= 0) & (found["last_visit"] < days)).all()
    assert np.allclose(found["visits"] * found["visit_length"], found["length"])


def test_session_numbers_agree_with_the_definitions_slate_by_slate(
    world: World, shop: Trajectories
) -> None:
    found = session_metrics(world, shop)
    row = int(np.argmax(shop.length))
    shown = shop.shown[: shop.length[row], row]
    clicked = shop.clicked[: shop.length[row], row]
    past = history_of(world)[[shop.users[row]]]
    target = diversity.history_shares(past, world.item_topics)
    shares = diversity.topic_shares(shown.reshape(1, -1), world.item_topics)
    assert found["calibration_kl"][row] == pytest.approx(
        diversity.calibration_kl(target, shares)[0]
    )
    picked = [place * len(shown) // 8 for place in range(8)]
    vendi = diversity.vendi(shown[picked], world.directions)
    assert found["vendi"][row] == pytest.approx(vendi.mean())
    surprise = diversity.serendipity(
        shown[picked], clicked[picked], past[[0] * 8], world.directions
    )
    assert found["serendipity"][row] == pytest.approx(np.nanmean(surprise))
    unit = world.directions / np.linalg.norm(world.directions, axis=1, keepdims=True)
    eaten = unit[shown[clicked]]
    pairs = np.triu_indices(len(eaten), 1)
    assert found["consumed_diversity"][row] == pytest.approx(1 - (eaten @ eaten.T)[pairs].mean())


def test_every_number_has_a_name_and_lies_in_its_bounds(world: World, shop: Trajectories) -> None:
    found = session_metrics(world, shop)
    sets = set_metrics(world, [shop], UserBootstrap(shop.users, replicates=50))
    assert set(found) | set(sets) <= {metric.key for metric in METRICS}
    assert all(METRIC[key].level == "set" for key in sets)
    assert all(METRIC[key].level == "session" for key in found)
    slots = shop.shown.shape[2]
    for key, low, high in (
        ("vendi", 1, slots), ("serendipity", 0, 1), ("calibration_js", 0, np.log(2)),
        ("session_diversity", 0, 2), ("stayed", 0, 1),
    ):  # fmt: skip
        known = found[key][np.isfinite(found[key])]
        assert ((known >= low) & (known <= high)).all(), key


def test_equal_exposure_is_fair_and_one_creator_alone_is_not(world: World) -> None:
    run = made([[0] * 3], [[0.0] * 3], [1] * 3)
    everything = np.broadcast_to(np.arange(world.n_items, dtype=np.int32), (1, 3, world.n_items))
    fair = dataclasses.replace(run, shown=everything)
    bootstrap = UserBootstrap(run.users, replicates=20)
    sets = set_metrics(world, [fair], bootstrap)
    for key in ("gini", "topic_gap", "creator_gap"):
        assert sets[key] == pytest.approx(np.zeros(21), abs=1e-6), key
    assert sets["coverage"][0] == 1.0
    assert lorenz_of(world, [fair]) == pytest.approx(np.linspace(0, 1, 101))
    alone = set_metrics(world, [run], bootstrap)
    assert world.item_creator is not None
    known = world.item_creator[world.item_creator >= 0]
    share = np.mean(known == world.item_creator[0])
    assert alone["creator_gap"][0] == pytest.approx(1 - share)


def test_gaps_between_groups_of_users(world: World) -> None:
    history = world.user_history.copy()
    rows = np.arange(24, dtype=np.int32)
    topics = world.item_topics.argmax(axis=1)
    for row in rows:  # half like one topic, half another, and those have more
        items = np.flatnonzero(topics == (0 if row < 12 else 1))
        history[row] = -1
        history[row, -3:] = items[:3]
    counts = np.where(np.arange(world.n_users) < 12, 1, 5)
    log = {
        "log_user": np.repeat(np.arange(world.n_users, dtype=np.int32), counts),
        "log_item": np.zeros(counts.sum(), np.int32),
        "log_value": np.ones(counts.sum(), np.float32),
        "log_time": np.zeros(counts.sum(), np.int64),
        "log_split": np.zeros(counts.sum(), np.uint8),
    }
    other = dataclasses.replace(world, user_history=history, **log)
    run = dataclasses.replace(
        made([[0]], [[0.0]], [1]),
        users=rows,
        returns=np.where(rows < 12, 1.0, 3.0),
        shown=np.zeros((1, 24, 1), np.int32),
    )
    sets = set_metrics(other, [run], UserBootstrap(rows, replicates=200))
    taste = interval_of(sets["taste_gap"])
    assert (taste.estimate, taste.low, taste.high) == pytest.approx((2.0, 2.0, 2.0))
    assert "history_gap" not in sets, "no user has more than the median, 5"
    log["log_user"] = np.repeat(np.arange(world.n_users, dtype=np.int32), counts[::-1])
    fewer = dataclasses.replace(other, **log)
    assert "history_gap" not in set_metrics(fewer, [run], UserBootstrap(rows, replicates=20))
    counts = np.where(np.arange(world.n_users) < 12, 1, np.arange(world.n_users))
    log = {name: np.resize(array, counts.sum()) for name, array in log.items()}
    log["log_user"] = np.repeat(np.arange(world.n_users, dtype=np.int32), counts)
    gaps = set_metrics(dataclasses.replace(other, **log), [run], UserBootstrap(rows))
    median = np.median(counts)
    longer = counts[rows] > median
    told = run.returns[longer].mean() - run.returns[~longer].mean()
    assert interval_of(gaps["history_gap"]).estimate == pytest.approx(told)


def test_curves_of_who_is_still_there() -> None:
    assert still_there(np.array([1.0, 2.0, 2.0, 3.0])) == [1.0, 0.75, 0.25]
    curve = still_visiting(np.array([0.0, 6.0]))
    assert (curve["days"][0], curve["share"][0], curve["days"][-1]) == (0.0, 1.0, 6.0)
    assert curve["share"][1] == curve["share"][-1] == 0.5


@pytest.mark.parametrize("variant", ["Video", "Music", "News", "Shop", "World"])
def test_a_replay_is_the_session_that_was_played(world: World, variant: str) -> None:
    run = played(world, "random", variant, users=6)
    chosen = get_variant(f"slategym/{variant}-v0")
    for row in range(len(run)):
        slates = run.shown[:, row]
        told = replay(chosen, world, slates, seed=0, stream=row, users="held_out")
        assert len(told.rewards) == run.length[row]
        assert sum(told.rewards) == pytest.approx(run.returns[row], abs=1e-3 * run.length[row])
        assert told.ending == ("left" if run.left[row] else "horizon")
        taken = sum(card["taken"] for slate in told.slates for card in slate)
        assert taken >= run.clicks[row] > -1
        assert all(len(values) == len(told.rewards) for values in told.states.values())
        assert min(told.states["patience"]) >= 0
        if run.over is not None:
            ended = np.flatnonzero(run.over[: run.length[row] - 1, row]) + 1
            assert told.visits == ended.tolist()


def test_slates_of_another_world_are_refused(world: World) -> None:
    variant = get_variant("slategym/World-v0")
    slate = np.full((1, variant.slate_size), world.n_items + 5)
    with pytest.raises(DataError, match="is no candidate now"):
        replay(variant, world, slate, seed=0, stream=0, users="held_out")


def test_who_beats_whom_is_antisymmetric_and_corrected() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0.0, 1.0, 500)
    draws = {"a": 5 + noise, "b": 3 + noise + rng.normal(0, 0.1, 500), "c": 3 + noise}
    means = {"a": 5.0, "b": 3.02, "c": 3.0}
    compared = all_pairs(means, draws, users=40)
    assert [(p["first"], p["second"]) for p in compared["pairs"]] == [
        ("a", "b"), ("a", "c"), ("b", "c"),
    ]  # fmt: skip
    ab, ac, bc = compared["pairs"]
    assert ab["difference"]["estimate"] == pytest.approx(1.98)
    assert ab["p_holm"] < 1e-6
    assert ac["p_holm"] == 0.0, "the noise is shared: nothing is left of it"
    assert bc["p_holm"] == bc["p"] > 0.5
    rows = matrix(compared, 2)
    assert rows[0]["cells"][1] == {"text": "+1.98", "p": "p < 0.001", "look": "better"}
    assert rows[1]["cells"][0]["text"] == "\N{MINUS SIGN}1.98"
    assert [row["cells"][place]["look"] for place, row in enumerate(rows)] == ["self"] * 3
    assert rows[2]["cells"][1]["look"] == "level"


def test_one_user_gives_no_p_value() -> None:
    nothing = np.full(10, np.nan)
    compared = all_pairs({"a": 1.0, "b": 0.0}, {"a": nothing, "b": nothing}, users=1)
    assert compared["pairs"][0]["p_holm"] == 1.0
    assert compared["pairs"][0]["difference"]["low"] is None
