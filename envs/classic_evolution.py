"""Interest evolution, one user at a time: videos cost time, and change what one likes.

RecSim's interest_evolution.py with its utility-model samplers (Ie et al. 2019, SlateQ, section
6). Columns of the user: 20 interests in [-1, 1], then the time budget in minutes.
"""

# ruff: noqa: ARG001  the families' functions take the same arguments

import numba
import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import DoubleArray, FloatArray, KeyArray
from slategym.envs.classic_choice import again, lone_score, race, speeds_from, weigh
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
_SAME = -1.0  # a video was made in the step that shows it: its draw decides both
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
def prepare(
    rules: EvolutionRules, users: State, slates: KeyArray, out: Response, luck: Luck
) -> None:
    """Draw what chance decides for a block of users: clocks, and quality of what is shown.

    The clock of a candidate is the upper half of its draw of the step, its quality the lower
    half of its draw of the step in which it was made: the same draw, unless candidates stay.
    """
    block, size = slates.shape
    count = np.uint64(users.cluster.shape[1])
    numbers = luck.work.bits[: block * (size + 1)]
    rows, noise = numbers.reshape(block, size + 1), luck.noise
    for n in range(block):
        at = _step_key(users.counters[n, KEY], users.counters[n, STEP])
        drawn = users.counters[n, DRAWN]
        rows[n, size], luck.weights[n, size] = counter(at, NOTHING, 0), rules.no_click_mass
        for i in range(size):
            position, before = slates[n, i], again(slates[n], i)
            c = users.cluster[n, position]
            rows[n, i] = counter(at, SHOWN, position + count * before)
            luck.weights[n, i], luck.mean[n, i] = users.user[n, c], rules.cluster_means[c]
            noise[n, i] = _SAME
            if drawn != at or before > np.uint64(0):
                noise[n, i] = quality_luck(drawn, position)
    mix_all(numbers)
    clocks = luck.clocks.reshape(-1)
    for i in range(len(numbers)):
        clocks[i] = uniform_from(upper(numbers[i]))
    for n in range(block):
        luck.drift[n] = uniform_from(lower(rows[n, size]))
        for i in range(size):
            same = uniform_from(lower(rows[n, i]))
            noise[n, i] = same if noise[n, i] == _SAME else noise[n, i]
    weigh(
        luck.weights, rules.choice_model, rules.min_normalizer,
        rules.attention_prob, rules.score_scaling,
    )  # fmt: skip
    speeds_from(luck.weights, luck.clocks)
    _see_quality(rules, out, luck)


@_compiled
def _see_quality(rules: EvolutionRules, out: Response, luck: Luck) -> None:
    """Write the quality of what is shown, and that nothing was watched or liked yet."""
    quality, mean, u = luck.quality.reshape(-1), luck.mean.reshape(-1), luck.noise.reshape(-1)
    normals(u, quality, luck.work.real[0], luck.work.index)
    watched, liked, seen = out.second.reshape(-1), out.third.reshape(-1), out.fourth.reshape(-1)
    for i in range(len(quality)):
        quality[i] = mean[i] + rules.quality_stddev * quality[i]
        seen[i] = quality[i]
        watched[i] = 0.0
        liked[i] = 0.0


@_compiled
def meet(
    rules: EvolutionRules, users: State, slates: KeyArray, out: Response, luck: Luck, n: int
) -> tuple[int, float, float, bool]:
    """Show a slate to the n-th user of a block: choice, watch time, drift and budget.

    Returns:
        The place clicked or -1, the reward in minutes, the value in [0, 1] that the history
        keeps, and whether the budget is spent.
    """
    user, slot = users.user[n], race(luck.weights[n])
    if slot < 0:
        user[BUDGET] -= rules.step_penalty
        return slot, 0.0, 0.0, user[BUDGET] <= 0.0
    c = users.cluster[n, slates[n, slot]]
    interest, quality = user[c], luck.quality[n, slot]
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
    out.second[n, slot] = watched
    value = watched / rules.video_length if rules.video_length > 0.0 else 0.0
    return slot, watched, value, user[BUDGET] <= 0.0


@_compiled
def put_user(rules: EvolutionRules, user: DoubleArray, out: FloatArray) -> None:
    """Write what is seen of the user: the interests."""
    for z in range(len(out)):
        out[z] = user[z]


@_compiled
def put_documents(
    rules: EvolutionRules, clusters: AnyArray, features: FloatArray, out: FloatArray
) -> None:
    """Write what is seen of videos: their clusters, one-hot."""
    for n in range(len(clusters)):
        row = out[N_TOPICS * n : N_TOPICS * (n + 1)]
        for z in range(N_TOPICS):
            row[z] = 0.0
        row[clusters[n]] = 1.0


@_compiled
def progress(rules: EvolutionRules, step: int) -> float:
    """Return how far an episode of unknown length is: steps / (steps + 100), in [0, 1)."""
    return step / (step + 100.0)


@_compiled
def tally_document(
    rules: EvolutionRules, cluster: int, feature: float, sums: FloatArray, at: int
) -> None:
    """Add nothing: interests are seen, so what was clicked and shown tells no more of them."""
