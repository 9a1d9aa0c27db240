"""MIPS and OffCEM on slates of our own worlds, and fitted Q evaluation with networks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slategym.agents.classic_rules import make_classic_policy
from slategym.agents.policy import make_policy
from slategym.agents.slate_laws import MixtureLaw, SlateLaw
from slategym.agents.stochastic import StochasticPolicy, with_propensities
from slategym.benchmarks.log_clusters import (
    CLUSTERED,
    cluster_count,
    clustered_estimate,
    conjunct_slots,
)
from slategym.benchmarks.log_judging import judge, slate_estimate
from slategym.benchmarks.log_models import LinearReturn
from slategym.benchmarks.log_neural import NeuralConfig, NeuralReturn, neural_return
from slategym.benchmarks.log_policies import remade_policies
from slategym.benchmarks.log_reader import read_log
from slategym.benchmarks.log_views import LogFeatures, views_of
from slategym.benchmarks.log_writer import write_log
from slategym.benchmarks.ope_estimate import effective_sample_size
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.registry import get_variant
from slategym.envs.tiny import tiny_world
from slategym.errors import DataError

VARIANT = get_variant("slategym/World-v0").override(slate_size=2, num_candidates=12, horizon=6)


def policy(name: str, **wrap: float) -> StochasticPolicy:
    """Return a policy of the tiny world that gives probabilities."""
    return with_propensities(make_policy(name, tiny_world(), 2), **wrap)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> LogFeatures:
    """Return a log of softened collaborative filtering, its items pooled."""
    path = tmp_path_factory.mktemp("logs") / "a.parquet"
    wrote = policy("cf-greedy", temperature=0.7)
    write_log(wrote, VARIANT, path, world=tiny_world(), users=128, seed=1)
    return LogFeatures.of(read_log(path), tiny_world())


def test_the_policy_that_wrote_the_log_has_weights_of_one(known: LogFeatures) -> None:
    assert known.unpooled == ""
    same = views_of(known, policy("cf-greedy", temperature=0.7)).clustered
    assert same is not None
    np.testing.assert_allclose(same.cascade, 1.0, rtol=1e-7)
    for name in ("mips", "snmips"):
        made = clustered_estimate(name, same)
        assert made.value == pytest.approx(known.log.reward.mean(), rel=1e-6)
    assert clustered_estimate("offcem", same).value == pytest.approx(
        known.log.reward.mean(), rel=0.05
    )


def test_an_item_a_cluster_makes_mips_cascade_weights(known: LogFeatures) -> None:
    clusters, log = known.clusters, known.log
    assert clusters is not None
    alone = replace(
        clusters, candidates=log.candidates, shown=log.items, behaviour=np.exp(log.logp_slot)
    )
    views = views_of(replace(known, clusters=alone), policy("random"))
    assert views.clustered is not None
    np.testing.assert_allclose(views.clustered.cascade, views.slate.cascade, rtol=1e-7)
    for name, twin in (("mips", "rips"), ("snmips", "snrips")):
        pooled, plain = slate_estimate(name, views), slate_estimate(twin, views)
        assert pooled is not None
        assert plain is not None
        assert pooled.value == pytest.approx(plain.value)


def test_pooled_weights_leave_more_of_the_log(known: LogFeatures) -> None:
    views = views_of(known, policy("random"))
    assert views.clustered is not None
    pooled = effective_sample_size(views.clustered.cascade)
    assert pooled > effective_sample_size(views.slate.cascade)
    told = judge(known, policy("random"), estimators=CLUSTERED)
    assert [row.name for row in told.slate] == list(CLUSTERED)
    assert all(row.bias > 0 for row in told.slate)  # each has an assumption to pay for
    assert cluster_count(60, 12) == 4
    assert cluster_count(9, 100) == 3


def test_the_model_finds_differences_inside_clusters(known: LogFeatures) -> None:
    clusters, log, features = known.clusters, known.log, known.features
    assert clusters is not None
    level = np.array([3.0, -2.0, 0.5, 1.0])[clusters.candidates]
    truth = 0.7 * features.items[..., 0] - 0.2 * features.items[..., 1] + level  # (N, C)
    paid = np.take_along_axis(truth, log.positions, 1)
    found = conjunct_slots(
        replace(log, reward_slot=paid), features, clusters.candidates, clusters.shown
    )
    np.testing.assert_allclose(found, np.repeat(truth[:, None], 2, axis=1), atol=0.2)


def test_policies_are_made_again_by_their_names(known: LogFeatures) -> None:
    log, world = known.log, tiny_world()
    named = replace(log.info, policies=("random", "cf-mmr, epsilon 0.25"))
    made = remade_policies(replace(log, info=named), VARIANT, world)
    assert [one.name for one in made] == ["random", "cf-mmr, epsilon 0.25"]
    strange = replace(log, info=replace(log.info, policies=("mine, temperature 1",)))
    with pytest.raises(DataError, match="cannot be asked again by that name"):
        remade_policies(strange, VARIANT, world)
    inside = make_policy("cf-greedy", world, 2)
    (asked,) = remade_policies(strange, VARIANT, world, inside)
    assert asked.name == "cf-greedy, temperature 1"


def test_a_log_that_cannot_be_pooled_says_why(known: LogFeatures, tmp_path: Path) -> None:
    other = replace(known.log, info=replace(known.log.info, policies=("random",)))
    told = LogFeatures.of(other, tiny_world())
    assert told.clusters is None
    assert "so it is not what wrote it" in told.unpooled
    variant = get_variant("slategym/LongTermSatisfaction-v0")
    assert isinstance(variant, ClassicVariant)
    random = with_propensities(make_classic_policy("random", variant))
    write_log(random, variant, tmp_path / "lts.parquet", users=8, seed=1)
    classic = LogFeatures.of(read_log(tmp_path / "lts.parquet"), None)
    assert "no item vectors" in classic.unpooled
    assert judge(classic, random, estimators=("mips", "dm")).slate[0].name == "dm"


def test_networks_see_what_a_line_misses(known: LogFeatures) -> None:
    log, features = known.log, known.features
    shown = features.of_slates(log.positions)
    column = features.state.shape[1]  # the mean over a slate of an item's first feature
    bent = replace(log, reward=3.0 * np.abs(shown[:, column]))
    law = MixtureLaw(log.positions, 1.0, 12)  # the random policy
    laws: list[tuple[slice, SlateLaw]] = [(slice(0, len(log)), law)]
    rng = np.random.default_rng(0)
    drawn = [features.of_slates(law.sample(rng))[log.first, column] for _ in range(64)]
    truth = float((3.0 * np.abs(np.stack(drawn))).mean())
    linear = LinearReturn.of(bent, shown, features.expected(laws, 0), 0.0)
    (line,), _ = linear.solve(np.ones((1, len(linear.begun))))
    small = NeuralConfig(members=3, rounds=4, steps=60, rate=1e-2, draws=16)

    def fitted(seed: int) -> NeuralReturn:
        return neural_return(bent, features, laws, linear, gamma=0.0, seed=seed, config=small)

    found = fitted(0)
    ends = found.interval()
    assert abs(ends.estimate - truth) < 0.6 * abs(line - truth)
    assert ends.low < ends.estimate < ends.high
    again = fitted(0)
    assert again.members.tobytes() == found.members.tobytes()
    assert again.first.tobytes() == found.first.tobytes()
    assert fitted(1).members.tobytes() != found.members.tobytes()


def test_networks_hand_values_back_through_steps(known: LogFeatures) -> None:
    log, features = known.log, known.features
    paid = replace(log, reward=np.ones(len(log)))
    laws: list[tuple[slice, SlateLaw]] = [(slice(0, len(log)), MixtureLaw(log.positions, 0.0, 12))]
    shown = features.of_slates(log.positions)
    linear = LinearReturn.of(paid, shown, shown, 0.9)
    few = NeuralConfig(members=3, rounds=4, steps=10)
    found = neural_return(paid, features, laws, linear, gamma=0.9, config=few)
    lengths = np.bincount(log.episode)
    truth = float(((1.0 - 0.9**lengths) / 0.1).mean())
    assert found.interval().estimate == pytest.approx(truth, rel=0.05)
