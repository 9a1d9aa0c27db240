"""Long-term satisfaction, one user at a time: clickbait engages now and harms later.

RecSim's long_term_satisfaction.py ("choc" and "kale"). Columns of the user: net positive
exposure (NPE), satisfaction in (0, 1), steps left.
"""

# ruff: noqa: ARG001  the families' functions take the same arguments

import numba
import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import DoubleArray, FloatArray, LongArray
from slategym.envs.classic_draws import (
    CLICKBAIT,
    ENGAGEMENT,
    EXPOSURE,
    exp,
    half,
    normals,
    sigmoid,
    single_from,
    uniform_from,
)
from slategym.envs.classic_state import (
    DRAWN,
    KEY,
    STEP,
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
_LOWER, _S32 = np.uint64(2**32 - 1), np.uint64(32)
_compiled = numba.njit(forceinline=True, error_model="numpy")


@_compiled
def draw_user(rules: SatisfactionRules, at: np.uint64, user: DoubleArray) -> None:
    """Write a new user: NPE uniform on (-.5, .5) / (1 - memory discount)."""
    start = _uniform(_bits(at, EXPOSURE, 0)) - 0.5
    user[NPE] = start * (1.0 / (1.0 - rules.memory_discount))
    user[SATISFACTION] = sigmoid(rules.sensitivity * user[NPE])
    user[LEFT] = rules.time_budget


@_compiled
def draw_candidates(
    rules: SatisfactionRules, state: State, first: int, count: int, work: Work
) -> None:
    """Write new documents for a block of users: clickbait (``feature``) uniform on (0, 1)."""
    size = state.feature.shape[1]
    for b in range(first, first + count):
        at = state.counters[b, DRAWN]
        for c in range(0, size - 1, 2):
            number = _bits(at, CLICKBAIT, c >> 1)
            state.feature[b, c] = single_from(number >> _S32)
            state.feature[b, c + 1] = single_from(number & _LOWER)
        if size & 1:
            state.feature[b, size - 1] = single_from(half(at, CLICKBAIT, size - 1))


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
def prepare(
    rules: SatisfactionRules,
    state: State,
    slates: LongArray,
    out: Response,
    first: int,
    luck: Luck,
) -> None:
    """Draw what chance decides for a block of users, and what follows for all of them at once.

    Rows of ``work`` afterwards: log engagement, engagement, NPE, satisfaction.
    """
    count = len(luck.clocks)
    real = luck.work.real
    a, b, c, d = real[0], real[1], real[2], real[3]
    for n in range(count):
        counters = state.counters[first + n]
        at = _step_key(counters[KEY], counters[STEP])
        number = _bits(at, ENGAGEMENT, 0)
        a[2 * n], a[2 * n + 1] = uniform_from(number >> _S32), uniform_from(number & _LOWER)
    normals(a[: 2 * count], b[: 2 * count], c, luck.work.order)
    shown, size = out.real[2], slates.shape[1]
    for n in range(count):
        for i in range(size):
            shown[(first + n) * size + i] = state.feature[first + n, slates[first + n, i]]
            out.real[1, (first + n) * size + i] = 0.0
        user, clickbait = state.user[first + n], state.feature[first + n, slates[first + n, 0]]
        a[n] = engagement_location(rules, clickbait, user[SATISFACTION])
        a[n] += engagement_scale(rules, clickbait) * b[2 * n]
        innovation = rules.innovation_stddev * b[2 * n + 1]
        c[n] = exposure_after(rules, user[NPE], clickbait, innovation)
    for n in range(count):
        b[n] = exp(a[n])
        d[n] = sigmoid(rules.sensitivity * c[n])


@_compiled
def meet(
    rules: SatisfactionRules,
    state: State,
    slate: LongArray,
    out: Response,
    b: int,
    luck: Luck,
    n: int,
) -> tuple[int, float, float, bool]:
    """Show a slate to user b, the n-th of the block: the first document is consumed.

    Returns:
        Place 0, the engagement, its logarithm as a share of the most RecSim shows, and whether
        no step is left.
    """
    user = state.user[b]
    user[NPE], user[SATISFACTION] = luck.work.real[2, n], luck.work.real[3, n]
    user[LEFT] -= 1.0
    engagement = luck.work.real[1, n]
    out.real[1, b * len(slate)] = min(engagement, MOST_ENGAGEMENT)
    value = min(max(luck.work.real[0, n] / _LOG_MOST, 0.0), 1.0)
    return 0, engagement, value, user[LEFT] <= 0.0


@_compiled
def put_user(rules: SatisfactionRules, user: DoubleArray, out: FloatArray) -> None:
    """Write what is seen of the user: nothing."""
    out[0] = 0.0


@_compiled
def put_document(rules: SatisfactionRules, cluster: int, feature: float, out: FloatArray) -> None:
    """Write what is seen of a document: its clickbait."""
    out[0] = feature


@_compiled
def progress(rules: SatisfactionRules, step: int) -> float:
    """Return the share of the episode that is over."""
    return min(step / rules.time_budget, 1.0)


@_compiled
def tally_document(
    rules: SatisfactionRules, cluster: int, feature: float, sums: FloatArray, at: int
) -> None:
    """Add a document's clickbait to the sums of what was consumed or shown."""
    sums[at] += feature
