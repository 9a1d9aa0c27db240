"""Rules and re-rankings do what their names say."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from slategym.agents.policy import make_policy
from slategym.agents.reranked import BASES, CalibratedPolicy
from slategym.agents.rules import SequencePolicy, ThresholdPolicy, sequential_rules
from slategym.envs.scenario import apply_scenario
from slategym.envs.spaces import CONTEXT_SCALARS
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World
from slategym.envs.world_log import LOG_ARRAYS
from slategym.errors import UsageError

SLATE = 5
Arrays = dict[str, np.ndarray[Any, Any]]


@pytest.fixture(scope="module")
def world() -> World:
    return tiny_world()


@pytest.fixture(scope="module")
def observation(world: World) -> Arrays:
    """What 64 users look like after four slates of the best predicted ratings."""
    env = SlateVectorEnv(64, world=world, observation="ids", slate_size=SLATE)
    seen, _ = env.reset(seed=0)
    greedy = make_policy("cf-greedy", world, SLATE)
    for step in range(4):
        seen, *_ = env.step(greedy.act(seen, np.random.default_rng(step)))
    return {key: value.copy() for key, value in seen.items()}


def items_of(observation: Arrays, slate: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.take_along_axis(observation["candidates"], slate, axis=1)


def test_quality_is_the_rating_of_the_average_training_user(
    world: World, observation: Arrays
) -> None:
    slate = make_policy("quality", world, SLATE).act(observation, np.random.default_rng(0))
    train = world.user_rows("train")
    mean = world.public_user_factors[train].mean(axis=0)
    quality = world.public_item_bias + world.public_item_factors @ mean
    shown = quality[items_of(observation, slate)]
    assert (np.diff(shown, axis=1) <= 1e-6).all()
    assert (shown[:, -1] >= np.median(quality[observation["candidates"]], axis=1)).all()


def test_a_threshold_puts_what_qualifies_first(world: World, observation: Arrays) -> None:
    policy = make_policy("threshold", world, 20)
    assert isinstance(policy, ThresholdPolicy)
    slate = policy.act(observation, np.random.default_rng(0))
    rating = make_policy("cf-greedy", world, SLATE).scores(observation)  # type: ignore[attr-defined]
    exposure = observation["context"][:, CONTEXT_SCALARS : CONTEXT_SCALARS + world.n_topics]
    tired = np.einsum("bz,bcz->bc", exposure, world.item_topics[observation["candidates"]])
    qualifies = (rating >= policy.floor) & (tired < policy.ceiling)
    assert 0.05 < qualifies.mean() < 0.95
    in_order = np.take_along_axis(qualifies, slate, axis=1)
    assert (np.diff(in_order.astype(int), axis=1) <= 0).all()
    by_rating = np.take_along_axis(rating, slate, axis=1)
    together = in_order[:, 1:] == in_order[:, :-1]
    assert (np.diff(by_rating, axis=1)[together] <= 1e-9).all()


def test_a_threshold_that_lets_everything_pass_is_cf_greedy(
    world: World, observation: Arrays
) -> None:
    greedy = make_policy("cf-greedy", world, SLATE).act(observation, np.random.default_rng(0))
    for options in ({"share": 1.0, "ceiling": np.inf}, {"share": 0.5, "ceiling": 0.0}):
        policy = make_policy("threshold", world, SLATE, **options)
        slate = policy.act(observation, np.random.default_rng(0))
        np.testing.assert_array_equal(slate, greedy)


def test_the_floor_is_reached_by_its_share_of_ratings(world: World) -> None:
    low, high = (ThresholdPolicy(world, SLATE, share=share).floor for share in (0.9, 0.1))
    train = world.user_rows("train")
    rating = world.info.public_mean + world.public_item_bias
    rating = rating + world.public_user_bias[train, None]
    rating = rating + world.public_user_factors[train] @ world.public_item_factors.T
    assert np.mean(rating >= low) == pytest.approx(0.9, abs=0.01)
    assert np.mean(rating >= high) == pytest.approx(0.1, abs=0.01)


def test_rules_weigh_what_follows_by_distance() -> None:
    user = np.array([0, 0, 0, 1, 1, 1])
    item = np.array([0, 1, 2, 0, 2, 2])
    rules = sequential_rules(user, item, 4, window=2).toarray()
    # 0 -> 1 at one step; 0 -> 2 at two steps of one user, at one and two steps of the other.
    np.testing.assert_allclose(rules[0], [0, 1 / 3, 2 / 3, 0])
    np.testing.assert_allclose(rules[1], [0, 0, 1, 0])
    assert rules[2:].sum() == 0  # nothing follows itself, and no pair spans two users
    near = sequential_rules(user, item, 4, window=1).toarray()
    np.testing.assert_allclose(near[0], [0, 0.5, 0.5, 0])
    assert sequential_rules(user[:0], item[:0], 4, window=2).sum() == 0


def test_a_sequence_is_scored_by_what_follows_its_items() -> None:
    world = tiny_world()
    policy = SequencePolicy(world, 2)
    every = np.arange(world.n_items)
    follows = policy.follows(every[:, None], every[None])
    assert ((follows.sum(axis=1) == 0) | np.isclose(follows.sum(axis=1), 1.0)).all()
    assert (np.diag(follows) == 0).all()
    listed = np.arange(world.n_items)[None]
    history = np.full((1, 4), world.n_items)
    feedback = np.zeros((1, 4, 3), np.float32)
    history[0, 2:], feedback[0, 2:] = (7, 8), ((1, 0.5, 0.9), (1, 1.0, 1.0))
    seen = {"candidates": listed, "history": history, "history_feedback": feedback}
    scores = policy.scores(seen)[0]
    popular = policy._popularity
    np.testing.assert_allclose(scores - popular, 0.45 * follows[7] + follows[8], atol=1e-7)
    fresh = policy.act({**seen, "history_feedback": 0 * feedback}, np.random.default_rng(0))
    np.testing.assert_array_equal(fresh[0], np.argsort(-popular, kind="stable")[:2])


def test_sequences_come_from_the_public_log_or_from_histories() -> None:
    world = tiny_world()
    assert world.has_log
    sparse = apply_scenario(world, sparse=0.3)
    pairs = [len(SequencePolicy(one, 2)._pair) for one in (world, sparse)]
    assert 0 < pairs[1] < pairs[0]
    without = replace(world, **dict.fromkeys(LOG_ARRAYS))
    assert not without.has_log
    policy = SequencePolicy(without, 2, window=1)
    train = world.user_rows("train")
    first = world.user_history[train]
    known = (first[:, :-1] >= 0) & (first[:, :-1] != first[:, 1:])
    met = set(zip(first[:, :-1][known].tolist(), first[:, 1:][known].tolist(), strict=True))
    assert len(policy._pair) == len(met)


def similarity(world: World, observation: Arrays, slate: np.ndarray[Any, Any]) -> float:
    content = world.directions[items_of(observation, slate)]
    return float((content @ content.swapaxes(1, 2)).mean())


@pytest.mark.parametrize(
    ("name", "plain", "varied"),
    [
        ("cf-mmr", {"trade_off": 1.0}, {"trade_off": 0.2}),
        ("cf-dpp", {"theta": 0.999}, {"theta": 0.1}),
    ],
)
@pytest.mark.parametrize("base", BASES)
def test_variety_grows_from_the_order_of_any_base(
    name: str, plain: dict[str, float], varied: dict[str, float], base: str
) -> None:
    world = tiny_world()
    env = SlateVectorEnv(200, world=world, observation="ids")
    seen, _ = env.reset(seed=4)
    rng = np.random.default_rng(0)
    order = make_policy(base, world, SLATE).act(seen, rng)
    options: dict[str, Any] = {"base": base}
    same = make_policy(name, world, SLATE, **plain, **options).act(seen, rng)
    assert (same == order).mean() > (0.999 if name == "cf-mmr" else 0.9)
    mixed = make_policy(name, world, SLATE, **varied, **options).act(seen, rng)
    assert similarity(world, seen, mixed) < similarity(world, seen, order)


def test_calibration_brings_the_topics_of_the_history(world: World, observation: Arrays) -> None:
    rng = np.random.default_rng(0)
    plain = make_policy("cf-calibrated", world, SLATE, trade_off=0.0)
    np.testing.assert_array_equal(
        plain.act(observation, rng), make_policy("cf-greedy", world, SLATE).act(observation, rng)
    )
    policy = make_policy("cf-calibrated", world, SLATE, trade_off=0.9)
    assert isinstance(policy, CalibratedPolicy)
    target = policy.target(observation)
    np.testing.assert_allclose(target.sum(axis=1), 1.0)
    feedback, history = observation["history_feedback"], observation["history"]
    weight = feedback.prod(axis=2)
    topics = np.concatenate([world.item_topics, np.zeros((1, world.n_topics))])
    first = (weight[0][:, None] * topics[history[0]]).sum(axis=0)
    np.testing.assert_allclose(target[0], first / first.sum(), rtol=1e-5)

    def distance(slate: np.ndarray[Any, Any]) -> float:
        mean = topics[items_of(observation, slate)].mean(axis=1)
        return float(np.abs(mean - target).sum(axis=1).mean())

    assert distance(policy.act(observation, rng)) < distance(plain.act(observation, rng))


def test_options_out_of_range_are_refused(world: World) -> None:
    refused: list[tuple[str, dict[str, Any], str]] = [
        ("threshold", {"share": 1.5}, r"share is 1.5; it must be in \[0, 1\]"),
        ("threshold", {"ceiling": -1}, "ceiling is -1; it must be at least 0"),
        ("sequence", {"window": 0}, "window is 0; it must be at least 1"),
        ("cf-dpp", {"theta": 1.0}, r"theta is 1.0; it must be in \[0, 1\)"),
        ("cf-calibrated", {"trade_off": -0.1}, r"trade_off is -0.1; it must be in \[0, 1\]"),
        ("cf-dpp", {"base": "cf-gredy"}, "Did you mean 'cf-greedy'"),
    ]
    for name, options, message in refused:
        with pytest.raises(UsageError, match=message):
            make_policy(name, world, SLATE, **options)
