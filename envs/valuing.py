"""What an oracle may know of each candidate: how it attracts now, and what taking it is worth."""

import math

import numba
import numpy as np

from slategym.envs import physics, stages, state
from slategym.envs.arrays import FloatArray, Record
from slategym.envs.state import Items, People, Users

_value, _logit, _along = physics.predicted_value, physics.click_logit, physics.along_topics
_logistic, _calendar, _now = physics.logistic, physics.calendar_key, physics.calendar_step
_lure = stages.lure
_CLICKBAIT, _DURATION, _PRICE = state.CLICKBAIT, state.DURATION, state.PRICE
_BIAS, _MONEY, _DAY = state.TASTE_BIAS, state.MONEY, state.DAY
_SEED, _START, _STEP = state.SEED, state.START, state.STEP


@numba.njit(forceinline=True)
def _mean_logistic(x: float, spread: float) -> float:
    """Return the mean of logistic(x + spread N(0, 1)), by the probit approximation.

    MacKay (1992), "The evidence framework applied to classification networks", eq. 12.
    """
    return _logistic(x / math.sqrt(1.0 + math.pi * spread * spread / 8.0))


@numba.njit
def _skipped(rules: Record, x: float) -> float:
    """Return the probability that a watched fraction of mean logit x is a skip."""
    if rules.skip_below <= 0.0 or rules.skip_below >= 1.0:
        return 1.0 if rules.skip_below > 0.0 else 0.0
    edge = math.log(rules.skip_below / (1.0 - rules.skip_below))
    if rules.watch_noise == 0.0:
        return 1.0 if x < edge else 0.0
    return 0.5 * math.erfc((x - edge) / (rules.watch_noise * math.sqrt(2.0)))


@numba.njit
def _worth(
    rules: Record, items: Items, users: Users, b: int, i: int, value: float, tired: float
) -> float:
    """Return the mean reward of this step if the item is taken, but for the terms of a slate."""
    taste = rules.taste_scale * _logit(rules, value)
    bait = np.float64(items.rows[i, _CLICKBAIT])
    total, watch = rules.click_weight, 0.0
    if rules.on_watch == 1:
        x = rules.watch_intercept + rules.watch_scale * taste
        x = x - rules.watch_clickbait * (bait - 0.5) - rules.watch_satiation * tired
        watch = _mean_logistic(x, rules.watch_noise)
        total += rules.watch_weight * watch
        total += rules.minutes_weight * watch * np.float64(items.rows[i, _DURATION])
        total -= rules.skip_weight * rules.on_skip * _skipped(rules, x)
    if rules.on_rating == 1:
        raw = value - rules.rating_satiation * tired - rules.value_low
        raw = raw / (rules.value_high - rules.value_low)
        total += rules.rating_weight * min(max(raw, 0.0), 1.0)
    if rules.on_like == 1:
        wish = rules.like_intercept + rules.like_scale * taste - rules.like_clickbait * bait
        total += rules.like_weight * _logistic(wish)
    if rules.on_share == 1:
        total += rules.share_weight * rules.share_rate * watch
    if rules.on_purchase == 1:
        total += _sale(rules, items, users, b, i, taste)
    return total


@numba.njit
def _sale(rules: Record, items: Items, users: Users, b: int, i: int, taste: float) -> float:
    """Return the mean reward of cart and purchase of an item viewed."""
    price, left = np.float64(items.rows[i, _PRICE]), np.float64(users.numbers[b, _MONEY])
    need = 0.0
    if rules.on_needs == 1:
        need = _along(rules, users.numbers, b, rules.at_need, items.rows, i)
    wish = rules.cart_intercept + rules.cart_scale * taste + rules.need_pull * need
    cart = _logistic(wish - rules.price_weight * math.log(price))
    total = rules.cart_weight * cart
    if price <= left:
        wish = rules.buy_intercept + rules.buy_scale * taste
        buy = cart * _logistic(wish - rules.price_weight * math.log(price / left))
        total += (rules.purchase_weight + rules.revenue_weight * price) * buy
    return total


@numba.njit
def value_candidates(
    rules: Record, items: Items, users: Users, people: People, logit: FloatArray,
    utility: FloatArray, worth: FloatArray,
) -> None:  # fmt: skip
    """Write for each candidate its click logit, its utility now, and its worth if taken."""
    for b in range(logit.shape[0]):
        base = rules.mean + np.float64(users.numbers[b, _BIAS])
        calendar, now = np.uint64(0), 0
        if rules.on_ageing == 1:
            start, step = users.counts[b, _START], users.counts[b, _STEP]
            calendar = _calendar(users.keys[b, _SEED])
            now = _now(rules, start, step, np.float64(users.numbers[b, _DAY]))
        for c in range(logit.shape[1]):
            i = c
            if rules.candidate_code != 4:
                i = int(users.candidates[b, c])
            value, tired = _value(rules, base, items.rows, i, users.numbers, b), 0.0
            if rules.on_satiation == 1:
                at = rules.at_satiation
                tired = _along(rules, users.numbers, b, at, items.rows, i)
            logit[b, c] = _logit(rules, value)
            wish = rules.taste_scale * _logit(rules, value) - rules.satiation_weight * tired
            utility[b, c] = wish + _lure(rules, items, users, people, b, i, calendar, now)
            worth[b, c] = _worth(rules, items, users, b, i, value, tired)
