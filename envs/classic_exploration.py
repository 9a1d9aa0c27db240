"""Interest exploration, one user at a time: hidden affinities to topics, shown by clicks only.

RecSim's interest_exploration.py. Columns of the user: affinity to each topic, then the type.
"""

# ruff: noqa: ARG001  the families' functions take the same arguments

import numba
import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import AnyArray, DoubleArray, FloatArray, KeyArray
from slategym.envs.classic_choice import again, race, speeds_from, weigh
from slategym.envs.classic_draws import (
    AFFINITY,
    DOCUMENT,
    NOTHING,
    SHOWN,
    USER_TYPE,
    counter,
    exp,
    lower,
    mix_all,
    normals,
    uniform_from,
    upper,
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
_compiled = numba.njit(forceinline=True, error_model="numpy")


@_compiled
def categories(cumulative: DoubleArray, u: DoubleArray, chosen: AnyArray) -> None:
    """Write the categories of uniform numbers, given cumulative chances."""
    for i in range(len(u)):
        chosen[i] = 0
    for z in range(len(cumulative) - 1):
        for i in range(len(u)):
            chosen[i] += 1 if u[i] >= cumulative[z] else 0


@_compiled
def draw_user(rules: ExplorationRules, at: np.uint64, user: DoubleArray) -> None:
    """Write a new user: a type, and log-normal affinities that go with it."""
    topics = len(user) - 1
    y, u = 0, _uniform(_bits(at, USER_TYPE, 0))
    for other in range(len(rules.types) - 1):
        y += 1 if u >= rules.types[other] else 0
    for z in range(topics):
        noise = rules.affinity[1, y, z] * _normal(_bits(at, AFFINITY, z))
        user[z] = exp(rules.affinity[0, y, z] + noise)
    user[topics] = y


@_compiled
def draw_candidates(rules: ExplorationRules, users: State, work: Work) -> None:
    """Write new documents for a block of users: topic and log-normal quality (``feature``).

    Each takes 32 bits for its topic and 32 for its quality.
    """
    block, size = users.cluster.shape
    total = block * size
    numbers, u, noise = work.bits[:total], work.real[0, :total], work.real[1, :total]
    rows, topics = numbers.reshape(block, size), users.cluster.reshape(-1)
    for n in range(block):
        for c in range(size):
            rows[n, c] = counter(users.counters[n, DRAWN], DOCUMENT, c)
    mix_all(numbers)
    for i in range(total):
        noise[i], u[i] = uniform_from(upper(numbers[i])), uniform_from(lower(numbers[i]))
    categories(rules.topics[0], noise, topics)
    normals(u, noise, work.real[2], work.index)
    for i in range(total):
        z = topics[i]
        u[i] = rules.topics[TOPIC_MEAN, z] + rules.topics[TOPIC_STDDEV, z] * noise[i]
    qualities = users.feature.reshape(-1)
    for i in range(total):
        qualities[i] = exp(u[i])


@_compiled
def prepare(
    rules: ExplorationRules, users: State, slates: KeyArray, out: Response, luck: Luck
) -> None:
    """Draw what chance decides for a block of users: the clocks of the choice."""
    block, size = slates.shape
    count = np.uint64(users.cluster.shape[1])
    numbers = luck.work.bits[: block * (size + 1)]
    rows = numbers.reshape(block, size + 1)
    for n in range(block):
        at = _step_key(users.counters[n, KEY], users.counters[n, STEP])
        rows[n, size], luck.weights[n, size] = counter(at, NOTHING, 0), rules.no_click_mass
        for i in range(size):
            position = slates[n, i]
            rows[n, i] = counter(at, SHOWN, position + count * again(slates[n], i))
            quality = users.feature[n, position]
            luck.weights[n, i] = users.user[n, users.cluster[n, position]] + quality
            out.second[n, i] = quality
    mix_all(numbers)
    clocks = luck.clocks.reshape(-1)
    for i in range(len(numbers)):
        clocks[i] = uniform_from(upper(numbers[i]))
    weigh(
        luck.weights, rules.choice_model, rules.min_normalizer,
        rules.attention_prob, rules.score_scaling,
    )  # fmt: skip
    speeds_from(luck.weights, luck.clocks)


@_compiled
def meet(
    rules: ExplorationRules, users: State, slates: KeyArray, out: Response, luck: Luck, n: int
) -> tuple[int, float, float, bool]:
    """Show a slate to the n-th user of a block: choice by affinity plus quality.

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
def put_documents(
    rules: ExplorationRules, clusters: AnyArray, features: FloatArray, out: FloatArray
) -> None:
    """Write what is seen of documents: quality, and the topic, one-hot."""
    width = 1 + rules.topics.shape[1]
    for i in range(len(out)):
        out[i] = 0.0
    for n in range(len(clusters)):
        row = out[width * n : width * (n + 1)]
        row[0] = features[n]
        row[1 + clusters[n]] = 1.0


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
