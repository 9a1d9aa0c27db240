"""Runs an experiment into a folder, reads folders again, and puts several on one leaderboard."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from slategym.benchmarks.cells import CellJournal, cell_key
from slategym.benchmarks.executor import Arrays, Executor
from slategym.benchmarks.experiment import Experiment, Task
from slategym.benchmarks.experiment_cells import run_cell
from slategym.benchmarks.experiment_examples import examples, write_pictures
from slategym.benchmarks.experiment_scores import Contender, TaskRuns, score
from slategym.benchmarks.manifest import machine, world_facts
from slategym.envs.worlds import as_world
from slategym.errors import DataError, UsageError
from slategym.files import read_json, write_json
from slategym.progress import Progress, Silent, stage

EXPERIMENT, RESULTS, TIMINGS = "experiment.json", "results.json", "timings.json"
MANIFEST = "manifest.json"  # apart from the results: it differs from machine to machine
Found = dict[tuple[str, str], list[tuple[int, Arrays]]]


def run_experiment(
    experiment: Experiment,
    out: Path | str,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run the cells that ``out`` does not hold; write ``results.json`` and ``timings.json``.

    The same call after a kill goes on where it stopped, whatever the backend: no finished cell is
    lost or run twice, and a training that was cut goes on from its checkpoint. Results have the
    same bytes wherever the cells ran.

    Args:
        experiment: what to run.
        out: its folder; new, empty, or begun by an experiment of the same tasks and users, to
            which contenders and training seeds may be added.
        executor: where cells run; one after the other, here, if None.
        progress: hears of finished cells.

    Returns:
        The content of ``results.json``; see `slategym.benchmarks.experiment_scores.score`.

    Raises:
        UsageError: the folder is another's, or something in the experiment cannot be.
        DataError: the folder is damaged.
    """
    folder, progress = Path(out), progress or Silent()
    _claim(folder, experiment)
    named = list(experiment.cells())
    arrays = (executor or Executor()).run(run_cell, [cell for *_, cell in named], folder, progress)
    found: Found = {}
    for task, name, seed, cell in named:
        found.setdefault((task, name), []).append((seed or 0, arrays[cell_key(cell)]))
    with stage(progress, "analyse"):
        results = _scored(experiment, found)
        pairs = zip(experiment.tasks, results["tasks"], strict=True)
        for number, (played, table) in enumerate(pairs):
            write_pictures(played, number, table["examples"], folder)
    write_json(folder / RESULTS, results)
    write_json(folder / MANIFEST, machine())
    write_json(folder / TIMINGS, _timings(experiment, folder))
    return results


def _timings(experiment: Experiment, folder: Path) -> dict[str, dict[str, float]]:
    """Return task -> contender -> mean CPU seconds of a cell, training included.

    They differ from run to run, so they are kept apart from the results.
    """
    journal, found = CellJournal(folder), dict[str, dict[str, list[float]]]()
    for task, name, _, cell in experiment.cells():
        record = journal.get(cell_key(cell))
        if record is not None:
            found.setdefault(task, {}).setdefault(name, []).append(record.seconds)
    return {
        task: {name: sum(spent) / len(spent) for name, spent in contenders.items()}
        for task, contenders in found.items()
    }


def read_experiment(folder: Path | str) -> tuple[Experiment, Found]:
    """Return a finished experiment and the sessions of its cells.

    Raises:
        DataError: the folder is none, not finished, or made by other tasks than their names
            stand for now.
    """
    path = Path(folder)
    experiment = Experiment.from_json(_record(path))
    journal = CellJournal(path)
    found: Found = {}
    for task, name, seed, cell in experiment.cells():
        key = cell_key(cell)
        if journal.get(key) is None:
            trained = "" if seed is None else f" with training seed {seed}"
            raise DataError(
                f"{path} lacks {name!r} on task {task!r}{trained}; the experiment was not run to "
                "its end, or its variant or world is another one now: run it again."
            )
        found.setdefault((task, name), []).append((seed or 0, journal.arrays(key)))
    return experiment, found


def leaderboard(folders: Sequence[Path | str]) -> dict[str, Any]:
    """Return the scores of several experiments of the same tasks and users, as of one.

    Raises:
        UsageError: no folder, other tasks, users or variants, or two different contenders of one
            name.
        DataError: a folder is none, or not finished.
    """
    if not folders:
        raise UsageError("a leaderboard needs at least one folder of `slategym bench SUITE`.")
    read = [read_experiment(folder) for folder in folders]
    first = read[0][0]
    merged, found = first, dict(read[0][1])
    for folder, (experiment, sessions) in zip(folders[1:], read[1:], strict=True):
        if experiment.hash != first.hash:
            raise UsageError(
                f"{folder} holds experiment {experiment.name!r} with hash {experiment.hash}, "
                f"{folders[0]} {first.name!r} with {first.hash}: other tasks, users or parameters; "
                "only equal ones can be on one leaderboard."
            )
        merged = _with_contenders(merged, experiment, folder)
        for key, runs in sessions.items():
            have = {seed for seed, _ in found.get(key, [])}
            found[key] = found.get(key, []) + [run for run in runs if run[0] not in have]
    return _scored(merged, found)


def _with_contenders(one: Experiment, other: Experiment, folder: Path | str) -> Experiment:
    """Return an experiment with the contenders of both."""
    tasks = []
    for mine, theirs in zip(one.tasks, other.tasks, strict=True):
        known = {agent.name: agent for agent in mine.agents}
        for agent in theirs.agents:
            if known.get(agent.name, agent) != agent:
                raise UsageError(
                    f"{folder} has another agent called {agent.name!r} on task {mine.name!r}: "
                    "give one of them another name."
                )
        tasks.append(
            replace(
                mine,
                policies=_union(mine.policies, theirs.policies),
                agents=_union(mine.agents, theirs.agents),
                references=_union(mine.references, theirs.references),
                best=mine.best or theirs.best,
            )
        )
    seeds = _union(one.training_seeds, other.training_seeds)
    return replace(one, tasks=tuple(tasks), training_seeds=seeds)


def _union(first: Iterable[Any], second: Iterable[Any]) -> tuple[Any, ...]:
    """Return what is in either, in order, once."""
    joined: list[Any] = []
    for one in (*first, *second):
        if one not in joined:
            joined.append(one)
    return tuple(joined)


def _scored(experiment: Experiment, found: Found) -> dict[str, Any]:
    """Return the results of an experiment's sessions."""
    runs = [_runs(task, found) for task in experiment.tasks]
    scored = score(runs)
    for task, played, table in zip(experiment.tasks, runs, scored["tasks"], strict=True):
        table["examples"] = examples(task, played.contenders, table, experiment.user_seeds)
    worlds = {task.world: as_world(task.world) for task in experiment.tasks if task.world}
    return {
        "experiment": experiment.to_json(),
        "hash": experiment.hash,
        "worlds": [world_facts(world) for world in worlds.values()],
        **scored,
    }


def _runs(task: Task, found: Found) -> TaskRuns:
    """Return a task's contenders with their sessions, by training seed."""
    contenders = []
    for name in (*task.policies, *(agent.name for agent in task.agents)):
        kind = "reference" if name in task.references else "policy"
        kind = kind if name in task.policies else "agent"
        runs = sorted(found[task.name, name], key=lambda run: run[0])
        arrays, seeds = tuple(run for _, run in runs), tuple(seed for seed, _ in runs)
        contenders.append(Contender(name, kind, arrays, seeds))
    return TaskRuns(task.name, tuple(contenders), task.best)


def _claim(folder: Path, experiment: Experiment) -> None:
    """Make the folder one of this experiment, or refuse it."""
    path = folder / EXPERIMENT
    if path.exists():
        there = _record(folder)
        if there["hash"] != experiment.hash:
            raise UsageError(
                f"{folder} holds experiment {there['name']!r} of other tasks, users or parameters "
                f"(hash {there['hash']}, not {experiment.hash}); give another --out."
            )
    elif folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty and holds no experiment; give another --out.")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, {**experiment.to_json(), "hash": experiment.hash})


def _record(folder: Path) -> dict[str, Any]:
    """Return ``experiment.json``."""
    path = folder / EXPERIMENT
    if not path.exists():
        raise DataError(
            f"{folder} holds no {EXPERIMENT}, so it is no folder of `slategym bench SUITE`."
        )
    record: dict[str, Any] = read_json(path)
    return record
