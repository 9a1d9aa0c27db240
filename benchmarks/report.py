"""Writes the report of a benchmark: one HTML file, its numbers as JSON, its figures as files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slategym.benchmarks.comparison import matrix
from slategym.benchmarks.drawing import Drawing, colours, house_style, save
from slategym.benchmarks.figures import draw_all
from slategym.benchmarks.figures_time import user_states
from slategym.benchmarks.metric_list import METRIC
from slategym.benchmarks.page_parts import (
    cell,
    item_view,
    metric_tables,
    number,
    page_template,
    picture_path,
    session_view,
    shown_metrics,
    versions_line,
    world_view,
)
from slategym.benchmarks.suite import read_results
from slategym.files import write_json, write_text
from slategym.progress import Progress, Silent, stage

_SHOWN_PAIRED = ("return", "clicks", "minutes", "length", "diversity")
# A session draws its user from the split, so the same user comes more than once.
_SPLITS = {"held_out": "held-out ", "train": "training ", "all": ""}


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
        states = _states(results, folder / "figures")
        page = render(results, drawings, states, folder)
        write_text(folder / "report.html", page)
        drawn = [*drawings, *(one for one in states if one is not None)]
        listed = [{"name": d.name, "title": d.title, "caption": d.caption} for d in drawn]
        write_json(folder / "report.json", {**results, "figures": listed})
    return folder / "report.html"


def render(
    results: dict[str, Any],
    drawings: Sequence[Drawing],
    states: Sequence[Drawing | None],
    folder: Path,
) -> str:
    """Return the page.

    Args:
        results: content of ``results.json``.
        drawings: the figures, in order.
        states: what was hidden in each example session, where that is known.
        folder: where the pictures of the example sessions lie.
    """
    template, style = page_template("report_template.html")
    phrase = {row["name"]: row["phrase"] for row in results["policies"]}
    world = results["world"]
    tables = _tables(results)
    calibration = next((d for d in drawings if d.name == "reliability"), None)
    return template.render(
        style=style,
        title=results["title"],
        verdict=results["verdict"].replace(" %", "\N{NO-BREAK SPACE}%"),
        subtitle=_subtitle(results),
        world=world_view(world, calibration),
        cards=_cards(results),
        metrics=shown_metrics(tables),
        tables=tables,
        matrix=_matrix(results),
        has_reference=any(row["kind"] == "reference" for row in results["policies"]),
        replicates=f"{results['replicates']:,}",
        distinct_users=f"{results['distinct_users']:,}",
        paired=[_paired(pair, results) for pair in results["paired"]],
        paired_metrics=[METRIC[key] for key in _SHOWN_PAIRED],
        reference=phrase[results["reference"]],
        figures=[d for d in drawings if d.name != "reliability"],
        losses=_losses(results["curves"]),
        sessions=[
            _session(one, drawing, folder)
            for one, drawing in zip(results["sessions"], states, strict=True)
        ],
        command=results["manifest"]["command"],
        manifest=_manifest(results),
    )


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
            + cell(winner["return"], 2)["ends"],
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
                f"{cell(interval, 2, signed=True)['ends']}",
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


def _tables(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the tables of metrics as text."""
    notes = [_note(row) for row in results["policies"]]
    return metric_tables(
        [
            {
                **row,
                "note": note,
                "look": "first" if row["name"] == results["winner"] else row["kind"],
            }
            for row, note in zip(results["policies"], notes, strict=True)
        ]
    )


def _note(row: dict[str, Any]) -> str:
    """Return what kind of policy it is, where its name does not say so."""
    note = {"agent": "trained agent", "reference": "reference", "baseline": ""}[row["kind"]]
    return "" if note == row["label"].lower() else note


def _matrix(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return who beats whom as text; empty for two policies, whose difference is told above."""
    compared = results.get("compared")
    if compared is None or len(compared["names"]) < 3:
        return []
    label = {row["name"]: row["label"] for row in results["policies"]}
    return [{**row, "name": label[row["name"]]} for row in matrix(compared, 2)]


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
            cell(pair["metrics"][key], METRIC[key].digits, signed=True) for key in _SHOWN_PAIRED
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


def _states(results: dict[str, Any], folder: Path) -> list[Drawing | None]:
    """Draw the hidden states of each example session; None where they are not known."""
    tint = colours([row["name"] for row in results["policies"]])
    drawn: list[Drawing | None] = []
    with house_style():
        for place, one in enumerate(results["sessions"]):
            told, shown = one.get("told", {"rewards": ()}), len(one["slates"])
            made = user_states(told, shown, f"states-{place}", tint[one["policy"]])
            drawn.append(None if made is None else save(made[0], folder, *made[1:]))
    return drawn


def _session(session: dict[str, Any], drawing: Drawing | None, folder: Path) -> dict[str, Any]:
    """Return an example session with its pictures."""
    slates = [
        [
            item_view(
                {
                    "title": item["title"],
                    "clicked": item["clicked"],
                    "what": f"{item['minutes']:.0f} min"
                    if item["clicked"]
                    else ", ".join(item["topics"]),
                },
                picture_path(folder, str(item["row"])) if item["picture"] else None,
            )
            for item in slate
        ]
        for slate in session["slates"]
    ]
    told = session.get("told", {})
    title = f"{session['label']}: {session['why']}"
    return session_view(title, _session_note(session), slates, told, drawing)


def _session_note(session: dict[str, Any]) -> str:
    """Return who it was and what came of it, in one line."""
    profile = f" ({session['profile']})" if session["profile"] else ""
    clicks, length = session["clicks"], session["length"]
    parts = [
        f"User {session['user_id']}{profile}",
        f"return {session['return']:.2f}",
        f"{clicks} click{'' if clicks == 1 else 's'}",
        f"{session['minutes']:.0f} min watched",
        f"{length} slate{'' if length == 1 else 's'}, then "
        + ("left" if session["left"] else "the horizon"),
    ]
    if length > len(session["slates"]):
        parts.append(f"first {len(session['slates'])} shown")
    return " · ".join(parts)


def _manifest(results: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what the numbers depend on, as pairs of text."""
    settings, made = results["settings"], results["manifest"]
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
        *versions_line(made),
    ]
