"""The figures of a report, drawn from results alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from slategym.benchmarks.diversity_fairness import pareto_front
from slategym.benchmarks.drawing import (
    GRID,
    INK,
    MARKERS,
    MUTED,
    PAPER,
    Drawing,
    canvas,
    colours,
    house_style,
    place_labels,
    save,
)
from slategym.benchmarks.figures_time import returning

Results = dict[str, Any]


def draw_all(results: Results, folder: Path) -> list[Drawing]:
    """Draw every figure the results have numbers for, into ``folder``, and return them.

    Args:
        results: content of ``results.json``.
        folder: where PNG and SVG files go.
    """
    drawn: list[Drawing] = []
    makers: tuple[Callable[[Results], tuple[Figure, str, str, str] | None], ...] = (
        leaderboard,
        differences,
        trade_off,
        survival,
        returning,
        exposure,
        learning,
        auxiliary,
        reliability,
    )
    with house_style():
        for make in makers:
            made = make(results)
            if made is not None:
                figure, name, title, caption = made
                drawn.append(save(figure, folder, name, title, caption))
    return drawn


def _policies(results: Results) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the policies, best first, and their colours."""
    rows = results["policies"]
    return rows, colours([row["name"] for row in rows])


def _ends(interval: dict[str, float | None]) -> tuple[float, float, float]:
    """Return estimate and the distances to both ends; an unknown end has distance 0."""
    estimate = interval["estimate"] if interval["estimate"] is not None else np.nan
    low = interval["low"] if interval["low"] is not None else estimate
    high = interval["high"] if interval["high"] is not None else estimate
    return estimate, max(0.0, estimate - low), max(0.0, high - estimate)


def _forest(
    axes: Axes,
    rows: Sequence[tuple[str, str, dict[str, float | None]]],
    *,
    digits: int = 2,
    signed: bool = False,
) -> None:
    """Draw one dot with its interval a row, the first row on top, the number beside it.

    Args:
        axes: where to draw.
        rows: label, colour, interval.
        digits: decimals of the numbers.
        signed: whether to write a plus sign.
    """
    for place, (_, colour, interval) in enumerate(rows):
        estimate, below, above = _ends(interval)
        axes.errorbar(
            estimate, place, xerr=[[below], [above]], fmt="o", color=colour, ms=6, capsize=3, lw=1.8
        )
        # In a column of their own, where no line of the plot can run through them.
        axes.annotate(
            f"{estimate:{'+' if signed else ''}.{digits}f}".replace("-", "\N{MINUS SIGN}"),
            (1.01, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8.5,
            color=INK,
        )
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.06)


def leaderboard(results: Results) -> tuple[Figure, str, str, str]:
    """Return the dot plot of mean return with intervals."""
    rows, tint = _policies(results)
    figure, axes = canvas(5.6, 1.1 + 0.34 * len(rows))
    _forest(axes, [(r["label"], tint[r["name"]], r["metrics"]["return"]) for r in rows])
    axes.set_xlabel("mean return a session")
    return (
        figure,
        "leaderboard",
        "Return of each policy",
        "Dot: mean over sessions. Bar: 95 % interval, bootstrap over users. Bars hold how "
        "users differ from one another; the paired differences do not, so compare policies there.",
    )


def differences(results: Results) -> tuple[Figure, str, str, str] | None:
    """Return the dot plot of paired differences in return against the reference."""
    if not results["paired"]:
        return None
    rows, tint = _policies(results)
    label = {row["name"]: row["label"] for row in rows}
    reference = next(r["phrase"] for r in rows if r["name"] == results["reference"])
    figure, axes = canvas(5.6, 1.1 + 0.34 * len(results["paired"]))
    axes.axvline(0.0, color=INK, lw=1.0)
    _forest(
        axes,
        [
            (label[pair["policy"]], tint[pair["policy"]], pair["metrics"]["return"])
            for pair in results["paired"]
        ],
        signed=True,
    )
    axes.set_xlabel(f"return minus that of {reference}, same users, same luck")
    return (
        figure,
        "differences",
        f"Paired differences against {reference}",
        f"Left of 0: worse than {reference}. A bar that does not touch 0 is a difference beyond "
        "chance at the 5 % level, not corrected for the number of policies.",
    )


def trade_off(results: Results) -> tuple[Figure, str, str, str] | None:
    """Return the scatter of return against intra-list diversity."""
    rows, tint = _policies(results)
    rows = [row for row in rows if row["metrics"]["diversity"]["estimate"] is not None]
    if not rows:
        return None
    figure, axes = canvas(5.6, 3.9)
    lines = []
    for place, row in enumerate(rows):
        x, left, right = _ends(row["metrics"]["diversity"])
        y, below, above = _ends(row["metrics"]["return"])
        axes.errorbar(
            x,
            y,
            xerr=[[left], [right]],
            yerr=[[below], [above]],
            fmt=MARKERS[place % len(MARKERS)],
            color=tint[row["name"]],
            ms=7,
            lw=1.2,
            mec=PAPER,
            mew=0.8,
        )
        lines += [(x - left, y, x + right, y), (x, y - below, x, y + above)]
    front = _front(rows)
    axes.plot(*zip(*front, strict=True), color=MUTED, lw=1.0, ls=(0, (2, 2)), zorder=0)
    axes.margins(0.12, 0.18)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel("intra-list diversity (1 - mean cosine of content)")
    axes.set_ylabel("mean return a session")
    place_labels(
        axes,
        [
            (row["metrics"]["diversity"]["estimate"], row["metrics"]["return"]["estimate"])
            for row in rows
        ],
        [row["label"] for row in rows],
        [tint[row["name"]] for row in rows],
        lines,
    )
    return (
        figure,
        "trade_off",
        "Engagement against diversity",
        "Up is more return, right is more varied slates; bars are 95 % intervals. A policy with "
        "another above and to the right of it is beaten on both; the dotted line joins those that "
        "none beats, the Pareto front of what a platform could run.",
    )


def _front(rows: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    """Return diversity and return of the Pareto front, references left out, from left to right."""
    keys = ("diversity", "return")
    points = [
        (row["metrics"][keys[0]]["estimate"], row["metrics"][keys[1]]["estimate"])
        for row in rows
        if row["kind"] != "reference" or len(rows) == 1
    ]
    kept: list[bool] = pareto_front(points).tolist() if points else []
    return sorted(point for point, on in zip(points, kept, strict=True) if on)


def survival(results: Results) -> tuple[Figure, str, str, str]:
    """Return the curves of users still there."""
    rows, tint = _policies(results)
    figure, axes = canvas()
    for row in rows:
        share = results["survival"][row["name"]]
        axes.step(
            np.arange(1, len(share) + 1),
            share,
            where="post",
            color=tint[row["name"]],
            label=row["label"],
            ls=_line(row),
        )
    axes.set_ylim(0.0, 1.03)
    axes.set_xlabel("slate number")
    axes.set_ylabel("share of users still there")
    _legend(figure, axes)
    return (
        figure,
        "survival",
        "How long users stay",
        "Share of sessions that reach a slate. A drop at the right end is the horizon or the last "
        "day, where the simulation stops; it is not a user who left.",
    )


def exposure(results: Results) -> tuple[Figure, str, str, str]:
    """Return the Lorenz curves of exposure."""
    rows, tint = _policies(results)
    figure, axes = canvas()
    axes.plot([0, 1], [0, 1], color=MUTED, lw=1.0, ls=(0, (2, 2)), label="all items alike")
    for row in rows:
        curve = results["lorenz"][row["name"]]
        axes.plot(
            curve["items"],
            curve["exposure"],
            color=tint[row["name"]],
            label=row["label"],
            ls=_line(row),
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.01)
    axes.set_xlabel("share of the catalogue, least shown first")
    axes.set_ylabel("share of exposure")
    _legend(figure, axes)
    return (
        figure,
        "exposure",
        "Who gets shown",
        "Lorenz curve of exposure over the whole catalogue. The further below the diagonal, the "
        "more a few items take; where a curve leaves 0 is the share of items never shown.",
    )


def learning(results: Results) -> tuple[Figure, str, str, str] | None:
    """Return the learning curves of the trained agents, with the baselines as level lines."""
    curves = [curve for curve in results["curves"] if curve["exploring"]["frames"]]
    if not curves:
        return None
    rows, tint = _policies(results)
    label = {row["name"]: row["label"] for row in rows}
    figure, axes = canvas()
    for curve in curves:
        colour = tint[curve["name"]]
        met, fixed = curve["exploring"], curve["evaluation"]
        axes.plot(np.asarray(met["frames"]) / 1_000, met["values"], color=colour, lw=0.9, alpha=0.5)
        frames = np.asarray(fixed["frames"]) / 1_000
        axes.plot(frames, fixed["values"], "o-", color=colour, ms=4, label=label[curve["name"]])
    for row in rows:
        if row["kind"] != "agent":
            level = row["metrics"]["return"]["estimate"]
            axes.axhline(level, color=tint[row["name"]], lw=1.2, ls=(0, (4, 2)), label=row["label"])
    axes.set_xlabel("frames of training (thousands)")
    axes.set_ylabel("mean return a session")
    _legend(figure, axes)
    return (
        figure,
        "learning",
        "Learning curves",
        "Dots: best slates on fixed training users. Thin line: exploring slates met in training. "
        "Dashed: the other policies' mean return in this benchmark, on its users and not those.",
    )


def auxiliary(results: Results) -> tuple[Figure, str, str, str] | None:
    """Return one small panel for each auxiliary loss."""
    curves = [curve for curve in results["curves"] if curve["losses"]]
    names = sorted({n for curve in curves for n in curve["losses"] if "/" not in n})
    if not names:
        return None
    _, tint = _policies(results)
    figure = Figure(figsize=(11.6, 2.9), layout="constrained")
    for place, name in enumerate(names):
        axes = figure.add_subplot(1, len(names), place + 1)
        relative = any(f"{name}/relative" in curve["losses"] for curve in curves)
        for curve in curves:
            series = curve["losses"].get(f"{name}/relative" if relative else name)
            if series is not None:
                frames = np.asarray(series["frames"]) / 1_000
                axes.plot(frames, series["values"], color=tint[curve["name"]], lw=1.5)
        if relative:
            axes.axhline(1.0, color=MUTED, lw=1.0, ls=(0, (2, 2)))
        axes.set_title(name.replace("_", " "), color=INK)
        axes.set_xlabel("frames (thousands)")
        axes.set_ylabel("loss / loss of the mean" if relative else "loss")
    return (
        figure,
        "auxiliary",
        "Auxiliary losses",
        "Each auxiliary task's own loss, before its weight; where a dotted line stands at 1, as a "
        "share of the loss of predicting the mean. A level curve has learned nothing.",
    )


def reliability(results: Results) -> tuple[Figure, str, str, str] | None:
    """Return the reliability curve of the click model, if the world recorded one."""
    curve = results["world"]["metrics"].get("click", {}).get("reliability")
    if curve is None:
        return None
    figure, axes = canvas()
    axes.plot([0, 1], [0, 1], color=MUTED, lw=1.0, ls=(0, (2, 2)), label="perfect")
    axes.plot(
        curve["predicted"], curve["observed"], "o-", color="#3b82c4", ms=5, label="click model"
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("predicted probability")
    axes.set_ylabel("observed share")
    axes.legend(loc="upper left")
    return (
        figure,
        "reliability",
        "Calibration of the simulator's click model",
        "Held-out log rows in bins of equal size: what the model predicted against what happened.",
    )


def _line(row: dict[str, Any]) -> Any:  # noqa: ANN401
    """Return a dashed line for references, a solid one for the rest."""
    return (0, (4, 2)) if row["kind"] == "reference" else "solid"


def _legend(figure: Figure, axes: Axes) -> None:
    """Put the legend under the axes, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))
    axes.grid(color=GRID)
