"""EASE that knows the order of things: a fading profile, and what tends to follow what."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from slategym.cf_baselines.base import Rows
from slategym.cf_baselines.history_linear import (
    HistoryLinearScorer,
    ages,
    history_matrix,
    likes_of,
    linear_weights,
)
from slategym.cf_baselines.interactions import FloatArray
from slategym.cf_baselines.settings import in_range


@dataclass(frozen=True)
class SequenceEaseConfig:
    """Settings of `SequenceEaseScorer`; chosen by validation on ML-100K, per-user time split.

    An entry's age is the number of newer entries of its user. A decay d weights an entry of age
    a by d ** a.
    """

    liked_penalty: float = 200.0
    """EASE penalty of the liked part, > 0."""
    liked_decay: float = 0.9
    """Decay of the liked part, in (0, 1]; ages count likes only."""
    liked_floor: float = 0.25
    """What an old like keeps of its weight, in [0, 1]."""
    rated_penalty: float = 400.0
    """EASE penalty of the rated part (everything a user has a row for), > 0."""
    rated_decay: float = 0.93
    """Decay of the rated part."""
    rated_weight: float = 0.5
    """Weight of the rated part against the liked one, both scaled to one spread; >= 0."""
    next_decay: float = 0.85
    """Decay of the part that counts what followed what."""
    next_weight: float = 1.0
    """Weight of that part, >= 0."""
    window: int = 40
    """Entries that count as following one, at least 1."""
    lag_decay: float = 0.96
    """An entry that follows s places later counts this to the power s - 1, in (0, 1]."""
    disliked: float = 0.5
    """What a following entry below the liked threshold counts, in [0, 1]."""
    shrinkage: float = 20.0
    """Added to the counts of both items of a transition, > 0."""

    def __post_init__(self) -> None:
        decays = (self.liked_decay, self.rated_decay, self.next_decay, self.lag_decay)
        in_range(
            "sequence-ease",
            all(0 < decay <= 1 for decay in decays)
            and 0 <= self.liked_floor <= 1
            and 0 <= self.disliked <= 1,
            f"decays {decays}, liked_floor={self.liked_floor}, disliked={self.disliked}",
            "decays must be in (0, 1], the floor and disliked in [0, 1]",
        )
        in_range(
            "sequence-ease",
            min(self.liked_penalty, self.rated_penalty, self.shrinkage) > 0
            and min(self.rated_weight, self.next_weight) >= 0
            and self.window >= 1,
            f"penalties {self.liked_penalty} and {self.rated_penalty}, shrinkage="
            f"{self.shrinkage}, weights {self.rated_weight} and {self.next_weight}, window="
            f"{self.window}",
            "penalties and shrinkage must be positive, weights at least 0, the window at least 1",
        )


def transition_counts(
    users: npt.NDArray[Any],
    items: npt.NDArray[Any],
    counted: FloatArray,
    n_items: int,
    window: int,
    lag_decay: float,
) -> npt.NDArray[np.float64]:
    """Return how often item j came after item i within a window, (I, I), by lag discounted.

    Args:
        users: (N,) users, each one's entries together and the oldest first.
        items: (N,) their items.
        counted: (N,) what an entry counts as the later of two.
        n_items: I.
        window: Entries after one that count.
        lag_decay: An entry s places later counts lag_decay ** (s - 1).
    """
    pairs: list[tuple[npt.NDArray[Any], FloatArray]] = []
    for lag in range(1, min(window, max(1, len(items) - 1)) + 1):
        same = users[:-lag] == users[lag:]
        if not same.any():
            break
        keys = items[:-lag][same].astype(np.int64) * n_items + items[lag:][same]
        pairs.append((keys, lag_decay ** (lag - 1) * counted[lag:][same]))
    if not pairs:
        return np.zeros((n_items, n_items))
    keys, weights = (np.concatenate(column) for column in zip(*pairs, strict=True))
    total = np.bincount(keys, weights, n_items * n_items).astype(np.float64)
    return np.asarray(total.reshape(n_items, n_items))


class SequenceEaseScorer(HistoryLinearScorer):
    """Scores the sum of three item-to-item tables, each met by a profile that fades with age.

    * ``liked``: EASE on likes: what goes with what this person liked;
    * ``rated``: EASE on all rows: what people like this one get round to at all, good or bad;
    * ``next``: n_ij / ((n_i. + s) sqrt(n_.j + s)), n_ij the discounted count of j after i
      within the window and s the shrinkage: what tends to follow what was there last.

    Each part is scaled so that its scores of the training users have a standard deviation of 1.
    Rows of one time are ordered by item row; a log whose rows all have one time has no order,
    and is scored by the liked part alone, without fading. Needs tables of I x I numbers: for some
    20,000 items at most.
    """

    name: ClassVar[str] = "sequence-ease"
    Config = SequenceEaseConfig

    def __init__(self, config: Any = None, **options: Any) -> None:  # noqa: ANN401
        super().__init__(config, **options)
        self.liked: FloatArray = np.zeros((0, 0), np.float32)
        self.rated: FloatArray = np.zeros((0, 0), np.float32)
        self.next: FloatArray = np.zeros((0, 0), np.float32)
        self.ordered = True

    def _learn(self) -> None:
        likes, self.threshold, self.popularity = likes_of(self.log)
        shape = likes.shape
        rows = sparse.csr_matrix(
            (np.ones(len(self.log), np.float32), (self.log.users, self.log.items)), shape
        )
        config = self.config
        self.ordered = bool((self.log.times != self.log.times[0]).any())
        self.liked = linear_weights((likes.T @ likes).toarray(), config.liked_penalty)
        self.rated = linear_weights((rows.T @ rows).toarray(), config.rated_penalty)
        self.next = self._transitions(shape[1])
        self._scale(shape[0])

    def _transitions(self, n_items: int) -> FloatArray:
        if not self.ordered:
            return np.zeros((n_items, n_items), np.float32)
        config, order = self.config, self.index.order
        counted = np.where(self.log.values[order] >= self.threshold, 1.0, config.disliked)
        table = transition_counts(
            self.log.users[order],
            self.log.items[order],
            counted.astype(np.float32),
            n_items,
            config.window,
            config.lag_decay,
        )
        before, after = table.sum(axis=1, keepdims=True), table.sum(axis=0)
        table /= (before + config.shrinkage) * np.sqrt(after + config.shrinkage)
        return table.astype(np.float32)

    def _scale(self, n_users: int) -> None:
        """Give the parts their weights, as multiples of one spread over the training users."""
        tables = (self.liked, self.rated, self.next)
        sums, squares, count = np.zeros(3), np.zeros(3), 0
        step = self._step()
        for at in range(0, n_users, step):
            users = np.arange(at, min(at + step, n_users))
            items, values, _ = self.histories(users)
            profiles = self._profiles(items, values)
            for part, (profile, table) in enumerate(zip(profiles, tables, strict=True)):
                scores = profile @ table
                sums[part] += scores.sum(dtype=np.float64)
                squares[part] += np.square(scores, dtype=np.float64).sum()
            count += len(users) * len(self.liked)
        spread = np.sqrt(np.maximum(squares / count - (sums / count) ** 2, 0.0))
        weights = np.array([1.0, self.config.rated_weight, self.config.next_weight])
        weights[1:] *= self.ordered
        factors = np.divide(weights, spread, out=np.zeros(3), where=spread > 0)
        for table, factor in zip(tables, factors.astype(np.float32), strict=True):
            table *= factor

    def _profiles(self, items: Rows, values: FloatArray) -> tuple[sparse.csr_matrix, ...]:
        config, n_items = self.config, len(self.popularity)
        there = items >= 0
        liked = there & (values >= self.threshold)
        age, liked_age = ages(there) * self.ordered, ages(liked) * self.ordered
        kept = config.liked_floor + (1 - config.liked_floor) * config.liked_decay**liked_age
        return (
            history_matrix(items, np.where(liked, kept, 0), n_items),
            history_matrix(items, config.rated_decay**age, n_items),
            history_matrix(items, config.next_decay**age, n_items),
        )

    def _linear(self, profiles: tuple[sparse.csr_matrix, ...]) -> FloatArray:
        tables = (self.liked, self.rated, self.next)
        out = np.zeros(profiles[0].shape, np.float32)
        for profile, table in zip(profiles, tables, strict=True):
            out += profile @ table
        return out

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {
            "liked": self.liked,
            "rated": self.rated,
            "next": self.next,
            "popularity": self.popularity,
            "threshold": np.array(self.threshold),
            "ordered": np.array(self.ordered),
        }

    def _restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self.liked, self.rated, self.next = arrays["liked"], arrays["rated"], arrays["next"]
        self.popularity, self.threshold = arrays["popularity"], float(arrays["threshold"])
        self.ordered = bool(arrays["ordered"])
