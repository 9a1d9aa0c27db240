"""A log seen through other policies: identities, models that find what is there, and truth."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from slategym.agents.classic_rules import make_classic_policy
from slategym.agents.policy import make_policy
from slategym.agents.slate_laws import PlackettLuceLaw
from slategym.agents.stochastic import StochasticPolicy, with_propensities
from slategym.benchmarks.log_models import SlateFeatures, linear_fqe, reward_model
from slategym.benchmarks.log_reader import read_log
from slategym.benchmarks.log_schema import Log
from slategym.benchmarks.log_truth import step_truth, true_returns
from slategym.benchmarks.log_views import LogFeatures, LogViews, views_of
from slategym.benchmarks.log_writer import write_log
from slategym.benchmarks.ope_bandit import ipw, snipw
from slategym.benchmarks.ope_sequence import pdis, tis
from slategym.benchmarks.ope_slate import iips, rips, sips
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.registry import get_variant
from slategym.envs.tiny import tiny_world
from slategym.errors import DataError, UsageError

VARIANT = "slategym/World-v0"


def policy(name: str, **wrap: float) -> StochasticPolicy:
    """Return a policy of the tiny world that gives probabilities."""
    return with_propensities(make_policy(name, tiny_world(), 5), **wrap)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> LogFeatures:
    """Return a log of softened collaborative filtering with its features."""
    path = tmp_path_factory.mktemp("logs") / "a.parquet"
    logged = policy("cf-greedy", temperature=0.7)
    write_log(logged, get_variant(VARIANT), path, world=tiny_world(), users=256, seed=1)
    return LogFeatures.of(read_log(path), tiny_world())


def test_the_policy_that_wrote_the_log_is_worth_what_it_earned(known: LogFeatures) -> None:
    same = views_of(known, policy("cf-greedy", temperature=0.7), gamma=1.0)
    log = known.log
    np.testing.assert_allclose(same.bandit.weights, 1.0, rtol=1e-7)
    np.testing.assert_allclose(same.slate.slot, 1.0, rtol=1e-7)
    for estimator in (ipw, snipw):
        assert estimator(same.bandit).value == pytest.approx(log.reward.mean(), rel=1e-6)
    for estimator in (sips, iips, rips):
        assert estimator(same.slate).value == pytest.approx(log.reward.mean(), rel=1e-6)
    for estimator in (tis, pdis):
        mean = log.reward.sum() / log.first.sum()
        assert estimator(same.sequence).value == pytest.approx(mean, rel=1e-6)
    assert same.bandit.unsupported == 0.0
    assert same.has_positions


@pytest.fixture(scope="module")
def random_views(known: LogFeatures) -> LogViews:
    """Return the log through the random policy."""
    return views_of(known, policy("random"), gamma=0.9)


def test_sessions_are_padded_as_sequence_estimators_want(
    known: LogFeatures, random_views: LogViews
) -> None:
    sequence, log = random_views.sequence, known.log
    assert sequence.alive.sum() == len(log)
    np.testing.assert_allclose(sequence.rewards[sequence.alive], log.reward)
    assert (sequence.ratios[~sequence.alive] == 1.0).all()
    assert len(random_views.episode_user) == len(sequence.rewards) == 256
    assert random_views.user.max() == len(set(log.user.tolist())) - 1


def test_estimates_come_near_the_truth(known: LogFeatures, random_views: LogViews) -> None:
    world, task = tiny_world(), get_variant(VARIANT)
    behaviour, judged = policy("cf-greedy", temperature=0.7), policy("random")
    told = step_truth(behaviour, [judged, behaviour], task, world, users=512, seed=7)
    assert told.value[1] == pytest.approx(known.log.reward.mean(), abs=4 * told.error[1])
    assert random_views.bandit.value.mean() == pytest.approx(told.value[0], rel=0.12)
    (returns,) = true_returns([judged], task, world, users=512, seed=7, gammas=(0.9,))
    assert random_views.fitted.value == pytest.approx(returns.mean(), rel=0.25)
    low, high = np.quantile(random_views.fitted.replicates, [0.025, 0.975])
    assert low < random_views.fitted.value < high


def test_the_truth_of_the_behaviour_policy_is_its_own(known: LogFeatures) -> None:
    # With the seed and the draws of a log: the same users, the same luck, other slates.
    del known
    task, world = get_variant(VARIANT), tiny_world()
    sure = policy("cf-greedy", epsilon=0.0)
    told = step_truth(sure, [sure], task, world, users=32, seed=5)
    returns, halved = true_returns([sure], task, world, users=32, seed=5, gammas=(1.0, 0.5))[:, 0]
    np.testing.assert_allclose(told.reward[0], returns, rtol=1e-6)
    assert (halved <= returns + 1e-9).all()


def test_what_cannot_be_judged_is_said(known: LogFeatures) -> None:
    world = tiny_world()
    seeing = with_propensities(make_policy("oracle-myopic", world, 5), epsilon=0.1)
    with pytest.raises(UsageError, match="sees the hidden state of users, which no log holds"):
        views_of(known, seeing)
    log = known.log
    absent = replace(log, info=replace(log.info, propensities="absent"))
    with pytest.raises(DataError, match="has no propensities"):
        LogFeatures.of(absent, world)
    with pytest.raises(DataError, match="give the world it was written in"):
        LogFeatures.of(log, tiny_world(seed=9))


def test_items_that_are_never_shown_are_told(known: LogFeatures) -> None:
    log = known.log
    rare = int(np.bincount(log.items.reshape(-1)).argmin())
    rows = ~(log.items == rare).any(1)
    part = log.rows(rows)
    found = views_of(LogFeatures.of(part, tiny_world()), policy("random"))
    offered = (part.candidates == rare).any(1).mean() / 20
    assert found.bandit.unsupported == pytest.approx(offered, rel=0.2)


def chain(users: int, seed: int) -> tuple[Log, np.ndarray, np.ndarray]:
    """Return a log of a chain, the features of what was done, and of always doing 1.

    Action 1 pays 1 and ends the episode with probability 0.5; action 0 pays 0.2 and ends it with
    probability 0.1. The log draws both alike; always taking 1 is worth 1 / (1 - 0.5 gamma).
    """
    rng = np.random.default_rng(seed)
    rows: list[tuple[int, int, float]] = []
    for user in range(users):
        while True:
            action = int(rng.random() < 0.5)
            rows.append((user, action, 1.0 if action else 0.2))
            if rng.random() < (0.5 if action else 0.1):
                break
    user, action, reward = (np.array(column) for column in zip(*rows, strict=True))
    first = np.concatenate([[True], user[1:] != user[:-1]])
    log = cast("Log", _Chain(user, reward, first))
    taken = np.stack([1.0 - action, action], axis=1).astype(float)
    always = np.tile([0.0, 1.0], (len(user), 1))
    return log, taken, always


class _Chain:
    """As much of a log as fitted Q evaluation reads."""

    def __init__(self, user: np.ndarray, reward: np.ndarray, first: np.ndarray) -> None:
        self.user, self.reward, self.first = user, reward, first

    def __len__(self) -> int:
        """Return N."""
        return len(self.user)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.9])
def test_fitted_q_evaluation_finds_the_value_of_a_chain(gamma: float) -> None:
    log, taken, always = chain(4000, seed=3)
    found = linear_fqe(log, taken, always, gamma=gamma)
    truth = 1.0 / (1.0 - 0.5 * gamma)
    assert found.value == pytest.approx(truth, rel=0.03)
    low, high = np.quantile(found.replicates, [0.001, 0.999])
    assert low - 1e-3 <= truth <= high + 1e-3


def test_a_reward_model_predicts_users_it_has_not_seen(known: LogFeatures) -> None:
    log = known.log
    made_up = replace(log, reward=known.shown @ np.linspace(-1, 1, known.shown.shape[1]))
    model = reward_model(made_up, known.shown, known.shown)
    np.testing.assert_allclose(model.shown, made_up.reward, atol=0.2)
    np.testing.assert_allclose(model.shown, model.policy)


def test_expected_features_are_means_over_slates() -> None:
    rng = np.random.default_rng(0)
    features = SlateFeatures.of(rng.normal(size=(50, 2)), rng.normal(size=(50, 6, 3)))
    law = policy_law(50)
    means = [features.of_slates(law.sample(np.random.default_rng(s))) for s in range(600)]
    found = features.expected([(slice(0, 50), law)], seed=0)
    assert np.abs(found - np.mean(means, axis=0)).mean() < 0.16
    np.testing.assert_allclose(found[:, :3], features.state)


def policy_law(batch: int) -> PlackettLuceLaw:
    """Return a law over slates of 2 out of 6."""
    return PlackettLuceLaw(np.random.default_rng(1).normal(size=(batch, 6)), 2)


def test_classics_are_judged_too(tmp_path: Path) -> None:
    variant = cast("ClassicVariant", get_variant("slategym/LongTermSatisfaction-v0"))
    random = with_propensities(make_classic_policy("random", variant))
    write_log(random, variant, tmp_path / "lts.parquet", users=64, seed=1)
    known = LogFeatures.of(read_log(tmp_path / "lts.parquet"), None)
    values = {}
    for name in ("kale", "choc"):
        judged = with_propensities(make_classic_policy(name, variant), epsilon=0.1)
        values[name] = views_of(known, judged).bandit.value.mean()
    assert values["choc"] > values["kale"]  # at once; in the long run it is the other way round
