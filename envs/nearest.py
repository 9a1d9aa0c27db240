"""Nearest items to points in item space: among a few candidates, or in the whole catalogue."""

from itertools import pairwise

import numpy as np

from slategym.envs.arrays import FloatArray, IntArray, LongArray

_ROWS = 256  # points compared with the whole catalogue at once


def nearest_of(
    points: FloatArray, vectors: FloatArray, candidates: IntArray, count: int
) -> LongArray:
    """Return the positions (B, K) of the nearest candidates by Euclidean distance.

    Args:
        points: (B, D).
        vectors: (I, D).
        candidates: (B, C) item rows.
        count: K; equal distances keep the order of the candidates.
    """
    rows = vectors[candidates]  # (B, C, D)
    square = np.einsum("bcd,bcd->bc", rows, rows)
    score = square - 2.0 * np.einsum("bcd,bd->bc", rows, points)
    return np.argsort(score, axis=1, kind="stable")[:, :count].astype(np.int64)


class NearestItems:
    """Finds the items nearest to points by Euclidean distance.

    Exact search compares with every item. Approximate search (inverted lists, Jegou, Douze and
    Schmid 2011, without the compression) groups the items around ``sqrt(I)`` centres and looks
    only into the groups whose centres are nearest.

    Args:
        vectors: (I, D) the items.
        approximate: look into ``probes`` groups only.
        probes: groups looked into; more is slower and finds more.
    """

    def __init__(self, vectors: FloatArray, *, approximate: bool = False, probes: int = 12) -> None:
        self._vectors = np.asarray(vectors, np.float32)
        self._square = np.einsum("id,id->i", self._vectors, self._vectors)
        self.probes = probes
        self._lists: list[LongArray] = []
        if approximate and len(vectors) > 1000:
            self._centres, self._lists = _groups(self._vectors)

    def search(self, points: FloatArray, count: int) -> LongArray:
        """Return the item rows (B, K) nearest to ``points`` (B, D), nearest first.

        Equal distances keep the order of the rows.
        """
        if self._lists:
            return np.stack([self._probe(point, count) for point in points])
        parts = [
            self._exact(points[start : start + _ROWS], count)
            for start in range(0, len(points), _ROWS)
        ]
        return np.concatenate(parts)

    def _exact(self, points: FloatArray, count: int) -> LongArray:
        score = self._square - 2.0 * (points @ self._vectors.T)  # (n, I)
        if count < score.shape[1]:
            # The K-th smallest bounds who can be chosen; ties with it are settled by row.
            edge = np.partition(score, count - 1, axis=1)[:, count - 1 : count]
            return np.stack(
                [_first(np.flatnonzero(s <= e), s, count) for s, e in zip(score, edge, strict=True)]
            )
        return np.argsort(score, axis=1, kind="stable")[:, :count].astype(np.int64)

    def _probe(self, point: FloatArray, count: int) -> LongArray:
        apart = ((self._centres - point) ** 2).sum(axis=1)
        order = np.argsort(apart, kind="stable")
        found, taken = 0, 0
        while taken < len(order) and (taken < self.probes or found < count):
            found += len(self._lists[order[taken]])
            taken += 1
        rows = np.sort(np.concatenate([self._lists[group] for group in order[:taken]]))
        near = self._vectors[rows]
        score = self._square[rows] - 2.0 * (near @ point)
        return rows[np.argsort(score, kind="stable")[:count]].astype(np.int64)


def _first(rows: LongArray, score: FloatArray, count: int) -> LongArray:
    """Return the ``count`` rows of lowest score, equal ones in order."""
    return rows[np.argsort(score[rows], kind="stable")[:count]].astype(np.int64)


def _groups(vectors: FloatArray, rounds: int = 8) -> tuple[FloatArray, list[LongArray]]:
    """Return centres (G, D) and the rows of each group, by k-means from a fixed start."""
    count = int(np.sqrt(len(vectors)))
    rng = np.random.default_rng(0)  # only decides where the centres begin
    sample = vectors[rng.permutation(len(vectors))[: 64 * count]]
    centres = sample[:count].copy()
    for _ in range(rounds):
        nearest = _assign(sample, centres)
        for group in range(count):
            members = sample[nearest == group]
            if len(members):
                centres[group] = members.mean(axis=0)
    nearest = _assign(vectors, centres)
    order = np.argsort(nearest, kind="stable")
    edges = np.searchsorted(nearest[order], np.arange(count + 1))
    return centres, [order[a:b] for a, b in pairwise(edges)]


def _assign(vectors: FloatArray, centres: FloatArray) -> LongArray:
    """Return the nearest centre of each vector."""
    square = (centres**2).sum(axis=1)
    parts = [
        (square - 2.0 * (vectors[start : start + 4096] @ centres.T)).argmin(axis=1)
        for start in range(0, len(vectors), 4096)
    ]
    return np.concatenate(parts)
