"""The rules of RecSim's tasks see observations only, and earn what is known of them."""

from typing import Any

import numpy as np
import pytest

import slategym.envs  # noqa: F401 - registers the tasks
from slategym.agents.classic_rules import (
    CLASSIC_POLICIES,
    ExposureRule,
    TypeBelief,
    clusters,
    make_classic_policy,
    qualities,
)
from slategym.agents.policy import Policy
from slategym.benchmarks.classic_table import play_observed
from slategym.envs.classic_constants import CONSTANTS, ExplorationConstants
from slategym.envs.classic_oracle_satisfaction import solve
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.oracles import oracle, play
from slategym.envs.registry import get_variant, list_variants
from slategym.envs.vector import SlateVectorEnv
from slategym.errors import UsageError

Arrays = dict[str, np.ndarray[Any, Any]]
CLASSICS = [one for one in map(get_variant, list_variants()) if isinstance(one, ClassicVariant)]
CASES = [(variant, name) for variant in CLASSICS for name in CLASSIC_POLICIES[variant.family]]


def seen_after(variant: ClassicVariant, steps: int, users: int = 12) -> Arrays:
    """What users look like after some random slates."""
    env = SlateVectorEnv(users, variant=variant)
    observation, _ = env.reset(seed=3)
    env.action_space.seed(3)
    for _ in range(steps):
        observation, *_ = env.step(env.action_space.sample())
    return {key: value.copy() for key, value in observation.items()}


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0].id}-{case[1]}")
def case(request: pytest.FixtureRequest) -> tuple[Policy, ClassicVariant, Arrays]:
    variant, name = request.param
    return make_classic_policy(name, variant), variant, seen_after(variant, 4)


def test_every_policy_keeps_the_promises_of_policies(
    case: tuple[Policy, ClassicVariant, Arrays],
) -> None:
    policy, variant, seen = case
    before = {key: value.copy() for key, value in seen.items()}
    for value in seen.values():
        value.flags.writeable = False
    slate = policy.act(seen, np.random.default_rng(1))
    assert isinstance(policy, Policy)
    assert policy.name in CLASSIC_POLICIES[variant.family]
    assert slate.shape == (12, variant.slate_size)
    assert slate.dtype == np.int64
    assert slate.min() >= 0
    assert slate.max() < variant.num_candidates
    assert all(len(set(row)) == variant.slate_size for row in slate.tolist())
    np.testing.assert_array_equal(slate, policy.act(seen, np.random.default_rng(1)))
    rng = np.random.default_rng(1)
    alone = [policy.act({k: v[i : i + 1] for k, v in seen.items()}, rng) for i in range(12)]
    np.testing.assert_array_equal(slate, np.concatenate(alone))
    for key, value in seen.items():
        np.testing.assert_array_equal(value, before[key])


def test_too_few_candidates_are_refused(case: tuple[Policy, ClassicVariant, Arrays]) -> None:
    policy, variant, seen = case
    width = seen["candidates"].shape[1] // variant.num_candidates
    few = seen | {"candidates": seen["candidates"][:, : width * (variant.slate_size - 1)]}
    with pytest.raises(UsageError, match=f"a slate of {variant.slate_size} needs at least"):
        policy.act(few, np.random.default_rng(0))


def test_every_family_has_policies() -> None:
    assert set(CLASSIC_POLICIES) == set(CONSTANTS)


def test_ids_and_vectors_give_the_same_slates() -> None:
    variant = get_variant("slategym/InterestEvolution-v0")
    assert isinstance(variant, ClassicVariant)
    by_vector = seen_after(variant, 0)
    by_id = seen_after(variant.override(observation="ids"), 0)
    np.testing.assert_array_equal(clusters(by_vector), clusters(by_id))
    for name in CLASSIC_POLICIES[variant.family]:
        policy = make_classic_policy(name, variant)
        first, second = (policy.act(seen, np.random.default_rng(0)) for seen in (by_vector, by_id))
        np.testing.assert_array_equal(first, second)


def test_exposure_is_that_of_the_recursion() -> None:
    """With no noise and a start at zero the estimate is exact while history holds everything."""
    variant = get_variant("slategym/LongTermSatisfactionHard-v0").override(innovation_stddev=0.0)
    assert isinstance(variant, ClassicVariant)
    rule = make_classic_policy("planner", variant)
    assert isinstance(rule, ExposureRule)
    env = SlateVectorEnv(200, variant=variant, privileged=True)
    observation, info = env.reset(seed=1)
    start = info["privileged"]["npe"].copy()
    discount = variant.parameters["memory_discount"]
    for step in range(1, 12):
        observation, *_, info = env.step(np.full(env.action_space.shape, step % 10))
        hidden = info["privileged"]["npe"] - discount**step * start
        error = np.abs(rule.exposure(observation) - hidden).max()
        # Beyond the five documents of the history, the older ones stand at their mean.
        assert error < (1e-5 if step <= 5 else 0.35)
    kept = variant.override(history_length=12)
    assert isinstance(kept, ClassicVariant)
    longer = make_classic_policy("myopic", kept)
    assert isinstance(longer, ExposureRule)
    env = SlateVectorEnv(50, variant=kept, privileged=True)
    observation, info = env.reset(seed=1)
    start = info["privileged"]["npe"].copy()
    for _ in range(12):
        observation, *_, info = env.step(np.zeros(env.action_space.shape, np.int64))
    hidden = info["privileged"]["npe"] - discount**12 * start
    np.testing.assert_allclose(longer.exposure(observation), hidden, atol=1e-5)


def test_belief_in_a_type_is_the_prior_at_first_and_finds_the_type() -> None:
    variant = get_variant("slategym/NicheExploration-v0")
    assert isinstance(variant, ClassicVariant)
    constants = variant.constants
    assert isinstance(constants, ExplorationConstants)
    belief = TypeBelief(constants, learns=True)
    env = SlateVectorEnv(500, variant=variant, privileged=True)
    observation, info = env.reset(seed=2)
    prior = np.tile(constants.user_type_distribution, (500, 1))
    np.testing.assert_allclose(belief.posterior(observation), prior, atol=1e-12)
    policy = make_classic_policy("random", variant)
    for step in range(80):
        slate = policy.act(observation, np.random.default_rng(step))
        observation, *_, info = env.step(slate)
    truth = info["privileged"]["user_type"]
    posterior = belief.posterior(observation)
    np.testing.assert_allclose(posterior.sum(axis=1), 1.0)
    assert posterior[np.arange(500), truth].mean() > 0.75  # 0.28 at the prior
    quality, topic = qualities(observation, len(constants.topic_distribution))
    np.testing.assert_allclose(quality, info["privileged"]["quality"], rtol=1e-6)
    np.testing.assert_array_equal(topic, info["privileged"]["cluster_id"])


def near(name: str, variant: str, expected: float, users: int = 1500, **changes: int) -> None:
    """The mean return is the one known, within four standard errors."""
    task = get_variant(variant).override(**changes)
    assert isinstance(task, ClassicVariant)
    score = play_observed(make_classic_policy(name, task), task, users, seed=11)
    assert abs(score.mean - expected) < 4 * score.se


def test_static_rules_earn_what_recsim_measured() -> None:
    near("random", "slategym/InterestEvolution-v0", 154.08, slate_size=2)
    near("quality", "slategym/InterestEvolution-v0", 279.55, slate_size=2)
    near("random", "slategym/InterestExploration-v0", 22.903, slate_size=2)
    near("quality", "slategym/InterestExploration-v0", 38.857, slate_size=2)


@pytest.mark.parametrize("variant", ["LongTermSatisfactionHard-v0", "LongTermSatisfaction-v0"])
def test_rules_of_satisfaction_earn_what_dynamic_programming_says(variant: str) -> None:
    task = get_variant(f"slategym/{variant}")
    assert isinstance(task, ClassicVariant)
    for name, rule in (("random", "random"), ("kale", "kale"), ("choc", "myopic")):
        exact = solve(task.constants, rule).start(task.constants)  # type: ignore[arg-type]
        near(name, task.id, exact)


def test_planning_from_observations_comes_within_two_percent_of_knowing_the_user() -> None:
    for variant in ("LongTermSatisfactionHard-v0", "LongTermSatisfactionExtreme-v0"):
        task = get_variant(f"slategym/{variant}")
        assert isinstance(task, ClassicVariant)
        mine = play_observed(make_classic_policy("planner", task), task, 1000, seed=4)
        knows = play(task, oracle(task), 1000, seed=4)
        kale = play_observed(make_classic_policy("kale", task), task, 1000, seed=4)
        assert mine.mean > 0.98 * knows.mean
        assert mine.mean > kale.mean
    task = get_variant("slategym/NicheExploration-v0")
    assert isinstance(task, ClassicVariant)
    mine = play_observed(make_classic_policy("bayes", task), task, 1000, seed=4)
    assert mine.mean > 0.97 * play(task, oracle(task, "bayes_greedy"), 1000, seed=4).mean


def test_what_does_not_fit_is_refused() -> None:
    variant = get_variant("slategym/LongTermSatisfaction-v0")
    assert isinstance(variant, ClassicVariant)
    with pytest.raises(UsageError, match="unknown long_term_satisfaction policy 'kales'"):
        make_classic_policy("kales", variant)
    with pytest.raises(UsageError, match="no classic task"):
        make_classic_policy("kale", get_variant("slategym/World-v0"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="use resample_documents=True"):
        make_classic_policy("planner", variant.override(resample_documents=False))
