"""A benchmark that is killed goes on, and one that is finished runs nothing twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slategym.agents.train_config import TrainConfig
from slategym.agents.training import train
from slategym.benchmarks import suite
from slategym.benchmarks.cells import CellJournal, cell_key
from slategym.benchmarks.curves import read_curve
from slategym.benchmarks.report import write_report
from slategym.benchmarks.suite import read_results, run_benchmark
from slategym.envs import registry
from slategym.envs.registry import get_variant
from slategym.envs.tiny import tiny_world
from slategym.envs.world import World
from slategym.errors import DataError, UsageError

SMALL: dict[str, Any] = {"users": 24, "horizon": 8}


@pytest.fixture(scope="module")
def world() -> World:
    return tiny_world()


@pytest.fixture(scope="module")
def run(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training run too short to learn much."""
    folder = tmp_path_factory.mktemp("runs") / "short"
    config = TrainConfig(
        frames=512, num_envs=16, n_steps=8, batch_size=64, epochs=1, evaluations=2,
        evaluation_users=8, slate_size=3, num_candidates=10, horizon=8,
    )  # fmt: skip
    train(world, folder, config)
    return folder


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Notes every rollout that really happens."""
    seen: list[tuple[str, int]] = []
    real = suite.rollout

    def counted(policy: Any, *rest: Any, **options: Any) -> Any:  # noqa: ANN401
        seen.append((policy.name, options["seed"]))
        return real(policy, *rest, **options)

    monkeypatch.setattr(suite, "rollout", counted)
    return seen


def without(results: dict[str, Any], *keys: str) -> str:
    """Return results as text without what differs between equal runs: time taken."""
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in results["policies"]]
    rest = {k: v for k, v in results.items() if k not in (*keys, "policies", "manifest")}
    return json.dumps([rows, rest], sort_keys=True)


def test_the_same_command_runs_no_cell_twice(
    world: World, tmp_path: Path, count: list[tuple[str, int]]
) -> None:
    names = ("random", "popularity")
    first = run_benchmark(world, names, out=tmp_path / "b", seeds=(0, 1), **SMALL)
    assert count == [("random", 0), ("random", 1), ("popularity", 0), ("popularity", 1)]
    again = run_benchmark(world, names, out=tmp_path / "b", seeds=(0, 1), **SMALL)
    assert len(count) == 4
    assert again == first
    assert read_results(tmp_path / "b") == json.loads(json.dumps(first))


def test_more_policies_and_seeds_run_only_what_is_new(
    world: World, tmp_path: Path, count: list[tuple[str, int]]
) -> None:
    run_benchmark(world, ("random",), out=tmp_path / "b", **SMALL)
    count.clear()
    run_benchmark(world, ("random", "popularity"), out=tmp_path / "b", seeds=(0, 1), **SMALL)
    assert count == [("random", 1), ("popularity", 0), ("popularity", 1)]


def test_a_line_cut_short_is_dropped_and_its_cell_run_again(
    world: World, tmp_path: Path, count: list[tuple[str, int]]
) -> None:
    names = ("random", "popularity")
    first = run_benchmark(world, names, out=tmp_path / "b", **SMALL)
    journal = tmp_path / "b" / "cells.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-40])
    count.clear()
    again = run_benchmark(world, names, out=tmp_path / "b", **SMALL)
    assert count == [("popularity", 0)]
    assert without(again) == without(first)
    assert journal.read_bytes().count(b"\n") == 2


def test_a_damaged_line_in_the_middle_is_named(world: World, tmp_path: Path) -> None:
    run_benchmark(world, ("random", "popularity"), out=tmp_path / "b", **SMALL)
    journal = tmp_path / "b" / "cells.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"x" + lines[0] + lines[1])
    with pytest.raises(DataError, match=r"cells\.jsonl line 1 is damaged"):
        run_benchmark(world, ("random", "popularity"), out=tmp_path / "b", **SMALL)


def test_arrays_that_changed_are_not_trusted(
    world: World, tmp_path: Path, count: list[tuple[str, int]]
) -> None:
    run_benchmark(world, ("random",), out=tmp_path / "b", **SMALL)
    (arrays,) = (tmp_path / "b" / "cells").iterdir()
    content = bytearray(arrays.read_bytes())
    content[-1] ^= 1
    arrays.write_bytes(content)
    run_benchmark(world, ("random",), out=tmp_path / "b", **SMALL)
    assert len(count) == 2


def test_cells_are_the_same_whatever_ran_before(world: World, tmp_path: Path) -> None:
    names = ("popularity", "random")
    forward = run_benchmark(world, names, out=tmp_path / "a", **SMALL)
    backward = run_benchmark(world, names[::-1], out=tmp_path / "b", **SMALL)
    assert without(forward) == without(backward)


@pytest.mark.parametrize(
    ("changed", "told"),
    [({"users": 25}, "users is 24 there and 25 now"), ({"slate_size": 2}, "slate_size is 5 there")],
)
def test_a_folder_of_other_settings_is_refused(
    world: World, tmp_path: Path, changed: dict[str, int], told: str
) -> None:
    run_benchmark(world, ("random",), out=tmp_path / "b", **SMALL)
    with pytest.raises(UsageError, match=told):
        run_benchmark(world, ("random",), out=tmp_path / "b", **(SMALL | changed))


def test_a_folder_of_another_world_is_refused(world: World, tmp_path: Path) -> None:
    run_benchmark(world, ("random",), out=tmp_path / "b", **SMALL)
    with pytest.raises(UsageError, match="world is") as caught:
        run_benchmark(tiny_world(seed=1), ("random",), out=tmp_path / "b", **SMALL)
    assert str(caught.value).count(". ") == 0, "one sentence"


def test_a_folder_that_is_no_benchmark_is_left_alone(world: World, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="not a benchmark folder"):
        run_benchmark(world, ("random",), out=tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_wrong_use_is_refused_before_anything_is_written(world: World, tmp_path: Path) -> None:
    out = tmp_path / "b"
    with pytest.raises(UsageError, match="at least one policy"):
        run_benchmark(world, (), out=out, **SMALL)
    with pytest.raises(UsageError, match="'random' is given twice"):
        run_benchmark(world, ("random", "random"), out=out, **SMALL)
    with pytest.raises(UsageError, match="Did you mean 'random'"):
        run_benchmark(world, ("randon",), out=out, **SMALL)
    with pytest.raises(DataError, match="is not a finished training run"):
        run_benchmark(world, ("random",), [tmp_path / "nothing"], out, **SMALL)
    with pytest.raises(UsageError, match="slate_size"):
        run_benchmark(world, ("random",), out=out, slate_size=0)
    assert not out.exists()


def test_a_trained_agent_is_compared_as_it_was_trained(
    world: World, run: Path, tmp_path: Path
) -> None:
    results = run_benchmark(world, ("random", "oracle-myopic"), [run], tmp_path / "b", users=24)
    assert results["settings"]["slate_size"] == 3, "as in training"
    assert results["settings"]["horizon"] == 8
    kinds = {row["name"]: row["kind"] for row in results["policies"]}
    assert kinds == {"random": "baseline", "oracle-myopic": "reference", "short": "agent"}
    assert results["reference"] == "short"
    assert results["winner"] != "oracle-myopic"
    page = write_report(tmp_path / "b").read_text(encoding="utf-8")
    assert "Learning curves" in page
    assert "Auxiliary losses" in page


def test_a_variant_changed_since_training_is_compared_on_only_by_name(
    world: World, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "slategym/World-v0"
    monkeypatch.setitem(registry._VARIANTS, name, get_variant(name).override(boredom=0.7))
    with pytest.raises(UsageError, match=r"boredom is 0.5 there and 0.7 now; train again"):
        run_benchmark(world, (), [run], tmp_path / "b", users=8)
    assert not (tmp_path / "b").exists()
    results = run_benchmark(world, (), [run], tmp_path / "b", users=8, variant=name)
    assert results["settings"]["variant"] == name


def test_an_agent_trained_anew_is_another_cell(
    world: World, run: Path, tmp_path: Path, count: list[tuple[str, int]]
) -> None:
    copy = tmp_path / "short"
    copy.mkdir()
    for name in ("agent.json", "policy.safetensors", "progress.jsonl"):
        (copy / name).write_bytes((run / name).read_bytes())
    run_benchmark(world, (), [copy], tmp_path / "b", users=8)
    described = json.loads((copy / "agent.json").read_text())
    (copy / "agent.json").write_text(json.dumps(described, indent=3))
    run_benchmark(world, (), [copy], tmp_path / "b", users=8)
    assert count == [("short", 0), ("short", 0)]


def test_the_curve_of_a_run_has_every_loss(run: Path) -> None:
    curve = read_curve("short", run)
    assert {"rating", "item_features", "recommendation_features"} <= set(curve["losses"])
    assert curve["evaluation"]["frames"][0] == 0
    assert curve["evaluation"]["frames"][-1] == 512
    for series in curve["losses"].values():
        assert len(series["frames"]) == len(series["values"]) == 4


def test_numbers_of_the_leaderboard_are_those_of_the_sessions(world: World, tmp_path: Path) -> None:
    results = run_benchmark(world, ("random",), out=tmp_path / "b", seeds=(0, 1), **SMALL)
    journal = CellJournal(tmp_path / "b")
    records = [
        json.loads(line) for line in (tmp_path / "b" / "cells.jsonl").read_text().splitlines()
    ]
    assert all(record["key"] == cell_key(record["cell"]) for record in records)
    found = [journal.get(record["key"]) for record in records]
    runs = [journal.load(record) for record in found if record is not None]
    returns = np.concatenate([run.returns for run in runs])
    shown = np.concatenate([run.shown.ravel() for run in runs])
    numbers = results["policies"][0]["metrics"]
    assert numbers["return"]["estimate"] == pytest.approx(returns.mean())
    assert numbers["return"]["low"] < returns.mean() < numbers["return"]["high"]
    distinct = len(set(shown.tolist()) - {-1})
    assert numbers["coverage"]["estimate"] == pytest.approx(distinct / world.n_items)


_KILLED = """
import sys
from slategym.benchmarks.suite import run_benchmark
from slategym.envs.tiny import tiny_world
run_benchmark(tiny_world(), ("random", "popularity", "cf-greedy"), out=sys.argv[1],
              users=256, seeds=range(6), horizon=30)
"""


@pytest.mark.slow
def test_a_benchmark_killed_at_any_moment_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _KILLED]
    subprocess.run([*command, tmp_path / "straight"], check=True, capture_output=True)
    kept = []
    for _ in range(3):
        process = subprocess.Popen([*command, tmp_path / "killed"], stderr=subprocess.DEVNULL)
        journal, before = tmp_path / "killed" / "cells.jsonl", sum(kept[-1:])
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
            if lines > before:
                break
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kept.append(journal.read_bytes().count(b"\n"))
    assert kept == sorted(set(kept)), "every start got further"
    subprocess.run([*command, tmp_path / "killed"], check=True, capture_output=True)
    both = [read_results(tmp_path / name) for name in ("straight", "killed")]
    assert without(both[0]) == without(both[1])
    assert (tmp_path / "killed" / "cells.jsonl").read_bytes().count(b"\n") == 18
