"""The side of a world that agents see: made from public rows alone, when it is built or thinned."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from slategym.cf_baselines.factorization import RatingModel
from slategym.cf_baselines.interactions import Interactions
from slategym.envs import build_tables
from slategym.envs.arrays import FloatArray, LongArray


@dataclass(frozen=True)
class PublicSide:
    """What follows from the public rows and the content.

    Attributes:
        arrays: the world's arrays by field name: item_vectors, ``public_*``, item_popularity,
            user_history and user_history_value.
        blocks: column ranges of item_vectors.
        popularity: (I,) public rows of each item.
    """

    arrays: dict[str, Any]
    blocks: dict[str, tuple[int, int]]
    popularity: LongArray


def public_side(
    log: Interactions,
    rows: LongArray,
    content: FloatArray,
    model: RatingModel,
    topics: FloatArray,
    scale: tuple[float, float],
    history: int,
) -> PublicSide:
    """Return what agents see.

    Args:
        log: the whole log.
        rows: its public rows.
        content: (I, Dc) whitened content.
        model: fitted on the public rows, with factors from content where an item has few.
        topics: (I, Z).
        scale: lowest and highest value of the log.
        history: H, length of the histories.
    """
    popularity = log.item_counts(rows)
    vectors, blocks = build_tables.public_vectors(content, model, topics, popularity)
    past, past_value = build_tables.histories(log, rows, scale, history)
    arrays: dict[str, Any] = {
        "item_vectors": vectors,
        "public_item_factors": model.item_factors,
        "public_item_bias": model.item_bias,
        "public_user_factors": model.user_factors,
        "public_user_bias": model.user_bias,
        "item_popularity": popularity.astype(np.float32),
        "user_history": past,
        "user_history_value": past_value,
    }
    return PublicSide(arrays, blocks, popularity)
