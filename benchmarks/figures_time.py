"""Figures over time: users who come back, learning by training seed, one user's hidden state."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from slategym.benchmarks.drawing import GRID, INK, MUTED, canvas, colours

Made = tuple[Figure, str, str, str]
_MOST_TICKS = 8
_FEW_POINTS = 40  # of a curve: each is marked


def returning(results: Mapping[str, Any]) -> Made | None:
    """Return the curves of users who still visit, by day; None where no user returns.

    Args:
        results: ``policies`` with ``name``, ``label`` and ``kind``; ``returning`` by name.
    """
    found = results.get("returning", {})
    if not found:
        return None
    tint = colours([row["name"] for row in results["policies"]])
    figure, axes = canvas()
    for row in results["policies"]:
        if row["name"] in found:
            curve = found[row["name"]]
            axes.plot(
                curve["days"],
                curve["share"],
                color=tint[row["name"]],
                label=row["label"],
                ls=(0, (4, 2)) if row["kind"] == "reference" else "solid",
            )
    axes.set_ylim(0.0, 1.03)
    axes.set_xlabel("day")
    axes.set_ylabel("share with a visit to come")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))
    return (
        figure,
        "returning",
        "Who comes back",
        "Share of users whose last visit began on that day or later. The fall at the right end is "
        "the last day that is simulated; what lies before it are users lost.",
    )


def learning_by_seed(results: Mapping[str, Any]) -> Made | None:
    """Return the returns met in training, one line a training seed; None without agents.

    Args:
        results: ``policies`` with ``name``, ``label`` and ``metrics``; ``learning`` by name: for
            each training ``seed``, ``frames`` and ``returns``.
    """
    found = {name: runs for name, runs in results["learning"].items() if runs[0]["frames"]}
    if not found:
        return None
    rows = {row["name"]: row for row in results["policies"]}
    tint = colours(list(rows))
    figure, axes = canvas()
    for name, runs in found.items():
        for place, run in enumerate(runs):
            axes.plot(
                np.asarray(run["frames"]) / 1_000,
                run["returns"],
                "o-",
                color=tint[name],
                ms=3 if len(run["frames"]) <= _FEW_POINTS else 0,
                lw=1.2,
                alpha=0.8,
                label=f"{rows[name]['label']} ({len(runs)} seeds)" if place == 0 else None,
            )
    for name in dict.fromkeys(("random", _best_rule(rows, found))):
        if name in rows:
            level = rows[name]["metrics"]["return"]["estimate"]
            axes.axhline(level, color=tint[name], lw=1.2, ls=(0, (4, 2)), label=rows[name]["label"])
    axes.set_xlabel("frames of training (thousands)")
    axes.set_ylabel("mean return a session")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))
    return (
        figure,
        "learning",
        "Learning, by training seed",
        "One line for each training seed: mean return of the sessions that ended in a rollout, "
        "with exploring slates on training users. Dashed: random and the best rule, on the users "
        "that are judged here and not those.",
    )


def _best_rule(rows: Mapping[str, dict[str, Any]], trained: Mapping[str, Any]) -> str:
    """Return the best that was not trained and sees no more than a platform, "" without one."""
    return next(
        (n for n, row in rows.items() if n not in trained and row["kind"] != "reference"), ""
    )


def user_states(told: Mapping[str, Any], shown: int, name: str, tint: str) -> Made | None:
    """Return the reward of each slate and the hidden states after it, one panel each.

    Args:
        told: ``rewards``, ``states`` and ``visits`` of `slategym.benchmarks.session_replay`.
        shown: how many slates stand above in full.
        name: of the drawing.
        tint: colour of the lines.
    """
    rewards: Sequence[float] = told["rewards"]
    if not rewards:
        return None
    panels = {"reward": rewards, **told["states"]}
    steps = np.arange(1, len(rewards) + 1)
    figure = Figure(figsize=(5.6, 0.5 + 0.85 * len(panels)), layout="constrained")
    for place, (label, values) in enumerate(panels.items()):
        axes = figure.add_subplot(len(panels), 1, place + 1)
        axes.axvspan(0.5, shown + 0.5, color=GRID, lw=0)
        for end in told["visits"]:
            axes.axvline(end + 0.5, color=MUTED, lw=0.7, ls=(0, (2, 2)))
        if place == 0:
            axes.bar(steps, values, color=tint, width=0.8)
        else:
            axes.plot(steps, values, "o-", color=tint, ms=2.2 if len(steps) > 40 else 3.5, lw=1.2)
        axes.grid(visible=False, axis="x")
        axes.set_xlim(0.4, len(rewards) + 0.6)
        axes.margins(y=0.15)
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_major_locator(MaxNLocator(_MOST_TICKS, integer=True))
        axes.tick_params(labelbottom=place == len(panels) - 1)
        axes.set_title(label, loc="left", color=INK, fontsize=8.5, pad=3)
    figure.axes[-1].set_xlabel("slate number")
    visits = " Dotted: a visit ends, and the next begins." if told["visits"] else ""
    return (
        figure,
        name,
        "Reward and hidden state, slate by slate",
        f"What each slate was worth and the state it left the user in; grey: the slates above."
        f"{visits}",
    )
