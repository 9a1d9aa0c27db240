"""Which items may be shown, compiled; the parts are in `slategym.envs.parts_candidates`."""

import numba
import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import AnyArray, DoubleArray, FloatArray, IntArray, Record
from slategym.envs.physics import age_of

_CANDIDATE, _RETRIEVE = rng.CANDIDATE, rng.RETRIEVE
_draw, _uniform, _below, _exponential = rng.bits, rng.uniform, rng.below, rng.exponential
_LOW = np.uint64(2**32 - 1)


@numba.njit(forceinline=True)
def is_among(item: int, row: IntArray, b: int, count: int) -> bool:
    """Return True if ``item`` is one of the first ``count`` entries of row b.

    Without an early exit: the compiler turns the loop into a few wide comparisons.
    """
    found = False
    for c in range(count):
        found |= row[b, c] == item
    return found


@numba.njit(forceinline=True)
def is_there(
    rules: Record, birth: IntArray, creator: IntArray, numbers: FloatArray, b: int,
    calendar: np.uint64, now: int, i: int,
) -> bool:  # fmt: skip
    """Return True if an item is on the shelf: not expired, and its creator not gone."""
    if rules.on_creators == 1 and numbers[b, rules.at_vigour + creator[i]] <= 0.0:
        return False
    return not (rules.on_ageing == 1 and age_of(rules, birth, calendar, now, i) >= rules.lifetime)


@numba.njit(forceinline=True)
def weighted(number: np.uint64, chance: DoubleArray) -> int:
    """Return an item by the alias method: which from the upper bits, kept or not from the lower."""
    i = _below(number, len(chance))
    spare = (np.float64(number & _LOW) + 0.5) * 2.0**-32
    return i if spare < chance[i, 0] else int(chance[i, 1])


@numba.njit
def retrieved(
    rules: Record, items: FloatArray, people: FloatArray, u: int,
    history: IntArray, b: int, at: np.uint64, attempt: int,
) -> int:  # fmt: skip
    """Return an item of the history, a uniform one, or the best of a tournament."""
    start = attempt * 128
    kind = _uniform(_draw(at, _RETRIEVE, start))
    if kind < rules.revisit:
        place = _below(_draw(at, _RETRIEVE, start + 1), history.shape[1])
        if history[b, place] >= 0:
            return int(history[b, place])
    tries = int(rules.tries)
    if kind < rules.revisit + (1.0 - rules.revisit) * rules.explore:
        tries = 1
    best, chosen = -np.inf, 0
    for t in range(tries):
        i = _below(_draw(at, _RETRIEVE, start + 2 + t), len(items))
        score = np.float64(items[i, 0])
        for f in range(people.shape[1]):
            score += np.float64(people[u, f]) * np.float64(items[i, f + 1])
        if score > best:
            best, chosen = score, i
    return chosen


@numba.njit
def race(
    at: np.uint64, weight: DoubleArray, row: IntArray, b: int,
    clocks: DoubleArray, there: AnyArray,
) -> None:  # fmt: skip
    """Fill a row with the items whose exponential clocks ring first, those that exist before.

    A weighted draw without replacement (Efraimidis and Spirakis 2006): item i rings at
    ``E_i / weight_i``.
    """
    for i in range(len(clocks)):
        wait = _exponential(_draw(at, _CANDIDATE, i))
        wait = wait / weight[i] if len(weight) > 0 else wait
        # A factor and not a summand, which would swallow the wait and leave ties.
        clocks[i] = wait if there[i] else 1e100 * wait
    for c in range(row.shape[1]):
        first = 0
        for i in range(1, len(clocks)):
            if clocks[i] < clocks[first]:
                first = i
        row[b, c] = first
        clocks[first] = np.inf
