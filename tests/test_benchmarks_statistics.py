"""Intervals mean what they say: known answers, and coverage measured by simulation."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import trim_mean

from slategym.benchmarks import metrics
from slategym.benchmarks.statistics import (
    Interval,
    UserBootstrap,
    iqm,
    mean,
    paired_interval,
    paired_superiority,
    probability_of_improvement,
    stratified_interval,
)

numbers = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40)


def test_iqm_cuts_the_outer_quarters() -> None:
    assert iqm([1, 2, 3, 100]) == 2.5
    assert iqm(np.arange(8.0)) == 3.5
    assert iqm([7.0]) == 7.0


@given(numbers)
def test_iqm_is_scipys_trimmed_mean(values: list[float]) -> None:
    assert iqm(values) == pytest.approx(trim_mean(values, 0.25), abs=1e-9)


@given(numbers, st.floats(-10, 10), st.floats(0.1, 10))
def test_iqm_moves_with_shift_and_scale(values: list[float], shift: float, scale: float) -> None:
    moved = iqm(np.asarray(values) * scale + shift)
    assert moved == pytest.approx(float(iqm(values)) * scale + shift, abs=1e-6)


def test_probability_of_improvement_counts_pairs_and_half_ties() -> None:
    assert probability_of_improvement([3, 4], [1, 2]) == 1.0
    assert probability_of_improvement([1, 3], [2, 3]) == pytest.approx((0 + 0 + 1 + 0.5) / 4)


@given(numbers, numbers)
def test_probability_of_improvement_of_both_sides_adds_to_one(
    first: list[float], second: list[float]
) -> None:
    both = probability_of_improvement(first, second) + probability_of_improvement(second, first)
    assert both == pytest.approx(1.0)


def test_paired_superiority_compares_each_pair_with_itself() -> None:
    assert paired_superiority([2, 5, 1], [1, 5, 3]) == pytest.approx(0.5)


def test_the_same_seed_gives_the_same_interval(rng: np.random.Generator) -> None:
    runs = [rng.normal(size=10), rng.normal(3, 1, size=5)]
    assert stratified_interval(runs, seed=3) == stratified_interval(runs, seed=3)
    assert stratified_interval(runs, seed=3) != stratified_interval(runs, seed=4)


def test_strata_are_never_mixed() -> None:
    # Two constant strata: a resample that keeps them apart always has the same mean.
    interval = stratified_interval([[0.0] * 5, [10.0] * 5], mean)
    assert interval == Interval(5.0, 5.0, 5.0)
    pooled = stratified_interval([[0.0] * 5 + [10.0] * 5], mean)
    assert pooled.high - pooled.low > 2.0


def test_pairing_removes_what_both_share(rng: np.random.Generator) -> None:
    shared = rng.normal(0, 10, 30)
    control, treatment = shared, shared + 1.0
    assert paired_interval(treatment, control).excludes_zero
    apart = stratified_interval([treatment]).low, stratified_interval([control]).high
    assert apart[0] < apart[1]
    with pytest.raises(ValueError, match="equal shapes"):
        paired_interval([1.0], [1.0, 2.0])


def test_an_interval_survives_json_with_unknown_ends() -> None:
    assert Interval.from_json(Interval(1.0, 0.5, 2.0).to_json()) == Interval(1.0, 0.5, 2.0)
    unknown = Interval(1.0, np.nan, np.nan)
    assert unknown.to_json() == {"estimate": 1.0, "low": None, "high": None}
    assert np.isnan(Interval.from_json(unknown.to_json()).low)
    assert not unknown.excludes_zero


def test_sessions_of_one_user_are_drawn_together() -> None:
    users = np.repeat(np.arange(20), 50)
    values = np.repeat(np.linspace(-1, 1, 20), 50)
    clustered = UserBootstrap(users).mean(values)
    as_if_independent = UserBootstrap(np.arange(1000)).mean(values)
    assert clustered.estimate == pytest.approx(as_if_independent.estimate)
    ratio = (clustered.high - clustered.low) / (as_if_independent.high - as_if_independent.low)
    # The standard error grows by sqrt(50) when 1,000 sessions hold 20 independent facts.
    assert ratio == pytest.approx(np.sqrt(50), rel=0.15)


def test_unknown_sessions_are_left_out(rng: np.random.Generator) -> None:
    values = rng.normal(size=200)
    holes = values.copy()
    holes[::3] = np.nan
    interval = UserBootstrap(np.arange(200)).mean(holes)
    assert interval.estimate == pytest.approx(np.nanmean(holes))
    assert interval.low < interval.estimate < interval.high
    nothing = UserBootstrap(np.arange(3)).mean([np.nan] * 3)
    assert np.isnan([nothing.estimate, nothing.low, nothing.high]).all()


def test_one_user_leaves_nothing_to_resample() -> None:
    interval = UserBootstrap(np.zeros(10, int)).mean(np.arange(10.0))
    assert interval.estimate == 4.5
    assert np.isnan(interval.low)


def test_coverage_interval_holds_its_estimate_although_resamples_show_fewer_items(
    rng: np.random.Generator,
) -> None:
    shown = rng.integers(0, 400, (300, 4))
    exposure = sp.csr_array(
        (np.ones(shown.size), (np.repeat(np.arange(300), 4), shown.ravel())), shape=(300, 400)
    )
    bootstrap = UserBootstrap(np.arange(300))
    plain = metrics.coverage(bootstrap.weights.astype(float) @ exposure)
    interval = bootstrap.set_statistic(exposure, metrics.coverage, (0.0, 1.0))
    assert plain.max() < interval.estimate, "the bias that is corrected"
    assert interval.low < interval.estimate < interval.high <= 1.0


def test_the_result_does_not_depend_on_how_much_is_held_at_once(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    exposure = sp.csr_array(rng.poisson(0.2, (50, 30)).astype(float))
    whole = UserBootstrap(np.arange(50)).set_statistic(exposure, metrics.gini, (0.0, 1.0))
    monkeypatch.setattr("slategym.benchmarks.statistics._CHUNK_CELLS", 100)
    parts = UserBootstrap(np.arange(50)).set_statistic(exposure, metrics.gini, (0.0, 1.0))
    assert whole == parts


def _share_covered(
    draw: Callable[[np.random.Generator], Interval], truth: float, replications: int = 300
) -> float:
    hits = 0
    for seed in range(replications):
        interval = draw(np.random.default_rng([7, seed]))
        hits += interval.low <= truth <= interval.high
    return hits / replications


def test_the_user_interval_covers_as_often_as_it_says() -> None:
    """60 users with 5 sessions each; half of the variance is the user's own."""
    users = np.repeat(np.arange(60), 5)

    def draw(rng: np.random.Generator) -> Interval:
        values = rng.normal(2.0, 1.0, 60)[users] + rng.normal(0.0, 1.0, 300)
        return UserBootstrap(users, replicates=400, seed=1).mean(values)

    # 300 replications have a standard error of 0.013 at 0.95.
    assert 0.90 <= _share_covered(draw, 2.0) <= 0.98


def test_resampling_sessions_instead_of_users_would_not_cover() -> None:
    users = np.repeat(np.arange(60), 5)

    def draw(rng: np.random.Generator) -> Interval:
        values = rng.normal(2.0, 1.0, 60)[users] + rng.normal(0.0, 1.0, 300)
        return UserBootstrap(np.arange(300), replicates=400, seed=1).mean(values)

    assert _share_covered(draw, 2.0) < 0.85


def test_the_paired_interval_covers_as_often_as_it_says() -> None:
    def draw(rng: np.random.Generator) -> Interval:
        luck = rng.exponential(5.0, 200)
        first = luck + rng.normal(0.3, 1.0, 200)
        return UserBootstrap(np.arange(200), replicates=400, seed=1).difference(first, luck)

    assert 0.90 <= _share_covered(draw, 0.3) <= 0.98


def test_the_seed_interval_is_somewhat_narrow_at_ten_seeds_and_right_at_forty() -> None:
    """Percentile intervals of few runs undercover: known, and the reason to print the runs."""

    def of(size: int) -> float:
        def draw(rng: np.random.Generator) -> Interval:
            return stratified_interval([rng.normal(0.0, 1.0, size)], iqm, replicates=400)

        return _share_covered(draw, 0.0)

    assert 0.82 <= of(10) <= 0.96
    assert 0.89 <= of(40) <= 0.98


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=3, max_size=30), st.integers(0, 5))
def test_an_interval_of_a_mean_lies_within_the_data(values: list[float], seed: int) -> None:
    interval = UserBootstrap(np.arange(len(values)), replicates=100, seed=seed).mean(values)
    assert min(values) - 1e-9 <= interval.low <= interval.high <= max(values) + 1e-9
