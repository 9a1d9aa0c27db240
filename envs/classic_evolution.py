"""Interest evolution, one user at a time: videos cost time, and change what one likes.

RecSim's interest_evolution.py with its utility-model samplers (Ie et al. 2019, SlateQ, section
6). Columns of the user: 20 interests in [-1, 1], then the time budget in minutes.
"""

# ruff: noqa: ARG001  the families' functions take the same arguments

import numba
import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import DoubleArray, FloatArray, LongArray
from slategym.envs.classic_choice import again, lone_score, race, speeds_from, weigh
from slategym.envs.classic_constants import N_TOPICS
from slategym.envs.classic_draws import (
    CLUSTER,
    INTEREST,
    NOTHING,
    SHOWN,
    below_from,
    half,
    normal,
    normals,
    uniform_from,
)
from slategym.envs.classic_state import (
    DRAWN,
    KEY,
    STEP,
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
_LOWER, _S32 = np.uint64(2**32 - 1), np.uint64(32)
_compiled = numba.njit(forceinline=True, error_model="numpy")


@_compiled
def draw_user(rules: EvolutionRules, at: np.uint64, user: DoubleArray) -> None:
    """Write a new user: interests uniform on (-1, 1), and the whole time budget."""
    for z in range(N_TOPICS):
        user[z] = 2.0 * _uniform(_bits(at, INTEREST, z)) - 1.0
    user[BUDGET] = rules.time_budget


@_compiled
def draw_candidates(
    rules: EvolutionRules, state: State, first: int, count: int, work: Work
) -> None:
    """Write new videos for a block of users, clusters uniform; quality waits to be looked at."""
    size = state.cluster.shape[1]
    for b in range(first, first + count):
        at = state.counters[b, DRAWN]
        for c in range(0, size - 1, 2):
            number = _bits(at, CLUSTER, c >> 1)
            state.cluster[b, c] = below_from(number >> _S32, N_TOPICS)
            state.cluster[b, c + 1] = below_from(number & _LOWER, N_TOPICS)
        if size & 1:
            state.cluster[b, size - 1] = below_from(half(at, CLUSTER, size - 1), N_TOPICS)


@_compiled
def quality_of(rules: EvolutionRules, at: np.uint64, cluster: int, position: int) -> float:
    """Return the quality of a candidate: normal about its cluster's mean."""
    noise = normal(uniform_from(_bits(at, SHOWN, position) & _LOWER))
    return rules.cluster_means[cluster] + rules.quality_stddev * noise


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
def prepare(
    rules: EvolutionRules,
    state: State,
    slates: LongArray,
    out: Response,
    first: int,
    luck: Luck,
) -> None:
    """Draw what chance decides for a block of users: clocks, and quality of what is shown.

    The clock of a candidate is the upper half of its draw of the step, its quality the lower
    half of its draw of the step in which it was made: the same draw, unless candidates stay.
    """
    size, count = slates.shape[1], state.cluster.shape[1]
    u, mean, noise = luck.work.real[0], luck.work.real[1], luck.work.real[2]
    for n in range(len(luck.clocks)):
        counters, slate, clocks = state.counters[first + n], slates[first + n], luck.clocks[n]
        cluster, user, weights = state.cluster[first + n], state.user[first + n], luck.weights[n]
        at, drawn = _step_key(counters[KEY], counters[STEP]), counters[DRAWN]
        number = _bits(at, NOTHING, 0)
        clocks[size], luck.drift[n] = uniform_from(number >> _S32), uniform_from(number & _LOWER)
        weights[size] = rules.no_click_mass
        for i in range(size):
            before, c = again(slate, i), cluster[slate[i]]
            number = _bits(at, SHOWN, slate[i] + count * before)
            clocks[i] = uniform_from(number >> _S32)
            weights[i], mean[n * size + i] = user[c], rules.cluster_means[c]
            if drawn != at or before > 0:
                number = _bits(drawn, SHOWN, slate[i])
            u[n * size + i] = uniform_from(number & _LOWER)
    weigh(
        luck.weights, rules.choice_model, rules.min_normalizer,
        rules.attention_prob, rules.score_scaling,
    )  # fmt: skip
    speeds_from(luck.weights, luck.clocks)
    quality, start = luck.quality, first * size
    normals(u[: len(quality)], noise[: len(quality)], quality, luck.work.order)
    watched, liked, seen = out.real[1], out.real[2], out.real[3]
    for i in range(len(quality)):
        quality[i] = mean[i] + rules.quality_stddev * noise[i]
        seen[start + i] = quality[i]
        watched[start + i] = liked[start + i] = 0.0


@_compiled
def meet(
    rules: EvolutionRules,
    state: State,
    slate: LongArray,
    out: Response,
    b: int,
    luck: Luck,
    n: int,
) -> tuple[int, float, float, bool]:
    """Show a slate to user b, the n-th of the block: choice, watch time, drift and budget.

    Returns:
        The place clicked or -1, the reward in minutes, the value in [0, 1] that the history
        keeps, and whether the budget is spent.
    """
    user, size = state.user[b], len(slate)
    slot = race(luck.weights[n])
    if slot < 0:
        user[BUDGET] -= rules.step_penalty
        return slot, 0.0, 0.0, user[BUDGET] <= 0.0
    c = state.cluster[b, slate[slot]]
    interest, quality = user[c], luck.quality[n * size + slot]
    watched = watch_time(rules, user[BUDGET])
    score = 0.0
    if rules.user_quality_factor != 0.0:
        score = lone_score(
            interest, rules.choice_model, rules.no_click_mass, rules.min_normalizer,
            rules.attention_prob, rules.score_scaling,
        )  # fmt: skip
    upward = luck.drift[n] < upward_chance(interest)
    user[c] = interest_after(rules, interest, upward)
    user[BUDGET] = budget_after(rules, user[BUDGET], watched, quality, score)
    out.real[1, b * size + slot] = watched
    value = watched / rules.video_length if rules.video_length > 0.0 else 0.0
    return slot, watched, value, user[BUDGET] <= 0.0


@_compiled
def put_user(rules: EvolutionRules, user: DoubleArray, out: FloatArray) -> None:
    """Write what is seen of the user: the interests."""
    for z in range(len(out)):
        out[z] = user[z]


@_compiled
def put_document(rules: EvolutionRules, cluster: int, feature: float, out: FloatArray) -> None:
    """Write what is seen of a video: its cluster, one-hot."""
    for z in range(N_TOPICS):
        out[z] = 0.0
    out[cluster] = 1.0


@_compiled
def progress(rules: EvolutionRules, step: int) -> float:
    """Return how far an episode of unknown length is: steps / (steps + 100), in [0, 1)."""
    return step / (step + 100.0)


@_compiled
def tally_document(
    rules: EvolutionRules, cluster: int, feature: float, sums: FloatArray, at: int
) -> None:
    """Add nothing: interests are seen, so what was clicked and shown tells no more of them."""
