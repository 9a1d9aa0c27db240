"""`slategym bench` and `slategym report`: policies compared on the same users, and the page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from slategym.cli_common import (
    ImportOption,
    JsonOption,
    WorldOption,
    check_variant_id,
    import_user_code,
    open_world,
)
from slategym.console import print_json, print_table, progress_on_stderr

COLUMNS = {
    "clicks": "clicks",
    "minutes": "minutes",
    "length": "slates",
    "diversity": "diversity",
    "coverage": "coverage",
    "gini": "gini",
    "novelty": "novelty",
}


BenchVariantOption = Annotated[
    str | None,
    typer.Option(
        metavar="ID", help="The environment; by default the one that the first run was trained on."
    ),
]


def bench(
    world: WorldOption,
    out: Annotated[Path, typer.Option("--out", metavar="BENCH", help="The folder to write.")],
    run: Annotated[
        list[Path] | None,
        typer.Option("--run", metavar="RUN", help="A trained agent, as `train` wrote it."),
    ] = None,
    policies: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...", help="Baselines to run beside it; `none` for none. Default: all."
        ),
    ] = None,
    users: Annotated[int, typer.Option(help="Held-out user streams a seed.", min=1)] = 1024,
    seeds: Annotated[int, typer.Option(help="Sets of user streams.", min=1)] = 1,
    variant: BenchVariantOption = None,
    imports: ImportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare agents and baselines on the same held-out users with the same luck.

    Results are kept policy by policy: the same command again, or with more policies, runs the rest.

    Example: slategym bench --world worlds/mine --run runs/mine --out bench/mine
    """
    import_user_code(imports)
    if variant is not None:
        check_variant_id(variant)
    opened = open_world(world)
    from slategym.benchmarks.suite import DEFAULT_POLICIES, run_benchmark

    chosen = DEFAULT_POLICIES if policies is None else _names(policies)
    with progress_on_stderr() as progress:
        results = run_benchmark(
            opened,
            chosen,
            tuple(run or ()),
            out,
            users=users,
            seeds=range(seeds),
            variant=variant,
            progress=progress,
        )
    if as_json:
        print_json({"bench": str(out), **results})
    else:
        print_results(results)
        print(f"\nResults are in {out}; `slategym report {out}` writes the page.")


def report(
    folder: Annotated[Path, typer.Argument(metavar="BENCH", help="The folder `bench` wrote.")],
    as_json: JsonOption = False,
) -> None:
    """Write report.html (one file, readable offline), report.json and figures as PNG.

    Example: slategym report bench/mine
    """
    from slategym.benchmarks.report import write_report
    from slategym.benchmarks.suite import read_results

    with progress_on_stderr() as progress:
        page = write_report(folder, progress=progress)
    if as_json:
        results = read_results(folder)
        known = {key: results[key] for key in ("title", "verdict", "winner")}
        figures = sorted(str(path) for path in (folder / "figures").glob("*.png"))
        print_json(
            {
                "report": str(page),
                "json": str(folder / "report.json"),
                "figures": figures,
                **known,
            }
        )
    else:
        print(f"report: {page}")


def _names(text: str) -> tuple[str, ...]:
    """Return the names in ``"a,b"``; none for ``"none"``."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    return () if names == ("none",) else names


def print_results(results: Mapping[str, Any]) -> None:
    """Print the leaderboard, the other measures and the verdict."""
    digits = {metric["key"]: int(metric["digits"]) for metric in results["metrics"]}
    differences = {pair["policy"]: pair["metrics"]["return"] for pair in results["paired"]}
    leaderboard, measures = [], []
    for row in results["policies"]:
        numbers = row["metrics"]
        label = row["label"] + (" *" if row["kind"] == "reference" else "")
        difference = differences.get(row["name"])
        against = "" if difference is None else _interval(difference, digits["return"], signed=True)
        leaderboard.append([label, _interval(numbers["return"], digits["return"]), against])
        cells = [_number(numbers[key]["estimate"], digits[key]) for key in COLUMNS]
        measures.append([label, *cells])
    labels = {row["name"]: row["label"] for row in results["policies"]}
    world, sessions = results["world"]["name"], results["sessions_per_policy"]
    title = f"{world}: {sessions:,} sessions a policy, same users, same luck"
    paired = f"minus {labels[results['reference']]}, paired"
    print_table(title, ["policy", "return [95 %]", paired], leaderboard)
    print_table("", ["policy", *COLUMNS.values()], measures)
    if any(row["kind"] == "reference" for row in results["policies"]):
        print("* a reference that sees what no platform can see")
    print(results["verdict"])


def _number(value: float | None, digits: int, *, signed: bool = False) -> str:
    return "n/a" if value is None else f"{value:{'+' if signed else ''},.{digits}f}"


def _interval(interval: Mapping[str, float | None], digits: int, *, signed: bool = False) -> str:
    """Return an estimate with its interval, as ``1.23 [1.10, 1.40]``."""
    estimate = _number(interval["estimate"], digits, signed=signed)
    low = _number(interval["low"], digits, signed=signed)
    high = _number(interval["high"], digits, signed=signed)
    return f"{estimate} [{low}, {high}]"
