"""`slategym bench` and `slategym report`: policies compared on the same users, and the page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from slategym.cli_common import (
    ImportOption,
    JsonOption,
    check_variant_id,
    import_user_code,
    open_world,
)
from slategym.console import print_json, print_table, progress_on_stderr
from slategym.errors import UsageError

# Folder inside BENCH: the same policies with the items that the first run held out.
HELD_OUT = "held-out-items"
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
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="BENCH", help="The folder to write; runs on a classic need none."
        ),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Argument(
            metavar="[SUITE]",
            help="A named experiment: classic, domains, cold-start, sparse, drift, modalities or "
            "diversity; it trains its own agents. Without it, --world and --run are compared.",
        ),
    ] = None,
    world: Annotated[
        Path | None, typer.Option("--world", metavar="WORLD", help="The folder that `build` wrote.")
    ] = None,
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
    users: Annotated[
        int | None,
        typer.Option(
            help="Held-out user streams a seed.", show_default="1024; a suite: 512", min=1
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Sets of user streams.", min=1)] = 1,
    variant: BenchVariantOption = None,
    frames: Annotated[
        int | None, typer.Option(help="Of each agent that a suite trains.", min=1)
    ] = None,
    training_seeds: Annotated[
        int, typer.Option(help="Trainings of each agent of a suite.", min=1)
    ] = 3,
    backend: Annotated[
        str, typer.Option(help="Where the cells of a suite run: local, joblib or ray.")
    ] = "local",
    workers: Annotated[
        int | None, typer.Option(help="Cells of a suite at once. Default: the cores.", min=1)
    ] = None,
    sampled: Annotated[
        bool,
        typer.Option("--sampled", help="On a classic: also play agents that draw their slates."),
    ] = False,
    imports: ImportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare agents and baselines on the same held-out users with the same luck.

    Results are kept policy by policy: the same command again, or with more policies, runs the rest.

    Example: slategym bench --world worlds/mine --run runs/mine --out bench/mine

    Example: slategym bench classic --out bench/classic --backend joblib

    Example: slategym bench --run runs/classic
    """
    import_user_code(imports)
    if suite is None and world is None and run:
        from slategym.cli_bench_classic import is_classic_run, judge

        if is_classic_run(run):
            chosen = None if policies is None else _names(policies)
            judge(
                run,
                out,
                policies=chosen,
                users=users or 2048,
                seeds=seeds,
                sampled=sampled,
                as_json=as_json,
            )
            return
    if out is None:
        raise UsageError("--out is missing; name the folder to write.")
    if suite is not None:
        from slategym.cli_suite import run_suite

        if run or policies or variant:
            raise UsageError(
                "a suite has its own agents, policies and variants: leave --run, --policies and "
                "--variant out, or the name of the suite."
            )
        run_suite(
            suite, out, world=world, frames=frames, training_seeds=training_seeds,
            users=users or 512, seeds=seeds, backend=backend, workers=workers, as_json=as_json,
        )  # fmt: skip
        return
    if world is None:
        raise UsageError(
            "--world is missing; name the folder that `build` wrote, or a suite such as `classic`."
        )
    _compare(world, out, run, policies, users or 1024, seeds, variant, as_json)


def _compare(
    world: Path,
    out: Path,
    run: list[Path] | None,
    policies: str | None,
    users: int,
    seeds: int,
    variant: str | None,
    as_json: bool,
) -> None:
    """Run policies and trained agents over a world, and print the table."""
    if variant is not None:
        check_variant_id(variant)
    opened = open_world(world)
    from slategym.benchmarks.held_items import held_variant
    from slategym.benchmarks.suite import DEFAULT_POLICIES, run_benchmark

    chosen = DEFAULT_POLICIES if policies is None else _names(policies)
    held = held_variant(run[0]) if run and variant is None else None
    # What the first run never saw has a table of its own, in a folder inside.
    tasks = {out: variant} | ({} if held is None else {out / HELD_OUT: held})
    found = {}
    with progress_on_stderr() as progress:
        for folder, task in tasks.items():
            found[folder] = run_benchmark(
                opened, chosen, tuple(run or ()), folder,
                users=users, seeds=range(seeds), variant=task, progress=progress,
            )  # fmt: skip
    if as_json:
        more = {} if held is None else {"held_out_items": found[out / HELD_OUT]}
        print_json({"bench": str(out), **found[out], **more})
        return
    for folder, results in found.items():
        if folder != out:
            print("\nOnly items that training held out:")
        print_results(results)
        print(f"\nResults are in {folder}; `slategym report {folder}` writes the page.")


def report(
    folder: Annotated[Path, typer.Argument(metavar="BENCH", help="The folder `bench` wrote.")],
    as_json: JsonOption = False,
) -> None:
    """Write report.html (one file, readable offline), report.json and figures as PNG.

    Example: slategym report bench/mine
    """
    from slategym.benchmarks.experiment_page import is_experiment, write_experiment_page
    from slategym.benchmarks.report import write_report
    from slategym.benchmarks.suite import read_results

    if is_experiment(folder):
        with progress_on_stderr() as progress:
            page = write_experiment_page(folder, progress=progress)
        if as_json:
            print_json({"report": str(page), "json": str(folder / "report.json")})
        else:
            print(f"report: {page}")
        return
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
