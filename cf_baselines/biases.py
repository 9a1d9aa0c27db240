"""The plainest rating model: a mean, and a bias for each user and item.

Letters: N rows, U users, I items.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.interactions import FloatArray, Interactions

DAMPING = 5.0  # ratings a bias of zero counts for
ROUNDS = 15


@dataclass(frozen=True)
class BiasModel:
    """mean + user_bias + item_bias, in the log's units."""

    mean: float
    user_bias: FloatArray  # (U,)
    item_bias: FloatArray  # (I,)

    def predict(self, users: npt.ArrayLike, items: npt.ArrayLike) -> FloatArray:
        """Return the expected value of each pair (N,)."""
        total = self.mean + self.user_bias[np.asarray(users)] + self.item_bias[np.asarray(items)]
        return np.asarray(total, np.float32)


def fit_biases(
    log: Interactions,
    rows: npt.ArrayLike | None = None,
    *,
    damping: float = DAMPING,
    with_users: bool = True,
    with_items: bool = True,
) -> BiasModel:
    """Return damped biases by alternating means (Koren, Bell and Volinsky 2009, equation 3).

    Args:
        log: The log.
        rows: Rows to learn from; all for ``None``.
        damping: Ratings a bias of zero counts for, >= 0.
        with_users: Whether users have biases; else they are 0.
        with_items: Whether items have.
    """
    part = log.take(log.rows_or_all(rows))
    users, items = part.users, part.items
    values = part.values.astype(np.float64)
    mean = float(values.mean())
    user_bias, item_bias = np.zeros(len(log.user_ids)), np.zeros(len(log.item_ids))
    user_weight = np.maximum(part.user_counts() + damping, 1e-12)
    item_weight = np.maximum(part.item_counts() + damping, 1e-12)
    for _ in range(ROUNDS if with_users and with_items else 1):
        if with_users:
            gap = np.bincount(users, values - mean - item_bias[items], len(user_bias))
            user_bias = gap / user_weight
        if with_items:
            gap = np.bincount(items, values - mean - user_bias[users], len(item_bias))
            item_bias = gap / item_weight
    return BiasModel(mean, user_bias.astype(np.float32), item_bias.astype(np.float32))
