"""Means over the logs of the offline study, and its tables as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_VERDICTS = ("reliable", "weak", "do not use")
_EPISODE = ("fqe", "fqe_neural", "snpdis", "seq_dr")


def markdown(results: Mapping[str, Any]) -> str:
    """Return the tables of `slategym.benchmarks.offline_study.run_study`."""
    parts = []
    for one in results["variants"]:
        parts.append(_heading(one))
        parts.append(_policies(one["policies"]))
        parts.append(_estimators("reward of one slate", one["slate"]))
        parts.append(_estimators("discounted return of an episode", one["episode"]))
    parts.append(_verdicts(results["variants"]))
    return "\n\n".join(parts)


def _heading(one: Mapping[str, Any]) -> str:
    logs = f"{one['logs']} logs of {one['impressions']:,} impressions"
    return f"### {one['variant']}: {logs} under {one['behaviour']}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _policies(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what policies are truly worth."""
    body = [
        [
            row["policy"],
            f"{row['slate']:.3f} ± {1.96 * row['slate_error']:.3f}",
            f"{row['episode']:.2f} ± {1.96 * row['episode_error']:.2f}",
            f"{row['return']:.1f}",
        ]
        for row in rows
    ]
    return _table(["policy, true value", "one slate", "discounted return", "return"], body)


def _estimators(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return error, rank agreement and regret of estimators."""
    body = []
    for row in rows:
        if row["error"] is None:
            body.append([row["estimator"], *["n/a"] * 5])
            continue
        ends = (row["spearman"], row["spearman_low"], row["spearman_high"])
        known = None not in ends
        agreement = f"{ends[0]:.2f} [{ends[1]:.2f}, {ends[2]:.2f}]" if known else "n/a"
        body.append(
            [
                row["estimator"],
                f"{100 * row['error']:.1f} % (worst {100 * row['worst']:.0f} %)",
                agreement,
                " / ".join(dict.fromkeys(row["picks"])),
                f"{100 * row['regret']:.0f} %",
                f"{100 * row['return_regret']:.0f} %",
            ]
        )
    head = [title, "relative error", "Spearman [95 %]", "would choose", "regret", "in return"]
    return _table(head, body)


def _verdicts(variants: Sequence[Mapping[str, Any]]) -> str:
    """Return what became of each verdict."""
    rows = [row for one in variants for row in one["verdicts"]]
    body = []
    for what, episode in (("one slate", False), ("episode", True)):
        for verdict in _VERDICTS:
            found = [
                row
                for row in rows
                if row["verdict"] == verdict and (row["estimator"] in _EPISODE) == episode
            ]
            if not found:
                continue
            middle, late = np.quantile([row["error"] for row in found], [0.5, 0.9])
            covered = sum(row["covers"] for row in found) / len(found)
            body.append(
                [what, verdict, str(len(found)), f"{100 * middle:.1f} %", f"{100 * late:.0f} %",
                 f"{100 * covered:.0f} %"]
            )  # fmt: skip
    head = ["of", "verdict", "rows", "median error", "error at 90 %", "truth inside interval"]
    return _table(head, body)


def combined(logs: Sequence[dict[str, dict[str, Any] | None]]) -> list[dict[str, Any]]:
    """Return the means over logs; the interval of the rank agreement pools their resamples."""
    found: list[dict[str, Any]] = []
    for name in dict.fromkeys(name for one in logs for name in one):
        each = [told for one in logs if (told := one.get(name)) is not None]
        if len(each) < len(logs):
            found.append({"estimator": name, "error": None})
            continue
        low, high = np.nanquantile(np.concatenate([one["ranks"] for one in each]), [0.025, 0.975])
        means = {
            key: _or_none(float(np.mean([one[key] for one in each])))
            for key in ("error", "spearman", "regret", "return_regret")
        }
        found.append(
            {
                "estimator": name,
                **means,
                "worst": max(one["worst"] for one in each),
                "spearman_low": _or_none(low),
                "spearman_high": _or_none(high),
                "picks": [one["pick"] for one in each],
            }
        )
    return found


def _or_none(value: float) -> float | None:
    """Return None for NaN, which JSON does not have."""
    return float(value) if np.isfinite(value) else None
