"""The page of an experiment: one HTML file, its numbers as JSON, its figures as files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slategym.benchmarks.drawing import Drawing, house_style, save
from slategym.benchmarks.experiment_run import EXPERIMENT, RESULTS, TIMINGS
from slategym.benchmarks.figures import leaderboard, trade_off
from slategym.benchmarks.metrics import METRIC
from slategym.benchmarks.report import page_template
from slategym.errors import DataError
from slategym.files import read_json, write_json, write_text
from slategym.progress import Progress, Silent, stage

_SHOWN = ("clicks", "length", "diversity", "novelty", "topic_entropy")
_CAPTIONS = {
    "leaderboard": "Dot: interquartile mean over training seeds of the mean over sessions. Bar: "
    "95 % interval, bootstrap over users and training seeds. The differences are paired, so "
    "compare contenders in the table.",
    "trade_off": "Up is more return, right is more varied slates. A contender with another above "
    "and to the right of it is beaten on both; the others are the Pareto front.",
}
_HEADS = ("Return [95 %]", "By users", "By seeds", "Minus winner", "p (Holm)", "Score")


def is_experiment(folder: Path | str) -> bool:
    """Return whether a folder is one of `slategym.benchmarks.experiment_run.run_experiment`."""
    return (Path(folder) / EXPERIMENT).exists()


def write_experiment_page(folder: Path | str, *, progress: Progress | None = None) -> Path:
    """Write ``report.html``, ``report.json`` and ``figures/`` into an experiment's folder.

    Returns:
        The path of ``report.html``.

    Raises:
        DataError: the experiment was not run to its end.
    """
    path, told = Path(folder), progress or Silent()
    if not (path / RESULTS).exists():
        raise DataError(f"{path} holds no {RESULTS}; run the same `slategym bench` command again.")
    results: dict[str, Any] = read_json(path / RESULTS)
    with stage(told, "report"), house_style():
        seconds = read_json(path / TIMINGS) if (path / TIMINGS).exists() else {}
        tasks = [
            _task(number, table, path, seconds.get(table["task"], {}))
            for number, table in enumerate(results["tasks"])
        ]
        write_text(path / "report.html", _render(results, tasks))
        figures = [
            {"name": one.name, "title": one.title, "caption": one.caption}
            for task in tasks
            for one in task["figures"]
        ]
        write_json(path / "report.json", {**results, "figures": figures})
    return path / "report.html"


def _render(results: dict[str, Any], tasks: Sequence[dict[str, Any]]) -> str:
    """Return the page."""
    template, style = page_template("experiment_template.html")
    experiment = results["experiment"]
    seeds, users = experiment["training_seeds"], experiment["users"]
    sessions = users * len(experiment["user_seeds"])
    overall = [
        {
            "name": row["name"],
            "score": f"{row['estimate']:.3f}",
            "ends": f"{row['low']:.3f} to {row['high']:.3f}".replace("-", "\N{MINUS SIGN}"),
        }
        for row in results["overall"]
    ]
    return template.render(
        style=style,
        title=f"Suite {experiment['name']}",
        subtitle=f"{len(tasks)} tasks, {sessions:,} sessions each, {len(seeds)} training seeds; "
        f"experiment {results['hash']}.",
        tasks=tasks,
        overall=overall,
        hash=results["hash"],
        manifest=json.dumps(experiment, indent=1, sort_keys=True),
    )


def _task(
    number: int, table: dict[str, Any], folder: Path, seconds: dict[str, float]
) -> dict[str, Any]:
    """Return what the page shows of a task."""
    keys = [key for key in _SHOWN if key in table["rows"][0]["metrics"]]
    note = f"{table['sessions']:,} sessions of {table['distinct_users']:,} users."
    if table["best"] is not None:
        note += f" Score: 0 is random, 1 is {table['best']}."
    return {
        "anchor": f"task-{number}",
        "name": table["task"],
        "sentence": table["sentence"],
        "note": note,
        "heads": [*_HEADS, *(METRIC[key].label for key in keys)],
        "rows": [_row(row, table, keys, seconds.get(row["name"])) for row in table["rows"]],
        "figures": _figures(number, table, folder),
    }


def _row(
    row: dict[str, Any], table: dict[str, Any], keys: Sequence[str], seconds: float | None
) -> dict[str, Any]:
    """Return a contender's line: (value, small print) for each column."""
    first = row["name"] == table["winner"]
    look = "reference" if row["kind"] == "reference" else ("first" if first else "")
    detail = ""
    if row["kind"] == "agent":
        cost = "" if seconds is None else f", {seconds:,.0f} CPU-s each"
        detail = f"{row['training_seeds']} training seeds{cost}"
    p, score = row.get("p_holm"), row["normalised"]
    cells = [
        (_number(row["return"]["estimate"], 2), _ends(row["return"], 2)),
        (_half(row["users"]), ""),
        (_half(row["seeds"]), ""),
        ("", "")
        if first
        else (_number(row["minus_winner"]["estimate"], 2), _ends(row["minus_winner"], 2)),
        ("" if p is None else ("< 0.01" if p < 0.01 else f"{p:.2f}"), ""),
        ("", "") if score is None else (_number(score["estimate"], 3), _ends(score, 3)),
        *((_number(row["metrics"][key], METRIC[key].digits), "") for key in keys),
    ]
    return {"name": row["name"], "detail": detail, "look": look, "cells": cells}


def _figures(number: int, table: dict[str, Any], folder: Path) -> list[Drawing]:
    """Draw a task's returns, and return against diversity where that was measured."""
    policies = []
    for row in table["rows"]:
        known = {key: _bare(value) for key, value in row["metrics"].items()}
        metrics = {"diversity": _bare(None), **known, "return": row["return"]}
        policies.append({"name": row["name"], "label": row["name"], "metrics": metrics})
    results, drawn = {"policies": policies}, []
    for make in (leaderboard, trade_off):
        made = make(results)
        if made is not None:
            figure, name, title, _ = made
            caption = _CAPTIONS[name]
            drawn.append(save(figure, folder / "figures", f"{name}-{number}", title, caption))
    return drawn


def _bare(value: float | None) -> dict[str, float | None]:
    """Return a number as an interval without ends."""
    return {"estimate": value, "low": None, "high": None}


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _ends(interval: dict[str, float | None], digits: int) -> str:
    low, high = _number(interval["low"], digits), _number(interval["high"], digits)
    return f"{low} to {high}" if low else ""


def _half(interval: dict[str, float | None]) -> str:
    """Return half the width of an interval, as ``±0.40``."""
    low, high = interval["low"], interval["high"]
    return "" if low is None or high is None else f"±{(high - low) / 2:,.2f}"
