"""Do the auxiliary losses help? ``python -m slategym.benchmarks.aux_study`` measures it.

Every arm is trained with the same frames and the same seeds, then serves the same held-out users
with the same luck. Cells (arm, seed) are kept as they finish: the same command resumes.
"""

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from slategym.agents.policy import make_policy
from slategym.benchmarks.aux_summary import REFERENCES, markdown, summarise
from slategym.benchmarks.cells import Journal
from slategym.benchmarks.rollout import Trajectories, rollout
from slategym.envs.protocol import AnyVariant
from slategym.envs.registry import get_variant
from slategym.envs.world import World
from slategym.envs.worlds import world_of
from slategym.errors import SlateGymError, UsageError, unknown_name
from slategym.files import read_json, write_json, write_text
from slategym.progress import Progress, Silent, stage

OFF = {"rating": 0.0, "item_features": 0.0, "recommendation_features": 0.0}
# What each arm changes in the default training options. A weight that is not named is off; one
# that is ``None`` is the default.
ARMS: dict[str, dict[str, Any]] = {
    "none": {},
    "rating": {"rating": None},
    "item_features": {"item_features": None},
    "recommendation_features": {"recommendation_features": None},
    "all": {"rating": None, "item_features": None, "recommendation_features": None},
    "shuffled": {
        "rating": None,
        "item_features": None,
        "recommendation_features": None,
        "aux_targets": "shuffled",
    },
    "supervised": {"rating": None, "rank_by": "response"},
}
# Points of the learning curve; one of them lies near 25 % of the frames.
EVALUATIONS = 12
STAGE = "cells"


@dataclass(frozen=True)
class StudySettings:
    """What must be equal for cells to stand in one table; kept as ``study.json``."""

    world: str
    """Hash of the world."""
    frames: int
    """Training frames of a cell."""
    users: int
    """Held-out user streams the trained agent serves."""
    variant: str = "slategym/World-v0"
    """Registered id of the task."""
    env: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the variant to override, a scenario among them."""
    train: Mapping[str, Any] = field(default_factory=dict)
    """Training options that all arms share."""
    user_seed: int = 0
    """First half of their names: every cell meets the same users with the same luck."""
    schema: int = 2

    def task(self) -> AnyVariant:
        """Return the variant with its parameters.

        Raises:
            UsageError: an unknown variant or parameter.
        """
        return get_variant(self.variant).override(**self.env)


def arm_options(arm: str) -> dict[str, Any]:
    """Return the training options an arm sets.

    Raises:
        UsageError: an unknown arm.
    """
    if arm not in ARMS:
        raise unknown_name("arm", arm, ARMS)
    from slategym.agents.train_config import TrainConfig

    default = TrainConfig()
    chosen = {k: getattr(default, k) if v is None else v for k, v in ARMS[arm].items()}
    return OFF | chosen


def run_study(
    world: Path | str,
    out: Path | str,
    *,
    seeds: int = 10,
    frames: int = 150_000,
    arms: Sequence[str] = tuple(ARMS),
    users: int = 1024,
    variant: str = "slategym/World-v0",
    env: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    workers: int = 2,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run every (arm, seed) cell that ``out`` does not hold yet and write the tables.

    Args:
        world: a WORLD folder.
        out: folder for ``cells.jsonl``, ``aux_study.json``, ``.md`` and the runs.
        seeds: training seeds 0 .. seeds - 1 of every arm.
        frames: training frames of a cell.
        arms: names in `ARMS`.
        users: held-out user streams that judge an agent.
        variant: registered id of the task.
        env: parameters of the variant to override; a scenario such as ``cold_start`` changes the
            world that agents are told of.
        train: training options that all arms share.
        workers: processes, each with one thread.
        progress: hears of finished cells.

    Returns:
        The content of ``aux_study.json``.

    Raises:
        UsageError: an unknown arm, variant or parameter, or ``out`` holds a study of other
            settings.
    """
    folder, told = Path(out), progress or Silent()
    options = {arm: arm_options(arm) for arm in arms}
    opened = World.open(Path(world))
    settings = StudySettings(opened.hash, frames, users, variant, env or {}, train or {})
    settings.task()
    _claim(folder, settings)
    journal = Journal(folder / "cells.jsonl")
    cells = [
        {"arm": arm, "seed": seed, "options": options[arm], "settings": asdict(settings)}
        for seed in range(seeds)
        for arm in arms
    ]
    cells += [{"policy": name, "settings": asdict(settings)} for name in REFERENCES]
    _run_missing(cells, journal, Path(world), folder, workers, told)
    # In the order asked for, not that in which two processes happened to finish.
    finished = [line for cell in cells for line in journal.lines if line["cell"] == cell]
    study = summarise(finished, frames) | {
        "settings": asdict(settings),
        "arms_options": options,
        "world_name": opened.info.name,
        "synthetic": opened.info.synthetic,
    }
    write_json(folder / "aux_study.json", study)
    write_text(folder / "aux_study.md", markdown(study))
    return study


def _run_missing(
    cells: Sequence[dict[str, Any]],
    journal: Journal,
    world: Path,
    folder: Path,
    workers: int,
    progress: Progress,
) -> None:
    """Run the cells that the journal does not hold, each written as it finishes."""
    done = [line["cell"] for line in journal.lines]
    waiting = [cell for cell in cells if cell not in done]
    with stage(progress, STAGE, len(cells)):
        progress.advance(STAGE, len(cells) - len(waiting))
        for line in _work(waiting, world, folder, workers):
            journal.append(line)
            progress.advance(STAGE)


def _claim(folder: Path, settings: StudySettings) -> None:
    """Make the folder a study of these settings, or refuse it."""
    path, wanted = folder / "study.json", asdict(settings)
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty and holds no study; give another --out.")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, wanted)
        return
    there = read_json(path)
    differing = [key for key in wanted if there.get(key) != wanted[key]]
    if differing:
        told = ", ".join(f"{k} is {there.get(k)!r} there, {wanted[k]!r} now" for k in differing)
        raise UsageError(f"{folder} holds a study of other settings ({told}); give another --out.")


def _work(
    cells: Sequence[dict[str, Any]], world: Path, folder: Path, workers: int
) -> Iterator[dict[str, Any]]:
    """Yield finished cells, in the order they finish."""
    jobs = [(cell, str(world), str(folder)) for cell in cells]
    if workers <= 1 or len(jobs) <= 1:
        yield from map(run_cell, jobs)
        return
    # Spawned, not forked: torch and numba keep threads that a fork would leave dead.
    with multiprocessing.get_context("spawn").Pool(min(workers, len(jobs))) as pool:
        yield from pool.imap_unordered(run_cell, jobs)


def run_cell(job: tuple[dict[str, Any], str, str]) -> dict[str, Any]:
    """Return one finished cell: a pure function of its JSON and the world.

    Args:
        job: the cell, the WORLD folder and the study's folder.
    """
    cell, world_folder, folder = job
    settings = cell["settings"]
    world = World.open(Path(world_folder))
    start = time.perf_counter()
    result = _reference(cell, world) if "policy" in cell else _trained(cell, world, Path(folder))
    run: Trajectories = result.pop("run")
    return {
        "cell": cell,
        **result,
        "return": float(run.returns.mean()),
        "length": float(run.length.mean()),
        "clicks": float(run.clicks.mean()),
        "returns": [round(float(value), 4) for value in run.returns],
        "users": run.users.tolist() if "policy" in cell else [],
        "sessions": settings["users"],
        "seconds": round(time.perf_counter() - start, 2),
    }


def _reference(cell: dict[str, Any], world: World) -> dict[str, Any]:
    """Return the sessions of a policy that is not trained."""
    task = StudySettings(**cell["settings"]).task()
    policy = make_policy(cell["policy"], world_of(task, world), task.slate_size)
    return {"run": _judge(policy, world, cell["settings"])}


def _trained(cell: dict[str, Any], world: World, folder: Path) -> dict[str, Any]:
    """Train an arm and return its learning curve and its sessions with held-out users."""
    from slategym.agents.train_config import TrainConfig
    from slategym.agents.trained import load_agent
    from slategym.agents.training import train

    run = folder / "runs" / f"{cell['arm']}-s{cell['seed']}"
    config = TrainConfig(
        frames=cell["settings"]["frames"],
        seed=cell["seed"],
        variant=cell["settings"]["variant"],
        env=cell["settings"]["env"],
        **{"evaluations": EVALUATIONS, **cell["settings"]["train"], **cell["options"]},
    )
    trained = train(world, run, config)
    return {
        "run": _judge(load_agent(run, world), world, cell["settings"]),
        "frames": [int(point["frames"]) for point in trained.evaluations],
        "curve": [float(point["return"]) for point in trained.evaluations],
        "cpu_seconds": trained.cpu_seconds,
    }


def _judge(policy: Any, world: World, settings: dict[str, Any]) -> Trajectories:  # noqa: ANN401
    """Return the sessions of the held-out users, the same ones for every cell."""
    task = StudySettings(**settings).task()
    users, seed = settings["users"], settings["user_seed"]
    return rollout(policy, world, users=users, seed=seed, variant=task)


class _Lines(Silent):
    """Tells on stderr how many cells are done, and how long the rest will take."""

    def __init__(self) -> None:
        self._done, self._total, self._begin = 0, 0, time.monotonic()
        self._kept = -1

    def start(self, stage: str, total: int | None = None) -> None:  # noqa: ARG002
        """Note how many cells there are."""
        self._total = total or 0

    def advance(self, stage: str, units: int = 1) -> None:  # noqa: ARG002
        """Write a line."""
        self._done += units
        if self._kept < 0:  # the first call counts what an earlier call finished
            self._kept = self._done
        passed = time.monotonic() - self._begin
        fresh = self._done - self._kept
        left = f", {passed / fresh * (self._total - self._done) / 60:.0f} min left" if fresh else ""
        sys.stderr.write(f"{self._done} of {self._total} cells{left}\n")
        sys.stderr.flush()


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn an error a user can cause into one line and its exit code."""
    try:
        yield
    except SlateGymError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


def _shared(options: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return parameters of the task and training options from ``NAME=VALUE`` texts.

    Raises:
        UsageError: a text without "=".
    """
    env: dict[str, Any] = {}
    train: dict[str, Any] = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not equals:
            raise UsageError(f"-s {option!r} has no value; write NAME=VALUE.")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        (env if name.startswith("env.") else train)[name.removeprefix("env.")] = value
    return env, train


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m slategym.benchmarks.aux_study", description=__doc__
    )
    parser.add_argument("--world", required=True, type=Path, help="a WORLD folder")
    parser.add_argument("--out", required=True, type=Path, help="where to write")
    parser.add_argument("--seeds", type=int, default=10, help="training seeds of each arm")
    parser.add_argument("--frames", type=int, default=150_000, help="training frames of a cell")
    parser.add_argument("--users", type=int, default=1024, help="held-out users that judge")
    parser.add_argument("--env", default="slategym/World-v0", help="the task")
    parser.add_argument(
        "-s",
        dest="options",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a training option of all arms, or env.NAME: a parameter of the task",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), help=", ".join(ARMS))
    given = parser.parse_args(arguments)
    with _plain_errors():
        env, train = _shared(given.options)
        study = run_study(
            given.world,
            given.out,
            seeds=given.seeds,
            frames=given.frames,
            arms=given.arms,
            users=given.users,
            variant=given.env,
            env=env,
            train=train,
            workers=given.workers,
            progress=_Lines(),
        )
        sys.stdout.write(markdown(study))


if __name__ == "__main__":
    main()
