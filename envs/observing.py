"""What is observed of users and items, compiled; the layout is in `slategym.envs.spaces`."""

import math

import numba
import numpy as np

from slategym.envs import physics, state
from slategym.envs.arrays import BoolArray, Record
from slategym.envs.state import Items, Observation, People, Users, Views

_calendar, _now, _age = physics.calendar_key, physics.calendar_step, physics.age_of
_fresh, _TOP = physics.freshness, physics.CONTEXT_TOP
_SEED, _STEP, _USER, _SESSION = state.SEED, state.STEP, state.USER, state.SESSION
_START, _QUERY, _BIAS = state.START, state.QUERY, state.TASTE_BIAS
_LAST_CLICK, _LAST_WATCH, _CLICKS = state.LAST_CLICK, state.LAST_WATCH, state.CLICKS
_MINUTES, _USED, _DAY, _GAP, _SPENT = state.MINUTES, state.USED, state.DAY, state.GAP, state.SPENT
_CLICKBAIT, _PRICE = state.CLICKBAIT, state.PRICE
# How many consumed items the profile text weighs as much as.
_PROFILE_WEIGHT = 2.0


@numba.njit
def observe_context(
    rules: Record, users: Users, topics: int, rows: BoolArray, out: Observation
) -> None:
    """Write what happened so far in the episode."""
    context, numbers, counts = out.context, users.numbers, users.counts
    consumed, shown = np.uint64(rules.at_consumed), np.uint64(rules.at_shown)
    for b in range(len(rows)):
        if not rows[b]:
            continue
        context[b, 0] = counts[b, _STEP] / rules.horizon
        context[b, 1] = numbers[b, _LAST_CLICK]
        context[b, 2] = numbers[b, _LAST_WATCH]
        context[b, 3] = numbers[b, _CLICKS] / 20.0
        context[b, 4] = numbers[b, _MINUTES] / 100.0
        context[b, 5] = 0.0
        for z in range(topics):
            context[b, 6 + z] = numbers[b, consumed + np.uint64(z)]
        for z in range(topics):
            context[b, 6 + topics + z] = numbers[b, shown + np.uint64(z)]
        at = 6 + 2 * topics
        if rules.on_returning == 1:
            context[b, at] = min(counts[b, _SESSION] / 10.0, _TOP)
            context[b, at + 1] = min(numbers[b, _GAP] / 7.0, _TOP)
            context[b, at + 2] = min(numbers[b, _DAY] / rules.days, 1.0)
            context[b, at + 3] = min(numbers[b, _USED] / 100.0, _TOP)
            at += 4
        if rules.on_purchase == 1:
            context[b, at] = min(numbers[b, _SPENT] / 10.0, _TOP)


@numba.njit
def observe_history(
    rules: Record, users: Users, people: People, rows: BoolArray, out: Observation
) -> None:
    """Write the feedback of the history."""
    feedback, history = out.history_feedback, users.history
    for b in range(len(rows)):
        if not rows[b]:
            continue
        for h in range(history.shape[1]):
            there = history[b, h] >= 0
            value = users.numbers[b, rules.at_history_value + h]
            feedback[b, h, 0] = 1.0 if there else 0.0
            feedback[b, h, 1] = value if there else 0.0
            feedback[b, h, 2] = people.recency[h] if there else 0.0


@numba.njit
def observe_profile(
    rules: Record, users: Users, people: People, views: Views, rows: BoolArray, out: Observation
) -> None:
    """Write the user's profile; with a language space, its mean with the history.

    A place of the history weighs value times recency, the profile as much as two places.
    """
    user, history = out.user, users.history
    spoken = len(views.language) > 0
    for b in range(len(rows)):
        if not rows[b]:
            continue
        total, known = 0.0, False
        for d in range(user.shape[1]):
            user[b, d] = views.profile[users.counts[b, _USER], d]
            known |= user[b, d] != 0.0
        if not spoken:
            continue
        if known:
            total = _PROFILE_WEIGHT
            for d in range(user.shape[1]):
                user[b, d] *= _PROFILE_WEIGHT
        for h in range(history.shape[1]):
            value = np.float64(users.numbers[b, rules.at_history_value + h])
            weight = value * np.float64(people.recency[h])
            if history[b, h] < 0 or weight <= 0.0:
                continue
            total += weight
            for d in range(user.shape[1]):
                user[b, d] += weight * np.float64(views.language[history[b, h], d])
        for d in range(user.shape[1] if total > 0.0 else 0):
            user[b, d] /= total


@numba.njit
def observe_latent(
    rules: Record, users: Users, factors: int, rows: BoolArray, out: Observation
) -> None:
    """Write the hidden bias, taste and satiation of the user."""
    user, numbers = out.user, users.numbers
    for b in range(len(rows)):
        if not rows[b]:
            continue
        user[b, 0] = numbers[b, _BIAS]
        for f in range(factors):
            user[b, 1 + f] = numbers[b, rules.at_taste + f]
        for z in range(user.shape[1] - 1 - factors):
            user[b, 1 + factors + z] = numbers[b, rules.at_satiation + z]


@numba.njit
def observe_ids(padding: int, users: Users, rows: BoolArray, out: Observation) -> None:
    """Write histories and candidates as item rows."""
    for b in range(len(rows)):
        if rows[b]:
            for h in range(users.history.shape[1]):
                item = users.history[b, h]
                out.history_ids[b, h] = item if item >= 0 else padding
            for c in range(out.candidate_ids.shape[1]):
                out.candidate_ids[b, c] = users.candidates[b, c]


@numba.njit
def observe_vectors(views: Views, users: Users, rows: BoolArray, out: Observation) -> None:
    """Write histories and candidates as item vectors."""
    width = views.vectors.shape[1]
    for b in range(len(rows)):
        if not rows[b]:
            continue
        for h in range(users.history.shape[1]):
            item = users.history[b, h]
            for d in range(width):
                out.history_vectors[b, h, d] = views.vectors[item, d] if item >= 0 else 0.0
        for c in range(out.candidate_vectors.shape[1]):
            item = users.candidates[b, c]
            for d in range(width):
                out.candidate_vectors[b, c, d] = views.vectors[item, d]


@numba.njit
def observe_traits(
    rules: Record, items: Items, users: Users, rows: BoolArray, out: Observation
) -> None:
    """Write clickbait, freshness and ln price of each candidate, those the parts care about."""
    for b in range(len(rows)):
        if not rows[b]:
            continue
        calendar, now = np.uint64(0), 0
        if rules.on_ageing == 1:
            start, step = users.counts[b, _START], users.counts[b, _STEP]
            calendar = _calendar(users.keys[b, _SEED])
            now = _now(rules, start, step, np.float64(users.numbers[b, _DAY]))
        for c in range(out.traits.shape[1]):
            i, x = users.candidates[b, c], 0
            if rules.on_satisfaction == 1:
                out.traits[b, c, x] = items.rows[i, _CLICKBAIT]
                x += 1
            if rules.on_ageing == 1:
                out.traits[b, c, x] = _fresh(rules, _age(rules, items.birth, calendar, now, i))
                x += 1
            if rules.on_purchase == 1:
                out.traits[b, c, x] = math.log(np.float64(items.rows[i, _PRICE]))


@numba.njit
def observe_query(views: Views, users: Users, rows: BoolArray, out: Observation) -> None:
    """Write what the visit began with a search for; zero if it began without one."""
    for b in range(len(rows)):
        if not rows[b]:
            continue
        asked = users.counts[b, _QUERY]
        for d in range(out.query.shape[1]):
            out.query[b, d] = views.topics[asked, d] if asked >= 0 else 0.0
