"""The formulas of the classics: probabilities, draws, and the functions they are made of."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.special import ndtri

from slategym.envs import classic_draws as draws
from slategym.envs import classic_evolution as evolution
from slategym.envs import rng as counters
from slategym.envs.classic_choice import again, race, speeds_from
from slategym.envs.classic_constants import CHOICE_MODELS, EvolutionConstants, ExplorationConstants
from slategym.envs.classic_exact import probabilities
from slategym.envs.classic_family import FAMILY
from slategym.envs.classic_variant import ClassicVariant

SCORES = st.lists(st.floats(-1, 1), min_size=1, max_size=12)
GIVEN = {"no_click_mass": 1.0, "min_normalizer": -1.0, "attention_prob": 0.65}


@pytest.mark.parametrize("model", CHOICE_MODELS)
@given(scores=SCORES, place=st.integers(0, 11), more=st.floats(0.01, 0.5))
@settings(max_examples=60, deadline=None)
def test_chances_sum_to_one_and_rise_with_attraction(
    model: str, scores: list[float], place: int, more: float
) -> None:
    params = GIVEN | {"score_scaling": 0.05}
    chances = probabilities(model, scores, params)
    assert chances.sum() == pytest.approx(1, abs=1e-12)
    assert (chances >= 0).all()
    at = place % len(scores)
    raised = [score + more * (i == at) for i, score in enumerate(scores)]
    better = probabilities(model, raised, params)
    assert better[at] > chances[at]
    assert better[-1] < chances[-1]


@pytest.mark.parametrize("model", CHOICE_MODELS)
@given(scores=SCORES)
@settings(max_examples=30, deadline=None)
def test_order_matters_in_cascades_only(model: str, scores: list[float]) -> None:
    params = GIVEN | {"score_scaling": 0.3}
    chances = probabilities(model, scores, params)
    turned = probabilities(model, scores[::-1], params)[:-1][::-1]
    if "cascade" not in model:
        np.testing.assert_allclose(turned, chances[:-1], atol=1e-12)
    elif len(scores) > 1 and min(scores) > -0.9:
        assert turned[0] < chances[0]


def test_large_logits_do_not_overflow() -> None:
    chances = probabilities("logit", [800.0, 799.0], {"no_click_mass": -900.0})
    assert chances == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.e), 0])


def test_a_race_is_won_in_proportion_to_weight(rng: np.random.Generator) -> None:
    weights = np.tile(np.array([[0.5], [0.0], [2.0], [1.5]]), 40_000)
    speeds_from(weights, rng.random(weights.shape))
    won = np.empty(40_000, dtype=np.int64)
    race(weights, np.empty(40_000), won)
    share = [(won == place).mean() for place in (0, 1, 2, -1)]
    assert share == pytest.approx([0.125, 0, 0.5, 0.375], abs=0.01)


def test_nothing_is_chosen_where_everything_weighs_nothing() -> None:
    won = np.empty(1, dtype=np.int64)
    race(np.zeros((4, 1)), np.empty(1), won)
    assert won.tolist() == [-1]


def test_repeated_documents_are_counted() -> None:
    slate = np.array([4, 2, 4, 4, 2])
    assert [again(slate, place) for place in range(5)] == [0, 0, 1, 2, 1]


def test_exp_and_logarithm_are_right_to_the_last_bits() -> None:
    x = np.concatenate([np.linspace(-700, 700, 4001), np.linspace(-2, 2, 4001)])
    mine = np.array([draws.exp(value) for value in x])
    np.testing.assert_allclose(mine, np.exp(x), rtol=5e-16)
    assert draws.exp(-800.0) == 0.0
    assert draws.exp(0.0) == 1.0
    assert math.isfinite(draws.exp(1e9))
    u = np.concatenate([np.geomspace(1e-12, 1, 3000), 1 - np.geomspace(1e-12, 0.5, 3000)])
    np.testing.assert_allclose([draws.log(value) for value in u], np.log(u), rtol=5e-16)
    assert draws.sigmoid(0.3) == pytest.approx(1 / (1 + math.exp(-0.3)), rel=1e-15)


def test_normal_numbers_are_the_quantiles_of_uniform_ones(rng: np.random.Generator) -> None:
    bits = np.concatenate([rng.integers(0, 2**32, 2000), [0, 1, 2**32 - 1]]).astype(np.uint64)
    u = np.array([draws.uniform_from(number) for number in bits])
    np.testing.assert_allclose(u, (bits + 0.5) / 2**32, rtol=1e-15)
    z, spare = np.empty(len(u)), np.empty(len(u))
    draws.normals(u, z, spare, np.empty(len(u) + 1, dtype=np.int64))
    np.testing.assert_allclose(z, ndtri(u), rtol=1e-13)
    assert z.tolist() == [draws.normal(value) for value in u]


def test_draws_are_the_halves_of_the_counters_bits() -> None:
    five, three, two = (np.array([number], dtype=np.uint64) for number in (5, 3, 2))
    keys = counters.step_key_of(five, three)
    whole = int(counters.bits_of(keys, np.uint64(draws.CLUSTER), two)[0])
    at = keys[0]
    numbers = np.array([draws.counter(at, draws.CLUSTER, 2)], dtype=np.uint64)
    draws.mix_all(numbers)
    assert int(draws.upper(numbers[0])) == whole >> 32
    assert int(draws.lower(numbers[0])) == whole & (2**32 - 1)
    assert draws.below_from(np.uint64(2**32 - 1), 20) == 19
    single = draws.single_from(np.uint64(2**32 - 1))
    assert np.float32(single) == single < 1


def test_the_first_users_and_documents_are_what_the_counters_say() -> None:
    """The state after a reset, from the NumPy statement of the draws."""
    simulation = ClassicVariant("a/B-v0", constants=EvolutionConstants()).simulation(3)
    simulation.begin(np.full(3, 9, np.uint64), np.arange(3, dtype=np.uint64))
    streams, zero = np.arange(3, dtype=np.uint64), np.zeros(3, np.uint64)
    seeds = np.full(3, 9, np.uint64)
    at = counters.step_key_of(counters.episode_key_of(seeds, streams, zero), zero)[:, None]
    places = np.arange(20, dtype=np.uint64)
    u = counters.uniform_of(counters.bits_of(at, np.uint64(draws.INTEREST), places))
    np.testing.assert_array_equal(simulation.privileged()["interest"], 2 * u - 1)
    number = counters.bits_of(at, np.uint64(draws.CLUSTER), np.arange(5, dtype=np.uint64))
    halves = np.stack([number >> np.uint64(32), number & np.uint64(2**32 - 1)], axis=2)
    clusters = (halves.reshape(3, 10) * np.uint64(20)) >> np.uint64(32)
    np.testing.assert_array_equal(simulation.privileged()["cluster_id"], clusters)


def test_interests_move_as_recsim_has_it() -> None:
    rules = FAMILY["interest_evolution"].rules(EvolutionConstants())
    for interest in np.linspace(-1, 1, 41):
        step = 0.3 * (1 - abs(interest)) * (1 - interest)
        up, down = (evolution.interest_after(rules, interest, upward) for upward in (True, False))
        assert up == pytest.approx(min(interest + step, 1), abs=1e-12)
        assert down == pytest.approx(max(interest - step, -1), abs=1e-12)
        assert evolution.upward_chance(interest) == pytest.approx((interest + 1) / 2)


def test_affinities_and_qualities_are_log_normal() -> None:
    constants = ExplorationConstants(
        num_candidates=20,
        topic_quality_stddev=(0.5, 0.1),
        user_document_stddev_affinity_matrix=((0.3, 0.1), (0.1, 0.2)),
    )
    simulation = ClassicVariant("a/B-v0", constants=constants).simulation(5000)
    simulation.begin(np.zeros(5000, np.uint64), np.arange(5000, dtype=np.uint64))
    known = simulation.privileged()
    kind = known["user_type"]
    assert kind.mean() == pytest.approx(0.7, abs=0.03)
    logs = np.log(known["affinity"])
    assert logs[kind == 0, 0].mean() == pytest.approx(0.1, abs=0.04)
    assert logs[kind == 0, 0].std() == pytest.approx(0.3, abs=0.03)
    assert logs[kind == 1, 1].std() == pytest.approx(0.2, abs=0.02)
    topic, quality = known["cluster_id"], np.log(known["quality"])
    assert topic.mean() == pytest.approx(0.8, abs=0.01)
    assert quality[topic == 0].mean() == pytest.approx(0.8, abs=0.02)
    assert quality[topic == 0].std() == pytest.approx(0.5, abs=0.02)


def test_a_seldom_topic_is_drawn_and_an_impossible_one_is_not() -> None:
    constants = ExplorationConstants(
        num_candidates=50,
        topic_distribution=(0.0, 0.001, 0.999),
        topic_quality_mean=(0.0, 0.0, 0.0),
        topic_quality_stddev=(0.1, 0.1, 0.1),
        user_document_mean_affinity_matrix=((0.0,) * 3,) * 2,
        user_document_stddev_affinity_matrix=((0.1,) * 3,) * 2,
    )
    simulation = ClassicVariant("a/B-v0", constants=constants).simulation(2000)
    simulation.begin(np.zeros(2000, np.uint64), np.arange(2000, dtype=np.uint64))
    counts = np.bincount(simulation.privileged()["cluster_id"].ravel(), minlength=3)
    assert counts[0] == 0
    assert counts[1] == pytest.approx(100, abs=50)
