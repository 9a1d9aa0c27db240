"""Identities every off-policy estimator must keep, on logs drawn by hypothesis."""

import dataclasses
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slategym.benchmarks import ope_bandit, ope_sequence, ope_slate
from slategym.benchmarks.ope_bandit import (
    PLAIN,
    TAMED,
    BanditLog,
    bandit_log,
    checked_propensities,
    clip,
    replay,
    shrink,
    subgaussian,
    switch,
)
from slategym.benchmarks.ope_estimate import (
    Estimate,
    effective_sample_size,
    largest_weight,
    mean_estimate,
    mean_weight,
    ratio_estimate,
)
from slategym.benchmarks.ope_problems import (
    Sessions,
    Slates,
    make_sessions,
    make_slates,
    plackett_luce,
)
from slategym.benchmarks.ope_sequence import SEQUENCE_ESTIMATORS, SequenceLog, sequence_log
from slategym.benchmarks.ope_slate import SLATE_ESTIMATORS, SlateLog
from slategym.errors import DataError, UsageError

seeds = st.integers(0, 10_000)
few = settings(max_examples=25, deadline=None)


def rounds(seed: int, *, same: bool = False, reward: float | None = None) -> BanditLog:
    rng = np.random.default_rng(seed)
    behaviour = rng.dirichlet(np.ones(4), 30)
    evaluation = behaviour if same else rng.dirichlet(np.ones(4), 30)
    actions = np.array([rng.choice(4, p=row) for row in behaviour])
    rewards = rng.normal(size=30) if reward is None else np.full(30, reward)
    propensities = behaviour[np.arange(30), actions]
    return bandit_log(actions, rewards, propensities, evaluation, model=rng.normal(size=(30, 4)))


@lru_cache
def sessions_problem(mix: float, seed: int) -> Sessions:
    return make_sessions(mix, 5, seed=seed)


@lru_cache
def slates_problem(evaluation: float, seed: int) -> Slates:
    return make_slates(0.2, evaluation, seed=seed)


def sessions(seed: int, mix: float = 0.7) -> SequenceLog:
    rng = np.random.default_rng(seed)
    log, _ = sessions_problem(mix, seed % 3).draw(40, rng)
    model = rng.normal(size=(2, *log.rewards.shape)) * log.alive
    return dataclasses.replace(log, taken=model[0], value=model[1], discount=0.9)


def slates(seed: int, evaluation: float = 0.8) -> SlateLog:
    rng = np.random.default_rng(seed)
    log, _ = slates_problem(evaluation, seed % 3).draw(40, rng)
    model = rng.normal(size=(2, *log.rewards.shape))
    return dataclasses.replace(log, taken=model[0], value=model[1])


def every_estimate(seed: int) -> list[Estimate]:
    bandit, slate, sequence = rounds(seed), slates(seed), sessions(seed)
    return [
        *(make(bandit) for make in PLAIN.values()),
        *(tamed(bandit, 0.4) for tamed in TAMED.values()),
        *(make(slate) for make in SLATE_ESTIMATORS.values()),
        *(make(sequence) for make in SEQUENCE_ESTIMATORS.values()),
    ]


@few
@given(seeds)
def test_the_same_policy_in_and_out_gives_the_mean(seed: int) -> None:
    log = rounds(seed, same=True)
    assert ope_bandit.ipw(log).value == pytest.approx(log.rewards.mean(), abs=1e-12)
    assert ope_bandit.snipw(log).value == pytest.approx(log.rewards.mean(), abs=1e-12)
    same = sessions(seed, mix=0.0)
    for name in ("tis", "pdis", "sntis", "snpdis"):
        value = SEQUENCE_ESTIMATORS[name](same).value
        assert value == pytest.approx(same.returns.mean(), abs=1e-12)
    shown = slates(seed, evaluation=0.2)
    for name in ("sips", "iips", "rips", "snsips", "sniips", "snrips"):
        value = SLATE_ESTIMATORS[name](shown).value
        assert value == pytest.approx(shown.rewards.sum(axis=1).mean(), abs=1e-9)


@few
@given(seeds, st.floats(-5, 5))
def test_a_constant_reward_returns_the_constant(seed: int, reward: float) -> None:
    log = rounds(seed, reward=reward)
    assert ope_bandit.snipw(log).value == pytest.approx(reward, abs=1e-9)
    flat = dataclasses.replace(log, taken=np.full(30, reward), value=np.full(30, reward))
    for make in PLAIN.values():
        if make not in (ope_bandit.ipw, ope_bandit.snipw):
            assert make(flat).value == pytest.approx(reward, abs=1e-9)
    shown = slates(seed)
    shown = dataclasses.replace(shown, rewards=np.full(shown.rewards.shape, reward))
    for name in ("snsips", "sniips", "snrips"):
        assert SLATE_ESTIMATORS[name](shown).value == pytest.approx(3 * reward, abs=1e-9)
    played = sessions(seed)
    played = dataclasses.replace(played, rewards=np.full(played.rewards.shape, reward))
    whole = reward * played.discounts.sum()
    for name in ("sntis", "snpdis"):
        assert SEQUENCE_ESTIMATORS[name](played).value == pytest.approx(whole, abs=1e-9)


@few
@given(seeds)
def test_dr_without_a_model_is_ipw_and_without_weights_the_direct_method(seed: int) -> None:
    log = rounds(seed)
    bare = dataclasses.replace(log, taken=np.zeros(30), value=np.zeros(30))
    assert ope_bandit.doubly_robust(bare).value == ope_bandit.ipw(bare).value
    assert ope_bandit.sndr(bare).value == pytest.approx(ope_bandit.snipw(bare).value, abs=1e-12)
    off = dataclasses.replace(log, weights=np.zeros(30))
    assert ope_bandit.doubly_robust(off).value == ope_bandit.direct_method(log).value
    played = sessions(seed)
    bare_played = dataclasses.replace(
        played, taken=np.zeros_like(played.taken), value=np.zeros_like(played.value)
    )
    dr, sndr = ope_sequence.doubly_robust(bare_played), ope_sequence.sndr(bare_played)
    assert dr.value == pytest.approx(ope_sequence.pdis(bare_played).value, abs=1e-12)
    assert sndr.value == pytest.approx(ope_sequence.snpdis(bare_played).value, abs=1e-12)
    shown = slates(seed)
    bare_shown = dataclasses.replace(
        shown, taken=np.zeros_like(shown.taken), value=np.zeros_like(shown.value)
    )
    cascade = ope_slate.cascade_dr(bare_shown).value
    assert cascade == pytest.approx(ope_slate.rips(bare_shown).value, abs=1e-12)


@few
@given(seeds)
def test_the_order_and_the_doubling_of_rows_change_nothing(seed: int) -> None:
    order = np.random.default_rng(seed).permutation(40)
    for log, table in (
        (rounds(seed), {**PLAIN, **{n: lambda x, t=t: t(x, 0.4) for n, t in TAMED.items()}}),
        (slates(seed), SLATE_ESTIMATORS),
        (sessions(seed), SEQUENCE_ESTIMATORS),
    ):
        size = len(log.rewards)
        for chosen in (order[order < size], np.tile(np.arange(size), 2)):
            moved = dataclasses.replace(
                log,
                **{
                    field.name: getattr(log, field.name)[chosen]
                    for field in dataclasses.fields(log)
                    if isinstance(getattr(log, field.name), np.ndarray)
                },
            )
            for make in table.values():
                assert make(moved).value == pytest.approx(make(log).value, rel=1e-9, abs=1e-9)


@few
@given(seeds)
def test_terms_average_to_the_estimate_and_resampling_each_once_gives_it(seed: int) -> None:
    for one in every_estimate(seed):
        size = len(one.base)
        assert one.terms.mean() == pytest.approx(one.value, rel=1e-9, abs=1e-9)
        again = one.replicates(np.ones((1, size)), np.arange(size))
        assert again[0] == pytest.approx(one.value, rel=1e-9, abs=1e-9)
        twice = one.replicates(np.full((1, 2), 3.0), np.arange(size) % 2)
        assert twice[0] == pytest.approx(one.value, rel=1e-9, abs=1e-9), "groups drawn alike"


@few
@given(seeds)
def test_a_resample_is_the_estimate_on_its_rows(seed: int) -> None:
    log = rounds(seed)
    counts = np.random.default_rng(seed).multinomial(30, np.full(30, 1 / 30)).astype(float)
    drawn = log.rows(np.repeat(np.arange(30), counts.astype(int)))
    for make in PLAIN.values():
        again = make(log).replicates(counts[None, :], np.arange(30))
        assert again[0] == pytest.approx(make(drawn).value, rel=1e-9, abs=1e-9)


@few
@given(seeds, st.floats(0.0, 20.0))
def test_tamed_weights_lie_between_nothing_and_the_weights(seed: int, setting: float) -> None:
    weights = np.random.default_rng(seed).exponential(3.0, 50)
    for reweight in (clip, switch, shrink):
        tamed = reweight(weights, setting)
        assert ((tamed >= 0) & (tamed <= weights + 1e-12)).all()
        assert reweight(weights, np.inf) == pytest.approx(weights)
    assert subgaussian(weights, 0.0) == pytest.approx(weights)
    assert subgaussian(weights, 1.0) == pytest.approx(np.ones(50))
    assert shrink(np.zeros(3), 0.0).tolist() == [0.0, 0.0, 0.0]


def test_tamed_estimators_say_that_they_are_biased_only_where_they_are() -> None:
    log = rounds(3)
    for tamed in TAMED.values():
        loose, tight = (0.0, 0.5) if tamed.name.startswith("sg") else (np.inf, 0.5)
        assert tamed(log, loose).caveat == ""
        assert tamed(log, tight).caveat != ""
        plain = PLAIN["dr" if tamed.modelled else "ipw"](log)
        assert tamed(log, loose).value == pytest.approx(plain.value)


@few
@given(seeds)
def test_slate_probabilities_of_a_small_catalogue_sum_to_one(seed: int) -> None:
    problem = make_slates(0.7, 1.5, seed=seed)
    for policy in (problem.behaviour, problem.evaluation):
        assert policy.sum(axis=1) == pytest.approx(np.ones(len(policy)))
    logits = np.random.default_rng(seed).normal(size=(3, 3)) * 20
    orders = np.array([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
    assert plackett_luce(logits, orders).sum(axis=1) == pytest.approx(np.ones(3))


def test_actions_the_log_cannot_contain_are_counted() -> None:
    evaluation = np.tile([0.5, 0.2, 0.3], (4, 1))
    actions, half = np.array([0, 1, 0, 1]), np.full(4, 0.5)
    assert bandit_log(actions, np.ones(4), half, evaluation).unsupported == pytest.approx(0.3)
    behaviour = np.tile([0.5, 0.5, 0.0], (4, 1))
    known = bandit_log(actions, np.ones(4), half, evaluation, behaviour=behaviour)
    assert known.unsupported == pytest.approx(0.3)
    full = np.full((4, 3), 1 / 3)
    assert bandit_log(actions, np.ones(4), half, evaluation, behaviour=full).unsupported == 0.0


def test_replay_is_the_mean_of_the_rounds_that_match() -> None:
    found = replay([1.0, 5.0, 3.0, 7.0], [True, False, True, False])
    assert found.value == 2.0
    assert effective_sample_size(found.weights) == 2.0
    assert np.isnan(replay([1.0], [False]).value)


def test_weights_are_described_by_their_worst_column() -> None:
    weights = np.array([[1.0, 4.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert effective_sample_size(weights) == 1.0
    assert effective_sample_size(weights[:, 0]) == 4.0
    assert largest_weight(weights) == 4.0
    assert mean_weight(np.array([[1.0, 3.0], [1.0, 3.0]])) == 3.0
    assert np.isnan(effective_sample_size(np.empty((3, 0))))
    assert np.isnan(effective_sample_size(np.zeros(3)))


def test_ended_sessions_keep_their_last_weight_and_earn_nothing() -> None:
    alive = np.array([[True, True, False], [True, True, True]])
    junk = np.where(alive, 0.5, 7.0)
    log = sequence_log(np.where(alive, 1.0, 99.0), junk, np.where(alive, 0.25, 0.0), alive)
    assert log.weights.tolist() == [[2.0, 4.0, 4.0], [2.0, 4.0, 8.0]]
    assert log.returns.tolist() == [2.0, 3.0]
    assert ope_sequence.pdis(log).value == pytest.approx((6.0 + 14.0) / 2)
    assert ope_sequence.tis(log).value == pytest.approx((8.0 + 24.0) / 2)
    assert ope_sequence.sntis(log).value == pytest.approx((8.0 + 24.0) / 12.0)


@pytest.mark.parametrize("bad", [0.0, -0.1, 1.5, np.nan])
def test_impossible_propensities_are_refused(bad: float) -> None:
    with pytest.raises(DataError, match=r"propensity .* in place 1 .*at most 1"):
        checked_propensities([0.5, bad, 0.2])


def test_arrays_that_do_not_fit_are_refused() -> None:
    ones = np.ones(3)
    with pytest.raises(DataError, match="taken has shape"):
        BanditLog(ones, ones, np.ones(2), ones)
    with pytest.raises(DataError, match="rewards has a number that is not finite"):
        BanditLog(np.array([1.0, np.nan, 0.0]), ones, ones, ones)
    with pytest.raises(DataError, match="negative"):
        BanditLog(ones, -ones, ones, ones)
    with pytest.raises(DataError, match=r"must be \(N, A\)"):
        bandit_log(np.zeros(3, int), ones, ones, ones)
    with pytest.raises(DataError, match="at least one unit"):
        mean_estimate("ipw", [], np.empty(0))
    with pytest.raises(DataError, match="units"):
        ratio_estimate("snipw", ones, ones, np.ones(2))
    with pytest.raises(DataError, match="going on until it ends"):
        sequence_log(np.ones((1, 2)), np.ones((1, 2)), np.ones((1, 2)), [[False, True]])
    with pytest.raises(UsageError, match=r"discount is 1\.1"):
        sequence_log([[1.0]], [[1.0]], [[1.0]], [[True]], discount=1.1)
