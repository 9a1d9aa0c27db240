"""The part of `slategym bench` that judges agents of a classic, which has no world."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slategym.console import duration, print_json, print_table, progress_on_stderr
from slategym.errors import UsageError


def is_classic_run(runs: Sequence[Path]) -> bool:
    """Return whether the first of some runs was trained on a classic.

    Raises:
        DataError: it is no finished run.
    """
    from slategym.benchmarks.classic_bench import is_classic

    return bool(runs) and is_classic(runs[0])


def judge(
    runs: Sequence[Path],
    out: Path | None,
    *,
    policies: Sequence[str] | None,
    users: int,
    seeds: int,
    sampled: bool,
    as_json: bool,
) -> None:
    """Play the task of the runs with them, with rules and with the best known, and print it.

    Raises:
        UsageError: ``out`` holds something else.
    """
    from slategym.benchmarks.classic_bench import judge_classic

    if out is not None and out.is_dir() and any(out.iterdir()):
        only = [entry.name for entry in out.iterdir()]
        if only != ["results.json"]:
            raise UsageError(f"--out {out} holds other files; name a new or empty folder.")
    with progress_on_stderr() as progress:
        results = judge_classic(
            runs,
            out,
            policies=policies,
            users=users,
            seeds=range(seeds),
            sampled=sampled,
            progress=progress,
        )
    if as_json:
        print_json({"bench": None if out is None else str(out), **results})
    else:
        print_results(results)


def print_results(results: Mapping[str, Any]) -> None:
    """Print one row for each contender, the best first."""
    rows = []
    for row in sorted(results["rows"], key=lambda one: -one["return"]["estimate"]):
        found = row["return"]
        low, high = found["low"], found["high"]
        interval = "" if low is None else f" [{low:,.2f}, {high:,.2f}]"
        rows.append(
            [
                row["name"] + (" *" if row["kind"] == "oracle" else ""),
                f"{found['estimate']:,.2f}{interval}",
                "n/a" if row["score"] is None else f"{100 * row['score']:.1f} %",
                str(len(row["seeds"])) if row["kind"] == "agent" else "",
                "" if row["frames"] is None else f"{row['frames']:,}",
                "" if row["cpu_seconds"] is None else duration(row["cpu_seconds"]),
            ]
        )
    head = ["policy", "return [95 %]", "of the way", "seeds", "frames", "CPU time"]
    print_table(f"{results['variant']['id']}: {results['users']:,} users, one episode", head, rows)
    print("* knows what is hidden; `of the way` from random to it. Agents: interquartile mean over")
    print("training seeds; others: mean over users.")
