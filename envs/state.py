"""The arrays the compiled step works on: tables of the world, rules, users, responses."""

from typing import NamedTuple

import numpy as np

from slategym.envs.arrays import (
    BoolArray,
    DoubleArray,
    FloatArray,
    IntArray,
    KeyArray,
)


class Tables(NamedTuple):
    """What a step reads of a world; every array is read-only."""

    item_factors: FloatArray  # (I, F)
    item_bias: FloatArray  # (I,)
    item_topics: FloatArray  # (I, Z)
    item_duration: FloatArray  # (I,) minutes
    item_vectors: FloatArray  # (I, D)
    user_factors: FloatArray  # (U, F)
    user_std: FloatArray  # (U, F)
    user_bias: FloatArray  # (U,)
    user_history: IntArray  # (U, H)
    user_history_value: FloatArray  # (U, H)
    user_profile: FloatArray  # (U, Dp)
    cumulative: DoubleArray  # (I,) cumulative candidate probabilities; (0,) if uniform
    weight: DoubleArray  # (I,) candidate probabilities; (0,) if uniform
    pool: IntArray  # rows of the population that episodes draw users from
    recency: FloatArray  # (H,) weight of each place of the history, newest last


class Rules(NamedTuple):
    """Every number of the parts and of the response model that a step needs."""

    mean: float
    click_slope: float
    click_intercept: float
    value_low: float
    value_high: float
    taste_scale: float
    satiation_weight: float
    no_click_logit: float
    position_bias: float
    watch_scale: float
    watch_intercept: float
    watch_satiation: float
    watch_noise: float
    rating_satiation: float
    rating_noise: float
    interest_drift: float
    satiation_decay: float
    consume_gain: float
    expose_gain: float
    taste_spread: float
    patience: float
    patience_cap: float
    patience_gain: float
    patience_loss: float
    boredom: float
    boredom_threshold: float
    minute_budget: float
    click_weight: float
    watch_weight: float
    minutes_weight: float
    rating_weight: float
    leave_weight: float
    diversity_weight: float
    horizon: int


class UserState(NamedTuple):
    """B users in the middle of an episode: one row each, no array shared with a caller."""

    seed: KeyArray  # (B,)
    stream: KeyArray  # (B,) which user stream of the seed
    episode: KeyArray  # (B,) counts from 0
    step: IntArray  # (B,) steps taken in this episode
    user: IntArray  # (B,) row of the population
    taste: FloatArray  # (B, F) hidden
    bias: FloatArray  # (B,) hidden
    satiation: FloatArray  # (B, Z) hidden
    patience: FloatArray  # (B,) hidden
    consumed: FloatArray  # (B, Z) decayed topics of consumed items
    shown: FloatArray  # (B, Z) decayed mean topics of slates
    last_click: FloatArray  # (B,) 0 or 1
    last_watch: FloatArray  # (B,) in [0, 1]
    clicks: FloatArray  # (B,) in this episode
    minutes: FloatArray  # (B,) in this episode
    history: IntArray  # (B, H) item rows, newest last, -1 padded on the left
    history_value: FloatArray  # (B, H) in [0, 1]
    candidates: IntArray  # (B, C) what may be shown next


class Response(NamedTuple):
    """What B users did in one step; made anew for each step and handed out."""

    slate: IntArray  # (B, K) item rows, -1 for an empty slot
    click: FloatArray  # (B, K) 0 or 1
    watch: FloatArray  # (B, K) in [0, 1], 0 where not clicked
    minutes: FloatArray  # (B, K)
    rating: FloatArray  # (B, K) in [0, 1], 0 where not clicked
    user: IntArray  # (B,)
    terms: FloatArray  # (6, B) weighted reward terms, in the order of REWARD_TERMS
    reward: FloatArray  # (B,)
    terminated: BoolArray  # (B,)
    truncated: BoolArray  # (B,)


class Observation(NamedTuple):
    """An observation of B users; in ids mode the vectors are empty, and the other way round."""

    user: FloatArray  # (B, Dp)
    history_ids: IntArray  # (B, H), I = padding
    history_vectors: FloatArray  # (B, H, D)
    history_feedback: FloatArray  # (B, H, 3)
    candidate_ids: IntArray  # (B, C)
    candidate_vectors: FloatArray  # (B, C, D)
    context: FloatArray  # (B, 6 + 2Z)


def new_state(batch: int, tables: Tables, candidates: int) -> UserState:
    """Return a state of ``batch`` users with every array zero."""
    factors, topics = tables.item_factors.shape[1], tables.item_topics.shape[1]
    history = tables.user_history.shape[1]
    shapes: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
        "seed": ((), np.uint64),
        "stream": ((), np.uint64),
        "episode": ((), np.uint64),
        "step": ((), np.int32),
        "user": ((), np.int32),
        "taste": ((factors,), np.float32),
        "satiation": ((topics,), np.float32),
        "consumed": ((topics,), np.float32),
        "shown": ((topics,), np.float32),
        "history": ((history,), np.int32),
        "history_value": ((history,), np.float32),
        "candidates": ((candidates,), np.int32),
    }
    arrays = {
        name: np.zeros((batch, *shapes.get(name, ((), np.float32))[0]), dtype)
        for name in UserState._fields
        for dtype in [shapes.get(name, ((), np.float32))[1]]
    }
    return UserState(**arrays)


def new_response(batch: int, slate: int, terms: int) -> Response:
    """Return fresh arrays for one step."""

    def blank(*shape: int) -> FloatArray:
        return np.zeros(shape, dtype=np.float32)

    return Response(
        slate=np.empty((batch, slate), dtype=np.int32),
        click=blank(batch, slate),
        watch=blank(batch, slate),
        minutes=blank(batch, slate),
        rating=blank(batch, slate),
        user=np.empty(batch, dtype=np.int32),
        terms=blank(terms, batch),
        reward=blank(batch),
        terminated=np.zeros(batch, dtype=np.bool_),
        truncated=np.zeros(batch, dtype=np.bool_),
    )


def new_observation(batch: int, tables: Tables, candidates: int, ids: bool) -> Observation:
    """Return fresh zero arrays for one observation."""
    history, width = tables.user_history.shape[1], tables.item_vectors.shape[1]
    n, v = (batch, 0) if ids else (0, batch)
    return Observation(
        user=np.zeros((batch, tables.user_profile.shape[1]), dtype=np.float32),
        history_ids=np.zeros((n, history), dtype=np.int32),
        history_vectors=np.zeros((v, history, width), dtype=np.float32),
        history_feedback=np.zeros((batch, history, 3), dtype=np.float32),
        candidate_ids=np.zeros((n, candidates), dtype=np.int32),
        candidate_vectors=np.zeros((v, candidates, width), dtype=np.float32),
        context=np.zeros((batch, 6 + 2 * tables.item_topics.shape[1]), dtype=np.float32),
    )
