"""How good ranked lists and predicted values are, each measure with its denominator.

Letters: B users, I items, k length of a list, P positives of a user, S resamples, D dimensions.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

RESAMPLES = 1000
# Products of two item vectors made at once.
_PAIRS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Estimate:
    """A mean over users, with the ends of its 95 % interval by bootstrap over users."""

    mean: float
    low: float
    high: float


def hit_table(items: Rows, positives: sparse.csr_matrix) -> npt.NDArray[np.bool_]:
    """Return (B, k) whether each listed item is a positive of its user; -1 never is.

    Args:
        items: (B, k) item rows, the best first, -1 where a list ends early.
        positives: (B, I), an entry for each positive.
    """
    table = sparse.csr_matrix(positives)
    width = table.shape[1]
    owners = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
    keys = np.sort(owners * width + table.indices)
    asked = np.arange(len(items))[:, None] * width + items
    at = np.minimum(np.searchsorted(keys, asked), max(len(keys) - 1, 0))
    found = keys[at] == asked if len(keys) else np.zeros(items.shape, np.bool_)
    return np.asarray(found & (items >= 0))


def ranking_metrics(hits: npt.NDArray[np.bool_], counts: npt.ArrayLike, k: int) -> dict[str, Array]:
    """Return each measure of the first k entries for each user, (B,) each.

    With n = the user's positives, all of them, whether or not a list could reach them:

    - ``recall``: hits / n.
    - ``precision``: hits / k.
    - ``ndcg``: sum over hits of 1 / log2(rank + 1), divided by that of a list that starts with
      min(k, n) hits (Järvelin and Kekäläinen 2002, with binary gains).
    - ``hit_rate``: 1 if there is a hit, else 0.
    - ``mrr``: 1 / rank of the first hit, 0 without one.
    - ``map``: mean over the min(k, n) best possible hits of the precision at each hit.

    Args:
        hits: (B, at least k), the best first; shorter lists count as misses after their end.
        counts: (B,) n, at least 1 each.
        k: At least 1.
    """
    first = hits[:, :k].astype(np.float64)
    first = np.pad(first, ((0, 0), (0, k - first.shape[1])))
    n = np.asarray(counts, dtype=np.int64)
    ranks = np.arange(1, k + 1)
    discount = 1.0 / np.log2(ranks + 1)
    reachable = np.minimum(n, k)
    found = first.sum(axis=1)
    where = np.where(found > 0, first.argmax(axis=1) + 1, np.inf)
    precision = first.cumsum(axis=1) / ranks
    return {
        "recall": found / n,
        "precision": found / k,
        "ndcg": (first @ discount) / np.cumsum(discount)[reachable - 1],
        "hit_rate": (found > 0).astype(np.float64),
        "mrr": 1.0 / where,
        "map": (first * precision).sum(axis=1) / reachable,
    }


def coverage(items: Rows, n_items: int) -> float:
    """Return the share of all items that is in at least one list (B, k), in [0, 1]."""
    return len(np.unique(items[items >= 0])) / max(1, n_items)


def novelty(items: Rows, item_counts: npt.ArrayLike, n_users: int) -> float:
    """Return the mean surprise of listed items, -log2(share of users who know them), in bits.

    (Vargas and Castells 2011, "Rank and relevance in novelty and diversity metrics", section 4.)
    An item nobody knows counts as known to one.

    Args:
        items: (B, k) lists, -1 where they end.
        item_counts: (I,) users who know each item.
        n_users: U of them there are.
    """
    share = np.maximum(np.asarray(item_counts, dtype=np.float64), 1.0) / max(1, n_users)
    listed = items[items >= 0]
    return float(-np.log2(np.minimum(share[listed], 1.0)).mean()) if len(listed) else 0.0


def diversity(items: Rows, vectors: npt.ArrayLike) -> float:
    """Return the mean over lists of 1 - cosine over all pairs of listed items, in [0, 2].

    (Ziegler et al. 2005, "Improving recommendation lists through topic diversification",
    equation 5, as a distance.) An item without a vector, all zeros, has cosine 0 to all.

    Args:
        items: (B, k) lists, -1 where they end; those of less than two items do not count.
        vectors: (I, D) of the items.
    """
    table = np.asarray(vectors, dtype=np.float64)
    unit = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    step = max(1, _PAIRS_AT_ONCE // max(1, items.shape[1] * table.shape[1]))
    total, lists = 0.0, 0
    for at in range(0, len(items), step):
        part = items[at : at + step]
        there = part >= 0
        rows = unit[np.maximum(part, 0)] * there[:, :, None]
        n = there.sum(axis=1)
        # The sum over pairs is half of |sum|^2 less the sum of squares.
        squares = (rows**2).sum(axis=(1, 2))
        pairs = ((rows.sum(axis=1) ** 2).sum(axis=1) - squares) / 2
        enough = n > 1
        total += float((1 - pairs[enough] / (n[enough] * (n[enough] - 1) / 2)).sum())
        lists += int(enough.sum())
    return total / lists if lists else 0.0


def interval(values: npt.ArrayLike, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """Return the mean of values, one a user, with its 95 % bootstrap interval.

    Args:
        values: (B,), at least one.
        seed: Equal seeds give equal intervals.
        resamples: S.
    """
    each = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = [each[rng.integers(0, len(each), len(each))].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(each.mean()), float(low), float(high))


def rating_errors(predicted: npt.ArrayLike, values: npt.ArrayLike) -> tuple[float, float]:
    """Return RMSE and MAE over all rows, in the log's units."""
    gap = np.asarray(predicted, dtype=np.float64) - np.asarray(values, dtype=np.float64)
    return float(np.sqrt((gap**2).mean())), float(np.abs(gap).mean())
