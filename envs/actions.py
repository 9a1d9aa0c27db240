"""From an action to a slate: positions, one number for a whole slate, or a point in item space."""

from itertools import combinations
from math import comb, perm
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces

from slategym.envs.arrays import AnyArray, FloatArray, IntArray, LongArray
from slategym.envs.nearest import NearestItems, nearest_of
from slategym.envs.protocol import out_of_range, positions
from slategym.errors import UsageError

MOST_SLATES = 100_000


class Actions(Protocol):
    """How an action names a slate."""

    space: spaces.Space[Any]
    """Of one user."""

    def slates(self, actions: AnyArray, candidates: IntArray) -> LongArray:
        """Return (B, K) positions into ``candidates`` (B, C), or item rows if C is 0.

        Raises:
            UsageError: another shape, kind or range than the space's.
        """


class SlateActions:
    """K positions, best first: `MultiDiscrete`, or `Discrete` if K is 1.

    A position given twice fills a slot once; the second is an empty slot.
    """

    def __init__(self, batch: int, size: int, count: int) -> None:
        self._batch, self._size, self._count = batch, size, count
        self.space: spaces.Space[Any] = (
            spaces.Discrete(count) if size == 1 else spaces.MultiDiscrete([count] * size)
        )

    def slates(self, actions: AnyArray, candidates: IntArray) -> LongArray:  # noqa: ARG002
        """Return the positions themselves."""
        array = positions(actions, self._batch, self._size)
        if array.min() < 0 or array.max() >= self._count:
            raise out_of_range(array, self._count)
        return array


class DiscreteActions:
    """One number for each set of K candidates, in the order of `itertools.combinations`."""

    def __init__(self, batch: int, size: int, count: int) -> None:
        total = comb(count, size)
        if total > MOST_SLATES:
            raise UsageError(
                f"action 'discrete' would number {total:,} slates ({size} of {count}); at most "
                f"{MOST_SLATES:,} are allowed: lower slate_size or num_candidates, or use 'slate'."
            )
        self._batch, self._count = batch, total
        self.table = np.array(list(combinations(range(count), size)), np.int64)  # (N, K)
        self.space: spaces.Space[Any] = spaces.Discrete(total)

    def slates(self, actions: AnyArray, candidates: IntArray) -> LongArray:  # noqa: ARG002
        """Return the positions of each numbered slate, lowest first."""
        array = positions(actions, self._batch, 1)
        if array.min() < 0 or array.max() >= self._count:
            raise out_of_range(array, self._count)
        return np.ascontiguousarray(self.table[array[:, 0]])


class ProtoActions:
    """A point in item space; the slate is the K items nearest to it, nearest first.

    As in Dulac-Arnold et al. 2015 (the Wolpertinger policy without its critic): among the
    candidates, or in the whole catalogue by exact or approximate search. An action lies in
    [-1, 1]^D; the point is ``action * scale``, and ``scale`` (D,) the largest absolute value of
    each column of the item vectors, so that every item can be pointed at.
    """

    def __init__(self, batch: int, size: int, vectors: FloatArray, search: str) -> None:
        self._batch, self._size, self._vectors = batch, size, vectors
        self._search = search
        self._index: NearestItems | None = None
        self.scale = proto_scale(vectors)
        self.space: spaces.Space[Any] = spaces.Box(-1.0, 1.0, (vectors.shape[1],), np.float32)

    def slates(self, actions: AnyArray, candidates: IntArray) -> LongArray:
        """Return the K nearest candidates, or items of the whole catalogue if C is 0."""
        points = np.asarray(actions)
        shape = (self._batch, self._vectors.shape[1])
        if points.shape != shape or points.dtype.kind not in "fiu":
            raise UsageError(
                f"actions are {points.dtype} of shape {points.shape}; a proto-item is {shape} "
                "numbers."
            )
        points = points.astype(np.float32) * self.scale
        if not np.isfinite(points).all():
            raise UsageError("actions hold values that are not finite.")
        if candidates.shape[1] > 0:
            return nearest_of(points, self._vectors, candidates, self._size)
        if self._index is None:
            self._index = NearestItems(self._vectors, approximate=self._search == "approximate")
        return self._index.search(points, self._size)


def proto_scale(vectors: FloatArray) -> FloatArray:
    """Return (D,): what an action in [-1, 1]^D is multiplied by to point at items."""
    widest = np.abs(vectors).max(axis=0, initial=0.0)
    return np.where(widest > 0, widest, 1.0).astype(np.float32)


def make_actions(
    kind: str, batch: int, size: int, count: int, vectors: FloatArray, search: str
) -> Actions:
    """Return how actions of a kind name slates of ``size`` out of ``count``.

    Raises:
        UsageError: there are fewer items than slots, or too many slates to number.
    """
    if perm(count, size) == 0:
        raise UsageError(f"slate_size {size} is larger than the {count} items to choose from.")
    if kind == "discrete":
        return DiscreteActions(batch, size, count)
    if kind == "proto":
        return ProtoActions(batch, size, vectors, search)
    return SlateActions(batch, size, count)
