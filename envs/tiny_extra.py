"""What a tiny world has beside its model: a log, raw encodings, prices, times and creators.

Drawn from a generator of its own, so that the rest of a tiny world is what it would be without.
"""

from typing import Any

import numpy as np

from slategym.envs.arrays import DoubleArray, LongArray
from slategym.envs.world_log import PUBLIC, TEST, VALIDATION

_STREAM = 0x7149  # keeps these draws apart from those of the model
_FIRST_SECOND = 1_704_067_200  # 2024-01-01 00:00 UTC
_HOUR, _DAY = 3_600, 86_400  # seconds
_ENCODED = 16  # numbers in an encoding
_SHARES = ((PUBLIC, 0.5), (VALIDATION, 0.15), (TEST, 0.35))  # of the rows beside the history
_TELLING = 0.9  # share of users who have a profile


def tiny_log(
    values: DoubleArray, past: LongArray, past_values: DoubleArray, slope: float, seed: int
) -> dict[str, Any]:
    """Return the arrays (N,) of a log that fits the histories and the click model.

    In order of time, each user has public rows, those of the history (told without noise), then
    validation and test rows, on distinct items drawn uniformly. A value is what the user would
    give plus logistic noise of scale 1 / slope, so that it exceeds a threshold x with probability
    ``logistic(slope * (value - x))``, as in the click model; cut to 1 .. 5.

    Args:
        values: (U, I) what each user would give.
        past: (U, H) histories, -1 padded on the left.
        past_values: (U, H) their values on the scale of 1 to 5.
        slope: of the click logit.
        seed: of the draws.
    """
    rng = np.random.default_rng((_STREAM, seed, 0))
    count = values.shape[1]
    parts: dict[str, list[Any]] = {name: [] for name in ("user", "item", "value", "split")}
    for user, row in enumerate(past):
        known = row[row >= 0]
        drawn = rng.permutation(np.setdiff1d(_draw(rng, count, 4 * len(known)), known))
        drawn = drawn[: min(len(drawn), max(2 * len(known), 6))]
        ends = np.cumsum([round(share * len(drawn)) for _, share in _SHARES[:-1]])
        older, validation, test = np.split(drawn, ends)
        noise = rng.logistic(0.0, 1.0 / slope, len(drawn))
        given = np.clip(values[user, drawn] + noise, 1.0, 5.0)
        told = np.clip(past_values[user, row >= 0], 1.0, 5.0)
        parts["user"].append(np.full(len(drawn) + len(known), user))
        parts["item"].append(np.concatenate([older, known, validation, test]))
        parts["value"].append(np.concatenate([given[: ends[0]], told, given[ends[0] :]]))
        sizes = [len(older) + len(known), len(validation), len(test)]
        parts["split"].append(np.repeat([PUBLIC, VALIDATION, TEST], sizes))
    whole = {name: np.concatenate(pieces) for name, pieces in parts.items()}
    place = np.concatenate([np.arange(len(piece)) for piece in parts["user"]])
    time = _FIRST_SECOND + _HOUR * place + rng.integers(0, _HOUR, len(place))
    return {
        "log_user": whole["user"].astype(np.int32),
        "log_item": whole["item"].astype(np.int32),
        "log_value": whole["value"].astype(np.float32),
        "log_time": time.astype(np.int64),
        "log_split": whole["split"].astype(np.uint8),
    }


def _draw(rng: np.random.Generator, count: int, size: int) -> LongArray:
    """Return distinct item rows, all of them if there are few."""
    return rng.choice(count, size=min(count, max(size, 12)), replace=False)


def tiny_attributes(topic: LongArray, seed: int) -> dict[str, Any]:
    """Return price, publication time and creator (I,) of items of a main topic (I,).

    Creators keep to one topic; every tenth item or so has none that is known.
    """
    rng = np.random.default_rng((_STREAM, seed, 1))
    items, topics = len(topic), int(topic.max()) + 1
    each = max(1, items // (4 * topics))  # creators of a topic
    creator = topic * each + rng.integers(0, each, items)
    creator[rng.random(items) < 0.1] = -1
    return {
        "item_price": np.round(np.exp(rng.normal(3.0, 0.7, items)), 2).astype(np.float32),
        "item_time": (_FIRST_SECOND - rng.integers(0, 365 * _DAY, items)).astype(np.int64),
        "item_creator": creator.astype(np.int32),
    }


def tiny_encodings(
    topics: DoubleArray, factors: DoubleArray, liked: LongArray, seed: int
) -> dict[str, Any]:
    """Return raw encodings of items and of what users say, as encoders would give them.

    A text tells the topic and some of the item's factors, a picture the topic, less well. A
    user's text is near the texts on the topic it names.

    Args:
        topics: (I, Z).
        factors: (I, F) of the simulator.
        liked: (U,) topic that each user's profile names, -1 for none.
        seed: of the draws.
    """
    rng = np.random.default_rng((_STREAM, seed, 2))
    words = rng.normal(0, 1, (topics.shape[1], _ENCODED))
    looks = rng.normal(0, 1, (topics.shape[1], _ENCODED))
    tone = rng.normal(0, 0.7, (factors.shape[1], _ENCODED))
    text = topics @ words + factors @ tone + rng.normal(0, 0.3, (len(topics), _ENCODED))
    image = topics @ looks + rng.normal(0, 0.8, (len(topics), _ENCODED))
    user = words[liked] + rng.normal(0, 0.3, (len(liked), _ENCODED))
    user[liked < 0] = 0.0
    return {
        "item_text": text.astype(np.float32),
        "item_image": image.astype(np.float32),
        "user_text": user.astype(np.float32),
    }


def tiny_profiles(values: DoubleArray, topics: DoubleArray, seed: int) -> LongArray:
    """Return the topic (U,) that each user's profile names, the best liked; -1 for no profile.

    Args:
        values: (U, I) what each user would give.
        topics: (I, Z).
        seed: of the draws.
    """
    rng = np.random.default_rng((_STREAM, seed, 3))
    weight = topics / np.maximum(topics.sum(axis=0), 1e-9)
    liked = (values @ weight).argmax(axis=1)
    return np.where(rng.random(len(values)) < _TELLING, liked, -1)
