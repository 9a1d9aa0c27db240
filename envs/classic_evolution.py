"""Interest evolution, one user at a time: videos cost time, and change what one likes.

RecSim's interest_evolution.py with its utility-model samplers (Ie et al. 2019, SlateQ, section
6). Columns of the user: 20 interests in [-1, 1], then the time budget in minutes.
"""

# ruff: noqa: ARG001  the families' functions take the same arguments

import numba
import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import AnyArray, DoubleArray, FloatArray, KeyArray
from slategym.envs.classic_choice import (
    any_again,
    count_again,
    lone_score,
    race,
    speeds_from,
    weigh,
)
from slategym.envs.classic_constants import N_TOPICS
from slategym.envs.classic_draws import (
    CLUSTER,
    INTEREST,
    NOTHING,
    SHOWN,
    below_from,
    counter,
    lower,
    mix_all,
    normal,
    normals,
    uniform_from,
    upper,
)
from slategym.envs.classic_state import (
    DRAWN,
    EvolutionRules,
    Luck,
    Response,
    State,
    Work,
)

BUDGET = N_TOPICS
"""Column of the user that holds the time budget."""
NAMES = ("click", "watch_time", "liked", "quality")
"""The quantities of a response, in the order of `Response.real`."""
_bits, _step_key, _uniform = rng.bits, rng.step_key, rng.uniform
_compiled = numba.njit(forceinline=True, error_model="numpy")


@_compiled
def draw_user(rules: EvolutionRules, at: np.uint64, user: DoubleArray) -> None:
    """Write a new user: interests uniform on (-1, 1), and the whole time budget."""
    for z in range(N_TOPICS):
        user[z] = 2.0 * _uniform(_bits(at, INTEREST, z)) - 1.0
    user[BUDGET] = rules.time_budget


@_compiled
def draw_candidates(rules: EvolutionRules, users: State, work: Work) -> None:
    """Write new videos for a block of users, clusters uniform; quality waits to be looked at.

    Two videos share a draw.
    """
    block, size = users.cluster.shape
    pairs = (size + 1) // 2
    numbers = work.bits[: block * pairs]
    rows = numbers.reshape(block, pairs)
    for n in range(block):
        for pair in range(pairs):
            rows[n, pair] = counter(users.counters[n, DRAWN], CLUSTER, pair)
    mix_all(numbers)
    if size % 2 == 0:  # then the videos lie in the order of the draws
        clusters = users.cluster.reshape(-1)
        for i in range(len(numbers)):
            clusters[2 * i] = below_from(upper(numbers[i]), N_TOPICS)
            clusters[2 * i + 1] = below_from(lower(numbers[i]), N_TOPICS)
        return
    for n in range(block):
        for c in range(size):
            number = rows[n, c // 2]
            bits32 = lower(number) if c % 2 else upper(number)
            users.cluster[n, c] = below_from(bits32, N_TOPICS)


@_compiled
def quality_of(rules: EvolutionRules, at: np.uint64, cluster: int, position: int) -> float:
    """Return the quality of a candidate: normal about its cluster's mean."""
    noise = normal(quality_luck(at, position))
    return rules.cluster_means[cluster] + rules.quality_stddev * noise


@_compiled
def quality_luck(at: np.uint64, position: np.uint64) -> float:
    """Return the uniform number behind the quality of a candidate."""
    return uniform_from(lower(_bits(at, SHOWN, position)))


@_compiled
def interest_after(rules: EvolutionRules, interest: float, upward: bool) -> float:
    """Return the interest in the clicked cluster after the click (RecSim's update_state).

    The step is (y - y / x |u|) (1 - u) with intercepts x and y, in both directions.
    """
    slope = -rules.alpha_y_intercept / rules.alpha_x_intercept
    step = (slope * abs(interest) + rules.alpha_y_intercept) * (1.0 - interest)
    return min(max(interest + step if upward else interest - step, -1.0), 1.0)


@_compiled
def upward_chance(interest: float) -> float:
    """Return the chance that a click raises the interest."""
    return (interest + 1.0) / 2.0


@_compiled
def watch_time(rules: EvolutionRules, budget: float) -> float:
    """Return the minutes watched of a clicked video: never more than are left."""
    return min(budget, rules.video_length)


@_compiled
def budget_after(
    rules: EvolutionRules, budget: float, watched: float, quality: float, score: float
) -> float:
    """Return the budget after a click: less the time watched, plus a share for its utility.

    ``score`` is the expected utility of the clicked video (`lone_score`).
    """
    utility = rules.user_quality_factor * score + rules.document_quality_factor * quality
    return budget - watched + rules.user_update_alpha * watched * utility


@_compiled
def meet(rules: EvolutionRules, users: State, slates: KeyArray, out: Response, luck: Luck) -> None:
    """Show slates to a block of users: choice, watch time, drift and budget.

    Writes the place clicked or -1, the reward in minutes, the value in [0, 1] that the history
    keeps, and whether the budget is spent.
    """
    _draw_luck(rules, users, slates, luck)
    weigh(
        luck.weights, rules.choice_model, rules.min_normalizer,
        rules.attention_prob, rules.score_scaling,
    )  # fmt: skip
    speeds_from(luck.weights, luck.clocks)
    race(luck.weights, luck.most, luck.slot)
    watched, liked = out.second.reshape(-1), out.third.reshape(-1)
    for i in range(len(watched)):
        watched[i] = 0.0
        liked[i] = 0.0
    for i in range(slates.shape[1]):
        for n in range(len(slates)):
            out.fourth[n, i] = luck.quality[i, n]
    _watch(rules, users, slates, out, luck)


@_compiled
def _draw_luck(rules: EvolutionRules, users: State, slates: KeyArray, luck: Luck) -> None:
    """Draw what chance decides for a block of users: clocks, and quality of what is shown.

    The clock of a candidate is the upper half of its draw of the step, its quality the lower
    half of its draw of the step in which it was made: the same draw, unless candidates stay.
    """
    block, size = slates.shape
    numbers = luck.work.bits[: block * (size + 1)]
    rows, u = numbers.reshape(size + 1, block), luck.work.real[1, : block * size]
    for n in range(block):
        rows[size, n], luck.weights[size, n] = counter(luck.at[n], NOTHING, 0), rules.no_click_mass
    for i in range(size):
        for n in range(block):
            c = np.int64(users.cluster[n, slates[n, i]])
            rows[i, n] = counter(luck.at[n], SHOWN, slates[n, i])
            luck.weights[i, n], luck.mean[i, n] = users.user[n, c], rules.cluster_means[c]
    repeated = any_again(slates)
    if repeated:
        count_again(slates, luck.at, users.cluster.shape[1], SHOWN, rows)
    mix_all(numbers)
    clocks, quality, mean = luck.clocks.reshape(-1), luck.quality.reshape(-1), luck.mean.reshape(-1)
    for i in range(len(numbers)):
        clocks[i] = uniform_from(upper(numbers[i]))
    for i in range(len(u)):
        u[i] = uniform_from(lower(numbers[i]))
    for n in range(block):
        luck.drift[n] = uniform_from(lower(rows[size, n]))
    if repeated or not rules.resample_documents:
        for i in range(size):
            for n in range(block):
                u[i * block + n] = quality_luck(users.counters[n, DRAWN], slates[n, i])
    normals(u, quality, luck.work.real[0], luck.work.order)
    for i in range(len(quality)):
        quality[i] = mean[i] + rules.quality_stddev * quality[i]


@_compiled
def _watch(
    rules: EvolutionRules, users: State, slates: KeyArray, out: Response, luck: Luck
) -> None:
    """Let a block of users watch what they clicked. Who clicked nothing computes in vain."""
    for n in range(len(luck.slot)):
        user, slot = users.user[n], luck.slot[n]
        clicked, place = slot >= 0, max(slot, 0)
        c = np.int64(users.cluster[n, slates[n, place]])
        interest, budget = user[c], user[BUDGET]
        watched = watch_time(rules, budget)
        score = 0.0
        if rules.user_quality_factor != 0.0:
            score = lone_score(
                interest, rules.choice_model, rules.no_click_mass, rules.min_normalizer,
                rules.attention_prob, rules.score_scaling,
            )  # fmt: skip
        moved = interest_after(rules, interest, luck.drift[n] < upward_chance(interest))
        user[c] = moved if clicked else interest
        after = budget_after(rules, budget, watched, luck.quality[place, n], score)
        left = after if clicked else budget - rules.step_penalty
        minutes = watched if clicked else 0.0
        user[BUDGET] = left
        out.second[n, place] = minutes
        out.reward[n] = minutes
        luck.value[n] = minutes / rules.video_length if rules.video_length > 0.0 else 0.0
        out.terminated[n] = left <= 0.0


@_compiled
def put_user(rules: EvolutionRules, user: DoubleArray, out: FloatArray) -> None:
    """Write what is seen of the users: the interests."""
    for n in range(len(user)):
        for z in range(N_TOPICS):
            out[n, z] = user[n, z]


@_compiled
def put_document(
    rules: EvolutionRules, cluster: int, feature: float, out: FloatArray, start: int
) -> None:
    """Write what is seen of a video into zeros: its cluster, one-hot."""
    out[start + cluster] = 1.0


@_compiled
def put_documents(
    rules: EvolutionRules, clusters: AnyArray, features: FloatArray, out: FloatArray
) -> None:
    """Write what is seen of videos, N_TOPICS entries each."""
    for i in range(len(out)):
        out[i] = 0.0
    for n in range(len(clusters)):
        out[N_TOPICS * n + np.int64(clusters[n])] = 1.0


@_compiled
def progress(rules: EvolutionRules, step: int) -> float:
    """Return how far an episode of unknown length is: steps / (steps + 100), in [0, 1)."""
    return step / (step + 100.0)


@_compiled
def tally_document(
    rules: EvolutionRules, cluster: int, feature: float, weight: float, sums: FloatArray, at: int
) -> None:
    """Add nothing: interests are seen, so what was clicked and shown tells no more of them."""
