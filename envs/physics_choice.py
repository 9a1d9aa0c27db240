"""Which items of a slate are taken, compiled; the parts are in `slategym.envs.parts_choice`.

Noise is drawn per item, so that an item meets the same luck in any slot and under any policy.
"""

import math

import numba
import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import DoubleArray, FloatArray, IntArray, Record
from slategym.envs.physics import logistic
from slategym.envs.state import CLICK

_CHOICE, _EXAMINE = rng.CHOICE, rng.EXAMINE
_draw, _uniform, _gumbel, _exponential = rng.bits, rng.uniform, rng.gumbel, rng.exponential
_LN_2, _S52 = math.log(2.0), np.uint64(52)


@numba.njit(forceinline=True)
def _gumbel_bound(noise: np.uint64) -> float:
    """Return a number that is at least the Gumbel number of these bits, without a logarithm.

    ``-ln(-ln u) <= -ln(1 - u) <= -e ln 2``, with e the binary exponent of 1 - u.
    """
    rest = np.float64(1.0 - _uniform(noise)).view(np.uint64)
    return 1e-9 + _LN_2 * (1023.0 - np.float64(rest >> _S52))


@numba.njit(forceinline=True)
def logit_slot(rules: Record, slate: IntArray, b: int, utility: DoubleArray, at: np.uint64) -> int:
    """Return the slot taken, or -1; see `LogitChoice`."""
    best, slot = rules.no_click_logit + _gumbel(_draw(at, _CHOICE, 0)), -1
    for k in range(slate.shape[1]):
        i = slate[b, k]
        if i < 0:
            continue
        attraction, noise = utility[k] - rules.position_bias * k, _draw(at, _CHOICE, i + 1)
        # Most items are beaten whatever the exact noise is, and two logarithms cost the most.
        if attraction + _gumbel_bound(noise) <= best:
            continue
        attraction += _gumbel(noise)
        if attraction > best:
            best, slot = attraction, k
    return slot


@numba.njit
def proportional_slot(
    rules: Record, slate: IntArray, b: int, utility: DoubleArray, at: np.uint64
) -> int:
    """Return the slot taken, or -1; see `ProportionalChoice`."""
    first, slot = np.inf, -1
    weight = rules.no_click_logit - rules.min_normalizer
    if weight > 0.0:
        first = _exponential(_draw(at, _CHOICE, 0)) / weight
    for k in range(slate.shape[1]):
        i = slate[b, k]
        weight = utility[k] - rules.min_normalizer
        if i < 0 or weight <= 0.0:
            continue
        clock = _exponential(_draw(at, _CHOICE, i + 1)) / weight
        if clock < first:
            first, slot = clock, k
    return slot


@numba.njit
def cascade_slot(
    rules: Record, slate: IntArray, b: int, utility: DoubleArray, at: np.uint64
) -> int:
    """Return the slot taken, or -1; see `ExponentialCascade` and `ProportionalCascade`."""
    for k in range(slate.shape[1]):
        i = slate[b, k]
        if i < 0:
            continue
        if rules.choice_code == 2:
            attraction = math.exp(min(utility[k], 700.0))
        else:
            attraction = max(utility[k] - rules.min_normalizer, 0.0)
        taken = rules.attention_prob * min(rules.score_scaling * attraction, 1.0)
        if _uniform(_draw(at, _CHOICE, i + 1)) < taken:
            return k
    return -1


@numba.njit
def examined_slots(
    rules: Record, slate: IntArray, b: int, utility: DoubleArray, at: np.uint64,
    signals: FloatArray,
) -> None:  # fmt: skip
    """Mark every slot taken; see `PositionChoice`."""
    for k in range(slate.shape[1]):
        i = slate[b, k]
        if i < 0:
            continue
        looked = _uniform(_draw(at, _EXAMINE, k)) < (k + 1.0) ** -rules.examine_decay
        wanted = logistic(utility[k] - rules.no_click_logit)
        if looked and _uniform(_draw(at, _CHOICE, i + 1)) < wanted:
            signals[CLICK, b, k] = 1.0


@numba.njit(forceinline=True)
def choose(
    rules: Record, slate: IntArray, b: int, utility: DoubleArray, at: np.uint64,
    signals: FloatArray,
) -> None:  # fmt: skip
    """Mark the slots taken with 1."""
    if rules.choice_code == 4:
        examined_slots(rules, slate, b, utility, at, signals)
        return
    if rules.choice_code == 0:
        slot = logit_slot(rules, slate, b, utility, at)
    elif rules.choice_code == 1:
        slot = proportional_slot(rules, slate, b, utility, at)
    else:
        slot = cascade_slot(rules, slate, b, utility, at)
    if slot >= 0:
        signals[CLICK, b, slot] = 1.0
