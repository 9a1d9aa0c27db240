"""Interest exploration, one user at a time: hidden affinities to topics, shown by clicks only.

RecSim's interest_exploration.py. Columns of the user: affinity to each topic, then the type.
"""

# ruff: noqa: ARG001  the families' functions take the same arguments

import numba
import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import DoubleArray, FloatArray, LongArray
from slategym.envs.classic_choice import again, race, speeds_from, weigh
from slategym.envs.classic_draws import (
    AFFINITY,
    DOCUMENT,
    NOTHING,
    SHOWN,
    USER_TYPE,
    exp,
    normals,
    uniform_from,
)
from slategym.envs.classic_state import (
    DRAWN,
    KEY,
    STEP,
    ExplorationRules,
    Luck,
    Response,
    State,
    Work,
)

NAMES = ("click", "quality")
"""The quantities of a response, in the order of `Response.real`."""
TOPIC_MEAN, TOPIC_STDDEV = 1, 2
"""Rows of `ExplorationRules.topics`; row 0 holds cumulative chances."""
_bits, _step_key = rng.bits, rng.step_key
_normal, _uniform = rng.normal, rng.uniform
_LOWER, _S32 = np.uint64(2**32 - 1), np.uint64(32)
_compiled = numba.njit(forceinline=True, error_model="numpy")


@_compiled
def category(cumulative: DoubleArray, u: float) -> int:
    """Return the category of a uniform number, given cumulative chances."""
    chosen = 0
    for z in range(len(cumulative) - 1):
        chosen += u >= cumulative[z]
    return chosen


@_compiled
def draw_user(rules: ExplorationRules, at: np.uint64, user: DoubleArray) -> None:
    """Write a new user: a type, and log-normal affinities that go with it."""
    topics = len(user) - 1
    y = category(rules.types, _uniform(_bits(at, USER_TYPE, 0)))
    for z in range(topics):
        noise = rules.affinity[1, y, z] * _normal(_bits(at, AFFINITY, z))
        user[z] = exp(rules.affinity[0, y, z] + noise)
    user[topics] = y


@_compiled
def draw_candidates(
    rules: ExplorationRules, state: State, first: int, count: int, work: Work
) -> None:
    """Write new documents for a block of users: topic and log-normal quality (``feature``).

    Each takes 32 bits for its topic and 32 for its quality.
    """
    size = state.cluster.shape[1]
    u, noise = work.real[0, : count * size], work.real[1, : count * size]
    chances = rules.topics[0]
    for n in range(count):
        at = state.counters[first + n, DRAWN]
        for c in range(size):
            number = _bits(at, DOCUMENT, c)
            state.cluster[first + n, c] = category(chances, uniform_from(number >> _S32))
            u[n * size + c] = uniform_from(number & _LOWER)
    normals(u, noise, work.real[2], work.order)
    for n in range(count):
        for c in range(size):
            z, i = state.cluster[first + n, c], n * size + c
            u[i] = rules.topics[TOPIC_MEAN, z] + rules.topics[TOPIC_STDDEV, z] * noise[i]
    for i in range(count * size):
        noise[i] = exp(u[i])
    for n in range(count):
        for c in range(size):
            state.feature[first + n, c] = noise[n * size + c]


@_compiled
def prepare(
    rules: ExplorationRules,
    state: State,
    slates: LongArray,
    out: Response,
    first: int,
    luck: Luck,
) -> None:
    """Draw what chance decides for a block of users: the clocks of the choice."""
    size, count = slates.shape[1], state.cluster.shape[1]
    for n in range(len(luck.clocks)):
        counters, slate, clocks = state.counters[first + n], slates[first + n], luck.clocks[n]
        cluster, user, weights = state.cluster[first + n], state.user[first + n], luck.weights[n]
        at = _step_key(counters[KEY], counters[STEP])
        clocks[size] = uniform_from(_bits(at, NOTHING, 0) >> _S32)
        weights[size] = rules.no_click_mass
        for i in range(size):
            number = _bits(at, SHOWN, slate[i] + count * again(slate, i))
            clocks[i] = uniform_from(number >> _S32)
            quality = state.feature[first + n, slate[i]]
            weights[i] = user[cluster[slate[i]]] + quality
            out.real[1, (first + n) * size + i] = quality
    weigh(
        luck.weights, rules.choice_model, rules.min_normalizer,
        rules.attention_prob, rules.score_scaling,
    )  # fmt: skip
    speeds_from(luck.weights, luck.clocks)


@_compiled
def meet(
    rules: ExplorationRules,
    state: State,
    slate: LongArray,
    out: Response,
    b: int,
    luck: Luck,
    n: int,
) -> tuple[int, float, float, bool]:
    """Show a slate to user b, the n-th of the block: choice by affinity plus quality.

    Returns:
        The place clicked or -1, the reward (1 for a click), the value for the history, and
        False, for nobody leaves.
    """
    slot = race(luck.weights[n])
    click = 1.0 if slot >= 0 else 0.0
    return slot, click, click, False


@_compiled
def put_user(rules: ExplorationRules, user: DoubleArray, out: FloatArray) -> None:
    """Write what is seen of the user: nothing."""
    out[0] = 0.0


@_compiled
def put_document(rules: ExplorationRules, cluster: int, feature: float, out: FloatArray) -> None:
    """Write what is seen of a document: its quality, and its topic, one-hot."""
    out[0] = feature
    for z in range(rules.topics.shape[1]):
        out[1 + z] = 1.0 if z == cluster else 0.0


@_compiled
def progress(rules: ExplorationRules, step: int) -> float:
    """Return the share of the horizon that is over."""
    return step / rules.horizon


@_compiled
def tally_document(
    rules: ExplorationRules, cluster: int, feature: float, sums: FloatArray, at: int
) -> None:
    """Add a document to the sums of what was consumed or shown."""
    sums[at + cluster] += 1.0
