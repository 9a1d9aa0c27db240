"""What a user's history is worth, by how it is pooled.

Run as ``python -m slategym.benchmarks.encode_users --data DIR``.

MovieLens 100K. Of each user the newest film of at least 4 stars is to be found among all films he
or she has not rated before it; what is known is the up to 50 ratings before. Films are ranked by
the cosine of their vector to the pooled history. Users are split by seed: 60 % fit the attention,
20 % choose the decay, 20 % are reported.

Letters: B users, H items of a history, I items, D numbers of an item's vector.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slategym.benchmarks.encode_data import movies
from slategym.benchmarks.encode_row import encoded
from slategym.cf_baselines.interactions import Interactions
from slategym.encoders.base import FloatArray
from slategym.encoders.users import AttentionPooling, IntArray, RecencyPooling, fit_attention

HISTORY, LIKED, BEST_OF = 50, 4.0, 10
DECAYS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)


def histories(log: Interactions) -> tuple[IntArray, FloatArray]:
    """Return items (B, H + 1) oldest first, -1 for none, and their values in [0, 1].

    The last is the newest film of at least 4 stars; users without one, or without 5 films before
    it, are left out. Ratings of the same second keep the order of the log.
    """
    order = np.lexsort((np.arange(len(log.users)), log.times, log.users))
    users, items, values = log.users[order], log.items[order], log.values[order]
    rows, liked = [], []
    for user in np.unique(users):
        mine = np.flatnonzero(users == user)
        good = np.flatnonzero(values[mine] >= LIKED)
        if not len(good) or good[-1] < 5:
            continue
        kept = mine[max(0, good[-1] - HISTORY) : good[-1] + 1]
        gap = HISTORY + 1 - len(kept)
        rows.append(np.concatenate([np.full(gap, -1), items[kept]]))
        liked.append(np.concatenate([np.zeros(gap), (values[kept] - 1.0) / 4.0]))
    return np.array(rows, np.int64), np.array(liked, np.float32)


def ndcg(scores: FloatArray, items: IntArray) -> npt.NDArray[np.float64]:
    """Return NDCG@10 of the last item of each history (B,) among all items not in it before."""
    scores = scores.copy()
    for row, history in zip(scores, items[:, :-1], strict=True):
        row[history[history >= 0]] = -np.inf
    right = items[:, -1]
    own = scores[np.arange(len(items)), right]
    rank = (scores > own[:, None]).sum(axis=1)
    return np.where(rank < BEST_OF, 1.0 / np.log2(rank + 2.0), 0.0)


def by_recency(items: IntArray, liked: FloatArray, table: FloatArray, decay: float) -> FloatArray:
    """Return the cosine of every item to each pooled history (B, I)."""
    pooled = RecencyPooling(decay).pool(items[:, :-1], liked[:, :-1], table).vectors
    return pooled @ table.T


def by_attention(
    items: IntArray, liked: FloatArray, table: FloatArray, pooling: AttentionPooling
) -> FloatArray:
    """Return the likeness of every item to each history pooled for it (B, I)."""
    keys = table @ pooling.metric
    everything = np.arange(len(table))[None]
    rows = []
    for row in range(len(items)):
        one = slice(row, row + 1)
        weights = pooling.weights(items[one, :-1], liked[one, :-1], table, everything)[0]
        seen = keys[np.maximum(items[row, :-1], 0)]
        rows.append(((weights @ seen) * keys).sum(axis=1))
    return np.array(rows, np.float32)


def measure(
    items: IntArray, liked: FloatArray, table: FloatArray, seed: int
) -> Mapping[str, float]:
    """Return the mean NDCG@10 on the reported users of a seed, by way of pooling."""
    order = np.random.default_rng(seed).permutation(len(items))
    fit, choose, told = np.split(order, [int(0.6 * len(items)), int(0.8 * len(items))])

    def recency(rows: IntArray, decay: float) -> float:
        return float(ndcg(by_recency(items[rows], liked[rows], table, decay), items[rows]).mean())

    best = max(DECAYS, key=lambda decay: recency(choose, decay))
    attention = fit_attention(items[fit], liked[fit], table, seed=seed)
    found = by_attention(items[told], liked[told], table, attention)
    newest = items[told].copy()
    newest[:, :-2] = -1
    return {
        "the newest film alone": float(
            ndcg(by_recency(newest, np.ones_like(liked[told]), table, 1.0), items[told]).mean()
        ),
        "mean of the history": recency(told, 1.0),
        f"recency, decay chosen (seed {seed}: {best:g})": recency(told, best),
        "attention": float(ndcg(found, items[told]).mean()),
    }


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds ml-100k")
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args(arguments)
    data = movies(given.data)
    items, liked = histories(data.interactions)
    for name in ("minilm", "static-minilm"):
        table = encoded(data.catalog, "text", name)
        table = table - table.mean(axis=0)
        table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-9)
        runs = [measure(items, liked, table, seed) for seed in range(given.seeds)]
        print(f"\n{name}: {len(items)} users, NDCG@10, mean and standard deviation of the seeds")
        for ways in zip(*(run.items() for run in runs), strict=True):
            values = [value for _, value in ways]
            what = ways[0][0].partition(" (")[0]
            print(f"| {what} | {np.mean(values):.4f} | {np.std(values, ddof=1):.4f} |")


if __name__ == "__main__":
    main()
