"""A front of return against a second signal: trained once, resumed, and drawn."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slategym.benchmarks import pareto
from slategym.benchmarks.pareto import Grid, dominated, front, hypervolume, main

OPTIONS: dict[str, Any] = {
    "frames": 128, "num_envs": 16, "n_steps": 8, "batch_size": 64, "epochs": 1, "horizon": 8,
}  # fmt: skip


def test_points_that_another_beats_are_dominated() -> None:
    points = np.array([[1.0, 3.0], [2.0, 2.0], [2.0, 1.0], [0.5, 3.0], [3.0, 0.0], [3.0, 0.0]])
    assert dominated(points).tolist() == [False, False, True, True, False, False]


def test_the_hypervolume_is_the_area_above_the_reference() -> None:
    points = np.array([[1.0, 3.0], [2.0, 2.0], [2.0, 1.0], [3.0, 0.5], [-1.0, 9.0]])
    # Columns from the right: 1 wide and 0.5 high, 1 and 2, 1 and 3.
    assert hypervolume(points) == pytest.approx(0.5 + 2.0 + 3.0)
    assert hypervolume(points, (1.0, 1.0)) == pytest.approx(1.0)
    assert hypervolume(points, (5.0, 5.0)) == 0.0


def test_a_front_is_trained_once_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = Grid("env.diversity_weight", (0.0, 2.0), options=OPTIONS, seeds=1, users=8)
    made = front(grid, tmp_path / "front")
    assert json.loads((tmp_path / "front" / "front.json").read_text())["points"] == made["points"]
    assert (tmp_path / "front" / "front.svg").read_text().startswith("<?xml")
    # Judged without the weight: a step earns at most 1, and diversity would have added to it.
    assert all(0 < point["return"] <= 8 for point in made["points"])
    assert all(0 < point["signal"] < 2 for point in made["points"])
    monkeypatch.setattr(pareto, "run_cell", None)  # would fail if anything were trained
    settings = [f"-s{name}={value}" for name, value in OPTIONS.items() if name != "frames"]
    small = ["--frames", "128", "--seeds", "1", "--users", "8", *settings]
    main(["env.diversity_weight=0,2", "--out", str(tmp_path / "front"), *small])
    printed = capsys.readouterr().out
    assert "on the front" in printed
    assert "hypervolume above (0 and 0)" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["floor=a,b"], "write NAME=V,V,... with numbers"),
        (["floor=1,1"], "give distinct values"),
        (["flor=1"], "Did you mean 'floor'"),
        (["floor=1", "-s", "width"], "write NAME=VALUE"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--out", str(tmp_path / "front")])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
