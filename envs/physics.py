"""The formulas of one user, compiled; the batched statement of each is in `slategym.envs.parts`.

Sums run in a fixed order in double precision, whatever the batch, so a user's trajectory is the
same bits alone and among thousands. Functions take the few rows they need and not whole states:
numba counts references to every array that crosses a call, which would cost more than the sums.
Small ones are inlined by force, for passing them the rules by value would cost as much.
"""

import math

import numba
import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import DoubleArray, FloatArray, IntArray, LongArray
from slategym.envs.state import Rules

EXPOSURE_DECAY = 0.85  # of the topic exposure a platform can observe

_CANDIDATE, _CHOICE, _WATCH, _RATING = rng.CANDIDATE, rng.CHOICE, rng.WATCH, rng.RATING
_draw, _uniform, _below = rng.bits, rng.uniform, rng.below
_exponential, _gumbel, _normal = rng.exponential, rng.gumbel, rng.normal


@numba.njit(forceinline=True)
def logistic(x: float) -> float:
    """Return 1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + math.exp(-x))


@numba.njit(forceinline=True)
def dot(a: FloatArray, b: FloatArray) -> float:
    """Return the inner product of two vectors."""
    total = 0.0
    for k in range(len(a)):
        total += np.float64(a[k]) * np.float64(b[k])
    return total


@numba.njit(forceinline=True)
def predicted_value(base: float, item_bias: float, taste: FloatArray, q: FloatArray) -> float:
    """Return base + item bias + p . q on the log's scale; base is mean + user bias."""
    return base + item_bias + dot(taste, q)


@numba.njit(forceinline=True)
def click_logit(rules: Rules, value: float) -> float:
    """Return the calibrated natural-log odds that a predicted value is worth a click."""
    return rules.click_intercept + rules.click_slope * value


@numba.njit(forceinline=True)
def utility(rules: Rules, logit: float, fatigue: float) -> float:
    """Return the utility of an item; see `ResponseModel`."""
    return rules.taste_scale * logit - rules.satiation_weight * fatigue


@numba.njit(forceinline=True)
def watched(rules: Rules, logit: float, fatigue: float, noise: float) -> float:
    """Return the watched fraction of an item; see `Feedback`."""
    x = rules.watch_intercept + rules.watch_scale * (rules.taste_scale * logit)
    return logistic(x - rules.watch_satiation * fatigue + rules.watch_noise * noise)


@numba.njit(forceinline=True)
def rated(rules: Rules, value: float, fatigue: float, noise: float) -> float:
    """Return the rating of an item in [0, 1]; see `Feedback`."""
    raw = value - rules.rating_satiation * fatigue + rules.rating_noise * noise
    scaled = (raw - rules.value_low) / (rules.value_high - rules.value_low)
    return min(max(scaled, 0.0), 1.0)


@numba.njit
def feedback(
    rules: Rules, item: int, value: float, fatigue: float, at: np.uint64
) -> tuple[float, float]:
    """Return the watched fraction and the rating of the item taken."""
    logit = click_logit(rules, value)
    watch = watched(rules, logit, fatigue, _normal(_draw(at, _WATCH, item)))
    return watch, rated(rules, value, fatigue, _normal(_draw(at, _RATING, item)))


@numba.njit
def drift(rate: float, taste: FloatArray, q: FloatArray) -> None:
    """Move a taste towards the direction of an item, keeping its norm; see `Dynamics`."""
    norm, length = math.sqrt(dot(taste, taste)), math.sqrt(dot(q, q))
    if norm == 0.0 or length == 0.0:
        return
    stretch, total = norm / length, 0.0
    for f in range(len(taste)):
        p = np.float64(taste[f])
        p += rate * (np.float64(q[f]) * stretch - p)
        total += p * p
    if total == 0.0:
        return
    shrink = norm / math.sqrt(total)
    for f in range(len(taste)):
        p = np.float64(taste[f])
        p += rate * (np.float64(q[f]) * stretch - p)
        taste[f] = p * shrink


@numba.njit
def satiate(rules: Rules, satiation: FloatArray, consumed: FloatArray, shown: DoubleArray) -> None:
    """Update the satiation of each topic; see `Dynamics`."""
    for z in range(len(satiation)):
        kept = rules.satiation_decay * np.float64(satiation[z])
        taken = rules.consume_gain * np.float64(consumed[z])
        satiation[z] = kept + taken + rules.expose_gain * shown[z]


@numba.njit
def expose(exposure: FloatArray, topics: DoubleArray) -> None:
    """Add topics to a decayed exposure that the platform observes."""
    for z in range(len(exposure)):
        exposure[z] = EXPOSURE_DECAY * np.float64(exposure[z]) + topics[z]


@numba.njit
def remember(history: IntArray, value: FloatArray, item: int, watch: float) -> None:
    """Append an item to a history whose newest place is the last."""
    last = len(history) - 1
    for h in range(last):
        history[h] = history[h + 1]
        value[h] = value[h + 1]
    history[last] = item
    value[last] = watch


@numba.njit(forceinline=True)
def patience_after(rules: Rules, patience: float, clicked: bool, fatigue: float) -> float:
    """Return the patience after a slate of that mean fatigue; see `Departure`."""
    if clicked:
        patience = min(patience + rules.patience_gain, rules.patience_cap)
    else:
        patience -= rules.patience_loss
    return patience - rules.boredom * max(fatigue - rules.boredom_threshold, 0.0)


@numba.njit(forceinline=True)
def is_among(item: int, row: IntArray, count: int) -> bool:
    """Return True if ``item`` is one of the first ``count`` entries of ``row``.

    Without an early exit: the compiler turns the loop into a few wide comparisons.
    """
    found = False
    for c in range(count):
        found |= row[c] == item
    return found


@numba.njit
def fill_slate(candidates: IntArray, action: LongArray, slate: IntArray) -> int:
    """Write the slate's items, a repeated position as an empty slot; return how many there are."""
    filled = 0
    for k in range(len(action)):
        item = candidates[action[k]]
        if is_among(item, slate, k):
            slate[k] = -1
        else:
            slate[k] = item
            filled += 1
    return filled


@numba.njit
def mean_topics(item_topics: FloatArray, slate: IntArray, filled: int, mean: DoubleArray) -> None:
    """Write the mean topics of the items on the slate."""
    mean[:] = 0.0
    for k in range(len(slate)):
        if slate[k] >= 0:
            for z in range(len(mean)):
                mean[z] += np.float64(item_topics[slate[k], z])
    for z in range(len(mean)):
        mean[z] /= filled


@numba.njit
def choose(
    rules: Rules, slate: IntArray, base: float, taste: FloatArray, satiation: FloatArray,
    item_bias: FloatArray, item_factors: FloatArray, item_topics: FloatArray, at: np.uint64,
) -> tuple[int, float, float]:  # fmt: skip
    """Return the slot taken (or -1), its predicted value and its fatigue; see `ChoiceModel`."""
    best, slot = rules.no_click_logit + _gumbel(_draw(at, _CHOICE, 0)), -1
    value = fatigue = 0.0
    for k in range(len(slate)):
        i = slate[k]
        if i < 0:
            continue
        tired, worth = 0.0, base + np.float64(item_bias[i])
        for z in range(len(satiation)):
            tired += np.float64(satiation[z]) * np.float64(item_topics[i, z])
        for f in range(len(taste)):
            worth += np.float64(taste[f]) * np.float64(item_factors[i, f])
        attraction = utility(rules, click_logit(rules, worth), tired) - rules.position_bias * k
        attraction += _gumbel(_draw(at, _CHOICE, i + 1))
        if attraction > best:
            best, slot, value, fatigue = attraction, k, worth, tired
    return slot, value, fatigue


@numba.njit
def draw_candidates(
    at: np.uint64, cumulative: DoubleArray, row: IntArray, clocks: DoubleArray
) -> None:
    """Fill ``row`` with distinct items out of ``len(clocks)``; see `CandidateSource`."""
    items, count = len(clocks), len(row)
    weighted = len(cumulative) > 0
    attempt = filled = 0
    while filled < count:
        number = _draw(at, _CANDIDATE, attempt)
        if weighted and attempt < 64 * count:
            item = np.searchsorted(cumulative, _uniform(number), side="right")
        else:
            item = _below(number, items)
        attempt += 1
        if not is_among(item, row, filled):
            row[filled] = item
            filled += 1


@numba.njit
def race(at: np.uint64, weight: DoubleArray, row: IntArray, clocks: DoubleArray) -> None:
    """Fill ``row`` with the items whose exponential clocks ring first, in that order."""
    for i in range(len(clocks)):
        wait = _exponential(_draw(at, _CANDIDATE, i))
        clocks[i] = wait / weight[i] if len(weight) > 0 else wait
    for c in range(len(row)):
        first = 0
        for i in range(1, len(clocks)):
            if clocks[i] < clocks[first]:
                first = i
        row[c] = first
        clocks[first] = np.inf


@numba.njit
def refresh(
    at: np.uint64, cumulative: DoubleArray, weight: DoubleArray, row: IntArray, clocks: DoubleArray
) -> None:
    """Draw the candidates of a step: most of the catalogue by a race, few by trying again."""
    if 2 * len(row) > len(clocks):
        race(at, weight, row, clocks)
    else:
        draw_candidates(at, cumulative, row, clocks)


@numba.njit
def settle(
    rules: Rules, terms: FloatArray, b: int, feed: tuple[float, float, float], slot: int,
    bored: bool, diversity: float,
) -> float:  # fmt: skip
    """Write the weighted terms of the reward of user ``b`` and return their sum.

    ``feed`` is the watched fraction, the minutes and the rating; see `Reward`.
    """
    if slot >= 0:
        terms[0, b] = rules.click_weight
        terms[1, b] = rules.watch_weight * feed[0]
        terms[2, b] = rules.minutes_weight * feed[1]
        terms[3, b] = rules.rating_weight * feed[2]
    if bored:
        terms[4, b] = -rules.leave_weight
    terms[5, b] = rules.diversity_weight * diversity
    total = 0.0
    for j in range(terms.shape[0]):
        total += np.float64(terms[j, b])
    return total
