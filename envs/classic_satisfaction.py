"""Long-term satisfaction, one user at a time: clickbait engages now and harms later.

RecSim's long_term_satisfaction.py ("choc" and "kale"). Columns of the user: net positive
exposure (NPE), satisfaction in (0, 1), steps left.
"""

# ruff: noqa: ARG001  the families' functions take the same arguments

import numba
import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import AnyArray, DoubleArray, FloatArray, KeyArray
from slategym.envs.classic_draws import (
    CLICKBAIT,
    ENGAGEMENT,
    EXPOSURE,
    counter,
    exp,
    lower,
    mix_all,
    normals,
    sigmoid,
    single_from,
    uniform_from,
    upper,
)
from slategym.envs.classic_state import (
    DRAWN,
    Luck,
    Response,
    SatisfactionRules,
    State,
    Work,
)

NPE, SATISFACTION, LEFT = 0, 1, 2
"""Columns of the user."""
NAMES = ("click", "engagement", "clickbait")
"""The quantities of a response, in the order of `Response.real`."""
MOST_ENGAGEMENT = 100.0
"""What RecSim's response shows at most; the reward is not cut."""
_LOG_MOST = 4.605170185988092
_bits, _step_key, _uniform = rng.bits, rng.step_key, rng.uniform
_compiled = numba.njit(forceinline=True, error_model="numpy")


@_compiled
def draw_user(rules: SatisfactionRules, at: np.uint64, user: DoubleArray) -> None:
    """Write a new user: NPE uniform on (-.5, .5) / (1 - memory discount)."""
    start = _uniform(_bits(at, EXPOSURE, 0)) - 0.5
    user[NPE] = start * (1.0 / (1.0 - rules.memory_discount))
    user[SATISFACTION] = sigmoid(rules.sensitivity * user[NPE])
    user[LEFT] = rules.time_budget


@_compiled
def draw_candidates(rules: SatisfactionRules, users: State, work: Work) -> None:
    """Write new documents for a block of users: clickbait (``feature``) uniform on (0, 1).

    Two documents share a draw.
    """
    block, size = users.feature.shape
    pairs = (size + 1) // 2
    numbers = work.bits[: block * pairs]
    rows = numbers.reshape(block, pairs)
    for n in range(block):
        for pair in range(pairs):
            rows[n, pair] = counter(users.counters[n, DRAWN], CLICKBAIT, pair)
    mix_all(numbers)
    if size % 2 == 0:  # then the documents lie in the order of the draws
        features = users.feature.reshape(-1)
        for i in range(len(numbers)):
            features[2 * i] = single_from(upper(numbers[i]))
            features[2 * i + 1] = single_from(lower(numbers[i]))
        return
    for n in range(block):
        for c in range(size):
            number = rows[n, c // 2]
            users.feature[n, c] = single_from(lower(number) if c % 2 else upper(number))


@_compiled
def engagement_location(rules: SatisfactionRules, clickbait: float, satisfaction: float) -> float:
    """Return the mean of log engagement."""
    location = clickbait * rules.choc_mean + (1.0 - clickbait) * rules.kale_mean
    return location * satisfaction


@_compiled
def engagement_scale(rules: SatisfactionRules, clickbait: float) -> float:
    """Return the standard deviation of log engagement."""
    return clickbait * rules.choc_stddev + (1.0 - clickbait) * rules.kale_stddev


@_compiled
def exposure_after(
    rules: SatisfactionRules, exposure: float, clickbait: float, innovation: float
) -> float:
    """Return NPE after a document was consumed."""
    return rules.memory_discount * exposure - 2.0 * (clickbait - 0.5) + innovation


@_compiled
def meet(
    rules: SatisfactionRules, users: State, slates: KeyArray, out: Response, luck: Luck
) -> None:
    """Show slates to a block of users, who consume their first documents.

    Writes place 0, the engagement, its logarithm as a share of the most RecSim shows, and
    whether no step is left.
    """
    block, size = slates.shape
    numbers, real = luck.work.bits[:block], luck.work.real
    u, noise, level, exposure = real[0], real[1], real[2], real[3]
    for n in range(block):
        numbers[n] = counter(luck.at[n], ENGAGEMENT, 0)
    mix_all(numbers)
    for n in range(block):
        u[n], u[block + n] = uniform_from(upper(numbers[n])), uniform_from(lower(numbers[n]))
    normals(u[: 2 * block], noise[: 2 * block], level, luck.work.order)
    second = out.second.reshape(-1)
    for i in range(len(second)):
        second[i] = 0.0
    for i in range(size):
        for n in range(block):
            out.third[n, i] = users.feature[n, slates[n, i]]
    for n in range(block):
        clickbait = np.float64(out.third[n, 0])
        level[n] = engagement_location(rules, clickbait, users.user[n, SATISFACTION])
        level[n] += engagement_scale(rules, clickbait) * noise[n]
        innovation = rules.innovation_stddev * noise[block + n]
        exposure[n] = exposure_after(rules, users.user[n, NPE], clickbait, innovation)
    for n in range(block):
        u[n] = exp(level[n])
        noise[n] = sigmoid(rules.sensitivity * exposure[n])
    for n in range(block):
        user = users.user[n]
        user[NPE], user[SATISFACTION] = exposure[n], noise[n]
        user[LEFT] -= 1.0
        out.second[n, 0], out.reward[n] = min(u[n], MOST_ENGAGEMENT), u[n]
        luck.slot[n], luck.value[n] = 0, min(max(level[n] / _LOG_MOST, 0.0), 1.0)
        out.terminated[n] = user[LEFT] <= 0.0


@_compiled
def put_user(rules: SatisfactionRules, user: DoubleArray, out: FloatArray) -> None:
    """Write what is seen of the users: nothing."""
    for n in range(len(user)):
        out[n, 0] = 0.0


@_compiled
def put_document(
    rules: SatisfactionRules, cluster: int, feature: float, out: FloatArray, start: int
) -> None:
    """Write what is seen of a document: its clickbait."""
    out[start] = feature


@_compiled
def put_documents(
    rules: SatisfactionRules, clusters: AnyArray, features: FloatArray, out: FloatArray
) -> None:
    """Write what is seen of documents: their clickbait."""
    for n in range(len(out)):
        out[n] = features[n]


@_compiled
def progress(rules: SatisfactionRules, step: int) -> float:
    """Return the share of the episode that is over."""
    return min(step / rules.time_budget, 1.0)


@_compiled
def tally_document(
    rules: SatisfactionRules, cluster: int, feature: float, weight: float, sums: FloatArray, at: int
) -> None:
    """Add a document's clickbait to the sums of what was consumed or shown."""
    sums[at] += feature * weight
