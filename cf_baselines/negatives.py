"""Sampled negatives for logs that hold only positives.

An implicit log does not say what a user saw and left. Following the usual practice (Mikolov et
al. 2013, section 2.2, for the power; Rendle et al. 2009 for missing-as-negative), each positive
is joined by a few items that the user never touched, drawn by popularity to the power 0.75: what
is popular was probably shown more often, so leaving it says more. Power 0 draws uniformly.
"""

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.interactions import Interactions

DEFAULT_POWER = 0.75


def with_negatives(
    interactions: Interactions,
    rows: npt.ArrayLike | None = None,
    *,
    per_positive: int = 4,
    power: float = DEFAULT_POWER,
    seed: int = 0,
) -> Interactions:
    """Return an explicit log: the given rows with value 1, then sampled rows with value 0.

    A draw that the user has touched anywhere in the log, also outside ``rows``, or that was drawn
    for them before, is dropped, so a user with nearly the whole catalogue gets fewer.

    Args:
        interactions: An implicit log.
        rows: The positive rows to keep; all for ``None``.
        per_positive: Draws for each positive row.
        power: Exponent of the item's count in ``rows``, >= 0; items without a row count 1.
        seed: Equal seeds give equal negatives.
    """
    chosen = interactions.rows_or_all(rows)
    n_items = len(interactions.item_ids)
    weights = np.maximum(interactions.item_counts(chosen), 1).astype(np.float64) ** power
    edges = np.cumsum(weights) / weights.sum()
    users = np.repeat(interactions.users[chosen].astype(np.int64), per_positive)
    draws = np.random.default_rng(seed).random(len(users))
    items = np.minimum(np.searchsorted(edges, draws, side="right"), n_items - 1)
    keys = users * n_items + items
    known = np.unique(interactions.users.astype(np.int64) * n_items + interactions.items)
    keys = np.setdiff1d(keys, known)
    return Interactions(
        user_ids=interactions.user_ids,
        item_ids=interactions.item_ids,
        users=np.concatenate([interactions.users[chosen], (keys // n_items).astype(np.int32)]),
        items=np.concatenate([interactions.items[chosen], (keys % n_items).astype(np.int32)]),
        values=np.concatenate([np.ones(len(chosen)), np.zeros(len(keys))]).astype(np.float32),
        times=np.concatenate([interactions.times[chosen], np.zeros(len(keys), dtype=np.int64)]),
        implicit=False,
        name=f"{interactions.name} with sampled negatives",
    )
