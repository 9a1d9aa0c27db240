"""`slategym demo`: the whole path on a generated catalogue and log, in a few minutes."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from slategym import __version__
from slategym.cli_bench import print_results
from slategym.cli_build import build_from, demo_inputs
from slategym.cli_common import JsonOption, check_output
from slategym.console import duration, print_json, progress_on_stderr
from slategym.files import read_json, write_json
from slategym.progress import Progress

MARKER = "demo.json"
FRAMES = 200_000
USERS = 512


@dataclass(frozen=True)
class Folders:
    """Where the demo keeps what."""

    out: Path

    @property
    def data(self) -> Path:
        """The generated catalogue and log."""
        return self.out / "data"

    @property
    def world(self) -> Path:
        """The world."""
        return self.out / "world"

    @property
    def run(self) -> Path:
        """The trained agent."""
        return self.out / "agent"

    @property
    def bench(self) -> Path:
        """The benchmark and its report."""
        return self.out / "bench"


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write.")] = Path(
        "runs/demo"
    ),
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew instead of resuming in that folder.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Generate a catalogue and a log, fit users, train an agent, compare it, write the report.

    The catalogue and the log are synthetic. A second call resumes: finished steps are kept.
    """
    check_output(out, MARKER, "a demo")
    if fresh and out.exists():
        shutil.rmtree(out)
    folders = Folders(out)
    _claim(folders)
    begin = time.monotonic()
    with progress_on_stderr() as progress:
        results = _run(folders, progress)
    page = folders.bench / "report.html"
    seconds = round(time.monotonic() - begin, 1)
    if as_json:
        print_json({"demo": str(out), "seconds": seconds, "report": str(page), "results": results})
        return
    print_results(results)
    print(f"\nThe catalogue and its users are synthetic. Done in {duration(seconds)}.")
    print(f"report: {page}")


def _claim(folders: Folders) -> None:
    """Make the folder a demo of this version; one of another version starts anew."""
    wanted = {"slategym": __version__, "frames": FRAMES, "users": USERS}
    marker = folders.out / MARKER
    if marker.exists() and read_json(marker) != wanted:
        shutil.rmtree(folders.out)
    write_json(marker, wanted)


def _run(folders: Folders, progress: Progress) -> dict[str, Any]:
    """Do the five steps, saying which and how long each took; return the results."""
    kept: dict[str, Any] = {}
    steps: list[tuple[str, Callable[[], Any]]] = [
        ("make the catalogue and the log (synthetic)", lambda: demo_inputs(folders.data, progress)),
        ("build the world", lambda: _world(folders, progress)),
        ("train the agent", lambda: _agent(folders, progress)),
        ("compare it with baselines", lambda: kept.update(_bench(folders, progress))),
        ("write the report", lambda: _report(folders, progress)),
    ]
    for number, (title, action) in enumerate(steps, 1):
        progress.note(f"[{number}/{len(steps)}] {title}")
        begin = time.monotonic()
        action()
        progress.note(f"[{number}/{len(steps)}] {title}: {duration(time.monotonic() - begin)}")
    return kept


def _world(folders: Folders, progress: Progress) -> None:
    if not folders.world.exists():  # a world folder is whole or absent
        build_from(demo_inputs(folders.data, progress), folders.world, progress)


def _agent(folders: Folders, progress: Progress) -> None:
    from slategym.agents.train_config import TrainConfig
    from slategym.agents.training import train

    train(folders.world, folders.run, TrainConfig(frames=FRAMES), progress)


def _bench(folders: Folders, progress: Progress) -> dict[str, Any]:
    from slategym.benchmarks.suite import DEFAULT_POLICIES, run_benchmark
    from slategym.envs.world import World

    world = World.open(folders.world)
    return run_benchmark(
        world, DEFAULT_POLICIES, (folders.run,), folders.bench, users=USERS, progress=progress
    )


def _report(folders: Folders, progress: Progress) -> None:
    from slategym.benchmarks.report import write_report

    write_report(folders.bench, progress=progress)
