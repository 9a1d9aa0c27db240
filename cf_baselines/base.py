"""What a collaborative-filtering baseline is, and the register of those that ship.

Letters: B batch of users, U users, I items, H history, K items to score.
"""

import importlib
from abc import ABC, abstractmethod
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from slategym.cf_baselines.interactions import FloatArray, Interactions, default_threshold
from slategym.errors import UsageError, unknown_name

SCORERS = {
    "popularity": "slategym.cf_baselines.popularity:PopularityScorer",
    "item-knn": "slategym.cf_baselines.item_knn:ItemKNNScorer",
    "ease": "slategym.cf_baselines.ease:EaseScorer",
    "rating-model": "slategym.cf_baselines.rating_scorer:RatingScorer",
}


@runtime_checkable
class Scorer(Protocol):
    """Scores items for users: higher is better, the scale is the scorer's own."""

    name: str

    def fit(self, interactions: Interactions, rows: npt.ArrayLike | None = None) -> Self:
        """Learn from these rows of a log (all for ``None``) and return itself."""
        ...

    def score(self, users: npt.ArrayLike, items: npt.ArrayLike) -> FloatArray:
        """Return scores (B, K) of items (B, K) for users (B,) by their rows in the log.

        A user of -1 is unknown and is scored as one without a history.
        """
        ...

    def fold_in(self, items: npt.ArrayLike, values: npt.ArrayLike) -> Any:  # noqa: ANN401
        """Return the state of users the log does not hold, for `score_folded`.

        Args:
            items: (B, H) item rows of their history, -1 for no entry.
            values: (B, H) values in the log's units.
        """
        ...

    def score_folded(self, state: Any, items: npt.ArrayLike) -> FloatArray:  # noqa: ANN401
        """Return scores (B, K) of items (B, K) for folded-in users."""
        ...


def make_scorer(name: str, **options: Any) -> Scorer:  # noqa: ANN401
    """Return an unfitted scorer by its name in `SCORERS`.

    Raises:
        UsageError: no such scorer, or it has no such option.
    """
    if name not in SCORERS:
        raise unknown_name("scorer", name, SCORERS)
    module, _, attribute = SCORERS[name].partition(":")
    kind = getattr(importlib.import_module(module), attribute)
    try:
        scorer: Scorer = kind(**options)
    except TypeError as error:
        raise UsageError(f"scorer {name!r}: {error}.") from None
    return scorer


class ProfileScorer(ABC):
    """The shared half of scorers that turn a set of liked items into a score for every item.

    A history counts as the set of its items with a value of at least ``threshold``. A user
    without any gets each item's share of the positives: a popularity ranking. States are the
    scores of all items, (B, I).
    """

    name = "profile"

    def __init__(self) -> None:
        self.threshold = 0.0
        self.likes = sparse.csr_matrix((0, 0), dtype=np.float32)
        self.popularity: FloatArray = np.zeros(0, np.float32)

    def fit(self, interactions: Interactions, rows: npt.ArrayLike | None = None) -> Self:
        """Learn from the positive rows among these; see `default_threshold`."""
        part = interactions.take(interactions.rows_or_all(rows))
        self.threshold = default_threshold(part)
        liked = part.values >= self.threshold
        shape = (len(part.user_ids), len(part.item_ids))
        likes = sparse.csr_matrix(
            (np.ones(int(liked.sum()), np.float32), (part.users[liked], part.items[liked])), shape
        )
        likes.data[:] = 1.0  # the same pair twice is one like
        self.likes = likes
        counts = np.asarray(likes.sum(axis=0)).ravel()
        self.popularity = (counts / max(1.0, float(counts.sum()))).astype(np.float32)
        self._learn()
        return self

    def _learn(self) -> None:  # noqa: B027 (a hook: popularity needs none)
        """Prepare whatever `_score_all` needs from ``likes``, (U, I)."""

    @abstractmethod
    def _score_all(self, profiles: sparse.csr_matrix) -> FloatArray:
        """Return the scores of all items for profiles (B, I), each non-empty: (B, I)."""

    def score(self, users: npt.ArrayLike, items: npt.ArrayLike) -> FloatArray:
        """Return scores (B, K) from what the users liked in the log; -1 is an unknown user."""
        rows = np.asarray(users)
        there = sparse.diags_array((rows >= 0).astype(np.float32)).tocsr()
        profiles = sparse.csr_matrix(there @ self.likes[rows])
        profiles.eliminate_zeros()
        return self.score_folded(self._state(profiles), items)

    def fold_in(self, items: npt.ArrayLike, values: npt.ArrayLike) -> FloatArray:
        """Return the scores of all items, (B, I), from histories (B, H), -1 for no entry."""
        history = np.asarray(items)
        liked = (history >= 0) & (np.asarray(values) >= self.threshold)
        users = np.nonzero(liked)[0]
        profiles = sparse.csr_matrix(
            (np.ones(len(users), np.float32), (users, history[liked])),
            (len(history), self.likes.shape[1]),
        )
        profiles.data[:] = 1.0
        return self._state(profiles)

    def score_folded(self, state: FloatArray, items: npt.ArrayLike) -> FloatArray:
        """Return the entries (B, K) of the state (B, I) at these items."""
        return np.take_along_axis(state, np.asarray(items), axis=1)

    def _state(self, profiles: sparse.csr_matrix) -> FloatArray:
        out = np.tile(self.popularity, (profiles.shape[0], 1))
        known = np.flatnonzero(np.diff(profiles.indptr))
        if len(known):
            out[known] = self._score_all(profiles[known])
        return out
