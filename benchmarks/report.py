"""Writes the report of a benchmark: one HTML file, its numbers as JSON, its figures as files."""

import base64
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from slategym.benchmarks.drawing import Drawing
from slategym.benchmarks.fidelity import fidelity_rows, log_loss_table
from slategym.benchmarks.figures import draw_all
from slategym.benchmarks.metrics import METRIC, METRICS
from slategym.benchmarks.sessions import PICTURES
from slategym.benchmarks.suite import read_results
from slategym.files import write_json, write_text
from slategym.progress import Progress, Silent, stage

_SHOWN_PAIRED = ("return", "clicks", "minutes", "length", "diversity")
_DYNAMICS = (
    "How interest drifts, how users tire of a topic and when they leave are assumed, not learned."
)
# A session draws its user from the split, so the same user comes more than once.
_SPLITS = {"held_out": "held-out ", "train": "training ", "all": ""}
_NO_PROOF = "A higher return in simulation is no proof of a gain with real users."


def write_report(bench: Path | str, *, progress: Progress | None = None) -> Path:
    """Write ``report.html``, ``report.json`` and ``figures/`` into a BENCH folder.

    Everything comes from the folder itself: neither the world nor the runs are needed. The
    page asks for nothing outside itself and reads without scripts.

    Args:
        bench: a folder written by `slategym.benchmarks.suite.run_benchmark`.
        progress: hears of the stages.

    Returns:
        The path of ``report.html``.

    Raises:
        DataError: the folder holds no results.
    """
    folder, told = Path(bench), progress or Silent()
    results = read_results(folder)
    with stage(told, "report"):
        drawings = draw_all(results, folder / "figures")
        page = render(results, drawings, folder)
        write_text(folder / "report.html", page)
        listed = [{"name": d.name, "title": d.title, "caption": d.caption} for d in drawings]
        write_json(folder / "report.json", {**results, "figures": listed})
    return folder / "report.html"


def page_template(name: str) -> tuple[jinja2.Template, str]:
    """Return a template of this package, and the style that all pages share."""
    files = resources.files("slategym.benchmarks")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=False
    )
    template = environment.from_string(files.joinpath(name).read_text(encoding="utf-8"))
    style = files.joinpath("report_style.css").read_text(encoding="utf-8")
    return template, style


def render(results: dict[str, Any], drawings: Sequence[Drawing], folder: Path) -> str:
    """Return the page.

    Args:
        results: content of ``results.json``.
        drawings: the figures, in order.
        folder: where the pictures of the example sessions lie.
    """
    template, style = page_template("report_template.html")
    phrase = {row["name"]: row["phrase"] for row in results["policies"]}
    world = results["world"]
    return template.render(
        style=style,
        title=results["title"],
        verdict=results["verdict"].replace(" %", "\N{NO-BREAK SPACE}%"),
        subtitle=_subtitle(results),
        world=world,
        cards=_cards(results),
        metrics=METRICS,
        rows=[_row(row, results) for row in results["policies"]],
        has_reference=any(row["kind"] == "reference" for row in results["policies"]),
        replicates=f"{results['replicates']:,}",
        distinct_users=f"{results['distinct_users']:,}",
        paired=[_paired(pair, results) for pair in results["paired"]],
        paired_metrics=[METRIC[key] for key in _SHOWN_PAIRED],
        reference=phrase[results["reference"]],
        figures=[d for d in drawings if d.name != "reliability"],
        reliability=next((d for d in drawings if d.name == "reliability"), None),
        losses=_losses(results["curves"]),
        sessions=[_session(one, folder) for one in results["sessions"]],
        log_loss=log_loss_table(world["metrics"]),
        fidelity=fidelity_rows(world["metrics"]),
        assumptions=_assumptions(world["assumptions"]),
        command=results["manifest"]["command"],
        manifest=_manifest(results),
    )


def number(value: float | None, digits: int, *, signed: bool = False) -> str:
    """Return a number with thousands marks and that many decimals; "n/a" for ``None``."""
    if value is None:
        return "n/a"
    zero = round(value, digits) == 0.0  # neither +0.0 nor -0.0
    text = f"{abs(value):,.{digits}f}" if zero else f"{value:{'+' if signed else ''},.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _assumptions(stated: Sequence[str]) -> list[str]:
    """Return what a world states, and what holds for every world where it says nothing of it."""
    dynamics = [] if any("drift" in sentence for sentence in stated) else [_DYNAMICS]
    return [*stated, *dynamics, _NO_PROOF]


def _cell(
    interval: dict[str, float | None], digits: int, *, signed: bool = False
) -> dict[str, str]:
    """Return an interval as the two lines of a table cell."""
    ends = ""
    if interval["low"] is not None:
        low = number(interval["low"], digits, signed=signed)
        ends = f"[{low},\N{NO-BREAK SPACE}{number(interval['high'], digits, signed=signed)}]"
    return {"value": number(interval["estimate"], digits, signed=signed), "ends": ends}


def _subtitle(results: dict[str, Any]) -> str:
    """Return what was compared, in one line."""
    settings = results["settings"]
    parts = [
        f"World {results['world']['name']}",
        f"{len(results['policies'])} policies",
        f"{results['sessions_per_policy']:,} sessions of {results['distinct_users']:,} "
        f"{_SPLITS[settings['split']]}users each",
        f"slates of {settings['slate_size']}",
        "same users, same luck for every policy",
    ]
    return " · ".join(parts)


def _cards(results: dict[str, Any]) -> list[dict[str, str]]:
    """Return the key numbers."""
    rows = {row["name"]: row for row in results["policies"]}
    winner = rows[results["winner"]]["metrics"]
    cards = [
        {
            "value": number(winner["return"]["estimate"], 2),
            "label": f"mean return of {rows[results['winner']]['phrase']} "
            + _cell(winner["return"], 2)["ends"],
        }
    ]
    if results["against_winner"]:
        closest = min(
            results["against_winner"], key=lambda pair: pair["metrics"]["return"]["estimate"]
        )
        interval = closest["metrics"]["return"]
        cards.append(
            {
                "value": number(interval["estimate"], 2, signed=True),
                "label": f"over {rows[closest['against']]['phrase']}, the next best, "
                f"{_cell(interval, 2, signed=True)['ends']}",
            }
        )
    cards.append(_ranked_card(results, "diversity", "intra-list diversity of the leader"))
    cards.append(
        {
            "value": number(100 * (winner["coverage"]["estimate"] or 0.0), 0) + " %",
            "label": "of the catalogue shown at least once by the leader",
        }
    )
    return cards


def _ranked_card(results: dict[str, Any], key: str, label: str) -> dict[str, str]:
    """Return a card with the leader's number and its place among all policies."""
    values = {
        row["name"]: row["metrics"][key]["estimate"]
        for row in results["policies"]
        if row["metrics"][key]["estimate"] is not None
    }
    own = values.get(results["winner"])
    if own is None:
        return {"value": "n/a", "label": label}
    place = 1 + sum(value > own for value in values.values())
    return {
        "value": number(own, METRIC[key].digits),
        "label": f"{label}: rank {place} of {len(values)}",
    }


def _row(row: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    """Return a line of the leaderboard as text."""
    notes = {"agent": "trained agent", "reference": "reference", "baseline": ""}
    note = notes[row["kind"]]
    return {
        "label": row["label"],
        "kind": row["kind"],
        "note": "" if note == row["label"].lower() else note,
        "winner": row["name"] == results["winner"],
        "cells": [_cell(row["metrics"][metric.key], metric.digits) for metric in METRICS],
    }


def _paired(pair: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    """Return a line of the table of differences as text."""
    row = next(r for r in results["policies"] if r["name"] == pair["policy"])
    estimate = pair["metrics"]["return"]["estimate"] or 0.0
    differs = "not beyond chance"
    if pair["excludes_zero"]:
        differs = "higher" if estimate > 0 else "lower"
    return {
        "label": row["label"],
        "kind": row["kind"],
        "cells": [
            _cell(pair["metrics"][key], METRIC[key].digits, signed=True) for key in _SHOWN_PAIRED
        ],
        "superiority": f"{100 * pair['superiority']:.0f} %",
        "differs": differs,
    }


def _losses(curves: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the first and last value of each auxiliary loss."""
    return [
        {
            "agent": curve["name"],
            "name": name.replace("_", " ").replace("/", ": "),
            "first": number(series["values"][0], 3),
            "last": number(series["values"][-1], 3),
        }
        for curve in curves
        for name, series in sorted(curve["losses"].items())
    ]


def _session(session: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return an example session with its pictures as data addresses."""
    slates = [
        [
            {**item, "src": _picture(item, folder), "initials": _initials(item["title"])}
            for item in slate
        ]
        for slate in session["slates"]
    ]
    return {**session, "return_": session["return"], "slates": slates}


def _picture(item: dict[str, Any], folder: Path) -> str:
    """Return the picture of an item as a data address, "" if there is none."""
    path = folder / PICTURES / f"{item['row']}.jpg"
    if not item["picture"] or not path.exists():
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode()


def _initials(title: str) -> str:
    """Return up to two initials of a title."""
    return "".join(word[0] for word in title.split() if word[0].isalnum())[:2].upper()


def _manifest(results: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what the numbers depend on, as pairs of text."""
    settings, made = results["settings"], results["manifest"]
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    open_keys = ("num_candidates", "horizon")
    options = [
        f"{key} {settings[key] if settings[key] is not None else 'as in the variant'}"
        for key in open_keys
    ]
    world = results["world"]
    return [
        ("World", f"{world['name']}, sha256 {world['hash']}"),
        ("Source", world["source"] or "not stated"),
        ("Licence of the data", world["licence"] or "not stated"),
        ("Variant", f"{settings['variant']} ({settings['variant_hash']})"),
        ("Settings", f"slate of {settings['slate_size']}, {', '.join(options)}"),
        ("Seeds", ", ".join(str(seed) for seed in results["seeds"])),
        ("Policies", ", ".join(made["policies"])),
        ("Versions", f"{versions}, Python {made['python']}"),
        ("Machine", f"{made['platform']}, {made['cpus']} CPUs"),
    ]
