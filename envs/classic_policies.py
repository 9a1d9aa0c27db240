"""The fixed policies RecSim's reference statistics were measured with, for a whole batch."""

from collections.abc import Callable, Mapping

import numpy as np

from slategym.envs.arrays import AnyArray, DoubleArray, LongArray
from slategym.errors import unknown_name

Known = Mapping[str, AnyArray]
"""What `ClassicSimulation.privileged` returns."""
Key = Callable[[Known], AnyArray]


def _at_own_clusters(known: Known, name: str) -> DoubleArray:
    """Return a property of the user's at each candidate's cluster (B, C)."""
    return np.take_along_axis(known[name], known["cluster_id"].astype(np.int64), axis=1)


# Each candidate's key (B, C); the K smallest are shown, smallest first, ties in candidate order.
_QUALITY: dict[str, Key] = {
    "top_quality": lambda known: -known["quality"],
    "low_quality": lambda known: known["quality"],
    "topic0_first": lambda known: known["cluster_id"],
    "topic1_first": lambda known: -known["cluster_id"],
}
_KEYS: dict[str, dict[str, Key]] = {
    "interest_evolution": {
        **_QUALITY,
        "top_interest": lambda known: -_at_own_clusters(known, "interest"),
    },
    "interest_exploration": {
        **_QUALITY,
        "top_affinity": lambda known: -(_at_own_clusters(known, "affinity") + known["quality"]),
    },
    "long_term_satisfaction": {
        "min_clickbait": lambda known: known["clickbait"],
        "max_clickbait": lambda known: -known["clickbait"],
        "mid_clickbait": lambda known: np.abs(known["clickbait"] - 0.5),
    },
}
_BLIND = ("random", "first_k", "same_doc")


def policy_names(family: str) -> tuple[str, ...]:
    """Return the policies that a family knows."""
    return (*_BLIND, *_KEYS[family])


class FixedPolicy:
    """One of the reference policies.

    Args:
        family: which classic.
        name: one of `policy_names`; "random" shows K distinct candidates, "first_k" the first
            K, "same_doc" the first one K times.
        size: K.
        count: C.
        rng: draws the random slates.

    Raises:
        UsageError: the family has no such policy; the message gives the nearest.
    """

    def __init__(
        self, family: str, name: str, size: int, count: int, rng: np.random.Generator
    ) -> None:
        if name not in policy_names(family):
            raise unknown_name(f"{family} policy", name, policy_names(family))
        self.looks_at_quality = name in ("top_quality", "low_quality")
        """Whether ``act`` needs the quality of every candidate."""
        self._name, self._size, self._count, self._rng = name, size, count, rng
        self._key = _KEYS[family].get(name)

    def act(self, known: Known, batch: int) -> LongArray:
        """Return slates (B, K) of candidate positions.

        Args:
            known: what is known of users and candidates.
            batch: B.
        """
        size = self._size
        if self._key is not None:
            order = np.argsort(self._key(known), axis=1, kind="stable")
            return np.ascontiguousarray(order[:, :size])
        if self._name == "same_doc":
            return np.zeros((batch, size), dtype=np.int64)
        if self._name == "first_k":
            return np.tile(np.arange(size), (batch, 1))
        return self._distinct(batch)

    def _distinct(self, batch: int) -> LongArray:
        """Return uniform slates without replacement: the first K steps of a Fisher-Yates."""
        count, rows = self._count, np.arange(batch)
        deck = np.tile(np.arange(count), (batch, 1))
        for place in range(self._size):
            other = self._rng.integers(place, count, batch)
            drawn = deck[rows, other]
            deck[rows, other] = deck[:, place]
            deck[:, place] = drawn
        return np.ascontiguousarray(deck[:, : self._size])
