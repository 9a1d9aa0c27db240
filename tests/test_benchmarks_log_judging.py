"""Tables of estimates from logs, the row to go by, and the study on our own environments."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from slategym.benchmarks import offline_study
from slategym.benchmarks.log_adapters import from_dataframe
from slategym.benchmarks.log_judging import (
    EPISODE_NAMES,
    SLATE_NAMES,
    best_row,
    check_estimators,
    judge_probabilities,
)
from slategym.benchmarks.log_open_bandit import read_open_bandit
from slategym.benchmarks.log_schema import Log
from slategym.benchmarks.offline_study import StudySettings, run_study
from slategym.benchmarks.offline_tables import markdown
from slategym.benchmarks.ope_verdict import Row
from slategym.benchmarks.statistics import Interval
from slategym.envs.tiny import tiny_world
from slategym.errors import DataError, UsageError


def uniform_log(rows: int = 1000) -> Log:
    """Return a log of one item of four, drawn uniformly; item i is clicked with share i / 5."""
    rng = np.random.default_rng(2)
    shown = rng.integers(0, 4, rows)
    clicked = rng.random(rows) < shown / 5
    return from_dataframe(
        pd.DataFrame(
            {"item_id": shown, "reward": clicked, "propensity": 0.25, "user_id": np.arange(rows)}
        )
    )


def test_a_policy_known_by_its_probabilities_is_judged() -> None:
    log = uniform_log()
    target = np.array([0.1, 0.1, 0.2, 0.6])
    rows = judge_probabilities(log, target[log.items], estimators=("ipw", "snipw", "sniips"))
    truth = float(target @ np.arange(4) / 5)
    for row in rows:
        assert row.verdict == "reliable" or row.name == "sniips"
        assert row.interval.low < truth < row.interval.high
    same = judge_probabilities(log, np.full(log.items.shape, 0.25))
    assert same[0].interval.estimate == pytest.approx(log.reward.mean())
    never = judge_probabilities(log, np.zeros(log.items.shape), estimators=("snipw",))
    assert never[0].verdict == "do not use"
    assert best_row(never) is None


def test_estimated_propensities_are_told_in_every_row() -> None:
    log = uniform_log()
    guessed = replace(log, info=replace(log.info, propensities="estimated"))
    rows = judge_probabilities(guessed, np.full(log.items.shape, 0.25), estimators=("ipw", "dr"))
    assert all("estimated, not logged" in row.reasons[-1] for row in rows)
    assert all(row.verdict == "weak" for row in rows)


def test_probabilities_of_another_shape_are_refused() -> None:
    log = uniform_log(50)
    with pytest.raises(DataError, match="they must be one number for each item shown"):
        judge_probabilities(log, np.full((50, 2), 0.5))
    with pytest.raises(DataError, match="leave"):
        judge_probabilities(log, np.full((50, 1), 1.5))
    absent = replace(log, info=replace(log.info, propensities="absent"))
    with pytest.raises(DataError, match="no propensities"):
        judge_probabilities(absent, np.full((50, 1), 0.5))
    with pytest.raises(UsageError, match="Did you mean 'snipw'"):
        check_estimators(("snip",))


def test_the_row_to_go_by_is_the_surest_of_the_best_verdict() -> None:
    def row(name: str, verdict: str, width: float) -> Row:
        ends = Interval(0.0, -width, width)
        return Row(name, ends, 9, 9.0, 1.0, 1.0, 0.0, np.nan, 0.0, verdict, ())  # type: ignore[arg-type]

    rows = [row("a", "weak", 0.1), row("b", "reliable", 2.0), row("c", "reliable", 1.0)]
    best = best_row(rows)
    assert best is not None
    assert best.name == "c"
    assert best_row([row("a", "do not use", 0.1)]) is None
    assert best_row([]) is None


def test_two_policies_of_open_bandit(data_dir: Callable[[str], Path]) -> None:
    folder = data_dir("obd-sample")
    log = read_open_bandit(folder / "bts_men.csv.gz")
    # Uniform over 34 items: what the other file of the sample was logged with.
    rows = judge_probabilities(log, np.full(log.items.shape, 1 / 34), estimators=("snipw",))
    truth = read_open_bandit(folder / "random_men.csv.gz").reward.mean()
    (snipw, *_) = rows
    assert snipw.interval.low < truth < snipw.interval.high
    assert snipw.sample < 0.2 * len(log)


@pytest.mark.slow
def test_the_study_of_our_own_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = StudySettings(
        variants=("slategym/World-v0",), logs=2, log_users=256, train_users=64, step_users=256,
        return_users=256,
    )  # fmt: skip
    results = run_study(settings, tiny_world())
    (one,) = results["variants"]
    assert len(one["policies"]) == 8
    slate = {row["estimator"]: row for row in one["slate"]}
    assert {*slate} <= {*SLATE_NAMES, "best verdict"}
    assert slate["dm"]["error"] < 0.15
    assert slate["dm"]["spearman"] > 0.7
    assert slate["dm"]["spearman_low"] <= slate["dm"]["spearman"] <= slate["dm"]["spearman_high"]
    assert slate["dm"]["regret"] < 0.3
    assert len(slate["dm"]["picks"]) == 2
    assert one["logs"] == 2
    assert {row["estimator"] for row in one["episode"]} <= {*EPISODE_NAMES, "best verdict"}
    useless = [row["error"] for row in one["verdicts"] if row["verdict"] == "do not use"]
    usable = [row["error"] for row in one["verdicts"] if row["verdict"] == "reliable"]
    assert np.median(usable) < np.median(useless)
    assert "| dm |" in markdown(results)
    monkeypatch.setattr(
        sys, "argv",
        ["offline_study", "--variant", "slategym/World-v0", "--out", str(tmp_path / "s.json")]
        + ["--logs=1", "--neural"]
        + [f"--{name}-users=32" for name in ("log", "train", "step", "return")],
    )  # fmt: skip
    assert offline_study.main() == 0
    out = capsys.readouterr().out
    assert "truth inside interval" in out
    assert "| fqe_neural |" in out
    assert json.loads((tmp_path / "s.json").read_text())["settings"]["log_users"] == 32
    assert offline_study.main() == 0  # nothing is run again
    assert "..." not in capsys.readouterr().err
    sys.argv.append("--seed=9")
    assert offline_study.main() == 2
    assert "other settings" in capsys.readouterr().err


def test_the_study_says_what_it_was_not_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["offline_study", "--variant", "slategym/Wold-v0"])
    assert offline_study.main() == 2
    assert "Did you mean" in capsys.readouterr().err
