"""Experiments: cells run anywhere, nothing is lost or run twice, tables say how sure they are."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slategym.benchmarks.cells import CellJournal
from slategym.benchmarks.comparison import holm
from slategym.benchmarks.executor import BACKENDS, Arrays, Executor
from slategym.benchmarks.experiment import AgentSpec, Experiment, Task
from slategym.benchmarks.experiment_cells import run_cell
from slategym.benchmarks.experiment_page import write_experiment_page
from slategym.benchmarks.experiment_run import leaderboard, run_experiment
from slategym.benchmarks.experiment_scores import Contender, TaskRuns, score
from slategym.benchmarks.suites import SUITES, suite
from slategym.cli import run
from slategym.errors import DataError, UsageError

QUICK = {"frames": 512, "num_envs": 32, "n_steps": 8, "batch_size": 128, "evaluations": 0}


def small(**changes: object) -> Experiment:
    """Return an experiment of a world and a classic that runs in seconds."""
    agent = AgentSpec("agent", QUICK)
    blind = AgentSpec("ppo", {**QUICK, "item_features": 0.0, "recommendation_features": 0.0})
    tasks = (
        Task("films", "slategym/World-v0", {"horizon": 6}, "tiny", ("random", "cf-greedy"),
             (agent,)),
        Task(
            "kale", "slategym/LongTermSatisfactionHard-v0", {"time_budget": 8.0},
            policies=("random", "kale", "oracle:optimal"), agents=(blind,),
            best="oracle:optimal", references=("oracle:optimal",),
        ),
    )  # fmt: skip
    whole = Experiment("small", tasks, (0, 1), users=24)
    return replace(whole, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment") / "small"
    run_experiment(small(), folder)
    return folder


def test_an_experiment_survives_json_with_its_hash() -> None:
    experiment = small()
    again = Experiment.from_json(json.loads(json.dumps(experiment.to_json())))
    assert again == experiment
    assert again.hash == experiment.hash


def test_the_hash_is_of_what_numbers_depend_on_and_not_of_who_plays() -> None:
    experiment = small()
    alone = replace(experiment.tasks[0], agents=(), policies=("random",))
    assert replace(experiment, tasks=(alone, experiment.tasks[1])).hash == experiment.hash
    longer = replace(experiment.tasks[0], changes={"horizon": 7})
    assert replace(experiment, tasks=(longer, experiment.tasks[1])).hash != experiment.hash
    assert replace(experiment, users=25).hash != experiment.hash


def test_every_contender_has_its_cells_and_a_table_with_both_uncertainties(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    assert len(CellJournal(finished)) == 2 + 2 + 3 + 2
    assert not (finished / "scratch").exists() or not any((finished / "scratch").iterdir())
    films, kale = results["tasks"]
    agent = next(row for row in films["rows"] if row["name"] == "agent")
    assert agent["training_seeds"] == 2
    assert len(agent["by_seed"]) == 2
    assert agent["users"]["low"] < agent["return"]["estimate"] < agent["users"]["high"]
    best = next(row for row in kale["rows"] if row["name"] == "oracle:optimal")
    assert best["normalised"]["estimate"] == pytest.approx(1.0)
    assert kale["winner"] != "oracle:optimal"


def test_results_hold_what_the_page_shows_beyond_returns(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    films, kale = results["tasks"]
    names = [row["name"] for row in films["rows"]]
    assert films["compared"]["names"] == names
    assert len(films["compared"]["pairs"]) == 3
    agent = next(row for row in films["rows"] if row["name"] == "agent")
    for key in ("vendi", "calibration_kl", "stayed", "coverage", "creator_gap"):
        interval = agent["intervals"][key]
        assert interval["low"] <= interval["estimate"] <= interval["high"], key
        assert agent["metrics"][key] == interval["estimate"]
    for key in ("staying", "exposure"):
        assert set(films["curves"][key]) == set(names)
    assert set(films["curves"]["learning"]) == {"agent"}
    assert [run["seed"] for run in films["curves"]["learning"]["agent"]] == [0, 1]
    assert films["curves"]["learning"]["agent"][0]["frames"] == [256, 512]
    assert set(kale["curves"]["learning"]) == {"ppo"}
    assert kale["curves"]["exposure"] == {}, "documents are drawn anew: there is no catalogue"
    assert [world["name"] for world in results["worlds"]] == ["tiny-60x40-s0"]


def test_examples_are_the_same_user_under_two_contenders_as_they_were_played(
    finished: Path,
) -> None:
    for table in json.loads((finished / "results.json").read_text())["tasks"]:
        first, second = table["examples"]
        assert first["name"] == table["winner"]
        assert "agent" in (row["kind"] for row in table["rows"] if row["name"] == second["name"])
        assert first["stream"] == second["stream"]
        assert first["user"] == second["user"]
        for one in (first, second):
            assert sum(one["rewards"]) == pytest.approx(one["return"], abs=1e-2)
            assert len(one["slates"]) == min(4, one["length"])
            assert all(len(values) == one["length"] for values in one["states"].values())
    assert set(first["states"]) == {"satisfaction", "time left"}


def test_a_finished_experiment_runs_nothing_again(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (finished / "results.json").read_bytes()

    def refuse(cell: dict[str, Any], scratch: str | None) -> Arrays:
        raise AssertionError(f"ran {cell} in {scratch}")

    monkeypatch.setattr("slategym.benchmarks.experiment_run.run_cell", refuse)
    run_experiment(small(), finished)
    assert (finished / "results.json").read_bytes() == before


@pytest.mark.slow
def test_processes_give_the_bytes_of_one_and_go_on_with_its_work(
    finished: Path, tmp_path: Path
) -> None:
    half = tmp_path / "half"
    without = small()
    only = replace(without, tasks=tuple(replace(task, agents=()) for task in without.tasks))
    run_experiment(only, half)
    run_experiment(small(), half, executor=Executor("joblib", 2))
    assert (half / "results.json").read_bytes() == (finished / "results.json").read_bytes()
    for path in sorted((finished / "cells").iterdir()):
        assert (half / "cells" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_with_the_same_bytes(
    finished: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    program = (
        "import sys; from test_benchmarks_experiment import small; "
        "from slategym.benchmarks.experiment_run import run_experiment; "
        "run_experiment(small(), sys.argv[1])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    journal = folder / "cells.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if journal.exists() and len(journal.read_bytes().splitlines()) >= 3:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(CellJournal(folder))
    assert kept >= 3
    run_experiment(small(), folder)
    lines = journal.read_text().splitlines()
    assert len({json.loads(line)["key"] for line in lines}) == len(lines) == 9
    assert (folder / "results.json").read_bytes() == (finished / "results.json").read_bytes()


def test_a_leaderboard_joins_equal_experiments_and_refuses_others(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = small().tasks[0]
    other = replace(small(), tasks=(replace(first, policies=("popularity",), agents=()),
                                    replace(small().tasks[1], agents=())))  # fmt: skip
    run_experiment(other, tmp_path / "other")
    joined = leaderboard([finished, tmp_path / "other"])
    names = {row["name"] for row in joined["tasks"][0]["rows"]}
    assert names == {"random", "cf-greedy", "popularity", "agent"}
    run_experiment(replace(other, users=10), tmp_path / "fewer")
    with pytest.raises(UsageError, match="only equal ones"):
        leaderboard([finished, tmp_path / "fewer"])
    assert run(["leaderboard", str(finished), str(tmp_path / "other")]) == 0
    assert "popularity" in capsys.readouterr().out
    assert run(["leaderboard", str(tmp_path)]) == 3
    assert "holds no experiment.json" in capsys.readouterr().err


def test_the_page_asks_for_nothing_outside_itself(finished: Path) -> None:
    page = write_experiment_page(finished).read_text()
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert "<script" not in page
    assert "kale" in page
    named = {one["name"] for one in json.loads((finished / "report.json").read_text())["figures"]}
    assert named >= {"leaderboard-0", "trade_off-0", "learning-0", "exposure-0", "learning-1"}
    assert named >= {"states-0-0", "states-0-1", "states-1-0", "states-1-1"}
    for name in named:
        assert (finished / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f'id="{name}-' in page, "each drawing stands in the page, with ids of its own"


def test_the_page_tells_who_beats_whom_what_users_saw_and_how_it_was_made(finished: Path) -> None:
    page = write_experiment_page(finished).read_text()
    for part in (
        "Who beats whom", "Row minus column", "and whether they stay", "Vendi score",
        "Miscalibration, KL", "Creators&#39; exposure gap", "One user, slate by slate",
        "Then: reward", "Can the simulator be believed?", "Synthetic world", "Python 3.",
    ):  # fmt: skip
        assert part in page, part
    assert "kale" in page[page.index("<h1>") :]
    assert page.count("the horizon") >= 2


def test_another_experiment_is_not_written_into_a_folder(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="of other tasks, users or parameters"):
        run_experiment(replace(small(), users=3), finished)
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds no experiment"):
        run_experiment(small(), tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tasks": ()}, "at least one task"),
        ({"users": 0}, "at least one task, one user"),
        ({"training_seeds": ()}, "at least one training seed"),
        ({"tasks": small().tasks[:1] * 2}, "'films' is given twice"),
    ],
)
def test_experiments_that_cannot_be_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        small(**changes)


def test_a_cell_of_a_variant_that_changed_since_is_refused() -> None:
    *_, cell = next(small().cells())
    changed = {**cell, "task": {**cell["task"], "world_hash": "0" * 64}}
    with pytest.raises(DataError, match="the world of task 'films'"):
        run_cell(changed, None)


@pytest.mark.parametrize("name", SUITES)
def test_every_suite_can_be_played(name: str) -> None:
    experiment = suite(name, users=4, frames=64)
    assert len(experiment.tasks) >= 3
    for task in experiment.tasks:
        alone = replace(task, agents=(), changes={**task.changes, "horizon": 3})
        one = replace(experiment, tasks=(alone,))
        for *_, cell in one.cells():
            if cell["policy"] in ("random", "cf-greedy"):
                assert len(run_cell(cell, None)["return"]) == 4


def test_unknown_suites_backends_and_sizes_are_named() -> None:
    with pytest.raises(UsageError, match="Did you mean 'classic'"):
        suite("clasic")
    with pytest.raises(UsageError, match="frames is 0"):
        suite("classic", frames=0)
    with pytest.raises(UsageError, match="backend is 'slurm'"):
        Executor("slurm")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="workers is 0"):
        Executor("joblib", 0)
    with pytest.raises(UsageError, match="for the ray backend"):
        Executor("local", address="auto")
    assert set(BACKENDS) == {"local", "joblib", "ray"}


def test_holm_is_the_textbook_step_down() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def played(values: list[list[float]]) -> tuple[Arrays, ...]:
    user = np.arange(len(values[0]))
    return tuple({"user": user, "return": np.array(row)} for row in values)


def test_what_is_equal_ties_and_what_is_better_for_everyone_wins() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=200).tolist()
    better = [value + 0.5 for value in base]
    task = TaskRuns("t", (
        Contender("random", "policy", played([base])),
        Contender("twin", "policy", played([base])),
        Contender("good", "agent", played([better, better, better])),
    ), best="good")  # fmt: skip
    table = score([task])["tasks"][0]
    rows = {row["name"]: row for row in table["rows"]}
    assert table["winner"] == "good"
    assert rows["twin"]["minus_winner"]["high"] == pytest.approx(-0.5)  # paired: no noise is left
    assert rows["twin"]["p_holm"] < 0.01
    assert rows["twin"]["correlation"] == pytest.approx(1.0)
    assert rows["random"]["normalised"]["estimate"] == 0.0
    assert "good wins" in table["sentence"]
    tie = TaskRuns("t", task.contenders[:2])
    assert "no clear winner" in score([tie])["tasks"][0]["sentence"]


def test_contenders_that_met_other_users_are_not_compared() -> None:
    other = ({"user": np.arange(5), "return": np.zeros(5)},)
    task = TaskRuns("t", (Contender("a", "policy", played([[0.0] * 4])),
                          Contender("b", "policy", other)))  # fmt: skip
    with pytest.raises(DataError, match="did not meet the same users"):
        score([task])


def test_bench_needs_a_world_or_a_suite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "--out", str(tmp_path / "b")]) == 2
    assert "or a suite" in capsys.readouterr().err
    assert run(["bench", "clasic", "--out", str(tmp_path / "b")]) == 2
    assert "Did you mean 'classic'" in capsys.readouterr().err
    assert run(["bench", "classic", "--out", str(tmp_path / "b"), "--variant", "a/B-v0"]) == 2
    assert "a suite has its own" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
def test_two_ray_nodes_of_which_one_is_lost_give_the_same_bytes(
    finished: Path, tmp_path: Path
) -> None:
    """Needs the extra ``ray``; one node is killed as soon as two cells are done."""
    ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    lost = cluster.add_node(num_cpus=1)
    folder, seen, killed = tmp_path / "ray", threading.Event(), []

    def kill() -> None:
        journal = folder / "cells.jsonl"
        while not seen.is_set():
            if journal.exists() and len(journal.read_bytes().splitlines()) >= 2:
                cluster.remove_node(lost, allow_graceful=False)
                killed.append(lost)
                return
            time.sleep(0.05)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        executor = Executor("ray", address=cluster.address)
        run_experiment(small(), folder, executor=executor)
    finally:
        seen.set()
        killer.join()
        ray.shutdown()
        cluster.shutdown()
    assert killed
    assert len(CellJournal(folder)) == 9
    assert (folder / "results.json").read_bytes() == (finished / "results.json").read_bytes()
