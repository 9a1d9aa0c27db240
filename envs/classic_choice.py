"""How a user of a classic chooses from a slate: RecSim's four choice models."""

import numba
import numpy as np

from slategym.envs.arrays import DoubleArray, KeyArray, LongArray
from slategym.envs.classic_constants import CHOICE_MODELS
from slategym.envs.classic_draws import counter, exp, log

_PROPORTIONAL, _LOGIT, _EXP_CASCADE, _PROP_CASCADE = range(len(CHOICE_MODELS))


@numba.njit(forceinline=True, error_model="numpy")
def weigh(
    weights: DoubleArray,
    model: int,
    min_normalizer: float,
    attention_prob: float,
    score_scaling: float,
) -> None:
    """Turn scores into what the chances are proportional to, in place, for a block of users.

    With scores s, c the no-click mass, m the normalizer, a the attention and g the scaling
    (recsim/choice_model.py)::

        proportional   w_i = s_i - m                            w_none = c - m
        logit          w_i = exp(s_i)                           w_none = exp(c)
        cascades       w_i = a g x_i prod_{j<i} (1 - a g x_j)   w_none = prod_j (1 - a g x_j)
                       exp_cascade x = exp(s); prop_cascade x = s - m; g x is cut at 1

    Args:
        weights: (K + 1, N) scores of the places, then the no-click mass.
        model: index into `CHOICE_MODELS`.
        min_normalizer: m.
        attention_prob: a.
        score_scaling: g.
    """
    if model == _LOGIT:
        _subtract_most(weights)
    flat = weights.reshape(-1)
    if model in (_LOGIT, _EXP_CASCADE):
        for i in range(len(flat)):
            flat[i] = exp(flat[i])
    else:
        for i in range(len(flat)):
            flat[i] -= min_normalizer
    if model in (_EXP_CASCADE, _PROP_CASCADE):
        _cascade(weights, attention_prob, score_scaling)


@numba.njit(forceinline=True, error_model="numpy")
def _cascade(weights: DoubleArray, attention_prob: float, score_scaling: float) -> None:
    """Turn scores into the chance that a place is the first to be chosen, in order."""
    last = weights.shape[0] - 1
    left = weights[last]
    for n in range(len(left)):
        left[n] = 1.0
    for i in range(last):
        row = weights[i]
        for n in range(len(left)):
            chance = attention_prob * min(score_scaling * row[n], 1.0)
            row[n] = left[n] * chance
            left[n] *= 1.0 - chance


@numba.njit(forceinline=True, error_model="numpy")
def _subtract_most(scores: DoubleArray) -> None:
    """Subtract each user's largest score, so that no exponential overflows."""
    for n in range(scores.shape[1]):
        most = scores[0, n]
        for i in range(scores.shape[0]):
            most = max(most, scores[i, n])
        for i in range(scores.shape[0]):
            scores[i, n] -= most


@numba.njit(forceinline=True, error_model="numpy")
def lone_score(
    score: float,
    model: int,
    no_click_mass: float,
    min_normalizer: float,
    attention_prob: float,
    score_scaling: float,
) -> float:
    """Return RecSim's score of a document alone: a chance, but for the proportional model."""
    if model == _PROPORTIONAL:
        return score - min_normalizer
    if model == _LOGIT:
        return 1.0 / (1.0 + exp(no_click_mass - score))
    x = exp(score) if model == _EXP_CASCADE else score - min_normalizer
    return attention_prob * min(score_scaling * x, 1.0)


@numba.njit(forceinline=True, error_model="numpy")
def again(slate: KeyArray, place: int) -> np.uint64:
    """Return how often the document of a place was shown before it in the slate."""
    count = np.uint64(0)
    for j in range(place):
        count += np.uint64(slate[j] == slate[place])
    return count


@numba.njit(forceinline=True, error_model="numpy")
def any_again(slates: KeyArray) -> bool:
    """Return whether any slate (N, K) shows a document twice."""
    found = 0
    for i in range(1, slates.shape[1]):
        for j in range(i):
            for n in range(slates.shape[0]):
                found += slates[n, i] == slates[n, j]
    return found > 0


@numba.njit(forceinline=True, error_model="numpy")
def count_again(
    slates: KeyArray, at: KeyArray, candidates: int, purpose: int, numbers: KeyArray
) -> None:
    """Give a document that is shown again a draw of its own.

    Args:
        slates: (N, K) positions.
        at: (N,) keys of the step.
        candidates: C; the m-th showing of position p draws number p + m C.
        purpose: of the draws.
        numbers: (K + 1, N) counters of the draws, written.
    """
    for i in range(1, slates.shape[1]):
        for n in range(slates.shape[0]):
            index = slates[n, i] + np.uint64(candidates) * again(slates[n], i)
            numbers[i, n] = counter(at[n], purpose, index)


@numba.njit(forceinline=True, error_model="numpy")
def race(speeds: DoubleArray, most: DoubleArray, chosen: LongArray) -> None:
    """Write the places that are chosen, or -1: each with chance weight / sum of weights.

    An exponential race: each place, and choosing nothing, has an exponential clock of mean one,
    and rings at clock / weight; the first to ring is chosen. A clock belongs to the candidate,
    not to its place, so a document meets the same luck in every slate it is part of; one that
    is shown twice has two clocks.

    Args:
        speeds: (K + 1, N) weight / clock of the places, then of choosing nothing.
        most: (N,) scratch.
        chosen: (N,) written.
    """
    last = speeds.shape[0] - 1
    for n in range(len(most)):
        most[n], chosen[n] = speeds[last, n], -1
    for i in range(last):
        row = speeds[i]
        for n in range(len(most)):
            chosen[n] = i if row[n] > most[n] else chosen[n]
            most[n] = max(row[n], most[n])


@numba.njit(forceinline=True, error_model="numpy")
def speeds_from(weights: DoubleArray, u: DoubleArray) -> None:
    """Divide weights by exponential clocks of mean one, in place.

    Args:
        weights: (K + 1, N) see `weigh`.
        u: (K + 1, N) uniform numbers.
    """
    speeds, numbers = weights.reshape(-1), u.reshape(-1)
    for i in range(len(speeds)):
        speeds[i] = -speeds[i] / log(numbers[i])
