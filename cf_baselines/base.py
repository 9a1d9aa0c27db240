"""What a collaborative-filtering model is, and the register of those that ship.

Letters: B batch of users, U users, I items, H history, K items to score, D content dimensions.
"""

import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.explanations import Case, Explanation, Part, make_explanation
from slategym.cf_baselines.interactions import FloatArray, Interactions, RowArray
from slategym.cf_baselines.joining import HistoryIndex, join_logs, last_of_each_pair
from slategym.cf_baselines.ranking import Recommendations, top_k
from slategym.cf_baselines.row_checks import content_rows, history_rows, item_rows, user_rows
from slategym.cf_baselines.settings import make_settings
from slategym.errors import DataError, UsageError, unknown_name

SCORERS = {
    "popularity": "slategym.cf_baselines.popularity:PopularityScorer",
    "bias": "slategym.cf_baselines.bias_scorer:BiasScorer",
    "item-knn": "slategym.cf_baselines.item_knn:ItemKNNScorer",
    "user-knn": "slategym.cf_baselines.user_knn:UserKNNScorer",
    "rating-knn": "slategym.cf_baselines.rating_knn:RatingKNNScorer",
    "rp3beta": "slategym.cf_baselines.rp3beta:RP3betaScorer",
    "ease": "slategym.cf_baselines.ease:EaseScorer",
    "slim": "slategym.cf_baselines.slim:SlimScorer",
    "denoising-ease": "slategym.cf_baselines.denoising_ease:DenoisingEaseScorer",
    "sequence-ease": "slategym.cf_baselines.sequence_ease:SequenceEaseScorer",
    "graph-walk": "slategym.cf_baselines.graph_walk:GraphWalkScorer",
    "lightgcn": "slategym.cf_baselines.lightgcn:LightGcnScorer",
    "sasrec": "slategym.cf_baselines.sasrec:SasRecScorer",
    "blend": "slategym.cf_baselines.blend:BlendScorer",
    "rating-model": "slategym.cf_baselines.rating_scorer:RatingScorer",
    "als": "slategym.cf_baselines.als:AlsScorer",
    "bpr": "slategym.cf_baselines.bpr:BprScorer",
    "vbpr": "slategym.cf_baselines.bpr:VbprScorer",
    "bayes-svd": "slategym.cf_baselines.gibbs_scorer:BayesScorer",
}
# Scores made at once, so that memory does not grow with the number of users: 64 MB of float32.
SCORES_AT_ONCE = 16_000_000
# Entries of a history that are left out one by one to explain a score; older ones share the rest.
EXPLAINED = 50

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class NoSettings:
    """The settings of a model that has none."""


class Scorer(ABC):
    """Scores items for users: higher is better, the scale is the model's own.

    A model is a subclass with a frozen dataclass of settings, ``Config``, and these hooks:
    `_learn`, `_fold`, `_score_everything`, `_arrays` and `_restore`; `_states`, `_score`,
    `_relearn` and `_parts` have general answers that a model may better. Hooks get checked
    arrays. What a user looks like to the model is a *state*: of what type is its own affair, but
    it holds a whole batch.

    Attributes:
        config: The settings.
        log: The rows it has learned from, the last by time of each user and item. The user and
            item rows of all methods are those of this log.
        content: (I, D) item vectors, all zeros for an item without; None if not given.
    """

    name: ClassVar[str] = "scorer"
    uses_content: ClassVar[bool] = False
    Config: ClassVar[type[Any]] = NoSettings

    def __init__(self, config: Any = None, **options: Any) -> None:  # noqa: ANN401
        """Take settings, as an instance of ``Config`` or by name.

        Raises:
            UsageError: there is no such setting, or a value is out of range.
        """
        if config is not None and options:
            raise UsageError(f"{self.name}: give a config or single settings, not both.")
        if config is not None and not isinstance(config, self.Config):
            raise UsageError(
                f"{self.name}: config is a {type(config).__name__}; give a {self.Config.__name__}."
            )
        self.config = make_settings(self.Config, self.name, options) if config is None else config
        self.log = Interactions((), (), *(np.zeros(0) for _ in range(4)))  # type: ignore[arg-type]
        self.content: FloatArray | None = None
        self._histories: HistoryIndex | None = None

    @abstractmethod
    def _learn(self) -> None:
        """Learn from ``log``, and ``content`` if the model uses it."""

    @abstractmethod
    def _fold(self, items: Rows, values: FloatArray, times: RowArray) -> Any:  # noqa: ANN401
        """Return the states of users with these histories, each (B, H), -1 for no entry."""

    @abstractmethod
    def _score_everything(self, state: Any) -> FloatArray:  # noqa: ANN401
        """Return the scores of all items, (B, I) float32."""

    @abstractmethod
    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what was learned, as named arrays; numbers as arrays without dimensions."""

    @abstractmethod
    def _restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Take back what `_arrays` gave; ``log`` and ``content`` are there already."""

    def _score(self, state: Any, items: Rows) -> FloatArray:  # noqa: ANN401
        """Return scores (B, K) of items (B, K)."""
        return np.take_along_axis(self._score_everything(state), items, axis=1)

    def _states(self, users: Rows) -> Any:  # noqa: ANN401
        """Return the states of users (B,) of the log, -1 for an unknown one."""
        return self._fold(*self.histories(users))

    def _relearn(self, before: Interactions) -> None:  # noqa: ARG002 (for models that add up)
        """Learn from ``log`` once more; ``before`` is what it was when last learned from."""
        self._learn()

    def _parts(self, case: Case) -> list[Part]:
        """Return what the score of a case is made of; what is missing becomes the rest.

        The general answer leaves out one entry of the history at a time.
        """
        items = case.items
        newest = np.arange(len(items))[-EXPLAINED:]
        out = np.tile(items, (len(newest) + 2, 1))
        out[np.arange(len(newest)), newest] = -1
        out[-1] = -1
        shape = out.shape
        values, times = np.broadcast_to(case.values, shape), np.broadcast_to(case.times, shape)
        state = self._fold(out, values, times)
        scores = self._score(state, np.full((len(out), 1), case.item))[:, 0].astype(np.float64)
        gains = scores[-2] - scores[: len(newest)]
        parts = [
            Part("history", float(gain), int(items[row]))
            for row, gain in zip(newest, gains, strict=True)
        ]
        return [Part("popularity", float(scores[-1])), *parts]

    def fit(
        self,
        interactions: Interactions,
        rows: npt.ArrayLike | None = None,
        *,
        content: npt.ArrayLike | None = None,
    ) -> Self:
        """Learn from these rows of a log (all for ``None``) and return itself.

        Of several rows of one user and item the last by time counts.

        Args:
            interactions: The log.
            rows: Rows to learn from; nothing else of the log but its ids is looked at.
            content: (I, D) vectors of the log's items, all zeros for an item without one.

        Raises:
            DataError: there are no rows, or content is of another length or not finite.
            UsageError: content was given to a model that does not use it.
        """
        part = interactions.take(interactions.rows_or_all(rows))
        if not len(part):
            raise DataError(
                f"{interactions.name}: no rows to fit {self.name} on; give at least one."
            )
        self._take(last_of_each_pair(part), content)
        self._learn()
        return self

    def partial_fit(
        self, interactions: Interactions, *, content: npt.ArrayLike | None = None
    ) -> Self:
        """Learn from further rows and return itself; the same as a fit on all rows so far.

        Users and items are joined by their ids; new ones come after those that are known. A row
        of a user and item seen before replaces the older of the two by time (the one given here
        if neither is older).

        Args:
            interactions: The further rows, with ids and values like the first ones.
            content: (I, D) vectors of all items known afterwards, in the order of ``log``. By
                default those known stay, and new items have none.

        Raises:
            DataError: one log is implicit and the other is not.
            UsageError: not fitted yet.
        """
        self._check_fitted()
        before = self.log
        joined = join_logs(before, interactions)
        if content is None and self.content is not None:
            new = len(joined.item_ids) - len(self.content)
            content = np.pad(self.content, ((0, new), (0, 0)))
        self._take(joined, content)
        self._relearn(before)
        return self

    def _take(self, log: Interactions, content: npt.ArrayLike | None) -> None:
        """Keep what to learn from, checked."""
        if content is not None and not self.uses_content:
            raise UsageError(
                f"{self.name} does not use content; leave it out, or take a model that does."
            )
        vectors = None if content is None else content_rows(log, content)
        self.log, self.content, self._histories = log, vectors, None

    def score(self, users: npt.ArrayLike, items: npt.ArrayLike) -> FloatArray:
        """Return scores (B, K) of items (B, K) for users (B,) by their rows in ``log``.

        A user of -1 is unknown and is scored as one without a history.

        Raises:
            UsageError: not fitted, or a row is out of range.
        """
        rows, chosen = self._user_rows(users), self._item_rows(items, len(np.asarray(users)))
        step = self._step()
        parts = [
            self._score(self._states(rows[at : at + step]), chosen[at : at + step])
            for at in range(0, len(rows), step)
        ]
        return np.concatenate([np.zeros((0, chosen.shape[1]), np.float32), *parts])

    def score_all(self, users: npt.ArrayLike) -> FloatArray:
        """Return the scores of every item, (B, I), for users (B,), -1 for unknown."""
        rows = self._user_rows(users)
        out = np.empty((len(rows), len(self.log.item_ids)), np.float32)
        step = self._step()
        for at in range(0, len(rows), step):
            out[at : at + step] = self._score_everything(self._states(rows[at : at + step]))
        return out

    def recommend(
        self, users: npt.ArrayLike, k: int = 10, *, exclude_seen: bool = True
    ) -> Recommendations:
        """Return the k best items of each user (B,), the best first.

        Args:
            users: (B,) rows in ``log``, -1 for unknown.
            k: How many, at least 1. Where fewer are left the rest is -1 with a score of -inf.
            exclude_seen: Leave out every item the user has a row for in ``log``.
        """
        rows = self._user_rows(users)
        step = self._step()
        parts = []
        for at in range(0, len(rows), step):
            chunk = rows[at : at + step]
            scores = self._score_everything(self._states(chunk))
            seen = self.index.items_of(chunk) if exclude_seen else None
            parts.append(top_k(scores, k, seen))
        return Recommendations.join(parts, k)

    def fold_in(
        self, items: npt.ArrayLike, values: npt.ArrayLike, times: npt.ArrayLike | None = None
    ) -> Any:  # noqa: ANN401
        """Return the states of users the log does not hold, for `score_folded`.

        Args:
            items: (B, H) item rows of their history, oldest first; -1 for no entry.
            values: (B, H) values in the log's units; ignored where there is no entry.
            times: (B, H) seconds since 1970; 0 for all by default, as in a log without times.

        Raises:
            UsageError: not fitted; shapes differ, an item is out of range, or a value not finite.
        """
        self._check_fitted()
        checked = history_rows(self.name, items, values, times, len(self.log.item_ids))
        return self._fold(*checked)

    def score_folded(self, state: Any, items: npt.ArrayLike) -> FloatArray:  # noqa: ANN401
        """Return scores (B, K) of items (B, K) for folded-in users."""
        return self._score(state, self._item_rows(items))

    def score_all_folded(self, state: Any) -> FloatArray:  # noqa: ANN401
        """Return the scores of every item, (B, I), for folded-in users."""
        return self._score_everything(state)

    def recommend_folded(
        self,
        state: Any,  # noqa: ANN401
        k: int = 10,
        *,
        exclude: npt.ArrayLike | None = None,
    ) -> Recommendations:
        """Return the k best items of folded-in users, without those in ``exclude`` (B, H)."""
        seen = None if exclude is None else np.asarray(exclude, dtype=np.intp)
        return Recommendations.join([top_k(self._score_everything(state), k, seen)], k)

    def explain(self, user: int, item: int, top: int = 5) -> Explanation:
        """Return why this item has its score for this user; see `Explanation`.

        Args:
            user: Row in ``log``, -1 for unknown.
            item: Row in ``log``.
            top: Entries of the history that are named; the others are summed up.
        """
        rows = self._user_rows([user])
        total = float(self.score([user], [[item]])[0, 0])
        items, values, times = (part[0] for part in self.histories(rows))
        return self._explain(Case(user, items, values, times, item), total, top)

    def explain_folded(
        self,
        items: npt.ArrayLike,
        values: npt.ArrayLike,
        item: int,
        top: int = 5,
        *,
        times: npt.ArrayLike | None = None,
    ) -> Explanation:
        """Return why this item has its score for one user with the history (H,) given."""
        known = len(self.log.item_ids)
        when = None if times is None else np.asarray(times)[None]
        checked = history_rows(
            self.name, np.asarray(items)[None], np.asarray(values)[None], when, known
        )
        total = float(self.score_folded(self._fold(*checked), [[item]])[0, 0])
        there = checked[0][0] >= 0
        liked, worth, when_liked = (part[0][there] for part in checked)
        return self._explain(Case(-1, liked, worth, when_liked, item), total, top)

    def _explain(self, case: Case, total: float, top: int) -> Explanation:
        return make_explanation(case, total, self._parts(case), top)

    def save(self, folder: str | Path) -> None:
        """Write settings, log and what was learned to a folder; `load_scorer` reads it back."""
        from slategym.cf_baselines.scorer_files import save_scorer

        self._check_fitted()
        save_scorer(self, Path(folder), self._arrays())

    def restore(
        self, log: Interactions, content: FloatArray | None, arrays: dict[str, npt.NDArray[Any]]
    ) -> None:
        """Become the model that was saved; for `load_scorer`."""
        self._take(log, content)
        self._restore({name.removeprefix("model."): array for name, array in arrays.items()})

    @property
    def index(self) -> HistoryIndex:
        """The rows of ``log`` by user."""
        if self._histories is None:
            self._histories = HistoryIndex.of(self.log)
        return self._histories

    def histories(self, users: npt.ArrayLike) -> tuple[Rows, FloatArray, RowArray]:
        """Return items, values and times (B, H) of users (B,), oldest first, -1 where none."""
        return self.index.histories(self.log, np.asarray(users, dtype=np.intp))

    def _check_fitted(self) -> None:
        if not len(self.log):
            raise UsageError(f"the {self.name} scorer is not fitted; call fit first.")

    def _step(self) -> int:
        return max(1, SCORES_AT_ONCE // max(1, len(self.log.item_ids)))

    def _user_rows(self, users: npt.ArrayLike) -> Rows:
        self._check_fitted()
        return user_rows(self.name, users, len(self.log.user_ids))

    def _item_rows(self, items: npt.ArrayLike, batch: int | None = None) -> Rows:
        self._check_fitted()
        return item_rows(self.name, items, len(self.log.item_ids), batch)


def scorer_class(name: str) -> type[Scorer]:
    """Return the class of a model by its name in `SCORERS`.

    Raises:
        UsageError: no such model; the message gives the nearest.
    """
    if name not in SCORERS:
        raise unknown_name("scorer", name, SCORERS)
    module, _, attribute = SCORERS[name].partition(":")
    kind: type[Scorer] = getattr(importlib.import_module(module), attribute)
    return kind


def make_scorer(name: str, **options: Any) -> Scorer:  # noqa: ANN401
    """Return an unfitted model by its name in `SCORERS`.

    Raises:
        UsageError: no such model, it has no such setting, or a value is out of range.
    """
    return scorer_class(name)(**options)
