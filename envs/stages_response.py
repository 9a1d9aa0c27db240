"""The stage of a step in which the user gives something back, compiled."""

import math

import numba
import numpy as np

from slategym.envs import physics, rng, state
from slategym.envs.arrays import AnyArray, Record
from slategym.envs.stages import BLOCK, Scratch
from slategym.envs.state import Items, Response, Users

_draw, _normal, _uniform = rng.bits, rng.normal, rng.uniform
_WATCH, _RATING, _LIKE, _SHARE = rng.WATCH, rng.RATING, rng.LIKE, rng.SHARE
_CART, _BUY = rng.CART, rng.BUY
_logit, _along, _logistic = physics.click_logit, physics.along_topics, physics.logistic
_drift, _push, _push_value = physics.drift, physics.push, physics.push_value
_add_topics = physics.add_topics
_CLICK, _WATCHED, _RATED, _MINUTES_OF = state.CLICK, state.WATCH, state.RATED, state.MINUTES_OF
_LIKED, _SKIPPED, _SHARED = state.LIKE, state.SKIP, state.SHARE
_CARTED, _BOUGHT = state.CART, state.PURCHASE
_DURATION, _PRICE, _CLICKBAIT = state.DURATION, state.PRICE, state.CLICKBAIT
_LAST_CLICK, _LAST_WATCH, _CLICKS = state.LAST_CLICK, state.LAST_WATCH, state.CLICKS
_MINUTES, _USED, _EXPOSURE = state.MINUTES, state.USED, state.EXPOSURE
_MONEY, _SPENT, _OWNED_AT = state.MONEY, state.SPENT, state.OWNED_AT


@numba.njit
def respond(
    rules: Record, items: Items, users: Users, out: Response, scratch: Scratch, lo: int, hi: int
) -> None:
    """Write what is given back for each item taken, and how consuming it changes the user."""
    taken, numbers, rows = scratch.taken, users.numbers, items.rows
    for b in range(lo, hi):
        n, clicks, watch = b - lo, 0, 0.0
        scratch.skipped[n] = False
        for z in range(taken.shape[1]):
            taken[n, z] = 0.0
        if rules.on_satisfaction == 1:
            numbers[b, _EXPOSURE] = rules.satisfaction_memory * np.float64(numbers[b, _EXPOSURE])
        for k in range(out.slate.shape[1]):
            if out.signals[_CLICK, b, k] == 0.0:
                continue
            i, clicks = out.slate[b, k], clicks + 1
            watch = watched(rules, rows, numbers, out.signals, scratch, b, k, i)
            if rules.on_like + rules.on_skip + rules.on_share + rules.on_purchase > 0:
                signal(rules, items, users, out, scratch, b, k, watch)
            if rules.on_satisfaction == 1:
                bait = np.float64(rows[i, _CLICKBAIT])
                credit = rules.watch_credit * (watch - rules.watch_expected)
                numbers[b, _EXPOSURE] += credit - rules.clickbait_debt * (bait - 0.5)
            if rules.on_interest_drift == 1:
                _drift(rules, numbers, b, rows, i)
            _push(users.history, b, 0, i)
            _push_value(numbers, b, rules.at_history_value, users.history.shape[1], watch)
            _add_topics(rules, rows, i, taken, n)
        numbers[b, _LAST_CLICK], numbers[b, _LAST_WATCH] = (1.0 if clicks > 0 else 0.0), watch
        numbers[b, _CLICKS] += clicks


@numba.njit(inline="always")
def watched(
    rules: Record, rows: AnyArray, numbers: AnyArray, signals: AnyArray, scratch: Scratch,
    b: int, k: int, i: int,
) -> float:  # fmt: skip
    """Write watched fraction, minutes and rating, and return the fraction; see `Watch`."""
    at, value, tired = (
        scratch.at[b % BLOCK],
        scratch.value[b % BLOCK, k],
        scratch.tired[b % BLOCK, k],
    )
    watch = 0.0
    if rules.on_watch == 1:
        x = rules.watch_intercept + rules.watch_scale * (rules.taste_scale * _logit(rules, value))
        x -= rules.watch_clickbait * (np.float64(rows[i, _CLICKBAIT]) - 0.5)
        noise = rules.watch_noise * _normal(_draw(at, _WATCH, i))
        watch = _logistic(x - rules.watch_satiation * tired + noise)
        minutes = watch * np.float64(rows[i, _DURATION])
        signals[_WATCHED, b, k], signals[_MINUTES_OF, b, k] = watch, minutes
        numbers[b, _MINUTES] += minutes
        numbers[b, _USED] += minutes
    if rules.on_rating == 1:
        raw = value - rules.rating_satiation * tired
        raw += rules.rating_noise * _normal(_draw(at, _RATING, i))
        raw = (raw - rules.value_low) / (rules.value_high - rules.value_low)
        signals[_RATED, b, k] = min(max(raw, 0.0), 1.0)
    return watch


@numba.njit(inline="always")
def signal(
    rules: Record, items: Items, users: Users, out: Response, scratch: Scratch, b: int, k: int,
    watch: float,
) -> None:  # fmt: skip
    """Write like, skip, share, cart and purchase of an item taken; see `parts_feedback`."""
    n, i, signals = b % BLOCK, out.slate[b, k], out.signals
    at, taste = scratch.at[n], rules.taste_scale * _logit(rules, scratch.value[n, k])
    if rules.on_like == 1:
        bait = np.float64(items.rows[i, _CLICKBAIT])
        wish = rules.like_intercept + rules.like_scale * taste - rules.like_clickbait * bait
        if _uniform(_draw(at, _LIKE, i)) < _logistic(wish):
            signals[_LIKED, b, k] = 1.0
    if rules.on_skip == 1 and watch < rules.skip_below:
        signals[_SKIPPED, b, k], scratch.skipped[n] = 1.0, True
    if rules.on_share == 1 and _uniform(_draw(at, _SHARE, i)) < rules.share_rate * watch:
        signals[_SHARED, b, k] = 1.0
    if rules.on_purchase == 1:
        _buy(rules, items, users, signals, b, k, i, taste, at)


@numba.njit(inline="always")
def _buy(
    rules: Record, items: Items, users: Users, signals: AnyArray, b: int, k: int, i: int,
    taste: float, at: np.uint64,
) -> None:  # fmt: skip
    """Put an item viewed in the cart, or buy it; see `Purchase` and `Needs`."""
    numbers, rows, each = users.numbers, items.rows, rules.topics_each
    price, left = np.float64(rows[i, _PRICE]), np.float64(numbers[b, _MONEY])
    need = 0.0
    if rules.on_needs == 1:
        need = _along(rules, numbers, b, rules.at_need, rows, i)
    wish = rules.cart_intercept + rules.cart_scale * taste + rules.need_pull * need
    wish -= rules.price_weight * math.log(price)
    if _uniform(_draw(at, _CART, i)) >= _logistic(wish):
        return
    signals[_CARTED, b, k] = 1.0
    if price > left:
        return
    wish = rules.buy_intercept + rules.buy_scale * taste
    wish -= rules.price_weight * math.log(price / left)
    if _uniform(_draw(at, _BUY, i)) >= _logistic(wish):
        return
    signals[_BOUGHT, b, k] = 1.0
    numbers[b, _MONEY] = left - price
    numbers[b, _SPENT] += price
    if rules.on_needs == 1:
        _push(users.counts, b, _OWNED_AT, i)
        for t in range(rules.at_topics, rules.at_topics + each):
            z = int(rows[i, t])
            if z < 0:
                break
            ended = rules.need_fulfilled * np.float64(rows[i, t + each])
            numbers[b, rules.at_need + z] *= 1.0 - ended
