"""Interest exploration, one user at a time: hidden affinities to topics, shown by clicks only.

RecSim's interest_exploration.py. Columns of the user: affinity to each topic, then the type.
"""

# ruff: noqa: ARG001  the families' functions take the same arguments

import numba
import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import AnyArray, DoubleArray, FloatArray, KeyArray
from slategym.envs.classic_choice import any_again, count_again, race, speeds_from, weigh
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
    normals(u, noise, work.real[2], work.order)
    for i in range(total):
        z = topics[i]
        u[i] = rules.topics[TOPIC_MEAN, z] + rules.topics[TOPIC_STDDEV, z] * noise[i]
    qualities = users.feature.reshape(-1)
    for i in range(total):
        qualities[i] = exp(u[i])


@_compiled
def meet(
    rules: ExplorationRules, users: State, slates: KeyArray, out: Response, luck: Luck
) -> None:
    """Show slates to a block of users: choice by affinity plus quality.

    Writes the place clicked or -1, the reward and the value for the history (1 for a click), and
    that nobody leaves.
    """
    block, size = slates.shape
    numbers = luck.work.bits[: block * (size + 1)]
    rows, clocks = numbers.reshape(size + 1, block), luck.clocks.reshape(-1)
    for n in range(block):
        rows[size, n], luck.weights[size, n] = counter(luck.at[n], NOTHING, 0), rules.no_click_mass
    for i in range(size):
        for n in range(block):
            position = slates[n, i]
            rows[i, n] = counter(luck.at[n], SHOWN, position)
            quality = users.feature[n, position]
            affinity = users.user[n, np.int64(users.cluster[n, position])]
            luck.weights[i, n], out.second[n, i] = affinity + quality, quality
    if any_again(slates):
        count_again(slates, luck.at, users.cluster.shape[1], SHOWN, rows)
    mix_all(numbers)
    for i in range(len(numbers)):
        clocks[i] = uniform_from(upper(numbers[i]))
    weigh(
        luck.weights, rules.choice_model, rules.min_normalizer,
        rules.attention_prob, rules.score_scaling,
    )  # fmt: skip
    speeds_from(luck.weights, luck.clocks)
    race(luck.weights, luck.most, luck.slot)
    for n in range(block):
        click = 1.0 if luck.slot[n] >= 0 else 0.0
        out.reward[n], luck.value[n], out.terminated[n] = click, click, False


@_compiled
def put_user(rules: ExplorationRules, user: DoubleArray, out: FloatArray) -> None:
    """Write what is seen of the users: nothing."""
    for n in range(len(user)):
        out[n, 0] = 0.0


@_compiled
def put_document(
    rules: ExplorationRules, cluster: int, feature: float, out: FloatArray, start: int
) -> None:
    """Write what is seen of a document into zeros: quality, and the topic, one-hot."""
    out[start] = feature
    out[start + 1 + cluster] = 1.0


@_compiled
def put_documents(
    rules: ExplorationRules, clusters: AnyArray, features: FloatArray, out: FloatArray
) -> None:
    """Write what is seen of documents, 1 + Z entries each."""
    width = 1 + rules.topics.shape[1]
    for i in range(len(out)):
        out[i] = 0.0
    for n in range(len(clusters)):
        out[width * n] = features[n]
        out[width * n + 1 + np.int64(clusters[n])] = 1.0


@_compiled
def progress(rules: ExplorationRules, step: int) -> float:
    """Return the share of the horizon that is over."""
    return step / rules.horizon


@_compiled
def tally_document(
    rules: ExplorationRules, cluster: int, feature: float, weight: float, sums: FloatArray, at: int
) -> None:
    """Add a document to the sums of what was consumed or shown."""
    sums[at + np.int64(cluster)] += weight
