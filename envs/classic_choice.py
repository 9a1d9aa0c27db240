"""How a user of a classic chooses from a slate: RecSim's four choice models."""

import numba

from slategym.envs.arrays import DoubleArray, LongArray
from slategym.envs.classic_constants import CHOICE_MODELS
from slategym.envs.classic_draws import exp, log

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
        weights: (N, K + 1) scores of the places, then the no-click mass.
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
        for n in range(weights.shape[0]):
            left = 1.0
            for i in range(weights.shape[1] - 1):
                chance = attention_prob * min(score_scaling * weights[n, i], 1.0)
                weights[n, i] = left * chance
                left *= 1.0 - chance
            weights[n, weights.shape[1] - 1] = left


@numba.njit(forceinline=True, error_model="numpy")
def _subtract_most(scores: DoubleArray) -> None:
    """Subtract each row's largest score, so that no exponential overflows."""
    for n in range(scores.shape[0]):
        most = scores[n, 0]
        for i in range(scores.shape[1]):
            most = max(most, scores[n, i])
        for i in range(scores.shape[1]):
            scores[n, i] -= most


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
def again(slate: LongArray, place: int) -> int:
    """Return how often the document of a place was shown before it in the slate."""
    count = 0
    for j in range(place):
        count += slate[j] == slate[place]
    return count


@numba.njit(forceinline=True, error_model="numpy")
def race(speeds: DoubleArray) -> int:
    """Return the place that is chosen, or -1: each with chance weight / sum of weights.

    An exponential race: each place, and choosing nothing, has an exponential clock of mean one,
    and rings at clock / weight; the first to ring is chosen. A clock belongs to the candidate,
    not to its place, so a document meets the same luck in every slate it is part of; one that
    is shown twice has two clocks.

    Args:
        speeds: (K + 1,) weight / clock of the places, then of choosing nothing.
    """
    count = len(speeds) - 1
    chosen, most = -1, speeds[count]
    for i in range(count):
        chosen = i if speeds[i] > most else chosen
        most = max(speeds[i], most)
    return chosen


@numba.njit(forceinline=True, error_model="numpy")
def speeds_from(weights: DoubleArray, u: DoubleArray) -> None:
    """Divide weights by exponential clocks of mean one, in place.

    Args:
        weights: (N, K + 1) see `weigh`.
        u: (N, K + 1) uniform numbers.
    """
    speeds, numbers = weights.reshape(-1), u.reshape(-1)
    for i in range(len(speeds)):
        speeds[i] = -speeds[i] / log(numbers[i])
