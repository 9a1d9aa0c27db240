"""What both kinds of page show in the same way: numbers, tables of metrics, sessions, worlds."""

import base64
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from slategym.benchmarks.drawing import Drawing
from slategym.benchmarks.fidelity import fidelity_rows, log_loss_table
from slategym.benchmarks.metric_list import GROUPS, METRICS, Metric
from slategym.benchmarks.sessions import PICTURES

_DYNAMICS = (
    "How interest drifts, how users tire of a topic and when they leave are assumed, not learned."
)
_NO_PROOF = "A higher return in simulation is no proof of a gain with real users."
_ENDINGS = {"left": "left", "horizon": "the horizon", "": "the record ends"}
_NARROW = 6  # columns: two tables as narrow as this stand in one
Interval = Mapping[str, float | None]


def page_template(name: str) -> tuple[jinja2.Template, str]:
    """Return a template of this package, and the style that all pages share."""
    files = resources.files("slategym.benchmarks")

    def text(name: str) -> str:
        return files.joinpath(name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=False,
        loader=jinja2.FunctionLoader(text),
    )
    return environment.get_template(name), text("report_style.css")


def number(value: float | None, digits: int, *, signed: bool = False) -> str:
    """Return a number with thousands marks and that many decimals; "n/a" for ``None``."""
    if value is None:
        return "n/a"
    zero = round(value, digits) == 0.0  # neither +0.0 nor -0.0
    text = f"{abs(value):,.{digits}f}" if zero else f"{value:{'+' if signed else ''},.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def cell(interval: Interval, digits: int, *, signed: bool = False) -> dict[str, str]:
    """Return an interval as the two lines of a table cell."""
    ends = ""
    if interval["low"] is not None:
        low = number(interval["low"], digits, signed=signed)
        ends = f"[{low},\N{NO-BREAK SPACE}{number(interval['high'], digits, signed=signed)}]"
    return {"value": number(interval["estimate"], digits, signed=signed), "ends": ends}


def metric_tables(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one table for each group of metrics, columns that nobody has left out.

    Args:
        rows: for each policy ``label``, ``note``, ``look`` (a class of the style) and ``metrics``,
            intervals by key.
    """
    shown = {
        group: [
            metric
            for metric in METRICS
            if metric.group == group and any(_known(row["metrics"].get(metric.key)) for row in rows)
        ]
        for group in GROUPS
    }
    titles = dict(GROUPS)
    if len(shown["engagement"]) + len(shown["staying"]) <= _NARROW:
        shown["staying"] = shown.pop("engagement") + shown["staying"]
        titles["staying"] = "What users did, and whether they stay"
    return [
        {"title": titles[group], "metrics": metrics, "rows": _metric_rows(rows, metrics)}
        for group, metrics in shown.items()
        if metrics
    ]


def _metric_rows(
    rows: Sequence[Mapping[str, Any]], metrics: Sequence[Metric]
) -> list[dict[str, Any]]:
    """Return the lines of a table of metrics as text."""
    empty: Interval = {"estimate": None, "low": None, "high": None}
    return [
        {
            "label": row["label"],
            "note": row["note"],
            "look": row["look"],
            "cells": [cell(row["metrics"].get(m.key, empty), m.digits) for m in metrics],
        }
        for row in rows
    ]


def _known(interval: Interval | None) -> bool:
    return interval is not None and interval["estimate"] is not None


def item_view(item: Mapping[str, Any], picture: Path | None) -> dict[str, Any]:
    """Return an item of a slate as the page shows it.

    Args:
        item: ``title``, ``clicked`` and ``what`` (a line below the title).
        picture: a JPEG file, if the item has one.
    """
    title = str(item["title"])
    initials = "".join(word[0] for word in title.split() if word[0].isalnum())[:2].upper()
    src = ""
    if picture is not None and picture.exists():
        src = "data:image/jpeg;base64," + base64.b64encode(picture.read_bytes()).decode()
    return {**item, "title": title, "initials": initials, "src": src}


def picture_path(folder: Path, name: str) -> Path:
    """Return where the picture of an item lies in a folder of results."""
    return folder / PICTURES / f"{name}.jpg"


def session_view(
    title: str,
    note: str,
    slates: Sequence[Sequence[dict[str, Any]]],
    told: Mapping[str, Any],
    drawing: Drawing | None,
) -> dict[str, Any]:
    """Return a session as the page shows it.

    Args:
        title: whose it is.
        note: a line below.
        slates: items of the first slates, see `item_view`.
        told: ``rewards`` and ``states`` of every slate, if they are known.
        drawing: the states over time.
    """
    return {
        "title": title,
        "note": note,
        "slates": [
            {"items": items, "after": _after(told, step)} for step, items in enumerate(slates)
        ],
        "drawing": drawing,
    }


def ending(told: Mapping[str, Any]) -> str:
    """Return in words what ended a session of `slategym.benchmarks.session_replay`."""
    return _ENDINGS[told["ending"]]


def _after(told: Mapping[str, Any], step: int) -> str:
    """Return the reward and the user's state after a slate, as one line."""
    if step >= len(told.get("rewards", ())):
        return ""
    parts = [f"reward {number(told['rewards'][step], 2, signed=True)}"]
    parts += [f"{name} {number(values[step], 2)}" for name, values in told["states"].items()]
    if step + 1 in told["visits"]:
        parts.append("the visit ends here, and the state is what the next one begins with")
    return ", ".join(parts)


def world_view(world: Mapping[str, Any], reliability: Drawing | None) -> dict[str, Any]:
    """Return what a page says of how far a world can be believed.

    Args:
        world: what `slategym.benchmarks.manifest.world_facts` returned.
        reliability: the calibration of its click model.
    """
    stated = list(world["assumptions"])
    dynamics = [] if any("drift" in sentence for sentence in stated) else [_DYNAMICS]
    return {
        "name": world["name"],
        "synthetic": world["synthetic"],
        "log_loss": log_loss_table(world["metrics"]),
        "fidelity": fidelity_rows(world["metrics"]),
        "assumptions": [*stated, *dynamics, _NO_PROOF],
        "reliability": reliability,
    }


def shown_metrics(tables: Sequence[Mapping[str, Any]]) -> list[Metric]:
    """Return the metrics of all tables, in the order of their list."""
    keys = {metric.key for table in tables for metric in table["metrics"]}
    return [metric for metric in METRICS if metric.key in keys]


def versions_line(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return versions and machine of a run, as pairs of text."""
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    return [
        ("Versions", f"{versions}, Python {made['python']}"),
        ("Machine", f"{made['platform']}, {made['cpus']} CPUs"),
    ]
