"""The formulas of one user, compiled; the batched statement of each is in `slategym.envs.parts`.

Sums run in a fixed order in double precision, whatever the batch, so a user's trajectory is the
same bits alone and among thousands.
"""

import math

import numba
import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import DoubleArray, FloatArray, IntArray
from slategym.envs.state import Rules, Tables

EXPOSURE_DECAY = 0.85  # of the topic exposure a platform can observe

_USER, _TASTE, _CANDIDATE = rng.USER, rng.TASTE, rng.CANDIDATE
_draw, _uniform, _below = rng.bits, rng.uniform, rng.below
_exponential = rng.exponential


@numba.njit
def logistic(x: float) -> float:
    """Return 1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + math.exp(-x))


@numba.njit
def dot(a: FloatArray, b: FloatArray) -> float:
    """Return the inner product of two vectors."""
    total = 0.0
    for k in range(len(a)):
        total += np.float64(a[k]) * np.float64(b[k])
    return total


@numba.njit
def predicted_value(tables: Tables, rules: Rules, taste: FloatArray, bias: float, i: int) -> float:
    """Return mean + user bias + item bias + p . q, on the scale of the log's values."""
    return rules.mean + bias + tables.item_bias[i] + dot(taste, tables.item_factors[i])


@numba.njit
def click_logit(rules: Rules, value: float) -> float:
    """Return the calibrated natural-log odds that a predicted value is worth a click."""
    return rules.click_intercept + rules.click_slope * value


@numba.njit
def utility(rules: Rules, logit: float, fatigue: float) -> float:
    """Return the utility of an item; see `ResponseModel`."""
    return rules.taste_scale * logit - rules.satiation_weight * fatigue


@numba.njit
def watched(rules: Rules, logit: float, fatigue: float, noise: float) -> float:
    """Return the watched fraction of an item; see `Feedback`."""
    x = rules.watch_intercept + rules.watch_scale * (rules.taste_scale * logit)
    return logistic(x - rules.watch_satiation * fatigue + rules.watch_noise * noise)


@numba.njit
def rated(rules: Rules, value: float, fatigue: float, noise: float) -> float:
    """Return the rating of an item in [0, 1]; see `Feedback`."""
    raw = value - rules.rating_satiation * fatigue + rules.rating_noise * noise
    scaled = (raw - rules.value_low) / (rules.value_high - rules.value_low)
    return min(max(scaled, 0.0), 1.0)


@numba.njit
def drift(rules: Rules, taste: FloatArray, q: FloatArray) -> None:
    """Move a taste towards the direction of an item, keeping its norm; see `Dynamics`."""
    norm, length = math.sqrt(dot(taste, taste)), math.sqrt(dot(q, q))
    if norm == 0.0 or length == 0.0:
        return
    stretch, total = norm / length, 0.0
    for f in range(len(taste)):
        p = np.float64(taste[f])
        p += rules.interest_drift * (np.float64(q[f]) * stretch - p)
        total += p * p
    if total == 0.0:
        return
    shrink = norm / math.sqrt(total)
    for f in range(len(taste)):
        p = np.float64(taste[f])
        p += rules.interest_drift * (np.float64(q[f]) * stretch - p)
        taste[f] = p * shrink


@numba.njit
def patience_after(rules: Rules, patience: float, clicked: bool, fatigue: float) -> float:
    """Return the patience after a slate of that mean fatigue; see `Departure`."""
    if clicked:
        patience = min(patience + rules.patience_gain, rules.patience_cap)
    else:
        patience -= rules.patience_loss
    return patience - rules.boredom * max(fatigue - rules.boredom_threshold, 0.0)


@numba.njit
def is_among(item: int, row: IntArray, count: int) -> bool:
    """Return True if ``item`` is one of the first ``count`` entries of ``row``."""
    for c in range(count):  # noqa: SIM110 (numba compiles the loop far better than any())
        if row[c] == item:
            return True
    return False


@numba.njit
def draw_candidates(tables: Tables, at: np.uint64, row: IntArray, clocks: DoubleArray) -> None:
    """Fill ``row`` with distinct items; see `CandidateSource`."""
    items, count = len(tables.item_bias), len(row)
    if 2 * count > items:
        race(tables, at, row, clocks)
        return
    weighted = len(tables.cumulative) > 0
    attempt = filled = 0
    while filled < count:
        number = _draw(at, _CANDIDATE, attempt)
        if weighted and attempt < 64 * count:
            item = np.searchsorted(tables.cumulative, _uniform(number), side="right")
        else:
            item = _below(number, items)
        attempt += 1
        if not is_among(item, row, filled):
            row[filled] = item
            filled += 1


@numba.njit
def race(tables: Tables, at: np.uint64, row: IntArray, clocks: DoubleArray) -> None:
    """Fill ``row`` with the items whose exponential clocks ring first, in that order."""
    weighted = len(tables.weight) > 0
    for i in range(len(tables.item_bias)):
        wait = _exponential(_draw(at, _CANDIDATE, i))
        clocks[i] = wait / tables.weight[i] if weighted else wait
    for c in range(len(row)):
        first = 0
        for i in range(1, len(tables.item_bias)):
            if clocks[i] < clocks[first]:
                first = i
        row[c] = first
        clocks[first] = np.inf
