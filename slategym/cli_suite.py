"""`slategym bench SUITE` and `slategym leaderboard`: named experiments, alone and together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from slategym.cli_common import JsonOption
from slategym.console import print_json, print_table, progress_on_stderr
from slategym.errors import UsageError

FoldersArgument = Annotated[
    list[Path], typer.Argument(metavar="BENCH...", help="Folders of `slategym bench SUITE`.")
]


def run_suite(
    name: str,
    out: Path,
    *,
    world: Path | None,
    frames: int | None,
    training_seeds: int,
    users: int,
    seeds: int,
    backend: str,
    workers: int | None,
    as_json: bool,
) -> None:
    """Run a named experiment and print its tables."""
    from slategym.benchmarks.executor import Executor
    from slategym.benchmarks.experiment_run import run_experiment
    from slategym.benchmarks.suites import suite

    experiment = suite(
        name,
        world="tiny" if world is None else str(world),
        frames=frames,
        training_seeds=tuple(range(training_seeds)),
        users=users,
        user_seeds=tuple(range(seeds)),
    )
    executor = Executor(backend, workers)  # type: ignore[arg-type]  # it checks the name itself
    with progress_on_stderr() as progress:
        results = run_experiment(experiment, out, executor=executor, progress=progress)
    if as_json:
        print_json({"bench": str(out), **results})
        return
    print_tables(results)
    print(f"\nResults are in {out}; `slategym report {out}` writes the page.")


def leaderboard(
    folders: FoldersArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the JSON here, too.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Put several runs of one suite on one leaderboard.

    Runs of other tasks, users or parameters are refused: their numbers cannot be compared.

    Example: slategym leaderboard bench/mine bench/theirs
    """
    from slategym.benchmarks.experiment_run import leaderboard as merged
    from slategym.files import write_json

    if out is not None and out.is_dir():
        raise UsageError(f"--out {out} is a folder; name a file.")
    results = merged(folders)
    if out is not None:
        write_json(out, results)
    if as_json:
        print_json(results)
        return
    print_tables(results)


def print_tables(results: Mapping[str, Any]) -> None:
    """Print each task's leaderboard and the scores over all tasks."""
    for table in results["tasks"]:
        title = f"{table['task']}: {table['sessions']:,} sessions, same users, same luck"
        heads = ["", "return [95 %]", "by users", "by seeds", "minus winner", "p", "score"]
        print_table(title, heads, [_cells(row, table["winner"]) for row in table["rows"]])
        print(table["sentence"])
    if any(row["kind"] == "reference" for table in results["tasks"] for row in table["rows"]):
        print("* sees what no platform can see")
    if results["overall"]:
        rows = [[row["name"], _interval(row, 3)] for row in results["overall"]]
        title = "interquartile mean of scores over tasks (0 random, 1 the best known)"
        print_table(title, ["", "score [95 %]"], rows)


def _cells(row: Mapping[str, Any], winner: str) -> Sequence[str]:
    """Return a contender's line."""
    seeds = f" ({row['training_seeds']} seeds)" if row["kind"] == "agent" else ""
    star = " *" if row["kind"] == "reference" else ""
    is_winner = row["name"] == winner
    p = row.get("p_holm")
    return [
        f"{row['name']}{star}{seeds}",
        _interval(row["return"], 2),
        _half(row["users"]),
        _half(row["seeds"]),
        "" if is_winner else _interval(row["minus_winner"], 2, signed=True),
        "" if p is None else ("< 0.01" if p < 0.01 else f"{p:.2f}"),
        "" if row["normalised"] is None else f"{row['normalised']['estimate']:.3f}",
    ]


def _interval(interval: Mapping[str, float | None], digits: int, *, signed: bool = False) -> str:
    """Return an estimate with its interval, as ``1.23 [1.10, 1.40]``."""
    form = f"{{:{'+' if signed else ''},.{digits}f}}"
    shown = [
        "n/a" if interval[key] is None else form.format(interval[key])
        for key in ("estimate", "low", "high")
    ]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _half(interval: Mapping[str, float | None]) -> str:
    """Return half the width of an interval, as ``±0.40``."""
    low, high = interval["low"], interval["high"]
    return "" if low is None or high is None else f"±{(high - low) / 2:,.2f}"
