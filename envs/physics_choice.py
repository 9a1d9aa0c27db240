"""Which items of a slate are taken, compiled; the parts are in `slategym.envs.parts_choice`.

Noise is drawn per item, so that an item meets the same luck in any slot and under any policy.
"""

import math

import numba
import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import DoubleArray, FloatArray, IntArray, KeyArray, LongArray, Record
from slategym.envs.physics import logistic
from slategym.envs.state import CLICK

_CHOICE, _EXAMINE = rng.CHOICE, rng.EXAMINE
_draw, _uniform, _gumbel, _exponential = rng.bits, rng.uniform, rng.gumbel, rng.exponential


@numba.njit(error_model="numpy")
def logit_slots(
    rules: Record, slate: IntArray, lo: int, hi: int, utility: DoubleArray, at: KeyArray,
    noise: DoubleArray, best: DoubleArray, items: LongArray, chosen: LongArray,
) -> None:  # fmt: skip
    """Write the slots taken, or -1, of a block of users; see `LogitChoice`.

    Two logarithms for each item cost the most of a step: a loop without branches over the users
    does four at once.
    """
    nothing, first, many = rules.no_click_logit, np.uint64(lo), hi - lo
    for n in range(many):
        best[n], chosen[n] = nothing + _gumbel(_draw(at[n], _CHOICE, 0)), -1
    for k in range(slate.shape[1]):
        slot, bias = np.uint64(k), rules.position_bias * k
        for n in range(many):
            items[n] = slate[first + np.uint64(n), slot]
        for n in range(many):
            noise[n] = _gumbel(_draw(at[n], _CHOICE, items[n] + 1))
        for n in range(many):
            noise[n] += utility[np.uint64(n), slot] - bias
        for n in range(many):
            better = (items[n] >= 0) & (noise[n] > best[n])
            best[n] = noise[n] if better else best[n]
            chosen[n] = k if better else chosen[n]


@numba.njit
def proportional_slot(
    rules: Record, slate: IntArray, b: int, utility: DoubleArray, n: int, at: np.uint64
) -> int:
    """Return the slot taken, or -1; see `ProportionalChoice`."""
    first, slot = np.inf, -1
    weight = rules.no_click_logit - rules.min_normalizer
    if weight > 0.0:
        first = _exponential(_draw(at, _CHOICE, 0)) / weight
    for k in range(slate.shape[1]):
        i = slate[b, k]
        weight = utility[n, k] - rules.min_normalizer
        if i < 0 or weight <= 0.0:
            continue
        clock = _exponential(_draw(at, _CHOICE, i + 1)) / weight
        if clock < first:
            first, slot = clock, k
    return slot


@numba.njit
def cascade_slot(
    rules: Record, slate: IntArray, b: int, utility: DoubleArray, n: int, at: np.uint64
) -> int:
    """Return the slot taken, or -1; see `ExponentialCascade` and `ProportionalCascade`."""
    for k in range(slate.shape[1]):
        i = slate[b, k]
        if i < 0:
            continue
        if rules.choice_code == 2:
            attraction = math.exp(min(utility[n, k], 700.0))
        else:
            attraction = max(utility[n, k] - rules.min_normalizer, 0.0)
        taken = rules.attention_prob * min(rules.score_scaling * attraction, 1.0)
        if _uniform(_draw(at, _CHOICE, i + 1)) < taken:
            return k
    return -1


@numba.njit
def examined_slots(
    rules: Record, slate: IntArray, b: int, utility: DoubleArray, n: int, at: np.uint64,
    signals: FloatArray,
) -> None:  # fmt: skip
    """Mark every slot taken; see `PositionChoice`."""
    for k in range(slate.shape[1]):
        i = slate[b, k]
        if i < 0:
            continue
        looked = _uniform(_draw(at, _EXAMINE, k)) < (k + 1.0) ** -rules.examine_decay
        wanted = logistic(utility[n, k] - rules.no_click_logit)
        if looked and _uniform(_draw(at, _CHOICE, i + 1)) < wanted:
            signals[CLICK, b, k] = 1.0


@numba.njit(forceinline=True)
def choose(
    rules: Record, slate: IntArray, lo: int, hi: int, utility: DoubleArray, at: KeyArray,
    noise: DoubleArray, best: DoubleArray, items: LongArray, chosen: LongArray,
    signals: FloatArray,
) -> None:  # fmt: skip
    """Mark the slots that a block of users take with 1.

    Args:
        rules: name the choice model.
        slate: (B, K) items, -1 for an empty slot.
        lo: first row of the block.
        hi: one past its last row.
        utility: (N, K) of the items.
        at: (N,) keys of the step.
        noise: (N,) scratch.
        best: (N,) scratch.
        items: (N,) scratch.
        chosen: (N,) scratch.
        signals: (S, B, K), written.
    """
    if rules.choice_code == 0:
        logit_slots(rules, slate, lo, hi, utility, at, noise, best, items, chosen)
    for b in range(lo, hi):
        n = b - lo
        if rules.choice_code == 4:
            examined_slots(rules, slate, b, utility, n, at[n], signals)
            continue
        if rules.choice_code == 0:
            slot = chosen[n]
        elif rules.choice_code == 1:
            slot = proportional_slot(rules, slate, b, utility, n, at[n])
        else:
            slot = cascade_slot(rules, slate, b, utility, n, at[n])
        if slot >= 0:
            signals[CLICK, b, slot] = 1.0
