"""The Bayesian rating model as a scorer: expected value under samples of its posterior."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.base import Rows, Scorer
from slategym.cf_baselines.explanations import Case, Part
from slategym.cf_baselines.gibbs import Sampler, Samples
from slategym.cf_baselines.gibbs_features import build_sides, standard_content
from slategym.cf_baselines.gibbs_kernels import fold_rows, score_rows
from slategym.cf_baselines.gibbs_people import DrawnUsers, draw_rows, level_shares, value_shares
from slategym.cf_baselines.interactions import FloatArray, Interactions, RowArray
from slategym.cf_baselines.negatives import with_negatives
from slategym.cf_baselines.ordinal import TABLE_LOW, TABLE_STEP
from slategym.cf_baselines.row_checks import profile_rows
from slategym.cf_baselines.settings import in_range
from slategym.errors import UsageError

F32 = npt.NDArray[np.float32]
MAX_LEVELS = 20  # more distinct values than this are treated as measured, not as levels
NEGATIVES = 4  # per positive, for a log that has no values
FOLD_ROUNDS = 20


@dataclass(frozen=True)
class BayesConfig:
    """Settings of `BayesScorer`.

    Attributes:
        factors: Dimensions of taste, at least 1.
        sweeps: Of the Gibbs sampler, more than ``warm_up``.
        warm_up: Sweeps nothing is kept of.
        samples: Kept, evenly spaced over the other sweeps.
        likelihood: ``ordered`` treats values as levels (`slategym.cf_baselines.ordinal`),
            ``normal`` as measured; ``auto`` is ordered for up to 20 distinct values.
        seed: Same seed, same samples.
    """

    factors: int = 16
    sweeps: int = 200
    warm_up: int = 20
    samples: int = 90
    likelihood: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        name = BayesScorer.name
        in_range(name, self.factors >= 1, f"factors={self.factors}", "at least 1")
        in_range(name, self.warm_up >= 0, f"warm_up={self.warm_up}", "at least 0")
        in_range(name, self.samples >= 1, f"samples={self.samples}", "at least 1")
        said = f"sweeps={self.sweeps}, warm_up={self.warm_up}"
        in_range(name, self.sweeps > self.warm_up, said, "sweeps must be more than warm_up")
        known = ("auto", "ordered", "normal")
        said = f"likelihood={self.likelihood!r}"
        in_range(name, self.likelihood in known, said, f"one of {', '.join(known)}")


class BayesScorer(Scorer):
    """Scores by expected value, in the log's units, under a sampled posterior.

    The model is that of `slategym.cf_baselines.gibbs`. Content, if given, joins the features of
    items (and of users), so an item without ratings is scored by what it is. On a log without
    values, sampled negatives stand for what was not chosen, and scores are in [0, 1].

    Attributes:
        samples: The samples kept.
        user_content: (U, D) what is known of users besides the log, or None.
    """

    name = "bayes-svd"
    uses_content = True
    Config = BayesConfig
    config: BayesConfig
    samples: Samples
    user_content: FloatArray | None = None

    def fit(
        self,
        interactions: Interactions,
        rows: npt.ArrayLike | None = None,
        *,
        content: npt.ArrayLike | None = None,
        user_content: npt.ArrayLike | None = None,
    ) -> Self:
        """Learn from these rows of a log (all for ``None``) and return itself.

        Args:
            interactions: The log.
            rows: Rows to learn from.
            content: (I, D) vectors of the log's items, all zeros for an item without one.
            user_content: (U, D) the same of its users, their profile encoded, say.

        Raises:
            DataError: either has another number of rows, or an entry that is not finite.
        """
        self.user_content = None
        if user_content is not None:
            self.user_content = profile_rows(interactions, user_content)
        return super().fit(interactions, rows, content=content)

    def _learn(self) -> None:
        log, config = self.log, self.config
        counts = len(log.user_ids), len(log.item_ids)
        item_content = user_content = None
        if self.content is not None:
            item_content = standard_content(self.content, counts[1], "item")
        if self.user_content is not None:
            missing = max(0, counts[0] - len(self.user_content))  # users of a partial fit
            self.user_content = np.pad(self.user_content, ((0, missing), (0, 0)))
            user_content = standard_content(self.user_content, counts[0], "user")
        data = log
        if log.implicit:
            data = with_negatives(log, None, per_positive=NEGATIVES, seed=config.seed)
        self._levels = np.unique(data.values)
        few = len(self._levels) <= MAX_LEVELS
        sampler = Sampler(
            data.users,
            data.items,
            data.values,
            build_sides(log, item_content, user_content),
            factors=config.factors,
            ordered=config.likelihood == "ordered" or (config.likelihood == "auto" and few),
            seed=config.seed,
        )
        self.samples = sampler.run(config.sweeps, config.warm_up, config.samples)
        self._profiles = np.zeros((counts[0], 0), np.float32)
        if user_content is not None:
            self._profiles = user_content.astype(np.float32)

    def _states(self, users: Rows) -> F32:
        out = self.samples.users[users]
        out[users < 0] = self._average()
        return out

    def _average(self) -> F32:
        """Return the mean row of the users that rated something, (S, G)."""
        rated = self.log.user_counts() > 0
        return np.asarray(self.samples.users[rated].mean(axis=0), dtype=np.float32)

    def _base(self, items: Rows, content: F32 | None = None) -> F32:
        """Return what histories (B, H) and content (B, D) say of users, (B, S, G)."""
        kept = self.samples
        out = np.zeros((len(items), *kept.id_mean.shape), np.float32)
        if kept.content.shape[0]:
            if content is None:  # nothing is known: the average profile
                content = np.tile(self._profiles.mean(axis=0), (len(items), 1))
            out += np.tensordot(content, kept.content, axes=1)
        for row, history in enumerate(items):
            found = history[history >= 0]
            if len(found):
                out[row] += kept.history[found].sum(axis=0) / np.float32(np.sqrt(len(found)))
        return out

    def _fold(self, items: Rows, values: FloatArray, times: RowArray) -> F32:  # noqa: ARG002
        base = self._base(items)
        out = np.empty_like(base)
        # Without values a history holds no dislikes; the own part then stays at its prior.
        rated = np.full_like(items, -1) if self.log.implicit else items
        kept = self.samples
        fold_rows(
            rated.astype(np.int32),
            self._level_of(values),
            values.astype(np.float64),
            base,
            kept.items,
            kept.bounds,
            kept.alphas,
            kept.id_mean,
            kept.id_precision,
            FOLD_ROUNDS,
            out,
        )
        out[(items < 0).all(axis=1)] = self._average()
        return out

    def _level_of(self, values: FloatArray) -> npt.NDArray[np.int32]:
        middles = (self._levels[1:] + self._levels[:-1]) / 2
        return np.asarray(np.searchsorted(middles, values), dtype=np.int32)

    def _score(self, state: F32, items: Rows) -> FloatArray:
        out = np.empty(items.shape, np.float32)
        kept, chosen = self.samples, items.astype(np.int32)
        score_rows(state, kept.items, kept.tables, TABLE_LOW, TABLE_STEP, chosen, out)
        return out

    def _score_everything(self, state: F32) -> FloatArray:
        return self._score(state, np.tile(np.arange(len(self.log.item_ids)), (len(state), 1)))

    def level_probabilities(
        self, users: npt.ArrayLike, items: npt.ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """Return the levels (L,) and the probability of each, (B, K, L), for items (B, K).

        Args:
            users: (B,) rows in ``log``, -1 for unknown.
            items: (B, K) rows in ``log``.

        Raises:
            UsageError: not fitted, a row is out of range, or values are not ordered levels.
        """
        rows = self._user_rows(users)
        chosen = self._item_rows(items, len(rows))
        if not self.samples.bounds.shape[1]:
            raise UsageError(
                f"{self.name}: values were taken as measured, which have no levels; fit with "
                "likelihood='ordered'."
            )
        return self._levels.copy(), level_shares(self.samples, self._states(rows), chosen)

    def draw_users(self, count: int, seed: int = 0, *, sample: int = -1) -> DrawnUsers:
        """Return people to simulate, drawn from the posterior given one sample of the items.

        Each is a user of the log at random, with the taste drawn anew from what the user's
        ratings leave open: as many different people as wanted, all plausible.

        Args:
            count: How many.
            seed: Same seed, same people.
            sample: Which sample of the items they live with; the newest by default.
        """
        self._check_fitted()
        rng = np.random.default_rng(seed)
        rated = np.flatnonzero(self.log.user_counts())
        people = rng.choice(rated, count)
        items, values, _ = self.histories(people)
        content = self._profiles[people] if self._profiles.shape[1] else None
        rows = draw_rows(
            self.samples,
            sample,
            self.samples.users[people, sample],
            self._base(items, content)[:, sample],
            np.full_like(items, -1) if self.log.implicit else items,
            self._level_of(values),
            values,
            rng,
        )
        table = self.samples.tables[sample]
        return DrawnUsers(people, rows, self.samples.items[:, sample].copy(), table)

    def _parts(self, case: Case) -> list[Part]:
        items, values = case.items, case.values
        content = None
        if case.user >= 0:
            row = self.samples.users[case.user]
            if self._profiles.shape[1]:
                content = self._profiles[[case.user]]
        else:
            row = self._fold(items[None], values[None], case.times[None])[0]
        if not len(items):
            row = self._average()
        base = self._base(items[None], content)[0]
        explicit = not self.log.implicit
        return value_shares(
            self.samples, self._average(), row, base, case, self._level_of(values), explicit
        )

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        arrays: dict[str, npt.NDArray[Any]] = asdict(self.samples)
        arrays.update(levels=self._levels, profiles=self._profiles)
        if self.user_content is not None:
            arrays["user_content"] = self.user_content
        return arrays

    def _restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        arrays = dict(arrays)
        self._levels, self._profiles = arrays.pop("levels"), arrays.pop("profiles")
        self.user_content = arrays.pop("user_content", None)
        self.samples = Samples(**arrays)
