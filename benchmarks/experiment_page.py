"""The page of an experiment: one HTML file, its numbers as JSON, its figures as files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slategym.benchmarks.comparison import matrix
from slategym.benchmarks.drawing import Drawing, colours, house_style, save
from slategym.benchmarks.experiment_run import EXPERIMENT, MANIFEST, RESULTS, TIMINGS
from slategym.benchmarks.figures import exposure, leaderboard, reliability, survival, trade_off
from slategym.benchmarks.figures_time import learning_by_seed, returning, user_states
from slategym.benchmarks.page_parts import (
    ending,
    item_view,
    metric_tables,
    page_template,
    picture_path,
    session_view,
    shown_metrics,
    versions_line,
    world_view,
)
from slategym.errors import DataError
from slategym.files import read_json, write_json, write_text
from slategym.progress import Progress, Silent, stage

_CAPTIONS = {
    "leaderboard": "Dot: interquartile mean over training seeds of the mean over sessions. Bar: "
    "95 % interval, bootstrap over users and training seeds. The differences are paired, so "
    "compare contenders in the table.",
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
        made = read_json(path / MANIFEST) if (path / MANIFEST).exists() else {}
        tasks = [
            _task(number, table, path, seconds.get(table["task"], {}))
            for number, table in enumerate(results["tasks"])
        ]
        worlds = [
            _world(number, world, path) for number, world in enumerate(results.get("worlds", ()))
        ]
        write_text(path / "report.html", _render(results, tasks, worlds, made))
        drawn = [one for task in tasks for one in task["drawings"]]
        drawn += [one["reliability"] for one in worlds if one["reliability"] is not None]
        figures = [{"name": d.name, "title": d.title, "caption": d.caption} for d in drawn]
        write_json(path / "report.json", {**results, "figures": figures})
    return path / "report.html"


def _render(
    results: dict[str, Any],
    tasks: Sequence[dict[str, Any]],
    worlds: Sequence[dict[str, Any]],
    made: Mapping[str, Any],
) -> str:
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
        worlds=worlds,
        synthetic=any(world["synthetic"] for world in worlds),
        metrics=shown_metrics([table for task in tasks for table in task["tables"]]),
        hash=results["hash"],
        command=made.get("command", ""),
        manifest=_manifest(results, made),
        experiment=json.dumps(experiment, indent=1, sort_keys=True),
    )


def _manifest(results: dict[str, Any], made: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the numbers depend on, as pairs of text."""
    experiment = results["experiment"]
    worlds = [f"{world['name']}, sha256 {world['hash']}" for world in results.get("worlds", ())]
    return [
        ("Experiment", f"{experiment['name']}, hash {results['hash']}"),
        ("World", "; ".join(worlds) or "none"),
        ("Variants", ", ".join(sorted({task["variant"] for task in experiment["tasks"]}))),
        ("Training seeds", ", ".join(map(str, experiment["training_seeds"]))),
        ("User seeds", ", ".join(map(str, experiment["user_seeds"]))),
        *(versions_line(made) if made else ()),
    ]


def _world(number: int, world: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what the page says of a world."""
    made = reliability({"world": world})
    drawing = None
    if made is not None:
        figure, name, title, caption = made
        drawing = save(figure, folder / "figures", f"{name}-{number}", title, caption)
    return world_view(world, drawing)


def _task(
    number: int, table: dict[str, Any], folder: Path, seconds: dict[str, float]
) -> dict[str, Any]:
    """Return what the page shows of a task."""
    note = f"{table['sessions']:,} sessions of {table['distinct_users']:,} users."
    if table["best"] is not None:
        note += f" Score: 0 is random, 1 is {table['best']}."
    policies = _policies(table)
    figures, states = _figures(number, table, policies, folder), _states(number, table, folder)
    compared = table.get("compared", {"names": ()})
    return {
        "anchor": f"task-{number}",
        "name": table["task"],
        "sentence": table["sentence"],
        "note": note,
        "heads": _HEADS,
        "rows": [_row(row, table, seconds.get(row["name"])) for row in table["rows"]],
        "tables": metric_tables(_without_return(policies, table["winner"])),
        "matrix": matrix(compared, 2) if len(compared["names"]) > 2 else [],
        "figures": figures,
        "sessions": [
            _session(number, one, drawing, folder)
            for one, drawing in zip(table.get("examples", ()), states, strict=True)
        ],
        "drawings": [*figures, *(one for one in states if one is not None)],
    }


def _policies(table: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a task as figures and tables of metrics want them."""
    return [
        {
            "name": row["name"],
            "label": row["name"],
            "kind": row["kind"],
            "metrics": {
                "diversity": _bare(None),
                **{key: _bare(value) for key, value in row["metrics"].items()},
                **row.get("intervals", {}),
                "return": row["return"],
            },
        }
        for row in table["rows"]
    ]


def _without_return(policies: Sequence[dict[str, Any]], winner: str) -> list[dict[str, Any]]:
    """Return the rows of the tables of metrics, whose returns stand in a table of their own."""
    return [
        {
            "label": row["label"],
            "note": "",
            "look": row["kind"] if row["name"] != winner else "first",
            "metrics": {key: one for key, one in row["metrics"].items() if key != "return"},
        }
        for row in policies
    ]


def _states(number: int, table: dict[str, Any], folder: Path) -> list[Drawing | None]:
    """Draw the hidden states of a task's example sessions, one drawing each."""
    tint = colours([row["name"] for row in table["rows"]])
    drawn: list[Drawing | None] = []
    for place, one in enumerate(table.get("examples", ())):
        name = f"states-{number}-{place}"
        made = user_states(one, len(one["slates"]), name, tint[one["name"]])
        drawn.append(None if made is None else save(made[0], folder / "figures", *made[1:]))
    return drawn


def _session(
    number: int, one: dict[str, Any], drawing: Drawing | None, folder: Path
) -> dict[str, Any]:
    """Return an example session as the page shows it."""
    slates = []
    for step, cards in enumerate(one["slates"]):
        rows = one["items"][step] or [None] * len(cards)
        slates.append(
            [
                item_view(
                    {
                        "title": card["title"],
                        "clicked": card["taken"],
                        "what": card["outcome"] if card["taken"] else ", ".join(card["facts"][:2]),
                    },
                    picture_path(folder, f"{number}-{row}") if card["picture"] else None,
                )
                for card, row in zip(cards, rows, strict=True)
            ]
        )
    who = one["user"] or f"stream {one['stream'][1]}"
    shown = len(one["slates"])
    note = (
        f"User {who} · return {one['return']:.2f} · {one['length']} "
        f"slate{'' if one['length'] == 1 else 's'}, then {ending(one)}"
        + (f" · first {shown} shown" if shown < one["length"] else "")
    )
    return session_view(one["name"], note, slates, one, drawing)


def _row(row: dict[str, Any], table: dict[str, Any], seconds: float | None) -> dict[str, Any]:
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
    ]
    return {"name": row["name"], "detail": detail, "look": look, "cells": cells}


def _figures(
    number: int, table: dict[str, Any], policies: list[dict[str, Any]], folder: Path
) -> list[Drawing]:
    """Draw what was measured of a task."""
    curves = table.get("curves", {})
    results: dict[str, Any] = {
        "policies": policies,
        "survival": curves.get("staying", {}),
        "returning": curves.get("returning", {}),
        "learning": curves.get("learning", {}),
        "lorenz": {
            name: {"items": [i / (len(each) - 1) for i in range(len(each))], "exposure": each}
            for name, each in curves.get("exposure", {}).items()
        },
    }
    makers = [leaderboard, trade_off, learning_by_seed, returning]
    stay = results["survival"].values()
    if len(stay) == len(policies) and any(share[-1] < 1.0 for share in stay):
        makers.append(survival)
    makers += [exposure] if len(results["lorenz"]) == len(policies) else []
    drawn = []
    for make in makers:
        made = make(results)
        if made is not None:
            figure, name, title, caption = made
            caption = _CAPTIONS.get(name, caption)
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
