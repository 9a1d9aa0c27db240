"""Drawings of sessions with visits: hidden states below their slates, no text cut off."""

import json
from pathlib import Path
from typing import Any

import pytest

from slategym.benchmarks.drawing import house_style
from slategym.benchmarks.figures import exposure, leaderboard, survival, trade_off
from slategym.benchmarks.figures_time import learning_by_seed, returning, user_states
from slategym.benchmarks.report import write_report
from slategym.benchmarks.suite import run_benchmark
from slategym.envs.tiny import tiny_world

_POLICIES = ("random", "cf-greedy", "oracle-myopic")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("visits") / "bench"
    run_benchmark(tiny_world(), _POLICIES, (), folder, users=16, variant="slategym/Video-v0")
    return folder


@pytest.fixture(scope="module")
def results(bench: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bench / "results.json").read_text())
    return found


def test_hidden_states_stand_below_the_slates_that_made_them(
    bench: Path, results: dict[str, Any]
) -> None:
    page = write_report(bench).read_text(encoding="utf-8")
    assert set(results["returning"]) == set(_POLICIES)
    for one in results["sessions"]:
        assert sum(one["told"]["rewards"]) == pytest.approx(one["return"], abs=0.05)
        assert set(one["told"]["states"]) == {"patience", "satisfaction", "largest satiation"}
    assert "Then: reward" in page
    assert "Return time (days)" in page
    named = {one["name"] for one in json.loads((bench / "report.json").read_text())["figures"]}
    assert named >= {"returning", "survival", "states-0", "states-3"}


def test_a_front_leaves_out_what_sees_more_than_a_platform(results: dict[str, Any]) -> None:
    figure, *_ = trade_off(results) or pytest.fail("diversity was measured")
    drawn = next(line for line in figure.axes[0].lines if line.get_linestyle() != "None")
    rows = {row["name"]: row["metrics"] for row in results["policies"]}
    best = max(("random", "cf-greedy"), key=lambda name: rows[name]["return"]["estimate"])
    point = [rows[best][key]["estimate"] for key in ("diversity", "return")]
    oracle = rows["oracle-myopic"]["return"]["estimate"]
    assert point in drawn.get_xydata().tolist()
    assert oracle not in drawn.get_ydata()


def test_no_text_of_a_drawing_is_cut_off(results: dict[str, Any]) -> None:
    seeds = [{"seed": s, "frames": [1e4, 2e4], "returns": [1.0, 2.0 + s]} for s in range(3)]
    results = {**results, "learning": {"cf-greedy": seeds}}
    told = {
        "rewards": [0.5] * 90,
        "states": {name: [0.1] * 90 for name in ("patience", "largest satiation", "time left")},
        "visits": [12, 40],
    }
    with house_style():
        made = [draw(results) for draw in (leaderboard, trade_off, survival, exposure)]
        made += [returning(results), learning_by_seed(results)]
        made.append(user_states(told, 4, "states", "#3b82c4"))
        for one in made:
            assert one is not None
            figure = one[0]
            figure.draw_without_rendering()
            drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
            assert min(drawn.x0, drawn.y0) > -0.02, one[1]
            assert drawn.x1 < width + 0.02, one[1]
            assert drawn.y1 < height + 0.02, one[1]
