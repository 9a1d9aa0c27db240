"""Planners are measured as they should be, and planning pays where the documents say so."""

from typing import Any

import numpy as np
import pytest

from slategym.agents.oracles import IndexPlanner, MyopicOracle
from slategym.agents.planner_weights import WEIGHTS
from slategym.agents.policy import make_policy
from slategym.benchmarks import planning
from slategym.benchmarks.planning import compare, table
from slategym.benchmarks.planning_play import make_task, play
from slategym.benchmarks.planning_rollout import RolloutPlanner, play_ahead
from slategym.benchmarks.planning_search import scores, search
from slategym.benchmarks.rollout import rollout
from slategym.envs.parts import Patience, Reward, Satiation
from slategym.envs.registry import get_variant
from slategym.envs.tiny import tiny_world
from slategym.envs.variant import Variant
from slategym.envs.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return tiny_world()


@pytest.fixture(scope="module")
def tiring() -> Variant:
    """Where letting topics rest is all that matters: nobody leaves, and tired means no click."""
    return Variant.standard(
        "test/Tiring-v0",
        Satiation(satiation_weight=0.0, satiation_decay=0.9, consume_gain=1.0, expose_gain=0.0),
        Patience(
            patience=3.0, patience_cap=3.0, patience_gain=0.0, patience_loss=0.2, boredom=1.0,
            boredom_threshold=0.5,
        ),
        Reward(watch_weight=1.0),
        horizon=60,
    )  # fmt: skip


def test_an_episode_counts_as_the_rollouts_of_a_suite_count_it(world: World) -> None:
    policy = make_policy("cf-rested", world, 5)
    mine = play(policy, world, get_variant("slategym/World-v0"), users=64, seed=4)
    theirs = rollout(policy, world, users=64, seed=4, split="all")
    np.testing.assert_allclose(mine.returns, theirs.returns, rtol=1e-6)
    np.testing.assert_array_equal(mine.length, theirs.length)


def test_gaps_are_paired_differences_to_the_myopic_oracle(world: World) -> None:
    rows = compare(
        world, get_variant("slategym/World-v0"), policies=("random", "oracle-reward"), users=128
    )
    chance, myopic = rows
    difference = chance.returns - myopic.returns
    assert chance.gap.estimate == pytest.approx(difference.mean())
    assert chance.gap.high < 0 < chance.mean < myopic.mean
    assert myopic.gap.estimate == 0.0
    text = table(rows)
    assert f"{100 * difference.mean() / myopic.mean:+.1f} %" in text
    assert len(text.splitlines()) == 4


def test_weights_of_ones_own_take_the_place_of_the_tuned_ones(world: World) -> None:
    variant = get_variant("slategym/Video-v0")
    (own,) = compare(world, variant, policies=("oracle-planner",), users=32, weights={"bait": 0.0})
    (tuned,) = compare(world, variant, policies=("oracle-planner",), users=32)
    assert own.gap.estimate == 0.0
    assert tuned.gap.estimate != 0.0


def test_the_command_prints_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "POLICIES", ("random", "oracle-reward"))
    planning.main(["--variant", "slategym/World-v0", "--users", "16"])
    told = capsys.readouterr().out
    assert "slategym/World-v0, world tiny-60x40-s0, 16 users" in told
    assert "| oracle-reward |" in told


def test_the_search_finds_that_topics_should_rest(world: World, tiring: Variant) -> None:
    found = search([world], tiring, users=16, population=16, generations=5)
    names = IndexPlanner(world, 5, tiring).features.weights
    assert set(found) == set(names)
    vectors = np.array([np.zeros(len(names)), [found[name] for name in names]])
    myopic, planner = scores(world, tiring, vectors, users=200, seed=99)
    assert planner > 1.15 * myopic


def test_every_row_has_its_own_weights_and_all_meet_the_same_users(
    world: World, tiring: Variant
) -> None:
    names = IndexPlanner(world, 5, tiring).features.weights
    rng = np.random.default_rng(0)
    vectors = rng.normal(0, 1, (3, len(names)))
    together = scores(world, tiring, vectors, users=20, seed=1)
    alone = [scores(world, tiring, vectors[i : i + 1], users=20, seed=1)[0] for i in range(3)]
    np.testing.assert_allclose(together, alone)


# --- rollouts ----------------------------------------------------------------------------------


def planner_of(world: World, variant: Variant, **options: Any) -> RolloutPlanner:  # noqa: ANN401
    size = variant.slate_size
    rested = IndexPlanner(world, size, variant, {"tired": -2.0, "shown_tired": 1.0})
    return RolloutPlanner(world, variant, [MyopicOracle(world, size, variant), rested], **options)


def test_thinking_ahead_beats_the_policy_it_thinks_with(world: World, tiring: Variant) -> None:
    planner = planner_of(world, tiring, futures=6, depth=60, caution=0.0)
    ahead = play_ahead(planner, users=32, seed=3)
    base = play(planner.bases[0], world, tiring, users=32, seed=3)
    gain = ahead.returns - base.returns
    assert gain.mean() > 2 * gain.std() / np.sqrt(32)


def test_thinking_changes_nothing_and_draws_other_luck(world: World, tiring: Variant) -> None:
    env = make_task(world, tiring, 8)
    observation, info = env.reset(seed=0)
    before = env.get_state()
    planner = planner_of(world, tiring, futures=3, depth=2)
    alive = np.ones(8, np.bool_)
    first = planner.act(env, observation, info, 0, alive)
    for name, array in env.get_state().items():
        np.testing.assert_array_equal(array, before[name])
    np.testing.assert_array_equal(first, planner.act(env, observation, info, 0, alive))
    copies = planner._copies
    assert copies is not None
    assert not np.isin(copies.simulation.state.stream, before["stream"]).any()  # type: ignore[attr-defined]


def test_great_caution_shows_what_the_base_shows(world: World, tiring: Variant) -> None:
    planner = planner_of(world, tiring, futures=4, depth=3, caution=1e9)
    ahead = play_ahead(planner, users=16, seed=2)
    base = play(planner.bases[0], world, tiring, users=16, seed=2)
    np.testing.assert_array_equal(ahead.returns, base.returns)


# --- planning must pay -------------------------------------------------------------------------


def test_tuned_weights_are_of_known_variants_and_names(world: World) -> None:
    for name, weights in WEIGHTS.items():
        variant = get_variant(name)
        assert set(weights) <= set(IndexPlanner(world, 5, variant).features.weights)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Video", "Music", "News"])
def test_planning_pays(name: str) -> None:
    """On users and on a world that the weights were not tuned on."""
    rows = compare(
        tiny_world(seed=5),
        get_variant(f"slategym/{name}-v0"),
        policies=("random", "oracle-reward", "oracle-planner"),
        users=384,
    )
    chance, myopic, planner = rows
    assert chance.mean < 0.75 * myopic.mean
    assert planner.gap.low > 0.05 * myopic.mean
    assert planner.gap.estimate > 0.12 * myopic.mean


def test_domains_of_the_documents_are_registered() -> None:
    for name in planning.DOMAINS:
        assert get_variant(f"slategym/{name}-v0").id.endswith("-v0")
