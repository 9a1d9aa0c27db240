"""Policies that give probabilities: they sum to one, agree with draws, and refuse guesses."""

from itertools import permutations

import numpy as np
import pytest
import torch

from slategym.agents.heuristics import CFGreedyPolicy, PopularityPolicy, RandomPolicy
from slategym.agents.policy import make_policy
from slategym.agents.slate_laws import MixtureLaw, PlackettLuceLaw, SlateLaw
from slategym.agents.slates import PlackettLuce
from slategym.agents.stochastic import (
    EpsilonPolicy,
    PlackettLucePolicy,
    UniformPolicy,
    with_propensities,
)
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv
from slategym.errors import UsageError

COUNT, SIZE = 6, 3


def laws(batch: int) -> dict[str, SlateLaw]:
    """Return a law of each kind, every row of it the same."""
    rng = np.random.default_rng(5)
    scores = np.tile(rng.normal(0, 1.5, COUNT), (batch, 1))
    wide = np.tile([0.0, -9.0, -3.0, -25.0, -26.0, -1.0], (batch, 1))
    best = np.tile([4, 0, 2], (batch, 1))
    return {
        "plackett-luce": PlackettLuceLaw(scores, SIZE),
        "wide": PlackettLuceLaw(wide, SIZE),
        "mixture": MixtureLaw(best, 0.3, COUNT),
        "uniform": MixtureLaw(best, 1.0, COUNT),
        "deterministic": MixtureLaw(best, 0.0, COUNT),
    }


ALL = np.array(list(permutations(range(COUNT), SIZE)))
NAMES = sorted(laws(1))


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_of_all_slates_sum_to_one(name: str) -> None:
    law = laws(len(ALL))[name]
    with np.errstate(invalid="ignore"):
        whole = np.exp(law.log_slots(ALL).sum(1))
    assert whole.sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_positions_are_the_marginals_of_all_slates(name: str) -> None:
    law = laws(len(ALL))[name]
    whole = np.exp(law.log_slots(ALL).sum(1))
    positions = np.exp(law.log_positions(ALL))
    for slot in range(SIZE):
        for item in range(COUNT):
            rows = ALL[:, slot] == item
            assert positions[rows, slot] == pytest.approx(whole[rows].sum(), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_slot_distributions_agree_with_the_slots_and_sum_to_one(name: str) -> None:
    law = laws(len(ALL))[name]
    table, slots = law.slots(ALL), np.exp(law.log_slots(ALL))
    taken = np.take_along_axis(table, ALL[..., None], 2)[..., 0]
    np.testing.assert_allclose(taken, slots, atol=1e-12)
    possible = np.cumprod(slots, axis=1) > 0
    reached = np.concatenate([np.ones((len(ALL), 1), bool), possible[:, :-1]], axis=1)
    np.testing.assert_allclose(table.sum(2)[reached], 1.0, atol=1e-12)


@pytest.mark.parametrize("name", ["plackett-luce", "mixture", "uniform"])
def test_draws_follow_the_law(name: str) -> None:
    batch = 40_000
    drawn = laws(batch)[name].sample(np.random.default_rng(2))
    number = drawn @ [COUNT**2, COUNT, 1]
    expected = np.exp(laws(len(ALL))[name].log_slots(ALL).sum(1))
    seen = np.array([(number == n).mean() for n in ALL @ [COUNT**2, COUNT, 1]])
    deviation = np.sqrt(expected * (1 - expected) / batch)
    assert (np.abs(seen - expected) < 5 * deviation).all()


def test_one_slot_and_a_slate_of_all_candidates() -> None:
    scores = np.random.default_rng(0).normal(size=(7, 4))
    one = PlackettLuceLaw(scores, 1)
    slate = one.sample(np.random.default_rng(1))
    np.testing.assert_allclose(one.log_positions(slate), one.log_slots(slate))
    whole = PlackettLuceLaw(scores, 4)
    slate = whole.sample(np.random.default_rng(1))
    np.testing.assert_allclose(whole.log_slots(slate)[:, -1], 0.0, atol=1e-12)
    assert np.isfinite(whole.log_positions(slate)).all()


def test_it_is_the_law_that_agents_are_trained_with() -> None:
    scores = np.random.default_rng(3).normal(0, 2, (50, 12))
    law = PlackettLuceLaw(scores, 5)
    slate = law.sample(np.random.default_rng(4))
    torch_law = PlackettLuce(5).proba_distribution(torch.from_numpy(scores))
    trained = torch_law.log_prob(torch.from_numpy(slate)).numpy()
    np.testing.assert_allclose(law.log_slots(slate).sum(1), trained, atol=1e-12)


def test_more_slots_than_candidates_are_refused() -> None:
    with pytest.raises(UsageError, match="needs at least 3 candidates"):
        PlackettLuceLaw(np.zeros((1, 2)), 3)
    with pytest.raises(UsageError, match="not finite"):
        PlackettLuceLaw(np.array([[0.0, np.nan, 1.0]]), 1)


def test_a_deterministic_policy_is_refused_unless_it_is_wrapped() -> None:
    world = tiny_world()
    with pytest.raises(UsageError, match=r"temperature=0.2 .* or epsilon=0.1"):
        with_propensities(CFGreedyPolicy(world, 3))
    with pytest.raises(UsageError, match=r"always shows the same slate.*epsilon=0.1"):
        with_propensities(make_policy("cf-mmr", world, 3))
    with pytest.raises(UsageError, match="both given"):
        with_propensities(CFGreedyPolicy(world, 3), temperature=1.0, epsilon=0.1)
    assert isinstance(with_propensities(RandomPolicy(world, 3)), UniformPolicy)
    assert isinstance(with_propensities(CFGreedyPolicy(world, 3), epsilon=0.1), EpsilonPolicy)
    soft = with_propensities(CFGreedyPolicy(world, 3), temperature=0.5)
    assert isinstance(soft, PlackettLucePolicy)
    assert with_propensities(soft) is soft


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_must_be_above_zero(value: float) -> None:
    with pytest.raises(UsageError, match="temperature is"):
        PlackettLucePolicy(CFGreedyPolicy(tiny_world(), 3), value)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_epsilon_must_be_a_share(value: float) -> None:
    with pytest.raises(UsageError, match="epsilon is"):
        EpsilonPolicy(CFGreedyPolicy(tiny_world(), 3), value)


def test_a_policy_without_scores_has_no_temperature() -> None:
    with pytest.raises(UsageError, match="no scores"):
        PlackettLucePolicy(_NoScores(), 1.0)


@pytest.mark.parametrize("name", ["cf-mmr", "cf-rested"])
def test_scores_that_are_not_what_a_policy_ranks_by_have_no_temperature(name: str) -> None:
    world = tiny_world()
    env = SlateVectorEnv(64, world=world, observation="ids")
    observation, _ = env.reset(seed=0)
    policy = make_policy(name, world, 5, **({"trade_off": 0.1} if name == "cf-mmr" else {}))
    for _ in range(3):  # until topics have been consumed
        observation, *_ = env.step(policy.act(observation, np.random.default_rng(0)))
    with pytest.raises(UsageError, match="does not rank by its scores"):
        PlackettLucePolicy(policy, 0.3).law(observation)


def test_a_policy_that_draws_in_secret_is_refused() -> None:
    world = tiny_world()
    secret = EpsilonPolicy(RandomPolicy(world, 3), 0.1)
    with pytest.raises(UsageError, match="draws at random"):
        secret.law({"candidates": np.tile(np.arange(9), (2, 1))})


def test_popular_items_are_shown_but_for_chance() -> None:
    world = tiny_world()
    policy = EpsilonPolicy(PopularityPolicy(world, 3), 0.2)
    seen = {"candidates": np.tile(np.arange(9), (4000, 1))}
    slates = policy.act(seen, np.random.default_rng(0))
    best = PopularityPolicy(world, 3).act(seen, np.random.default_rng(0))
    same = (slates == best).all(1).mean()
    assert same == pytest.approx(0.8 + 0.2 / (9 * 8 * 7), abs=0.03)


class _NoScores:
    """A policy that cannot say how it ranks."""

    name = "mute"

    def act(self, *_: object) -> np.ndarray:
        """Return nothing of use."""
        raise AssertionError
