"""The best slate is the best of all slates, and the oracles read what they are told."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from slategym.agents.assortment import ChoiceRule
from slategym.agents.index_features import IndexFeatures
from slategym.agents.oracles import IndexPlanner, MyopicOracle
from slategym.agents.policy import for_variant, make_policy, with_privileged
from slategym.envs.parts import (
    ExponentialCascade,
    LogitChoice,
    PositionChoice,
    ProportionalCascade,
    ProportionalChoice,
)
from slategym.envs.parts_choice import Choice
from slategym.envs.registry import get_variant
from slategym.envs.tiny import tiny_world
from slategym.envs.traits import clickbait
from slategym.envs.vector import SlateVectorEnv
from slategym.errors import UsageError

RULES = [
    LogitChoice(position_bias=0.3),
    ProportionalChoice(),
    ExponentialCascade(),
    ProportionalCascade(score_scaling=0.1),
    PositionChoice(),
]


def best_of_all(rule: ChoiceRule, utility: np.ndarray, gain: np.ndarray, size: int) -> np.ndarray:
    """The greatest expected gain over every ordered slate."""
    values = [
        rule.expected(utility[:, slate], gain[:, slate])
        for slate in map(list, itertools.permutations(range(utility.shape[1]), size))
    ]
    return np.max(values, axis=0)


@pytest.mark.parametrize("part", RULES, ids=lambda part: part.name)
@pytest.mark.parametrize("shift", [0.3, -2.0], ids=["mixed gains", "losses"])
def test_no_slate_is_better_than_the_best(
    part: Any,  # noqa: ANN401
    shift: float,
    rng: np.random.Generator,
) -> None:
    rule = ChoiceRule(part, 1.0)
    utility, gain = rng.normal(0, 1.5, (60, 6)), rng.normal(shift, 1.0, (60, 6))
    slate = rule.best(utility, gain, 3)
    assert all(len(set(row)) == 3 for row in slate.tolist())
    rows = np.arange(60)[:, None]
    found = rule.expected(utility[rows, slate], gain[rows, slate])
    np.testing.assert_allclose(found, best_of_all(rule, utility, gain, 3), atol=1e-12)


@dataclass(frozen=True)
class _TakesTheFirst(Choice):
    """The first slot is taken with probability 1/2, whatever it holds."""

    name = "takes_the_first"

    def probabilities(self, utility: Any, filled: Any, no_click: float) -> np.ndarray:  # noqa: ANN401, ARG002
        shares = np.zeros((utility.shape[0], utility.shape[1] + 1))
        shares[:, 0] = shares[:, -1] = 0.5
        return shares


def test_a_choice_model_of_ones_own_is_filled_slot_by_slot(rng: np.random.Generator) -> None:
    gain = rng.normal(0, 1, (20, 6))
    rule = ChoiceRule(_TakesTheFirst(), 0.0)
    slate = rule.best(np.zeros((20, 6)), gain, 3)
    np.testing.assert_array_equal(slate[:, 0], gain.argmax(axis=1))
    assert all(len(set(row)) == 3 for row in slate.tolist())
    with pytest.raises(UsageError, match="at least 7 candidates"):
        rule.best(np.zeros((20, 6)), gain, 7)


def test_a_cost_of_being_shown_keeps_an_item_out(rng: np.random.Generator) -> None:
    utility, gain = rng.normal(0, 1, (30, 8)), np.ones((30, 8))
    cost = np.zeros((30, 8))
    cost[:, 3] = 10.0
    for part in RULES:
        assert not (ChoiceRule(part, 1.0).best(utility, gain, 4, cost) == 3).any(), part.name


def play(policy: Any, variant: str, steps: int = 25, users: int = 200) -> float:  # noqa: ANN401
    """Mean reward of the first steps under a policy."""
    env = SlateVectorEnv(users, variant=variant, observation="ids", privileged=True)
    observation, info = env.reset(seed=5)
    chosen = for_variant(policy, env.variant)
    total = 0.0
    for step in range(steps):
        seen = with_privileged(chosen, observation, info)
        slates = chosen.act(seen, np.random.default_rng(step))
        observation, reward, _, _, info = env.step(slates)
        total += float(reward.mean()) / steps
    return total


def test_what_worth_promises_is_what_a_step_brings() -> None:
    """The mean reward of first steps is the expectation, over 20,000 users."""
    users = 20_000
    env = SlateVectorEnv(
        users, variant="slategym/Video-v0", observation="ids", privileged=True, user_state="profile"
    )
    _, info = env.reset(seed=1)
    rule = ChoiceRule.of(env.variant, env.world)
    utility, worth = (info["privileged"][name][:, :5] for name in ("utility", "worth"))
    promised = rule.expected(utility, worth)
    _, reward, *_ = env.step(np.tile(np.arange(5), (users, 1)))
    error = reward.std() / np.sqrt(users)
    # The probit approximation of the mean watched fraction is good to a percent.
    assert abs(reward.mean() - promised.mean()) < 4 * error + 0.01 * promised.mean()


def test_the_best_slate_earns_more_at_once_than_the_largest_click_logits() -> None:
    world = tiny_world()
    for variant in ("slategym/Video-v0", "slategym/World-v0"):
        size = get_variant(variant).slate_size
        first = play(make_policy("oracle-reward", world, size), variant, steps=1, users=4000)
        second = play(make_policy("oracle-myopic", world, size), variant, steps=1, users=4000)
        assert first > second


def test_weights_at_zero_are_the_myopic_oracle() -> None:
    world, variant = tiny_world(), get_variant("slategym/Music-v0")
    env = SlateVectorEnv(50, variant=variant, observation="ids", privileged=True)
    observation, info = env.reset(seed=0)
    myopic, planner = MyopicOracle(world, 3, variant), IndexPlanner(world, 3, variant, {})
    seen, rng = with_privileged(myopic, observation, info), np.random.default_rng(0)
    np.testing.assert_array_equal(myopic.act(seen, rng), planner.act(seen, rng))
    tuned = IndexPlanner(world, 3, variant)
    assert (tuned.act(seen, rng) != myopic.act(seen, rng)).any()


def test_index_features_are_what_they_are_called() -> None:
    world, variant = tiny_world(), get_variant("slategym/Music-v0")
    env = SlateVectorEnv(300, variant=variant, observation="ids", privileged=True)
    observation, info = env.reset(seed=0)
    for _ in range(6):
        observation, *_, info = env.step(np.tile(np.arange(3), (300, 1)))
    features = IndexFeatures(world, env.variant)
    seen = with_privileged(MyopicOracle(world, 3, variant), observation, info)

    def feature(name: str) -> np.ndarray:
        vector = np.array([1.0 if entry == name else 0.0 for entry in features.weights])
        gain, cost = features.indices(seen, vector)
        return (gain + cost) / features.unit

    items = observation["candidates"]
    tired = np.einsum("bz,bcz->bc", info["privileged"]["satiation"], world.item_topics[items])
    np.testing.assert_allclose(feature("tired"), tired, atol=1e-5)
    np.testing.assert_allclose(feature("shown_tired"), tired, atol=1e-5)
    np.testing.assert_allclose(feature("bait"), clickbait(world)[items] - 0.5, atol=1e-6)
    again = (observation["history"][:, None] == items[:, :, None]).any(axis=2)
    np.testing.assert_array_equal(feature("plays") > 0, again)
    assert 0.0 <= feature("skip").min() < feature("skip").max() <= 1.0
    assert feature("load").min() >= 0.0


def test_what_is_missing_is_named() -> None:
    world = tiny_world()
    env = SlateVectorEnv(2, observation="ids")
    observation, _ = env.reset(seed=0)
    policy = make_policy("oracle-reward", world, 5)
    with pytest.raises(UsageError, match="privileged_utility"):
        policy.act(observation, np.random.default_rng(0))
    with pytest.raises(UsageError, match="no weight 'bored' for slategym/World-v0"):
        make_policy("oracle-planner", world, 5, weights={"bored": 1.0})
