"""Who beats whom: paired differences of all contenders, with p-values after Holm."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.benchmarks.statistics import percentile_interval

FloatArray = npt.NDArray[np.float64]
LEVEL = 0.05  # of a family of comparisons, after Holm


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for all comparisons being made together (Holm 1979), in [0, 1]."""
    order = np.argsort(p_values, kind="stable")
    adjusted, running = np.zeros(len(p_values)), 0.0
    for rank, index in enumerate(order.tolist()):
        running = max(running, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, running)
    return [float(value) for value in adjusted]


def all_pairs(
    estimates: Mapping[str, float], replicates: Mapping[str, FloatArray], users: int
) -> dict[str, Any]:
    """Return the paired differences of every two contenders as JSON.

    A p-value is two-sided, of Student's t with ``users - 1`` degrees of freedom at the difference
    divided by its bootstrap standard error: the share of resamples beyond 0 cannot be small enough
    for Holm over dozens of pairs. 1 where nothing varies.

    Args:
        estimates: the number of each contender, in the order of the table.
        replicates: the same number on each resample (R,), the resamples shared by all.
        users: how many distinct users were resampled.

    Returns:
        ``names``; ``pairs``, a list of ``first``, ``second``, ``difference`` (first less second, an
        interval), ``p`` and ``p_holm`` over all pairs.
    """
    names = list(estimates)
    pairs = [
        _pair(first, second, estimates, replicates, users)
        for place, first in enumerate(names)
        for second in names[place + 1 :]
    ]
    for pair, p in zip(pairs, holm([pair["p"] for pair in pairs]), strict=True):
        pair["p_holm"] = p
    return {"names": names, "pairs": pairs}


def _pair(
    first: str,
    second: str,
    estimates: Mapping[str, float],
    replicates: Mapping[str, FloatArray],
    users: int,
) -> dict[str, Any]:
    """Return one difference."""
    estimate = estimates[first] - estimates[second]
    drawn = replicates[first] - replicates[second]
    interval = percentile_interval(estimate, drawn)
    return {
        "first": first,
        "second": second,
        "difference": interval.to_json(),
        "p": _p_value(estimate, drawn, users),
    }


def _p_value(estimate: float, drawn: FloatArray, users: int) -> float:
    from scipy.stats import t  # heavy, and of no use to those who only read tables

    known = drawn[np.isfinite(drawn)]
    error = float(known.std()) if known.size else 0.0
    if error == 0.0 or users < 2:
        same = estimate == 0.0 or not known.size
        return 1.0 if same else 0.0
    return float(2.0 * t.sf(abs(estimate) / error, users - 1))


def matrix(compared: Mapping[str, Any], digits: int) -> list[dict[str, Any]]:
    """Return the table of `all_pairs` as text: row less column, and whether it is beyond chance.

    Args:
        compared: what `all_pairs` returned.
        digits: decimals of the differences.

    Returns:
        For each row its ``name`` and ``cells``, one a column: ``text``, ``p`` and ``look``
        ("better", "worse", "level" or "self").
    """
    found = {(pair["first"], pair["second"]): pair for pair in compared["pairs"]}
    rows = []
    for row in compared["names"]:
        cells = []
        for column in compared["names"]:
            pair = found.get((row, column)) or found.get((column, row))
            cells.append(_cell(pair, row, digits))
        rows.append({"name": row, "cells": cells})
    return rows


def _cell(pair: Mapping[str, Any] | None, row: str, digits: int) -> dict[str, str]:
    if pair is None:
        return {"text": "", "p": "", "look": "self"}
    value = pair["difference"]["estimate"] * (1.0 if pair["first"] == row else -1.0)
    text = f"{value:+,.{digits}f}" if round(value, digits) else f"{0:.{digits}f}"
    look = "level" if pair["p_holm"] >= LEVEL else ("better" if value > 0 else "worse")
    p = "p < 0.001" if pair["p_holm"] < 0.001 else f"p {pair['p_holm']:.3f}"
    return {"text": text.replace("-", "\N{MINUS SIGN}"), "p": p, "look": look}
