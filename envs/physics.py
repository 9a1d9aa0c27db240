"""The formulas of one user, compiled; the batched statement of each is in the parts' modules.

Sums run in a fixed order in double precision, whatever the batch, so a user's trajectory is the
same bits alone and among thousands. Functions take numbers, rows of the rules, or whole tables
with an index: a view of a row would cost more than most of the sums.
"""

import math

import numba
import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import DoubleArray, FloatArray, IntArray, Record
from slategym.envs.state import BIAS, FACTORS, OWNED_AT

EXPOSURE_DECAY = 0.85  # of the topic exposure a platform can observe
CONTEXT_TOP = 10.0  # at which the open-ended entries of the context are cut

_BIRTH, _BURST, _WALK = rng.BIRTH, rng.BURST, rng.WALK
_draw, _uniform, _below, _normal = rng.bits, rng.uniform, rng.below, rng.normal
_episode_key, _step_key = rng.episode_key, rng.step_key
# Positions without a sign: no code is made for negative ones, which count from the end, and
# numbers that lie side by side are seen to.
_1, _2, _3 = np.uint64(1), np.uint64(2), np.uint64(3)
# The calendar belongs to a seed and not to a stream: all users of a seed share the news.
_EVERYONE = np.uint64(2**63)


@numba.njit(forceinline=True)
def logistic(x: float) -> float:
    """Return 1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + math.exp(-x))


@numba.njit(forceinline=True)
def click_logit(rules: Record, value: float) -> float:
    """Return the calibrated natural-log odds that a predicted value is worth a click."""
    return rules.click_intercept + rules.click_slope * value


@numba.njit(forceinline=True)
def predicted_value(
    rules: Record, base: float, rows: FloatArray, i: int, numbers: FloatArray, b: int
) -> float:
    """Return base + item bias + p . q on the log's scale; base is mean + user bias."""
    at, to, item = np.uint64(rules.at_taste), np.uint64(FACTORS), np.uint64(i)
    even = rules.factors - rules.factors % 4
    # Four sums, so that an addition need not wait for the one before.
    s0 = s1 = s2 = s3 = 0.0
    for start in range(0, even, 4):
        f = np.uint64(start)
        s0 += np.float64(numbers[b, at + f]) * np.float64(rows[item, to + f])
        s1 += np.float64(numbers[b, at + f + _1]) * np.float64(rows[item, to + f + _1])
        s2 += np.float64(numbers[b, at + f + _2]) * np.float64(rows[item, to + f + _2])
        s3 += np.float64(numbers[b, at + f + _3]) * np.float64(rows[item, to + f + _3])
    for start in range(even, rules.factors):
        f = np.uint64(start)
        s0 += np.float64(numbers[b, at + f]) * np.float64(rows[item, to + f])
    return base + np.float64(rows[item, BIAS]) + ((s0 + s1) + (s2 + s3))


@numba.njit(forceinline=True)
def along_topics(
    rules: Record, numbers: FloatArray, b: int, at: int, rows: FloatArray, i: int
) -> float:
    """Return ``sum_z level_bz topic_iz``: fatigue, boredom, mood, need of an item's topics.

    The level of topic z of user b is ``numbers[b, at + z]``.
    """
    total, item = 0.0, np.uint64(i)
    first, each, start = np.uint64(rules.at_topics), np.uint64(rules.topics_each), np.uint64(at)
    for place in range(rules.topics_each):
        t = first + np.uint64(place)
        # Where there is no more topic, its share is 0: a jump costs more than a product.
        z = np.uint64(max(np.int32(rows[item, t]), np.int32(0)))
        total += np.float64(numbers[b, start + z]) * np.float64(rows[item, t + each])
    return total


@numba.njit(forceinline=True)
def add_topics(rules: Record, rows: FloatArray, i: int, table: DoubleArray, n: int) -> None:
    """Add the topics of an item to row n of a table (N, Z)."""
    item, row = np.uint64(i), np.uint64(n)
    first, each = np.uint64(rules.at_topics), np.uint64(rules.topics_each)
    for place in range(rules.topics_each):
        t = first + np.uint64(place)
        z = np.uint64(max(np.int32(rows[item, t]), np.int32(0)))
        table[row, z] += np.float64(rows[item, t + each])


@numba.njit(forceinline=True)
def satisfaction(rules: Record, exposure: float) -> float:
    """Return S in (0, 1); 1/2 without the part. See `Satisfaction`."""
    if rules.on_satisfaction == 0:
        return 0.5
    return logistic(rules.satisfaction_sensitivity * exposure)


@numba.njit(forceinline=True)
def calendar_key(seed: np.uint64) -> np.uint64:
    """Return the key of everything that all users of a seed share."""
    return _step_key(_episode_key(seed, _EVERYONE, np.uint64(0)), np.uint64(0))


@numba.njit(forceinline=True)
def calendar_step(rules: Record, start: int, step: int, day: float) -> int:
    """Return the step of the calendar, in [0, calendar); see `Ageing`."""
    period = np.int64(rules.calendar)
    passed = np.int64(start) + np.int64(step) + np.int64(day * rules.steps_per_day)
    return int(passed % period)


@numba.njit(forceinline=True)
def age_of(rules: Record, birth: IntArray, calendar: np.uint64, now: int, i: int) -> int:
    """Return the age of an item in calendar steps."""
    period = np.int64(rules.calendar)
    drawn = len(birth) == 0
    born = _below(_draw(calendar, _BIRTH, i), period) if drawn else np.int64(birth[i])
    return int((now - born) % period)


@numba.njit(forceinline=True)
def freshness(rules: Record, age: int) -> float:
    """Return 2^(-age / half_life), 0 for what has expired; see `Ageing`."""
    if age >= rules.lifetime:
        return 0.0
    return math.exp(-age * (math.log(2.0) / rules.half_life))


@numba.njit
def burst(rules: Record, calendar: np.uint64, now: int, z: int) -> float:
    """Return the intensity of interest in topic z; see `Bursts`."""
    width = np.int64(rules.burst_window)
    windows = (np.int64(rules.calendar) + width - 1) // width
    total = 0.0
    for back in range(2):
        window = now // width - back
        index = (z << 20) + 2 * (window % windows)
        if _uniform(_draw(calendar, _BURST, index)) < rules.burst_rate:
            since = now - window * width - _below(_draw(calendar, _BURST, index + 1), width)
            # An event later in this window is still to come.
            if since >= 0:
                total += math.exp(-since * (math.log(2.0) / rules.burst_half_life))
    return total


@numba.njit
def burst_along_topics(
    rules: Record,
    calendar: np.uint64,
    now: int,
    rows: FloatArray,
    i: int,
) -> float:
    """Return ``sum_z intensity_z topic_iz``."""
    total = 0.0
    first, each = rules.at_topics, rules.topics_each
    for t in range(first, first + each):
        z = np.int64(rows[i, t])
        if z < 0:
            break
        total += burst(rules, calendar, now, z) * np.float64(rows[i, t + each])
    return total


@numba.njit(forceinline=True)
def plays(history: IntArray, recency: FloatArray, b: int, i: int) -> float:
    """Return how often an item is in a history, weighted by recency; see `Familiarity`."""
    total = 0.0
    for h in range(history.shape[1]):
        if history[b, h] == i:
            total += np.float64(recency[h])
    return total


@numba.njit(forceinline=True)
def owns(counts: IntArray, b: int, i: int) -> bool:
    """Return True if an item is among the purchases remembered."""
    found = False
    for h in range(OWNED_AT, counts.shape[1]):
        found |= counts[b, h] == i
    return found


@numba.njit
def drift(rules: Record, numbers: FloatArray, b: int, rows: FloatArray, i: int) -> None:
    """Move a taste towards the direction of an item, keeping its norm; see `InterestDrift`."""
    rate, at, factors = rules.interest_drift, np.uint64(rules.at_taste), rules.factors
    to, item = np.uint64(FACTORS), np.uint64(i)
    square = reach = 0.0
    for place in range(factors):
        f = np.uint64(place)
        square += np.float64(numbers[b, at + f]) * np.float64(numbers[b, at + f])
        reach += np.float64(rows[item, to + f]) * np.float64(rows[item, to + f])
    norm, length = math.sqrt(square), math.sqrt(reach)
    if norm == 0.0 or length == 0.0:
        return
    stretch, total = norm / length, 0.0
    for place in range(factors):
        f = np.uint64(place)
        p = np.float64(numbers[b, at + f])
        p += rate * (np.float64(rows[item, to + f]) * stretch - p)
        total += p * p
    if total == 0.0:
        return
    shrink = norm / math.sqrt(total)
    for place in range(factors):
        f = np.uint64(place)
        p = np.float64(numbers[b, at + f])
        p += rate * (np.float64(rows[item, to + f]) * stretch - p)
        numbers[b, at + f] = p * shrink


@numba.njit
def walk(rules: Record, numbers: FloatArray, b: int, at: np.uint64, noise: DoubleArray) -> None:
    """Turn a taste a little in a random direction; see `TasteShift`."""
    share, start = rules.taste_walk, rules.at_taste
    square = length = 0.0
    for f in range(len(noise)):
        noise[f] = _normal(_draw(at, _WALK, f))
        square += np.float64(numbers[b, start + f]) * np.float64(numbers[b, start + f])
        length += noise[f] * noise[f]
    norm, reach, kept = math.sqrt(square), math.sqrt(length), math.sqrt(1.0 - share * share)
    for f in range(len(noise)):
        turned = share * norm * noise[f] / reach
        numbers[b, start + f] = kept * np.float64(numbers[b, start + f]) + turned


@numba.njit(forceinline=True)
def push(row: IntArray, b: int, first: int, item: int) -> None:
    """Append an item to the list that begins at column ``first``; the newest place is the last."""
    last = row.shape[1] - 1
    for h in range(first, last):
        place = np.uint64(h)
        row[b, place] = row[b, place + _1]
    row[b, last] = item


@numba.njit(forceinline=True)
def push_value(numbers: FloatArray, b: int, first: int, length: int, value: float) -> None:
    """Append a value to a list of numbers; the newest place is the last."""
    last = first + length - 1
    for h in range(first, last):
        place = np.uint64(h)
        numbers[b, place] = numbers[b, place + _1]
    numbers[b, last] = value
