"""What a simulation needs to know of items beside the fitted model: price, clickbait, creator, age.

Taken from the world where its catalogue has it, else assumed as said here.
"""

import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import DoubleArray, FloatArray, IntArray, LongArray
from slategym.envs.world import World

PRICE_SPREAD = 0.7  # standard deviation of the logarithm of an assumed price
_PRICE, _TRAITS = np.uint64(0), np.uint64(0x7A17)


def prices(world: World) -> FloatArray:
    """Return (I,) prices in units of their median.

    Unknown prices are assumed log-normal (`PRICE_SPREAD`), drawn by item row.
    """
    key = rng.step_key_of(rng.episode_key_of(_one(_TRAITS), _one(_PRICE), _one(0)), _one(0))
    rows = np.arange(world.n_items, dtype=np.uint64)
    bits = rng.bits_of(np.repeat(key, world.n_items), np.zeros_like(rows), rows)
    assumed = np.exp(PRICE_SPREAD * rng.normal_of(bits))
    known = getattr(world, "item_price", None)
    if known is None:
        return assumed.astype(np.float32)
    sound = np.isfinite(known) & (known > 0)
    median = float(np.median(known[sound])) if sound.any() else 1.0
    return np.where(sound, known / median, assumed).astype(np.float32)


def clickbait(world: World) -> FloatArray:
    """Return (I,) in [0, 1]: how far an item attracts beyond its worth.

    Half the difference between the rank of its popularity and the rank of its fitted bias among
    all items, plus one half: much taken and little liked is 1. Ranks are in [0, 1].
    """
    taken, liked = _rank(world.item_popularity), _rank(world.item_bias)
    return (0.5 + 0.5 * (taken - liked)).astype(np.float32)


def creators(world: World, groups: int) -> IntArray:
    """Return (I,) the group, in [0, groups), of each item's creator."""
    rows = np.arange(world.n_items)
    known = getattr(world, "item_creator", None)
    chosen = rows if known is None else np.where(known >= 0, known, rows)
    return (chosen % groups).astype(np.int32)


def births(world: World, calendar: int) -> IntArray:
    """Return (I,) calendar steps of publication by rank of time; empty if no time is known."""
    known = getattr(world, "item_time", None)
    if known is None or len(np.unique(known)) < 2:
        return np.zeros(0, dtype=np.int32)
    place = np.argsort(np.argsort(known, kind="stable"), kind="stable")
    return (place * calendar // len(place)).astype(np.int32)


def most_topics(topics: FloatArray) -> int:
    """Return the largest number of topics of an item, at least 1."""
    return max(int((topics > 0).sum(axis=1).max(initial=0)), 1)


def sparse_topics(topics: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the topics of each item as ids (I, T), -1 padded, in order, and their shares."""
    there, width = topics > 0, most_topics(topics)
    ids = np.full((len(topics), width), -1, dtype=np.int32)
    shares = np.zeros((len(topics), width), dtype=np.float32)
    rows, columns = np.nonzero(there)
    place: LongArray = (np.cumsum(there, axis=1) - 1)[rows, columns]
    ids[rows, place], shares[rows, place] = columns, topics[rows, columns]
    return ids, shares


def topic_vectors(world: World) -> FloatArray:
    """Return (Z, D): the mean item vector of each topic, what a query for it looks like."""
    total = world.item_topics.sum(axis=0)[:, None]
    sums = world.item_topics.T.astype(np.float64) @ world.item_vectors
    return (sums / np.where(total > 0, total, 1.0)).astype(np.float32)


def language(world: World, width: int = 64) -> tuple[FloatArray, FloatArray]:
    """Return items (I, L) and profiles (U, L) in the main directions of the text encodings.

    Principal directions of the items' raw text encodings, uncentred, so that a mean of texts is
    the mean of their rows; scaled to a mean square of one per item.
    """
    items, people = world.item_text, getattr(world, "user_text", None)
    if items is None:
        raise ValueError("the world has no text encodings")
    square = items.T.astype(np.float64) @ items
    _, directions = np.linalg.eigh(square)
    basis = directions[:, ::-1][:, : min(width, items.shape[1])]
    seen = items.astype(np.float64) @ basis
    scale = 1.0 / max(float(np.sqrt((seen**2).mean())), 1e-12)
    told: DoubleArray = np.zeros((world.n_users, basis.shape[1]))
    if people is not None:
        told = people.astype(np.float64) @ basis
    return (scale * seen).astype(np.float32), (scale * told).astype(np.float32)


def _rank(values: FloatArray) -> DoubleArray:
    """Return ranks in [0, 1], equal values having their mean rank."""
    order = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(order[2])
    middle = last - (order[2] + 1) / 2
    return np.asarray(middle[order[1]] / max(len(values) - 1, 1))


def _one(value: int | np.uint64) -> np.ndarray:
    return np.array([value], dtype=np.uint64)
