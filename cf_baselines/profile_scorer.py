"""The shared half of models that score a profile of liked items through a table of items.

Letters: B batch of users, U users, I items, H history.
"""

from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from slategym.cf_baselines.base import Rows, Scorer
from slategym.cf_baselines.explanations import Case, Part
from slategym.cf_baselines.interactions import (
    FloatArray,
    Interactions,
    RowArray,
    default_threshold,
)


class ProfileScorer(Scorer):
    """Turns a set of liked items into a score for every item, linear in that set.

    A history counts as the set of its items with a value of at least ``threshold``: the setting
    ``positive`` if the model has one and it is given, else `default_threshold` of the log. A user
    without any gets each item's share of the positives: a popularity ranking. States are the
    scores of all items, (B, I).

    Attributes:
        threshold: Values from here on are positive.
        likes: (U, I) float32, 1 where a user gave an item a positive value.
        popularity: (I,) share of all positives, in [0, 1].
    """

    def __init__(self, config: Any = None, **options: Any) -> None:  # noqa: ANN401
        super().__init__(config, **options)
        self.threshold = 0.0
        self.likes = sparse.csr_matrix((0, 0), dtype=np.float32)
        self.popularity: FloatArray = np.zeros(0, np.float32)

    @abstractmethod
    def _learn_items(self) -> None:
        """Prepare whatever `_score_all` needs from ``likes``, (U, I)."""

    @abstractmethod
    def _score_all(self, profiles: sparse.csr_matrix) -> FloatArray:
        """Return the scores of all items for profiles (B, I), each non-empty: (B, I)."""

    def _relearn_items(self, before: sparse.csr_matrix) -> None:  # noqa: ARG002
        """Learn from ``likes`` once more; ``before``, of its shape, is what they were."""
        self._learn_items()

    def _learn(self) -> None:
        self._collect()
        self._learn_items()

    def _relearn(self, before: Interactions) -> None:  # noqa: ARG002 (likes are at hand)
        old = self.likes
        self._collect()
        old = sparse.csr_matrix(old)
        old.resize(self.likes.shape)
        self._relearn_items(old)

    def _collect(self) -> None:
        """Set threshold, likes and popularity from the log."""
        chosen = getattr(self.config, "positive", None)
        self.threshold = default_threshold(self.log) if chosen is None else float(chosen)
        liked = self.log.values >= self.threshold
        shape = (len(self.log.user_ids), len(self.log.item_ids))
        ones = np.ones(int(liked.sum()), np.float32)
        where = (self.log.users[liked], self.log.items[liked])
        self.likes = sparse.csr_matrix((ones, where), shape)
        self.likes.sort_indices()
        counts = np.asarray(self.likes.sum(axis=0), dtype=np.float64).ravel()
        self.popularity = (counts / max(1.0, float(counts.sum()))).astype(np.float32)

    def _states(self, users: Rows) -> FloatArray:
        there = sparse.diags_array((users >= 0).astype(np.float32)).tocsr()
        profiles = sparse.csr_matrix(there @ self.likes[users])
        profiles.eliminate_zeros()
        return self._state(profiles)

    def _fold(self, items: Rows, values: FloatArray, times: RowArray) -> FloatArray:  # noqa: ARG002
        liked = (items >= 0) & (values >= self.threshold)
        users = np.nonzero(liked)[0]
        profiles = sparse.csr_matrix(
            (np.ones(len(users), np.float32), (users, items[liked])),
            (len(items), self.likes.shape[1]),
        )
        profiles.data[:] = 1.0  # the same item twice is one like
        return self._state(profiles)

    def _score_everything(self, state: FloatArray) -> FloatArray:
        return state

    def _parts(self, case: Case) -> list[Part]:
        liked = np.unique(case.items[case.values >= self.threshold])
        if not len(liked):
            return [Part("popularity", float(self.popularity[case.item]))]
        single = sparse.csr_matrix(
            (np.ones(len(liked), np.float32), liked, np.arange(len(liked) + 1)),
            (len(liked), self.likes.shape[1]),
        )
        shares = self._score_all(single)[:, case.item]
        return [
            Part("history", float(share), int(row))
            for share, row in zip(shares, liked, strict=True)
        ]

    def _state(self, profiles: sparse.csr_matrix) -> FloatArray:
        out = np.tile(self.popularity, (profiles.shape[0], 1))
        known = np.flatnonzero(np.diff(profiles.indptr))
        if len(known) == len(out):
            return self._score_all(profiles) if len(known) else out
        if len(known):
            out[known] = self._score_all(profiles[known])
        return out

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {}

    def _restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:  # noqa: ARG002
        self._collect()
