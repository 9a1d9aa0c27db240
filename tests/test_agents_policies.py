"""Every registered policy keeps the same promises; each ranks by what its name says."""

from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from slategym.agents.bandits import EpsilonGreedy, LinTS
from slategym.agents.heuristics import CFGreedyPolicy, RandomPolicy
from slategym.agents.policy import (
    POLICIES,
    Policy,
    for_variant,
    make_policy,
    top_positions,
    with_privileged,
)
from slategym.agents.public_model import PublicModel
from slategym.envs.registry import get_variant, list_variants
from slategym.envs.scenario import apply_scenario
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World
from slategym.errors import UsageError

SLATE = 4
DRAWS = (RandomPolicy, LinTS, EpsilonGreedy)
VARIANTS = [name for name in list_variants() if get_variant(name).family == "world"]
Arrays = dict[str, np.ndarray[Any, Any]]


@pytest.fixture(scope="module")
def world() -> World:
    return tiny_world()


@lru_cache(maxsize=16)
def seen_in(variant: str) -> Arrays:
    """What 16 users look like after three random slates, hidden state included."""
    venv = SlateVectorEnv(
        num_envs=16, variant=variant, observation="ids", slate_size=SLATE, privileged=True
    )
    rng = np.random.default_rng(0)
    seen, info = venv.reset(seed=0)
    for _ in range(3):
        action = rng.random(seen["candidates"].shape).argsort(1)[:, :SLATE]
        seen, _, _, _, info = venv.step(action)
    told = with_privileged(make_policy("oracle-reward", tiny_world(), SLATE), seen, info)
    return {key: value.copy() for key, value in told.items()}


@pytest.fixture(scope="module")
def observation() -> Arrays:
    return seen_in("slategym/World-v0")


@lru_cache(maxsize=128)
def made(name: str, variant: str) -> Policy:
    return for_variant(make_policy(name, tiny_world(), SLATE), get_variant(variant))


@pytest.fixture(
    params=[(name, variant) for name in sorted(POLICIES) for variant in VARIANTS],
    ids=lambda case: f"{case[0]}-{case[1].partition('/')[2]}",
)
def case(request: pytest.FixtureRequest) -> tuple[Policy, Arrays]:
    """Every policy in every registered world variant."""
    name, variant = request.param
    policy = made(name, variant)
    return policy, seen_in(variant)


def rows_of(observation: Arrays, rows: Any) -> Arrays:  # noqa: ANN401
    return {key: value[rows] for key, value in observation.items()}


def test_slates_are_distinct_candidate_positions(case: tuple[Policy, Arrays]) -> None:
    policy, observation = case
    slate = policy.act(observation, np.random.default_rng(0))
    batch, candidates = observation["candidates"].shape
    assert slate.shape == (batch, SLATE)
    assert slate.dtype == np.int64
    assert slate.min() >= 0
    assert slate.max() < candidates
    assert all(len(set(row)) == SLATE for row in slate.tolist())


def test_a_batch_gives_what_its_rows_give_alone(case: tuple[Policy, Arrays]) -> None:
    policy, observation = case
    together = policy.act(observation, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    rows = range(len(together))
    alone = [policy.act(rows_of(observation, slice(i, i + 1)), rng) for i in rows]
    np.testing.assert_array_equal(together, np.concatenate(alone))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", sorted(set(POLICIES) - {policy.name for policy in DRAWS}))
def test_the_order_of_the_rows_does_not_matter(name: str, variant: str) -> None:
    policy, observation = made(name, variant), seen_in(variant)
    order = np.random.default_rng(3).permutation(16)
    straight = policy.act(observation, np.random.default_rng(0))
    mixed = policy.act(rows_of(observation, order), np.random.default_rng(0))
    np.testing.assert_array_equal(mixed, straight[order])


def test_the_generator_is_the_only_source_of_randomness(case: tuple[Policy, Arrays]) -> None:
    policy, observation = case
    first = policy.act(observation, np.random.default_rng(1))
    other = policy.act(observation, np.random.default_rng(2))
    again = policy.act(observation, np.random.default_rng(1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() == isinstance(policy, DRAWS)


def test_the_observation_is_left_as_it_was(case: tuple[Policy, Arrays]) -> None:
    policy, observation = case
    frozen = {key: value.copy() for key, value in observation.items()}
    for value in frozen.values():
        value.flags.writeable = False
    policy.act(frozen, np.random.default_rng(0))
    for key, value in frozen.items():
        np.testing.assert_array_equal(value, observation[key])


def test_a_slate_larger_than_the_candidates_is_refused(case: tuple[Policy, Arrays]) -> None:
    policy, observation = case
    listed = observation["candidates"].shape
    few = {
        key: value[:, : SLATE - 1] if value.shape[:2] == listed else value
        for key, value in observation.items()
    }
    with pytest.raises(UsageError, match="candidates"):
        policy.act(few, np.random.default_rng(0))


def test_users_without_history_and_cold_items_are_served(case: tuple[Policy, Arrays]) -> None:
    """Padding and items without public rows give slates like any other, and no warning."""
    policy, observation = case
    new = {key: value.copy() for key, value in observation.items()}
    new["history"][:] = tiny_world().n_items
    new["history_feedback"][:] = 0.0
    new["context"][:] = 0.0
    slate = policy.act(new, np.random.default_rng(0))
    assert all(len(set(row)) == SLATE for row in slate.tolist())


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_cold_items_and_users_of_a_scenario_are_served(name: str) -> None:
    world = apply_scenario(tiny_world(), cold_items=0.3, cold_users=0.3)
    assert world.cold_items.any()
    policy = make_policy(name, world, SLATE)
    env = SlateVectorEnv(
        8, world=world, observation="ids", slate_size=SLATE, privileged=True, users="cold"
    )
    seen, info = env.reset(seed=1)
    for step in range(2):
        slate = policy.act(with_privileged(policy, seen, info), np.random.default_rng(step))
        assert all(len(set(row)) == SLATE for row in slate.tolist())
        seen, *_, info = env.step(slate)


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_the_name_is_the_registered_one(name: str) -> None:
    policy = made(name, "slategym/World-v0")
    assert isinstance(policy, Policy)
    assert policy.name == name


def test_equal_scores_keep_the_order_of_the_candidates() -> None:
    scores = np.array([[1.0, 2.0, 2.0, 1.0, 2.0]])
    assert top_positions(scores, 4).tolist() == [[1, 2, 4, 0]]


def test_random_slates_are_uniform_over_positions(world: World) -> None:
    observation = {"candidates": np.zeros((6000, 5), np.int32)}
    slate = make_policy("random", world, 2).act(observation, np.random.default_rng(3))
    pairs = np.bincount(slate[:, 0] * 5 + slate[:, 1], minlength=25).reshape(5, 5)
    expected = 6000 / 20
    assert np.diag(pairs).sum() == 0
    assert abs(pairs[~np.eye(5, dtype=bool)] - expected).max() < 5 * expected**0.5


def test_popularity_ranks_by_public_counts(world: World, observation: Arrays) -> None:
    slate = make_policy("popularity", world, 20).act(observation, np.random.default_rng(0))
    shown = np.take_along_axis(observation["candidates"], slate, 1)
    assert (np.diff(world.item_popularity[shown], axis=1) <= 0).all()


def test_fold_in_solves_the_same_system_as_each_user_alone(
    world: World, observation: Arrays
) -> None:
    model = PublicModel.from_world(world)
    feedback = observation["history_feedback"]
    found = model.fold_in(observation["history"], feedback[..., 1], feedback[..., 0])
    for row in range(3):
        known = observation["history"][row] < world.n_items
        items = observation["history"][row][known]
        design = np.c_[np.ones(len(items)), world.public_item_factors[items]]
        target = model.rating(feedback[row, known, 1]) - model.mean
        target -= world.public_item_bias[items]
        precision = model.prior_precision + design.T @ design / model.noise_std**2
        pull = model.prior_precision @ model.prior_mean + design.T @ target / model.noise_std**2
        np.testing.assert_allclose(found[row], np.linalg.solve(precision, pull), atol=1e-8)


def test_a_user_without_history_is_the_mean_of_the_population(world: World) -> None:
    model = PublicModel.from_world(world)
    nobody = np.full((1, 10), world.n_items)
    user = model.fold_in(nobody, np.zeros((1, 10)), np.zeros((1, 10)))
    np.testing.assert_allclose(user[0], model.prior_mean, atol=1e-10)


def test_cf_greedy_predicts_the_recorded_values_of_new_users_better_than_item_means(
    world: World,
) -> None:
    model = PublicModel.from_world(world)
    users = world.user_rows("held_out")
    history, value = world.user_history[users], world.user_history_value[users]
    weight = np.ones(history.shape)
    weight[:, -3:] = 0.0  # hidden from the model, to be predicted
    user = model.fold_in(history, value, weight)
    target = history[:, -3:]
    truth = model.rating(value[:, -3:])
    folded = np.mean((model.score(user, target) - truth) ** 2)
    plain = np.mean((model.mean + model.item_bias[target] - truth) ** 2)
    assert folded < 0.8 * plain


def test_what_a_user_just_liked_moves_the_scores(world: World, observation: Arrays) -> None:
    policy = CFGreedyPolicy(world, SLATE)
    disliked = {key: value.copy() for key, value in observation.items()}
    disliked["history_feedback"][:, -1, 1] = 0.0
    liked = {key: value.copy() for key, value in disliked.items()}
    liked["history_feedback"][:, -1, 1] = 1.0
    last = np.broadcast_to(observation["history"][:, -1:], observation["candidates"].shape)
    for seen in (liked, disliked):
        seen["candidates"] = last
    assert (policy.scores(liked) > policy.scores(disliked)).all()


def test_mmr_without_variety_is_cf_greedy_and_with_it_slates_are_more_varied(
    world: World, observation: Arrays
) -> None:
    rng = np.random.default_rng(0)
    greedy = make_policy("cf-greedy", world, SLATE).act(observation, rng)
    plain = make_policy("cf-mmr", world, SLATE, trade_off=1.0).act(observation, rng)
    np.testing.assert_array_equal(plain, greedy)
    varied = make_policy("cf-mmr", world, SLATE, trade_off=0.3).act(observation, rng)
    assert similarity(world, observation, varied) < similarity(world, observation, greedy)


def similarity(world: World, observation: Arrays, slate: np.ndarray[Any, Any]) -> float:
    """Mean cosine between the contents of the items of a slate."""
    items = np.take_along_axis(observation["candidates"], slate, 1)
    content = world.directions[items]
    return float((content @ content.swapaxes(1, 2)).mean())


def test_a_rested_rule_avoids_exposed_topics(world: World, observation: Arrays) -> None:
    rng = np.random.default_rng(0)
    plain = make_policy("cf-rested", world, SLATE, fatigue=0.0).act(observation, rng)
    np.testing.assert_array_equal(
        plain, make_policy("cf-greedy", world, SLATE).act(observation, rng)
    )
    rested = make_policy("cf-rested", world, SLATE, fatigue=5.0).act(observation, rng)
    exposure = observation["context"][:, 6 : 6 + world.n_topics]

    def tired(slate: np.ndarray[Any, Any]) -> float:
        items = np.take_along_axis(observation["candidates"], slate, 1)
        return float(np.einsum("bz,bkz->bk", exposure, world.item_topics[items]).mean())

    assert tired(rested) < tired(plain)


def test_the_oracle_ranks_by_the_true_click_logit(world: World, observation: Arrays) -> None:
    oracle = make_policy("oracle-myopic", world, SLATE)
    assert oracle.privileged
    slate = oracle.act(observation, np.random.default_rng(0))
    logit = observation["privileged_click_logit"]
    np.testing.assert_array_equal(slate[:, 0], logit.argmax(1))
    public = {k: v for k, v in observation.items() if not k.startswith("privileged")}
    with pytest.raises(UsageError, match="privileged_click_logit"):
        oracle.act(public, np.random.default_rng(0))


def test_unknown_names_options_and_sizes_are_refused_with_the_nearest(world: World) -> None:
    with pytest.raises(UsageError, match="Did you mean 'popularity'"):
        make_policy("populrity", world, SLATE)
    with pytest.raises(UsageError, match=r"no option 'tradeoff'.*Did you mean 'trade_off'"):
        make_policy("cf-mmr", world, SLATE, tradeoff=0.5)
    with pytest.raises(UsageError, match="slate_size is 0"):
        make_policy("random", world, 0)
    with pytest.raises(UsageError, match=r"trade_off is 2; it must be in \[0, 1\]"):
        make_policy("cf-mmr", world, SLATE, trade_off=2)
