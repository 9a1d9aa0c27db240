"""The demo's rating log: hidden tastes over item attributes, item quality, and chance.

Letters: U users, I items, N rows of the log, A attributes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.synthetic_people import PERSONAS
from slategym.cf_baselines.synthetic_text import write_profile
from slategym.cf_baselines.synthetic_traits import MOODS, THEMES, Traits

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

ATTRIBUTES = (*THEMES, *MOODS, "tempo", "recent")
SHARES = {"taste": 0.35, "quality": 0.20, "user": 0.10, "noise": 0.35}  # of the rating's variance
MEAN = 3.2  # stars, before people choose what they expect to like
SPREAD = 1.1  # standard deviation of a rating before rounding, stars
FIRST_SECOND = 1_704_067_200  # 2024-01-01 00:00 UTC
_YEAR = 365 * 86_400  # seconds
_UNSEEN = 0.2  # what draws people to an item and shows in neither text, picture nor sound
_INDIVIDUAL = 0.4  # how far a person strays from the persona, per attribute
_DRIFT = 0.35  # how far a taste moves in a year, against its own spread


@dataclass(frozen=True)
class DemoLog:
    """A generated log together with the hidden causes of its ratings; rows in order of time."""

    users: Rows  # (N,) in [0, U)
    items: Rows  # (N,) in [0, I)
    ratings: Rows  # (N,) stars 1 to 5
    times: Rows  # (N,) seconds since 1970
    parts: Mapping[str, Array]  # taste, quality, user, noise: (N,) stars each, before rounding
    cold: npt.NDArray[np.bool_]  # (I,) items nobody has rated
    profiles: tuple[str, ...]  # (U,) what the users say of themselves


def attribute_table(traits: Sequence[Traits]) -> Array:
    """Return the items' attributes, (I, A): one-hot themes and moods, tempo and year, centred."""
    table = np.zeros((len(traits), len(ATTRIBUTES)))
    for row, item in enumerate(traits):
        table[row, ATTRIBUTES.index(item.theme)] = 1
        table[row, ATTRIBUTES.index(item.mood)] = 1
        # Scaled so that one step of either weighs about as much as a change of mood.
        table[row, -2] = 0.3 * (item.bpm - 95) / 30
        table[row, -1] = 0.3 * (item.year - 1985) / 27
    centred: Array = table - table.mean(axis=0)
    return centred


def simulate_log(
    traits: Sequence[Traits],
    users: int,
    rng: np.random.Generator,
    *,
    per_user: float = 50.0,
    cold: float = 0.08,
) -> DemoLog:
    """Return a log of ratings by made-up users.

    A rating is ``round(MEAN + user + quality + taste + noise)``, clipped to 1..5, where taste is
    the product of a user's weights, which drift over the year, and the item's attributes; the
    four terms have the shares ``SHARES`` of the variance over all pairs of user and item.

    Args:
        traits: The I items.
        users: How many users.
        rng: Source of every draw.
        per_user: Ratings of an average user.
        cold: Share of the items that nobody has rated, at least one item.
    """
    count = len(traits)
    table = attribute_table(traits)
    table[:, :-2] += _UNSEEN * rng.standard_normal((count, table.shape[1] - 2))
    personas, weights, drift = _draw_tastes(users, table, rng)
    quality = _standard(rng.standard_normal(count))
    leaning = _standard(rng.standard_normal(users))
    cold_items = np.zeros(count, dtype=np.bool_)
    cold_items[rng.permutation(count)[: max(1, round(cold * count))]] = True
    exposure = _exposure(quality, cold_items, rng)
    who, what, when = _draw_events(exposure, weights @ table.T, per_user, rng)
    position = (when - FIRST_SECOND) / _YEAR - 0.5
    raw = {
        "taste": np.sum(table[what] * (weights[who] + position[:, None] * drift[who]), axis=1),
        "quality": quality[what],
        "user": leaning[who],
        "noise": rng.standard_normal(len(who)),
    }
    parts = {name: SPREAD * SHARES[name] ** 0.5 * values for name, values in raw.items()}
    ratings = np.clip(np.rint(MEAN + sum(parts.values())), 1, 5).astype(np.int64)
    profiles = tuple(_profile(int(personas[u]), weights[u], rng) for u in range(users))
    return DemoLog(who, what, ratings, when, parts, cold_items, profiles)


def _standard(values: Array) -> Array:
    """Return the values with mean 0 and standard deviation 1."""
    spread: Array = (values - values.mean()) / values.std()
    return spread


def _draw_tastes(users: int, table: Array, rng: np.random.Generator) -> tuple[Rows, Array, Array]:
    """Return each user's persona (U,), weights of the attributes (U, A), and their yearly drift.

    Weights are scaled so that the tastes they give over all pairs of user and item have standard
    deviation 1.
    """
    means = np.array([[p.likes.get(name, 0.0) for name in ATTRIBUTES] for p in PERSONAS])
    personas = rng.permutation(np.arange(users) % len(PERSONAS))
    weights = means[personas] * rng.uniform(0.7, 1.3, size=(users, 1))
    weights += _INDIVIDUAL * rng.standard_normal(weights.shape)
    weights -= weights.mean(axis=0)  # what everybody likes would be quality under another name
    weights /= np.std(weights @ table.T)
    drift = rng.standard_normal(weights.shape)
    return personas, weights, drift * (_DRIFT / np.std(drift @ table.T))


def _draw_events(
    exposure: Array, tastes: Array, per_user: float, rng: np.random.Generator
) -> tuple[Rows, Rows, Rows]:
    """Return user, item and moment of every rating, (N,) each, in order of time."""
    chosen = [_choose(exposure, taste, per_user, rng) for taste in tastes]
    users = np.repeat(np.arange(len(chosen)), [len(items) for items in chosen])
    items = np.concatenate(chosen)
    times = np.concatenate([_draw_times(len(items), rng) for items in chosen])
    order = np.lexsort((items, users, times))
    return users[order], items[order], times[order]


def _exposure(quality: Array, cold: npt.NDArray[np.bool_], rng: np.random.Generator) -> Array:
    """Return the log-weight with which an item comes before people's eyes, (I,); cold: -inf."""
    fame = quality + 1.2 * rng.standard_normal(len(quality))
    rank = np.argsort(np.argsort(-fame)) + 1.0
    weight = -0.8 * np.log(rank + 4) + 0.25 * quality
    weight[cold] = -np.inf
    return weight


def _choose(exposure: Array, taste: Array, per_user: float, rng: np.random.Generator) -> Rows:
    """Return the items a user rated: known ones first, and rather those to the user's taste.

    Adding Gumbel noise to log-weights and keeping the largest draws without replacement
    (Kool et al., 2019, equation 3).
    """
    number = int(np.clip(per_user * np.exp(0.55 * rng.standard_normal() - 0.15), 12, 3 * per_user))
    number = min(number, int(np.isfinite(exposure).sum()))
    keys = exposure + 0.45 * taste + rng.gumbel(size=len(exposure))
    return np.argsort(-keys)[:number]


def _draw_times(count: int, rng: np.random.Generator) -> Rows:
    """Return moments of one year, in evenings of a few ratings each, seconds since 1970."""
    joined = rng.uniform(0, 0.6)
    evenings = np.floor(rng.uniform(joined, 1, size=max(1, round(count / 4))) * 365)
    day = rng.choice(evenings, size=count)
    second = np.clip(rng.normal(20.5, 1.6, size=count), 0, 23.9) * 3600
    return FIRST_SECOND + np.floor(day * 86_400 + second).astype(np.int64)


def _profile(persona: int, weights: Array, rng: np.random.Generator) -> str:
    """Return what a user says, naming one of the three most liked and most disliked things."""
    order = np.argsort(-weights[:-2])  # tempo and year have no words of their own
    like, dislike = order[rng.integers(3)], order[-1 - rng.integers(3)]
    introductions = PERSONAS[persona].introductions
    return write_profile(introductions, ATTRIBUTES[int(like)], ATTRIBUTES[int(dislike)], rng)
