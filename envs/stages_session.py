"""The stages of a step that begin and end sessions and episodes, compiled."""

import math

import numba
import numpy as np

from slategym.envs import physics, rng, stages, state
from slategym.envs.arrays import AnyArray, BoolArray, Record
from slategym.envs.stages import Scratch
from slategym.envs.state import Items, People, Response, Users

_draw, _below, _normal, _uniform = rng.bits, rng.below, rng.normal, rng.uniform
_exponential, _episode_key, _step_key = rng.exponential, rng.episode_key, rng.step_key
_RNG_USER, _TASTE, _MOOD, _CHURN = rng.USER, rng.TASTE, rng.MOOD, rng.CHURN
_RNG_GAP, _RNG_START, _INTENT = rng.GAP, rng.START, rng.INTENT
_SEARCH, _WALLET = rng.SEARCH, rng.WALLET
_value, _level, _logistic = physics.predicted_value, physics.satisfaction, physics.logistic
_refresh, _begin_step = stages.refresh, stages.begin_step
_SEED, _STREAM, _EPISODE = state.SEED, state.STREAM, state.EPISODE
_STEP, _USER, _SESSION, _START = state.STEP, state.USER, state.SESSION, state.START
_QUERY, _OWNED_AT, _VECTORS_AT = state.QUERY, state.OWNED_AT, state.VECTORS_AT
_BIAS, _PATIENCE, _USED, _DAY = state.TASTE_BIAS, state.PATIENCE, state.USED, state.DAY
_GAP, _EXPOSURE, _MONEY = state.GAP, state.EXPOSURE, state.MONEY
_CLICK, _WATCHED, _RATED, _MINUTES_OF = state.CLICK, state.WATCH, state.RATED, state.MINUTES_OF
_LIKED, _SKIPPED, _SHARED = state.LIKE, state.SKIP, state.SHARE
_CARTED, _BOUGHT, _PRICE = state.CART, state.PURCHASE, state.PRICE
# The mood of a session's start is drawn apart from the moods of its steps.
_AT_START = 1 << 20


@numba.njit(inline="always")
def begin_session(
    rules: Record, items: Items, users: Users, topics: int, b: int, at: np.uint64
) -> None:
    """Give a user what a visit begins with: patience, minutes, mood, a need, money."""
    numbers = users.numbers
    numbers[b, _PATIENCE], numbers[b, _USED] = rules.patience, 0.0
    if rules.on_mood == 1:
        for z in range(topics):
            noise = _normal(_draw(at, _MOOD, _AT_START + z))
            numbers[b, rules.at_mood + z] = rules.mood_spread * noise
    if rules.on_purchase == 1:
        noise = rules.wallet_spread * _normal(_draw(at, _WALLET, 0))
        numbers[b, _MONEY] += rules.wallet_median * math.exp(noise)
    if rules.on_needs == 1:
        best, wanted = -np.inf, 0
        for t in range(np.int64(rules.intent_tries)):
            i = _below(_draw(at, _INTENT, t), len(items.rows))
            value = _value(rules, 0.0, items.rows, i, numbers, b)
            if value > best and items.rows[i, rules.at_topics] >= 0.0:
                best, wanted = value, _main_topic(rules, items.rows, i)
        for z in range(topics):
            numbers[b, rules.at_need + z] = rules.need_base
        numbers[b, rules.at_need + wanted] = 1.0
        searched = _uniform(_draw(at, _SEARCH, 0)) < rules.search_rate
        users.counts[b, _QUERY] = wanted if searched else -1


@numba.njit(inline="always")
def _main_topic(rules: Record, rows: AnyArray, i: int) -> int:
    """Return the topic with the largest share of an item, the first of equals."""
    best, topic = -1.0, 0
    for t in range(rules.at_topics, rules.at_topics + rules.topics_each):
        share = np.float64(rows[i, t + rules.topics_each])
        if rows[i, t] >= 0.0 and share > best:
            best, topic = share, int(rows[i, t])
    return topic


@numba.njit
def begin_rows(
    rules: Record, items: Items, people: People, users: Users, rows: BoolArray,
    scratch: Scratch,
) -> None:  # fmt: skip
    """Draw the user of a new episode, and the first candidates, for each row of the mask."""
    numbers, counts, topics = users.numbers, users.counts, rules.topics
    for b in range(len(rows)):
        if not rows[b]:
            continue
        episode = _episode_key(
            users.keys[b, _SEED], users.keys[b, _STREAM], users.keys[b, _EPISODE]
        )
        at = _step_key(episode, np.uint64(0))
        u = people.pool[_below(_draw(at, _RNG_USER, 0), len(people.pool))]
        for column in range(counts.shape[1]):
            counts[b, column] = -1 if column >= _QUERY else 0
        for column in range(numbers.shape[1]):
            numbers[b, column] = 0.0
        counts[b, _USER], numbers[b, _BIAS] = u, people.bias[u]
        if rules.on_ageing == 1:
            counts[b, _START] = _below(_draw(at, _RNG_START, 0), np.int64(rules.calendar))
        for f in range(people.factors.shape[1]):
            spread = rules.taste_spread * np.float64(people.std[u, f])
            noise = spread * _normal(_draw(at, _TASTE, f))
            numbers[b, rules.at_taste + f] = np.float64(people.factors[u, f]) + noise
        if rules.on_creators == 1:
            for m in range(np.int64(rules.creators)):
                numbers[b, rules.at_vigour + m] = 1.0
        for h in range(users.history.shape[1]):
            users.history[b, h] = people.history[u, h]
            numbers[b, rules.at_history_value + h] = people.history_value[u, h]
        begin_session(rules, items, users, topics, b, at)
        _begin_step(rules, users, scratch, b, b + 1)
        _refresh(rules, items, users, people, scratch, b, b + 1)


@numba.njit
def leave(
    rules: Record, items: Items, users: Users, out: Response, scratch: Scratch, lo: int, hi: int
) -> None:
    """End sessions and episodes."""
    numbers, terms = users.numbers, out.terms
    for b in range(lo, hi):
        n = b - lo
        numbers[b, _USED] += rules.browse_minutes
        bored = rules.on_patience == 1 and numbers[b, _PATIENCE] <= 0.0
        spent = rules.on_budget == 1 and 0.0 < rules.minute_budget <= numbers[b, _USED]
        if bored or spent:
            level = _level(rules, np.float64(numbers[b, _EXPOSURE]))
            out.visit[0, b] = 1.0
            terms[4, b] = -rules.leave_weight if bored else 0.0
            terms[15, b] = rules.content_weight * level
            if rules.variety_weight != 0.0:
                variety = _variety(rules, numbers, b, rules.topics)
                terms[16, b] = rules.variety_weight * variety
            if rules.on_returning == 0:
                out.ended[0, b] = True
            else:
                _go_away(rules, items, users, out, scratch, b, n, level)
        if users.counts[b, _STEP] >= rules.horizon and not out.ended[0, b]:
            out.ended[1, b] = True


@numba.njit(inline="always")
def _variety(rules: Record, numbers: AnyArray, b: int, topics: int) -> float:
    """Return the Gini-Simpson index of what was consumed lately; 0 if nothing was."""
    total = square = 0.0
    for z in range(topics):
        total += np.float64(numbers[b, rules.at_consumed + z])
    if total <= 0.0:
        return 0.0
    for z in range(topics):
        share = np.float64(numbers[b, rules.at_consumed + z]) / total
        square += share * share
    return 1.0 - square


@numba.njit(inline="always")
def _go_away(
    rules: Record, items: Items, users: Users, out: Response, scratch: Scratch, b: int, n: int,
    level: float,
) -> None:  # fmt: skip
    """End a session: never to return, or to return after some days; see `Returning`."""
    pull, at, numbers = 2.0 * level - 1.0, scratch.at[n], users.numbers
    never = _logistic(rules.churn_intercept - rules.churn_sensitivity * pull)
    if _uniform(_draw(at, _CHURN, 0)) < never:
        out.ended[0, b] = True
        out.terms[14, b] = -rules.churn_weight
        return
    longest = rules.gap_mean * math.exp(-rules.gap_sensitivity * pull)
    gap = rules.gap_min + longest * _exponential(_draw(at, _RNG_GAP, 0))
    out.visit[1, b] = gap
    out.terms[12, b], out.terms[13, b] = rules.returned_weight, -rules.away_weight * gap
    numbers[b, _DAY] += gap
    numbers[b, _GAP] = gap
    users.counts[b, _SESSION] += 1
    if numbers[b, _DAY] >= rules.days:
        out.ended[1, b] = True
        return
    rest, topics = rules.rest_per_day**gap, rules.topics
    for z in range(topics):
        numbers[b, rules.at_consumed + z] = numbers[b, rules.at_shown + z] = 0.0
        if rules.on_satiation == 1:
            numbers[b, rules.at_satiation + z] *= rest
            if rules.on_boredom == 1 and numbers[b, rules.at_satiation + z] <= rules.rested_at:
                numbers[b, rules.at_bored + z] = 0.0
    # With the key of the coming step: the one of this step began a session already at step 0.
    keys = users.keys
    episode = _episode_key(keys[b, _SEED], keys[b, _STREAM], keys[b, _EPISODE])
    coming = _step_key(episode, np.uint64(users.counts[b, _STEP]))
    begin_session(rules, items, users, topics, b, coming)


@numba.njit
def settle(rules: Record, items: Items, out: Response, scratch: Scratch, lo: int, hi: int) -> None:
    """Write the weighted terms of the reward and their sum; see `Reward`."""
    terms, signals = out.terms, out.signals
    several = len(signals) > 4
    for b in range(lo, hi):
        alike = 0.0
        for z in range(scratch.mean.shape[1]):
            alike += scratch.mean[b - lo, z] * scratch.mean[b - lo, z]
        something = False
        for k in range(out.slate.shape[1]):
            something |= out.slate[b, k] >= 0
        terms[5, b] = rules.diversity_weight * (1.0 - alike) if something else 0.0
        if rules.on_creators == 1:
            terms[17, b] = -rules.creators_weight * scratch.lost[b - lo]
        for k in range(out.slate.shape[1]):
            if signals[_CLICK, b, k] == 0.0:
                continue
            terms[0, b] += rules.click_weight
            terms[1, b] += rules.watch_weight * np.float64(signals[_WATCHED, b, k])
            terms[2, b] += rules.minutes_weight * np.float64(signals[_MINUTES_OF, b, k])
            terms[3, b] += rules.rating_weight * np.float64(signals[_RATED, b, k])
            if several:
                price = np.float64(items.rows[out.slate[b, k], _PRICE])
                terms[6, b] += rules.like_weight * np.float64(signals[_LIKED, b, k])
                terms[7, b] -= rules.skip_weight * np.float64(signals[_SKIPPED, b, k])
                terms[8, b] += rules.share_weight * np.float64(signals[_SHARED, b, k])
                terms[9, b] += rules.cart_weight * np.float64(signals[_CARTED, b, k])
                bought = np.float64(signals[_BOUGHT, b, k])
                terms[10, b] += rules.purchase_weight * bought
                terms[11, b] += rules.revenue_weight * bought * price
        total = 0.0
        for j in range(rules.paid):
            total += np.float64(terms[j, b])
        out.reward[b] = total
