"""A small world made from arrays alone, without encoder or file, for tests, examples and checks."""

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from slategym.envs.arrays import DoubleArray, FloatArray, LongArray
from slategym.envs.no_click import POSITION_BIAS, calibrate_no_click
from slategym.envs.tiny_extra import tiny_attributes, tiny_encodings, tiny_log, tiny_profiles
from slategym.envs.world import World, WorldInfo
from slategym.envs.world_log import PUBLIC
from slategym.errors import UsageError

_ASSUMPTIONS = (
    "Items, users and tastes are drawn from a random generator; nothing was learned from data.",
    "The no-click option makes a random slate of five clicked with probability 0.4.",
)

_MEAN, _SLOPE = 3.5, 1.6  # of values on a scale of 1 to 5; of the click logit over them
_INTERCEPT = -_SLOPE * 3.6


@lru_cache(maxsize=4)
def tiny_world(
    items: int = 60,
    users: int = 40,
    seed: int = 0,
    *,
    topics: int = 6,
    factors: int = 8,
    history: int = 10,
    content: int = 12,
) -> World:
    """Return a synthetic world of a few items and users, the same for the same arguments.

    Every item has one main topic; items of a topic share a direction in factor space, and each
    user likes some directions more than others. The log fits the histories and the click model;
    ``item_popularity`` is drawn and not counted from it.

    Args:
        items: I, at least 2.
        users: U, at least 2; every fifth is held out.
        seed: chooses everything that is drawn.
        topics: Z.
        factors: F, dimensions of taste.
        history: H, length of a user's past.
        content: width of the content block of ``item_vectors``.

    Raises:
        UsageError: fewer than two items or users.
    """
    if items < 2 or users < 2:
        raise UsageError(f"tiny_world needs items >= 2 and users >= 2; got {items} and {users}.")
    rng = np.random.default_rng(seed)
    topic = np.arange(items, dtype=np.int64) % topics
    item_topics = _topic_rows(rng, topic, topics)
    models = _models(rng, topic, topics, users, factors)
    public_factors, bias = models["public_item_factors"], models["item_bias"]
    popularity = np.floor(np.exp(rng.normal(2.5, 0.8, items) + bias))
    vectors, blocks = _item_vectors(rng, item_topics, public_factors, bias, popularity, content)
    values = _values(models)
    past = _histories(rng, values, history)
    past_values = np.where(past >= 0, np.take_along_axis(values, past, axis=1), 1.0)
    info = _info(f"tiny-{items}x{users}-s{seed}", blocks, topics, _no_click(rng, values))
    duration = np.round(rng.uniform(3, 25, items), 1)
    arrays: dict[str, Any] = {
        name: _single(array) for name, array in (models | _observed(rng, models)).items()
    }
    log = tiny_log(values, past, past_values, _SLOPE, seed)
    liked = tiny_profiles(values, item_topics, seed)
    return World(
        info=info,
        items=_item_table(topic, duration, popularity),
        users=_user_table(log, liked),
        item_vectors=vectors,
        user_std=np.full((users, factors), 0.1, dtype=np.float32),
        item_topics=_single(item_topics),
        item_duration=_single(duration),
        item_popularity=_single(popularity),
        user_history=past.astype(np.int32),
        user_history_value=_single(np.clip((past_values - 1) / 4, 0, 1)),
        **tiny_encodings(item_topics, models["item_factors"], liked, seed),
        **tiny_attributes(topic, seed),
        **log,
        **arrays,
    )


def _models(
    rng: np.random.Generator, topic: LongArray, topics: int, users: int, factors: int
) -> dict[str, DoubleArray]:
    """Return the simulator's factors and biases, and the public factors near them."""
    items = len(topic)
    centres = rng.normal(0, 0.6, (topics, factors))
    item_factors = centres[topic] + rng.normal(0, 0.3, (items, factors))
    item_bias = rng.normal(0, 0.35, items)
    user_factors = rng.normal(0, 0.45, (users, factors))
    return {
        "item_factors": item_factors,
        "item_bias": item_bias,
        "user_factors": user_factors,
        "user_bias": rng.normal(0, 0.3, users),
        "public_item_factors": item_factors + rng.normal(0, 0.15, item_factors.shape),
        "public_user_factors": user_factors + rng.normal(0, 0.15, user_factors.shape),
    }


def _observed(rng: np.random.Generator, models: dict[str, DoubleArray]) -> dict[str, DoubleArray]:
    """Return the public biases, and profiles that tell a little of up to four tastes."""
    item_bias, user_bias = models["item_bias"], models["user_bias"]
    told = models["user_factors"][:, :4]
    return {
        "public_item_bias": item_bias + rng.normal(0, 0.05, item_bias.shape),
        "public_user_bias": user_bias + rng.normal(0, 0.05, user_bias.shape),
        "user_profile": told + rng.normal(0, 0.5, told.shape),
    }


def _values(models: dict[str, DoubleArray]) -> DoubleArray:
    """Return the value (U, I) each user would give each item, on a scale of 1 to 5."""
    biases = _MEAN + models["user_bias"][:, None] + models["item_bias"]
    return np.asarray(biases + models["user_factors"] @ models["item_factors"].T)


def _no_click(rng: np.random.Generator, values: DoubleArray) -> float:
    """Return the no-click logit at which 0.4 of random slates of five are clicked."""
    users, items = values.shape
    shown = rng.integers(0, items, (4000, 5))
    logits = _INTERCEPT + _SLOPE * values[rng.integers(0, users, 4000)[:, None], shown]
    logits -= POSITION_BIAS * np.arange(5)
    return calibrate_no_click(logits, 0.4)


def _info(
    name: str, blocks: dict[str, tuple[int, int]], topics: int, no_click_logit: float
) -> WorldInfo:
    """Return what is told of a tiny world."""
    return WorldInfo(
        name=name,
        synthetic=True,
        mean=_MEAN,
        public_mean=_MEAN,
        click_slope=_SLOPE,
        click_intercept=_INTERCEPT,
        no_click_logit=no_click_logit,
        value_low=1.0,
        value_high=5.0,
        blocks=blocks,
        topic_names=tuple(f"topic {z}" for z in range(topics)),
        source="generated by slategym.envs.tiny",
        licence="MIT",
        assumptions=_ASSUMPTIONS,
    )


def _single(array: DoubleArray) -> FloatArray:
    """Return the array as float32."""
    return array.astype(np.float32)


def _topic_rows(rng: np.random.Generator, topic: LongArray, topics: int) -> DoubleArray:
    """Return (I, Z) rows that sum to 1: most weight on the main topic, some on a second."""
    rows = np.zeros((len(topic), topics))
    main = rng.uniform(0.6, 1.0, len(topic))
    second = (topic + rng.integers(1, topics, len(topic))) % topics if topics > 1 else topic
    rows[np.arange(len(topic)), topic] += main
    rows[np.arange(len(topic)), second] += 1 - main
    return rows


def _item_vectors(
    rng: np.random.Generator,
    topics: DoubleArray,
    factors: DoubleArray,
    bias: DoubleArray,
    popularity: DoubleArray,
    content: int,
) -> tuple[FloatArray, dict[str, tuple[int, int]]]:
    """Return the public item table and the column range of each block."""
    mixing = rng.normal(0, 1, (topics.shape[1], content))
    text = topics @ mixing + rng.normal(0, 0.5, (len(topics), content))
    prior = np.stack([bias, np.log1p(popularity)], axis=1)
    parts = {
        "content": text / text.std(axis=0),
        "collaborative": factors / factors.std(axis=0),
        "topics": topics,
        "prior": (prior - prior.mean(axis=0)) / prior.std(axis=0),
    }
    ends = np.cumsum([part.shape[1] for part in parts.values()]).tolist()
    starts = [0, *ends[:-1]]
    blocks = {name: (a, b) for name, a, b in zip(parts, starts, ends, strict=True)}
    return _single(np.concatenate(list(parts.values()), axis=1)), blocks


def _histories(rng: np.random.Generator, values: DoubleArray, length: int) -> LongArray:
    """Return (U, H) distinct item rows, drawn by softmax of the value, -1 padded if I < H."""
    noisy = values + rng.gumbel(0, 0.5, values.shape)
    kept = min(length, values.shape[1])
    past = np.full((len(values), length), -1, dtype=np.int64)
    past[:, length - kept :] = np.argsort(noisy, axis=1, kind="stable")[:, -kept:]
    return past


def _item_table(topic: LongArray, duration: DoubleArray, popularity: DoubleArray) -> pd.DataFrame:
    """Return the item table of the tiny world."""
    rows = range(len(topic))
    return pd.DataFrame(
        {
            "item_id": [f"i{row}" for row in rows],
            "title": [f"Item {row} on topic {z}" for row, z in zip(rows, topic, strict=True)],
            "topics": [f'["topic {z}"]' for z in topic],
            "duration": duration.astype(np.float64),
            "popularity": popularity.astype(np.float64),
            "evidence": popularity.astype(np.int64),
        }
    )


def _user_table(log: dict[str, Any], liked: LongArray) -> pd.DataFrame:
    """Return the user table of the tiny world; every fifth user is held out."""
    users = len(liked)
    public = log["log_user"][log["log_split"] == PUBLIC]
    return pd.DataFrame(
        {
            "user_id": [f"u{row}" for row in range(users)],
            "split": ["held_out" if row % 5 == 4 else "train" for row in range(users)],
            "n_ratings": np.bincount(public, minlength=users).astype(np.int64),
            "profile": [f"likes topic {z}" if z >= 0 else "" for z in liked.tolist()],
        }
    )
