"""The stages of a step, compiled; each is one loop over some users.

A step reads as a page in `slategym.envs.kernels`: what is shown, what is taken, what is given
back, how the user changes, who leaves, what may be shown next. Each stage walks rows ``lo`` to
``hi``; what one stage tells the next lies in `Scratch`.
"""

import math
from typing import NamedTuple

import numba
import numpy as np

from slategym.envs import physics, physics_candidates, physics_choice, rng, state
from slategym.envs.arrays import AnyArray, DoubleArray, IntArray, KeyArray, LongArray, Record
from slategym.envs.state import Items, People, Response, Users

# numba follows names of this module, and not attributes of another: so each is named here.
_draw, _below, _normal, _uniform = rng.bits, rng.below, rng.normal, rng.uniform
_episode_key, _step_key = rng.episode_key, rng.step_key
_CANDIDATE, _MOOD, _SHOCK = rng.CANDIDATE, rng.MOOD, rng.SHOCK
_DECAY = physics.EXPOSURE_DECAY
_value, _logit, _along = physics.predicted_value, physics.click_logit, physics.along_topics
_level, _calendar, _now = physics.satisfaction, physics.calendar_key, physics.calendar_step
_age, _fresh, _burst = physics.age_of, physics.freshness, physics.burst_along_topics
_plays, _owns, _walk = physics.plays, physics.owns, physics.walk
_choose = physics_choice.choose
_add_topics = physics.add_topics
_is_among, _is_there = physics_candidates.is_among, physics_candidates.is_there
_weighted, _retrieved = physics_candidates.weighted, physics_candidates.retrieved
_race = physics_candidates.race
_SEED, _STREAM, _EPISODE = state.SEED, state.STREAM, state.EPISODE
_STEP, _USER, _SESSION, _START = state.STEP, state.USER, state.SESSION, state.START
_BIAS, _PATIENCE, _DAY, _EXPOSURE = state.TASTE_BIAS, state.PATIENCE, state.DAY, state.EXPOSURE
_LAST_CLICK, _CLICKBAIT = state.LAST_CLICK, state.CLICKBAIT
BLOCK = 128  # users a stage walks before the next stage follows: their state stays in cache
_TRIES = 64  # attempts per candidate before the rest is drawn uniformly


class Scratch(NamedTuple):
    """Room for what the stages tell each other; one row per user of a block."""

    at: KeyArray  # (N,) key of the step
    calendar: KeyArray  # (N,) key of what all users of a seed share
    now: LongArray  # (N,) calendar step
    mean: DoubleArray  # (N, Z) mean topics of the slate
    taken: DoubleArray  # (N, Z) topics of the items taken
    value: DoubleArray  # (N, K) predicted value
    tired: DoubleArray  # (N, K) fatigue
    utility: DoubleArray  # (N, K)
    luck: DoubleArray  # (N,) of the choice
    best: DoubleArray  # (N,) of the choice
    items: LongArray  # (N,) of one slot
    chosen: LongArray  # (N,) slot taken, or -1
    skipped: AnyArray  # (N,) bool
    lost: DoubleArray  # (N,) creators who left
    noise: DoubleArray  # (F,)
    picks: IntArray  # (C, N) candidates as first drawn, or (0, 0)
    twice: AnyArray  # (N,) bool, whether a candidate was drawn twice
    clocks: DoubleArray  # (I,) or (0,)
    there: AnyArray  # (I,) bool, or (0,)


@numba.njit
def begin_step(rules: Record, users: Users, scratch: Scratch, lo: int, hi: int) -> None:
    """Write the key of the step, and where the calendar stands."""
    keys, counts = users.keys, users.counts
    for b in range(lo, hi):
        episode = _episode_key(keys[b, _SEED], keys[b, _STREAM], keys[b, _EPISODE])
        scratch.at[b - lo] = _step_key(episode, np.uint64(counts[b, _STEP]))
    if rules.on_ageing == 1:
        for b in range(lo, hi):
            start, step = counts[b, _START], counts[b, _STEP]
            scratch.calendar[b - lo] = _calendar(keys[b, _SEED])
            scratch.now[b - lo] = _now(rules, start, step, np.float64(users.numbers[b, _DAY]))


@numba.njit
def pick(
    rules: Record, items: Items, users: Users, actions: LongArray, out: Response,
    scratch: Scratch, lo: int, hi: int,
) -> None:  # fmt: skip
    """Write the items asked for, and touch their rows.

    The rows lie all over the catalogue. Here many are asked of memory at once; the stages that
    need them, one after the other, would wait for each.
    """
    slate, rows, touched = out.slate, items.rows, np.float32(0.0)
    last = rows.shape[1] - 1
    for b in range(lo, hi):
        for k in range(slate.shape[1]):
            i = actions[b, k]
            if rules.candidate_code != 4:
                i = int(users.candidates[b, i])
            slate[b, k] = i
            touched += rows[i, 0] + rows[i, last]
    scratch.luck[0] = touched


@numba.njit
def show(
    rules: Record, items: Items, users: Users, out: Response, scratch: Scratch, lo: int, hi: int
) -> None:
    """Empty the slots of positions given again, or of items that are gone; sum up the topics."""
    slate, mean, rows = out.slate, scratch.mean, items.rows
    checked = rules.on_ageing + rules.on_creators > 0
    for b in range(lo, hi):
        n, filled = b - lo, 0
        out.about[0, b], out.about[1, b] = users.counts[b, _USER], users.counts[b, _SESSION]
        for z in range(mean.shape[1]):
            mean[n, z] = 0.0
        for k in range(slate.shape[1]):
            i = int(slate[b, k])
            gone = _is_among(i, slate, b, k)
            if checked and not gone:
                gone = not _is_there(
                    rules, items.birth, items.creator, users.numbers, b, scratch.calendar[n],
                    scratch.now[n], i,
                )  # fmt: skip
            if gone:
                slate[b, k] = -1
                continue
            filled += 1
            _add_topics(rules, rows, i, mean, n)
        if filled > 0:
            _divide(mean, n, np.float64(filled))


@numba.njit(forceinline=True, error_model="numpy")
def _divide(table: DoubleArray, n: int, count: float) -> None:
    """Divide a row, without a check for zero in the way of vector instructions."""
    for z in range(table.shape[1]):
        table[n, z] /= count


@numba.njit(inline="always")
def lure(
    rules: Record, items: Items, users: Users, people: People, b: int, i: int,
    calendar: np.uint64, now: int,
) -> float:  # fmt: skip
    """Return what the parts beside taste and satiation add to the utility of an item."""
    numbers, rows, extra = users.numbers, items.rows, 0.0
    if rules.on_boredom == 1:
        extra -= rules.boredom_weight * _along(rules, numbers, b, rules.at_bored, rows, i)
    if rules.on_satisfaction == 1:
        bait = np.float64(rows[i, _CLICKBAIT]) - 0.5
        level = _level(rules, np.float64(numbers[b, _EXPOSURE]))
        extra += rules.clickbait_pull * bait + rules.satisfaction_weight * (2.0 * level - 1.0)
    if rules.on_familiarity == 1:
        n = _plays(users.history, people.recency, b, i)
        extra += rules.repeat_gain * n - rules.repeat_tire * n * n
    if rules.on_mood == 1:
        extra += _along(rules, numbers, b, rules.at_mood, rows, i)
    if rules.on_ageing == 1:
        age = _age(rules, items.birth, calendar, now, i)
        extra += rules.freshness_weight * _fresh(rules, age)
        if rules.on_bursts == 1:
            extra += rules.burst_weight * _burst(rules, calendar, now, rows, i)
    if rules.on_needs == 1:
        extra += rules.need_weight * _along(rules, numbers, b, rules.at_need, rows, i)
        if _owns(users.counts, b, i):
            extra -= rules.owned_penalty
    return extra


@numba.njit
def take(
    rules: Record, items: Items, users: Users, people: People, out: Response, scratch: Scratch,
    lo: int, hi: int,
) -> None:  # fmt: skip
    """Write the utility of every item shown, and which are taken."""
    slate, utility, rows, numbers = out.slate, scratch.utility, items.rows, users.numbers
    more = (
        rules.on_boredom + rules.on_satisfaction + rules.on_familiarity + rules.on_mood
        + rules.on_ageing + rules.on_needs
    )  # fmt: skip
    for b in range(lo, hi):
        n = b - lo
        base = rules.mean + np.float64(numbers[b, _BIAS])
        for k in range(slate.shape[1]):
            i = slate[b, k]
            if i < 0:
                continue
            value, tired = _value(rules, base, rows, i, numbers, b), 0.0
            if rules.on_satiation == 1:
                tired = _along(rules, numbers, b, rules.at_satiation, rows, i)
            scratch.value[n, k], scratch.tired[n, k] = value, tired
            wish = rules.taste_scale * _logit(rules, value) - rules.satiation_weight * tired
            if more > 0:
                calendar, now = scratch.calendar[n], scratch.now[n]
                wish += lure(rules, items, users, people, b, i, calendar, now)
            utility[n, k] = wish
    _choose(
        rules, slate, lo, hi, utility, scratch.at, scratch.luck, scratch.best, scratch.items,
        scratch.chosen, out.signals,
    )  # fmt: skip


@numba.njit
def change(
    rules: Record, items: Items, users: Users, people: People, out: Response, scratch: Scratch,
    lo: int, hi: int,
) -> None:  # fmt: skip
    """Move everything that moves whether or not something was taken."""
    mean, taken, numbers = scratch.mean, scratch.taken, users.numbers
    for b in range(lo, hi):
        n = b - lo
        scratch.lost[n] = 0.0
        if rules.on_patience == 1:
            _lose_patience(rules, numbers, mean, scratch.skipped, b, n)
        _fade(numbers, b, np.uint64(rules.at_consumed), taken, n)
        _fade(numbers, b, np.uint64(rules.at_shown), mean, n)
        if rules.on_satiation == 1:
            _satiate(rules, numbers, b, taken, mean, n)
        users.counts[b, _STEP] += 1
    if rules.on_boredom + rules.on_mood + rules.on_taste_shift + rules.on_creators > 0:
        for b in range(lo, hi):
            _change_more(rules, items, users, people, out, scratch, b, b - lo)


@numba.njit(forceinline=True)
def _fade(numbers: AnyArray, b: int, at: np.uint64, table: DoubleArray, n: int) -> None:
    """Let the exposure of every topic fade, and add what this step brought."""
    for z in range(table.shape[1]):
        place = at + np.uint64(z)
        numbers[b, place] = _DECAY * np.float64(numbers[b, place]) + table[n, z]


@numba.njit(forceinline=True)
def _satiate(
    rules: Record, numbers: AnyArray, b: int, taken: DoubleArray, mean: DoubleArray, n: int
) -> None:
    """Change the satiation of every topic; see `Satiation`."""
    at, decay = np.uint64(rules.at_satiation), rules.satiation_decay
    consume, expose = rules.consume_gain, rules.expose_gain
    for z in range(mean.shape[1]):
        place = at + np.uint64(z)
        kept = decay * np.float64(numbers[b, place])
        numbers[b, place] = kept + consume * taken[n, z] + expose * mean[n, z]


@numba.njit(inline="always")
def _lose_patience(
    rules: Record, numbers: AnyArray, mean: DoubleArray, skipped: AnyArray, b: int, n: int
) -> None:
    """Change a patience by what the step brought; see `Patience`."""
    tired = 0.0
    if rules.on_satiation == 1:
        at = np.uint64(rules.at_satiation)
        for z in range(mean.shape[1]):
            tired += np.float64(numbers[b, at + np.uint64(z)]) * mean[n, z]
    patience = np.float64(numbers[b, _PATIENCE])
    if numbers[b, _LAST_CLICK] > 0.0:
        patience = min(patience + rules.patience_gain, rules.patience_cap)
    else:
        patience -= rules.patience_loss
    patience -= rules.boredom * max(tired - rules.boredom_threshold, 0.0)
    if skipped[n]:
        patience -= rules.skip_annoyance
    numbers[b, _PATIENCE] = patience


@numba.njit(inline="always")
def _change_more(
    rules: Record, items: Items, users: Users, people: People, out: Response, scratch: Scratch,
    b: int, n: int,
) -> None:  # fmt: skip
    """Move boredom, mood, taste and creators; see `slategym.envs.parts_change`."""
    numbers, at = users.numbers, scratch.at[n]
    topics = rules.topics
    if rules.on_boredom == 1:
        for z in range(topics):
            level = numbers[b, rules.at_satiation + z]
            if level <= rules.rested_at:
                numbers[b, rules.at_bored + z] = 0.0
            if level >= rules.bored_at:
                numbers[b, rules.at_bored + z] = 1.0
    if rules.on_mood == 1:
        fresh = math.sqrt(1.0 - rules.mood_memory * rules.mood_memory) * rules.mood_spread
        for z in range(topics):
            kept = rules.mood_memory * np.float64(numbers[b, rules.at_mood + z])
            numbers[b, rules.at_mood + z] = kept + fresh * _normal(_draw(at, _MOOD, z))
    if rules.on_taste_shift == 1:
        if _uniform(_draw(at, _SHOCK, 0)) < rules.shock_rate:
            other = people.pool[_below(_draw(at, _SHOCK, 1), len(people.pool))]
            for f in range(people.factors.shape[1]):
                numbers[b, rules.at_taste + f] = people.factors[other, f]
        if rules.taste_walk > 0.0:
            _walk(rules, numbers, b, at, scratch.noise)
    if rules.on_creators == 1:
        scratch.lost[n] = _tend_creators(rules, items.creator, numbers, out.slate, b)


@numba.njit(inline="always")
def _tend_creators(
    rules: Record, creator: AnyArray, numbers: AnyArray, slate: AnyArray, b: int
) -> float:
    """Change the vigour of every creator and return how many left; see `Creators`."""
    lost, size = 0.0, slate.shape[1]
    for m in range(np.int64(rules.creators)):
        vigour = float(numbers[b, rules.at_vigour + m])
        if vigour <= 0.0:
            continue
        shown = 0
        for k in range(size):
            i = slate[b, k]
            if i >= 0 and creator[i] == m:
                shown += 1
        vigour = min(rules.creator_decay * vigour + rules.creator_gain * shown / size, 1.0)
        if vigour < rules.creator_leave:
            vigour, lost = 0.0, lost + 1.0
        numbers[b, rules.at_vigour + m] = vigour
    return lost


@numba.njit(error_model="numpy")
def _pick_uniformly(scratch: Scratch, row: IntArray, size: int, lo: int, hi: int) -> None:
    """Draw candidates for a block of users at once, and note who was given one twice.

    With few candidates of many items that is rare; those users are drawn for again, in order.
    """
    picks, twice, count = scratch.picks, scratch.twice, row.shape[1]
    for n in range(hi - lo):
        twice[n] = False
    for c in range(count):
        drawn = picks[c]
        for n in range(hi - lo):
            drawn[n] = _below(_draw(scratch.at[n], _CANDIDATE, c), size)
        for other in range(c):
            before = picks[other]
            for n in range(hi - lo):
                twice[n] |= drawn[n] == before[n]
    for c in range(count):
        for n in range(hi - lo):
            row[lo + n, c] = picks[c, n]


@numba.njit
def refresh(
    rules: Record, items: Items, users: Users, people: People, scratch: Scratch,
    lo: int, hi: int,
) -> None:  # fmt: skip
    """Draw the candidates of the coming step, whose keys `begin_step` wrote; see `Candidates`."""
    row, size = users.candidates, len(items.rows)
    if rules.candidate_code == 4:
        return
    checked = rules.on_ageing + rules.on_creators > 0
    at_once = len(scratch.picks) > 0 and rules.candidate_code == 0 and not checked
    if at_once:
        _pick_uniformly(scratch, row, size, lo, hi)
    for b in range(lo, hi):
        n, at = b - lo, scratch.at[b - lo]
        if at_once and not scratch.twice[n]:
            continue
        if rules.candidate_code == 3:
            if users.counts[b, _STEP] > 0:
                continue
            episode = _episode_key(users.keys[b, _SEED], users.keys[b, _STREAM], np.uint64(0))
            at = _step_key(episode, np.uint64(0))
        if len(scratch.clocks) > 0 and rules.candidate_code != 2:
            for i in range(size):
                scratch.there[i] = not checked or _is_there(
                    rules, items.birth, items.creator, users.numbers, b, scratch.calendar[n],
                    scratch.now[n], i,
                )  # fmt: skip
            _race(at, items.weight, row, b, scratch.clocks, scratch.there)
            continue
        attempt = filled = 0
        while filled < row.shape[1]:
            fair = attempt < _TRIES * row.shape[1]
            if rules.candidate_code == 2 and fair:
                i = _retrieved(
                    rules, items.public, people.public, users.counts[b, _USER], users.history, b,
                    at, attempt,
                )  # fmt: skip
            elif rules.candidate_code == 1 and fair:
                i = _weighted(_draw(at, _CANDIDATE, attempt), items.chance)
            else:
                i = _below(_draw(at, _CANDIDATE, attempt), size)
            attempt += 1
            taken = _is_among(i, row, b, filled)
            if checked and fair and not taken:
                taken = not _is_there(
                    rules, items.birth, items.creator, users.numbers, b, scratch.calendar[n],
                    scratch.now[n], i,
                )  # fmt: skip
            if not taken:
                row[b, filled] = i
                filled += 1
