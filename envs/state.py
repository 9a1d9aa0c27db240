"""The arrays the compiled step works on: items, people, users, responses, observations."""

from typing import NamedTuple

import numpy as np

from slategym.envs.arrays import (
    BoolArray,
    DoubleArray,
    FloatArray,
    IntArray,
    KeyArray,
)

# Columns of `Items.rows` before the factors; behind them lie the topics and then their shares.
BIAS, DURATION, PRICE, CLICKBAIT, FACTORS = 0, 1, 2, 3, 4
OWNED = 8  # purchases a user remembers


class Items(NamedTuple):
    """What a step reads of the catalogue; every array is read-only.

    What a step needs of an item lies in one row, for a large catalogue is read at random places
    and each line of memory costs more than the sums.
    """

    rows: FloatArray  # (I, 4 + F + 2 T) bias, minutes, price / median price, clickbait, factors,
    # then the numbers of up to T topics (-1: no more), then their shares
    creator: IntArray  # (I,) group of creators; (0,) without the part
    birth: IntArray  # (I,) calendar step of publication; (0,) if drawn
    public: FloatArray  # (I, 1 + F2) public bias, factors; (0, 0) unless candidates are retrieved
    weight: DoubleArray  # (I,) candidate probabilities; (0,) if uniform
    chance: DoubleArray  # (I, 2) threshold and alias of the alias method; (0, 2) if uniform


class People(NamedTuple):
    """The population that episodes draw users from; every array is read-only."""

    factors: FloatArray  # (U, F)
    std: FloatArray  # (U, F)
    bias: FloatArray  # (U,)
    history: IntArray  # (U, H)
    history_value: FloatArray  # (U, H)
    public: FloatArray  # (U, F2); (0, 0) unless candidates are retrieved
    pool: IntArray  # (P,) rows that may be drawn
    recency: FloatArray  # (H,) weight of each place of a history, newest last


class Views(NamedTuple):
    """What observations are made of; every array is read-only."""

    vectors: FloatArray  # (I, D) what agents see of an item; [bias, factors] if latent
    profile: FloatArray  # (U, Du)
    language: FloatArray  # (I, Du) in the text encoder's space; (0, 0) without it
    topics: FloatArray  # (Z, D) what a query for a topic looks like; (0, 0) without needs


class Users(NamedTuple):
    """B users in the middle of an episode, packed: few arrays are cheap to hand to a kernel.

    The columns of ``numbers`` after the scalars hold vectors, each at an offset that the rules
    name (``at_taste`` and so on). `slategym.envs.users` names them all.
    """

    keys: KeyArray  # (B, 3) seed, stream, episode
    counts: IntArray  # (B, 5 + 8) see STEP to QUERY, then the purchases remembered
    numbers: FloatArray  # (B, N) see BIAS to SPENT, then vectors
    history: IntArray  # (B, H) item rows, newest last, -1 padded on the left
    candidates: IntArray  # (B, C) what may be shown next


# Columns of `Users.keys`.
SEED, STREAM, EPISODE = 0, 1, 2
# Columns of `Users.counts`: steps taken, population row, sessions ended, calendar step at which
# the episode began, topic searched for or -1; then the purchases.
STEP, USER, SESSION, START, QUERY, OWNED_AT = 0, 1, 2, 3, 4, 5
# Columns of `Users.numbers`.
TASTE_BIAS, PATIENCE, LAST_CLICK, LAST_WATCH, CLICKS, MINUTES = 0, 1, 2, 3, 4, 5
USED, DAY, GAP, EXPOSURE, MONEY, SPENT, VECTORS_AT = 6, 7, 8, 9, 10, 11, 12


class Response(NamedTuple):
    """What B users did in one step; made anew for each step and handed out."""

    slate: IntArray  # (B, K) item rows, -1 for an empty slot
    signals: FloatArray  # (S, B, K) see CLICK to PURCHASE; the last five only if a part gives them
    about: IntArray  # (2, B) population row, session the step was part of
    visit: FloatArray  # (2, B) 1 if this step ended the session, days until the next one or 0
    terms: FloatArray  # (T, B) weighted reward terms, in the order of REWARD_TERMS
    reward: FloatArray  # (B,)
    ended: BoolArray  # (2, B) terminated, truncated


# Rows of `Response.signals`.
CLICK, WATCH, RATED, MINUTES_OF, LIKE, SKIP, SHARE, CART, PURCHASE = 0, 1, 2, 3, 4, 5, 6, 7, 8


class Observation(NamedTuple):
    """An observation of B users; arrays that a variant does not use are empty."""

    user: FloatArray  # (B, Du)
    history_ids: IntArray  # (B, H), I = padding
    history_vectors: FloatArray  # (B, H, D)
    history_feedback: FloatArray  # (B, H, 3)
    candidate_ids: IntArray  # (B, C)
    candidate_vectors: FloatArray  # (B, C, D)
    traits: FloatArray  # (B, C, X) what changes of a candidate: see `slategym.envs.spaces`
    context: FloatArray  # (B, 6 + 2Z + E)
    query: FloatArray  # (B, D)


def zeros(batch: int, *shape: int) -> FloatArray:
    """Return float32 zeros (B, ...)."""
    return np.zeros((batch, *shape), dtype=np.float32)
