"""Intervals, tuning, verdicts and the call that puts them in one table."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slategym.benchmarks import ope_coverage
from slategym.benchmarks.ope_bandit import TAMED, BanditLog, doubly_robust, ipw, sndr, snipw
from slategym.benchmarks.ope_cumulative import quantile, quantile_replicates
from slategym.benchmarks.ope_estimate import mean_estimate
from slategym.benchmarks.ope_intervals import (
    Clusters,
    bernstein_interval,
    bootstrap_interval,
    delta_interval,
    interval,
    refitted_interval,
    spread_units,
    standard_error,
)
from slategym.benchmarks.ope_judge import default_names, judge, make_estimates, value_range
from slategym.benchmarks.ope_problems import make_rounds, make_sessions, make_slates
from slategym.benchmarks.ope_tail import tail_index
from slategym.benchmarks.ope_tuning import cross_validated, error_bound, slope
from slategym.benchmarks.ope_verdict import Row, bias_bound, table_text
from slategym.errors import DataError, UsageError


def rounds(behaviour: float = 0.5, evaluation: float = 1.5, units: int = 600) -> BanditLog:
    return make_rounds(behaviour, evaluation).draw(units, np.random.default_rng(1))[0]


def verdicts(rows: tuple[Row, ...]) -> dict[str, str]:
    return {row.name: row.verdict for row in rows}


def test_the_delta_method_is_the_usual_standard_error_and_that_of_a_ratio() -> None:
    log = rounds()
    plain = ipw(log)
    usual = plain.base.std(ddof=1) / np.sqrt(600)
    assert standard_error(plain) == pytest.approx(usual)
    ratio = snipw(log)
    residual = log.weights * (log.rewards - ratio.value) / log.weights.mean()
    assert standard_error(ratio) == pytest.approx(residual.std(ddof=1) / np.sqrt(600))
    assert standard_error(ratio) < standard_error(plain), "a ratio with its normaliser"


def test_users_are_resampled_whole() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=40), 10)
    one = mean_estimate("mean", values, np.ones(400))
    users = np.repeat(np.arange(40), 10)
    alone, whole = delta_interval(one), delta_interval(one, users)
    ratio = (whole.high - whole.low) / (alone.high - alone.low)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.05), "ten copies are one observation"
    drawn = bootstrap_interval(one, users, replicates=2000)
    assert drawn.high - drawn.low == pytest.approx(whole.high - whole.low, rel=0.1)
    assert spread_units(one, users) == pytest.approx(spread_units(one) / 10)


def test_bootstrap_and_delta_agree_on_a_ratio_and_bernstein_is_wider() -> None:
    one = sndr(rounds())
    boot, delta, bound = (interval(one, method=m) for m in ("bootstrap", "delta", "bernstein"))
    assert boot.high - boot.low == pytest.approx(delta.high - delta.low, rel=0.15)
    assert bound.low < delta.low < one.value < delta.high < bound.high
    assert boot == interval(one, method="bootstrap"), "same seed, same interval"
    wide = bernstein_interval(one, span=50.0)
    assert wide.high > bound.high


def test_counts_draw_as_many_users_as_there_are() -> None:
    clusters = Clusters.of(np.array([7, 7, 3, 5]), 4)
    drawn = np.concatenate(list(clusters.counts(500, seed=2)))
    assert drawn.shape == (500, 3)
    assert (drawn.sum(axis=1) == 3).all()
    assert clusters.members.tolist() == [2, 2, 0, 1]
    assert Clusters.of(clusters, 4) is clusters


def test_a_single_user_has_no_interval() -> None:
    one = ipw(rounds(units=20))
    for method in ("bootstrap", "delta", "bernstein"):
        assert np.isnan(interval(one, np.zeros(20, int), method=method).low)
    row = judge(rounds(units=20), ["ipw"], users=np.zeros(20, int))[0]
    assert "a single user leaves nothing to tell chance by" in row.reasons


def test_quantiles_are_computed_anew_on_each_resample() -> None:
    log, users = make_sessions(0.5, 5).draw(200, np.random.default_rng(3))
    value = quantile(log, 0.5)
    found = refitted_interval(
        value, lambda counts: quantile_replicates(log, 0.5, counts), users, replicates=200
    )
    assert found.low <= value <= found.high


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(sorted(TAMED)))
def test_tuning_chooses_a_candidate_and_its_estimate(seed: int, name: str) -> None:
    log = make_rounds(0.0, 1.5).draw(60, np.random.default_rng(seed))[0]
    for tune in (slope, error_bound, cross_validated):
        found = tune(TAMED[name], log)
        assert found.setting in TAMED[name].candidates
        assert found.estimate.value == TAMED[name](log, found.setting).value
        assert len(found.scores) == len(TAMED[name].candidates)
        assert tune(TAMED[name], log).setting == found.setting


def test_slope_keeps_weights_whole_where_that_costs_nothing() -> None:
    log = rounds(1.0, 1.2)
    assert slope(TAMED["dr_clip"], log, [1e9]).estimate.value == doubly_robust(log).value
    with pytest.raises(DataError, match="at least 2"):
        slope(TAMED["dr_clip"], log.rows(np.array([0])))


def test_tuning_by_cross_validation_beats_clipping_at_one() -> None:
    problem = make_rounds(0.0, 1.5)
    tuned, fixed = [], []
    for seed in range(20):
        log = problem.draw(1000, np.random.default_rng(seed))[0]
        found = cross_validated(TAMED["ipw_clip"], log, seed=seed).estimate
        tuned.append(found.value - problem.truth)
        fixed.append(TAMED["ipw_clip"](log, 1.0).value - problem.truth)
    assert np.mean(np.square(tuned)) < 0.2 * np.mean(np.square(fixed))


def test_the_tail_of_known_distributions() -> None:
    rng = np.random.default_rng(0)
    uniform = rng.random(5000)
    assert tail_index(uniform) < 0.2
    for shape in (0.5, 1.0):
        found = [tail_index(rng.pareto(1.0 / shape, 5000) + 1.0) for _ in range(20)]
        assert np.mean(found) == pytest.approx(shape, abs=0.08)
    assert tail_index(np.ones(500)) == -np.inf
    assert np.isnan(tail_index(np.arange(20.0))), "too few"
    assert np.isnan(tail_index(rng.integers(1, 40, 500))), "a few numbers again and again"
    assert np.isnan(tail_index(np.empty((50, 0))))


def test_good_logs_are_reliable() -> None:
    for log in (
        rounds(units=1000),
        make_slates(0.3, 0.6).draw(1000, np.random.default_rng(0))[0],
        make_sessions(0.3, 5).draw(1000, np.random.default_rng(0))[0],
    ):
        rows = judge(log, replicates=200)
        said = verdicts(rows)
        name = next(n for n in ("dr", "sips", "pdis") if n in said)
        assert said[name] == "reliable"
        assert not next(row for row in rows if row.name == name).reasons


def test_clipping_is_weak_and_its_bias_is_bounded() -> None:
    log = rounds(0.0, 2.0, units=2000)
    rows = judge(log, ["ipw", "ipw_clip@2", "ipw_clip@1000"], replicates=200)
    assert [row.verdict for row in rows] == ["reliable", "weak", "reliable"]
    assert rows[1].reasons[0].startswith("large weights are clipped (bias up to")
    assert rows[1].bias > abs(rows[1].interval.estimate - rows[0].interval.estimate)
    assert rows[1].setting == 2.0
    assert bias_bound(ipw(log), None) == 0.0
    assert np.isnan(bias_bound(TAMED["ipw_clip"](log, 2.0), None))


def test_the_bound_holds_the_bias_in_most_logs() -> None:
    problem = make_rounds(0.0, 2.0)
    clipped = problem.behaviour * np.minimum(problem.evaluation / problem.behaviour, 2.0)
    bias = problem.truth - float((clipped * problem.clicks).sum(axis=1).mean())
    assert bias > 0.3
    held = []
    for seed in range(40):
        log = problem.draw(500, np.random.default_rng(seed))[0]
        held.append(bias_bound(TAMED["ipw_clip"](log, 2.0), ipw(log)) > bias)
    assert np.mean(held) > 0.85


def test_hopeless_logs_must_not_be_used() -> None:
    opposite = judge(rounds(-1.5, 3.0), ["ipw", "snipw", "dr"], replicates=50)
    assert set(verdicts(opposite).values()) == {"do not use"}
    assert any("effective units" in reason for reason in opposite[0].reasons)
    barred = make_rounds(0.5, 2.0, forbidden=3).draw(800, np.random.default_rng(0))[0]
    row = judge(barred, ["dr"], replicates=50)[0]
    assert row.verdict == "do not use"
    assert any(reason.endswith("of the policy is not in the log") for reason in row.reasons)
    wrong = make_rounds(-1.5, 1.5, wrong=True).draw(800, np.random.default_rng(0))[0]
    assert any("mean weight" in r for r in judge(wrong, ["ipw"], replicates=50)[0].reasons)
    none = dataclasses.replace(rounds(), weights=np.zeros(600))
    row = judge(none, ["snipw"], replicates=50)[0]
    assert (row.verdict, row.reasons) == (
        "do not use",
        ("there is no estimate: every weight is 0",),
    )


def test_an_estimate_outside_the_rewards_must_not_be_used() -> None:
    log = rounds()
    low, high = value_range(log)
    assert (low, high) == (0.0, 1.0)
    extra = mean_estimate("mine", np.full(600, -0.2), np.ones(600))
    row = judge(log, [], extra=[extra], replicates=50)[0]
    assert row.verdict == "do not use"
    assert row.reasons[0] == "it is outside the range of rewards, 0 to 1"


def test_rare_clicks_are_weak_however_large_the_effective_sample() -> None:
    rewards = np.zeros(5000)
    rewards[:5] = 1.0
    log = BanditLog(rewards, np.ones(5000), np.zeros(5000), np.zeros(5000))
    row = judge(log, ["ipw"], replicates=100)[0]
    assert row.sample == 5000
    assert (row.verdict, row.reasons) == ("weak", ("5.0 users carry the variance",))


def test_estimated_propensities_are_never_more_than_weak() -> None:
    row = judge(rounds(), ["dr"], estimated_propensities=True, replicates=50)[0]
    assert row.verdict == "weak"
    assert "its propensities were estimated, not logged" in row.reasons


def test_names_numbers_and_methods_that_are_wrong() -> None:
    log = rounds()
    with pytest.raises(UsageError, match=r"unknown estimator 'sniwp'\. Did you mean 'snipw'"):
        make_estimates(log, ["sniwp"])
    with pytest.raises(UsageError, match="has no number to set"):
        make_estimates(log, ["dr@3"])
    with pytest.raises(UsageError, match="'x' in 'dros@x' is not a number"):
        make_estimates(log, ["dros@x"])
    with pytest.raises(UsageError, match="must be at least 0 and at most 1"):
        make_estimates(log, ["sgdr@2"])
    with pytest.raises(UsageError, match="unknown tuning"):
        make_estimates(log, tuning="guess")
    with pytest.raises(UsageError, match="unknown interval method"):
        judge(log, method="jackknife")
    with pytest.raises(DataError, match="the log has 600 units"):
        judge(log, users=np.zeros(3, int))
    with pytest.raises(UsageError, match="unknown estimator"):
        make_estimates(make_slates(0.3, 0.6).draw(5, np.random.default_rng(0))[0], ["ipw"])


def test_the_table_and_the_json_say_everything() -> None:
    log = rounds()
    assert default_names(log)[0] == "dm"
    rows = judge(log, replicates=100, tuning="cross-validated")
    text = table_text(rows)
    assert len(text.splitlines()) == 1 + len(rows)
    for word in ("ESS", "max w", "mean w", "unsupported", "verdict", "switch_dr"):
        assert word in text
    told = rows[0].to_json()
    assert told["ess"] is None
    assert told["verdict"] == "weak"
    assert set(rows[1].to_json()) == set(told)


def test_the_study_counts_what_it_says() -> None:
    setting = ope_coverage.SETTINGS[0]
    lines = ope_coverage.run_setting(setting, replications=4, resamples=50, units=200, seed=5)
    assert [line.estimator for line in lines] == list(setting.estimators)
    assert lines == ope_coverage.run_setting(
        setting, replications=4, resamples=50, units=200, seed=5
    )
    for line in lines:
        assert sum(line.verdicts.values()) == pytest.approx(1.0)
        assert line.rmse >= abs(line.bias)
        assert line.width["Bernstein"] > line.width["delta"]
    assert ope_coverage.markdown(lines).count("rounds, near") == len(lines)
    assert "log can tell | reliable" in ope_coverage.verdict_table(lines)


@pytest.mark.slow
def test_intervals_cover_and_verdicts_tell() -> None:
    chosen = [s for s in ope_coverage.SETTINGS if "uniform" in s.name or "opposite" in s.name]
    lines = [
        line
        for setting in chosen
        for line in ope_coverage.run_setting(setting, replications=150, resamples=300, seed=77)
    ]
    unbiased = {"ipw", "snipw", "dr", "sndr", "sips", "snsips"}
    for line in (line for line in lines if line.estimator in unbiased):
        if line.good:
            for method in ("bootstrap", "delta"):
                # 150 logs: the standard error of a coverage of .95 is .018.
                assert 0.895 <= line.coverage[method] <= 0.995, line
            assert line.verdicts["reliable"] > 0.8, line
        else:
            assert line.verdicts["reliable"] < 0.05, line
    clipped = next(x for x in lines if x.estimator == "ipw_clip@3" and x.good)
    assert clipped.coverage["bootstrap"] < 0.1
    assert clipped.verdicts["weak"] > 0.95


def test_the_page_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "off-policy.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    exec(compile(code, "off-policy.md", "exec"), {})
    assert capsys.readouterr().out.strip() in page
