"""Alternating least squares for likes (iALS), with content in the prior of items if there is any.

Letters: B batch of users, U users, I items, F factors, D content dimensions, H history.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from slategym.cf_baselines.als_kernels import conjugate_rows, exact_rows
from slategym.cf_baselines.base import Rows, Scorer
from slategym.cf_baselines.content_features import append_one, linear_map, unit_blocks
from slategym.cf_baselines.explanations import Case, Part
from slategym.cf_baselines.interactions import (
    FloatArray,
    Interactions,
    RowArray,
    default_threshold,
)
from slategym.cf_baselines.row_checks import profile_rows
from slategym.cf_baselines.settings import in_range

F32 = npt.NDArray[np.float32]
START = 0.3  # length of an item's first factors


@dataclass(frozen=True)
class AlsConfig:
    """Settings of `AlsScorer`.

    Attributes:
        factors: Dimensions, at least 1.
        unseen: Weight of a pair that is not in the log against one that is, in (0, 1).
        penalty: > 0, times (n + unseen * M)^power for a row with n of M pairs.
        power: How the penalty grows with a row's pairs, in [0, 1] (Rendle et al. 2021).
        rounds: Of users and items in turn.
        steps: Of conjugate gradients a row and round; 0 solves exactly.
        content_penalty: > 0, on the map from content to factors.
        positive: Values from here on are likes; by default `default_threshold` of the log.
        backend: ``own``, or ``implicit`` for the package of that name (power 0, no content).
        seed: For the start values.
    """

    factors: int = 64
    unseen: float = 0.1
    penalty: float = 0.3
    power: float = 0.5
    rounds: int = 15
    steps: int = 3
    content_penalty: float = 30.0
    positive: float | None = None
    backend: str = "own"
    seed: int = 0

    def __post_init__(self) -> None:
        name = AlsScorer.name
        for field in ("factors", "rounds"):
            value = getattr(self, field)
            in_range(name, value >= 1, f"{field}={value}", "at least 1")
        in_range(name, 0 < self.unseen < 1, f"unseen={self.unseen}", "between 0 and 1")
        in_range(name, self.penalty > 0, f"penalty={self.penalty}", "must be positive")
        in_range(name, 0 <= self.power <= 1, f"power={self.power}", "in [0, 1]")
        in_range(name, self.steps >= 0, f"steps={self.steps}", "at least 0")
        said = f"content_penalty={self.content_penalty}"
        in_range(name, self.content_penalty > 0, said, "must be positive")
        known = ("own", "implicit")
        in_range(name, self.backend in known, f"backend={self.backend!r}", "own or implicit")
        said = f"backend='implicit' with power={self.power}"
        in_range(name, self.backend == "own" or self.power == 0, said, "needs power=0")


class AlsScorer(Scorer):
    """Scores by x.y, where factors x of users and y of items minimise.

        sum_(liked) (1 - x.y)^2 + unseen sum_(other pairs) (x.y)^2
            + sum_u r_u |x_u|^2 + sum_i r_i |y_i - W c_i|^2 + content_penalty |W|^2

    with r = penalty (n + unseen M)^power (Hu, Koren, Volinsky 2008, equation 3; Rendle, Krichene,
    Zhang, Koren 2021, "Revisiting the performance of iALS", section 3.2). Without content the map
    W is 0. With it, an item without likes has the factors W c_i, and one with few is drawn to
    them, the less the more likes it has: evidence-weighted by itself. `user_content` does the
    same for users.

    Attributes:
        user_factors: (U, F).
        item_factors: (I, F).
        threshold: Values from here on are likes.
    """

    name = "als"
    uses_content = True
    Config = AlsConfig
    config: AlsConfig
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

    # ------------------------------------------------------------------ learning
    def _learn(self) -> None:
        rng = np.random.default_rng(self.config.seed)
        counts, size = (len(self.log.user_ids), len(self.log.item_ids)), self.config.factors
        self.user_factors = np.zeros((counts[0], size), np.float32)
        start = rng.standard_normal((counts[1], size)) * START / np.sqrt(size)
        self.item_factors = start.astype(np.float32)
        self._alternate(self.config.rounds)

    def _relearn(self, before: Interactions) -> None:
        """Go on from the factors known; new users and items start at zero and at random."""
        rng = np.random.default_rng(self.config.seed + len(before))
        users, items = len(self.log.user_ids), len(self.log.item_ids)
        size = self.config.factors
        new = rng.standard_normal((items - len(self.item_factors), size)) * START / np.sqrt(size)
        self.item_factors = np.concatenate([self.item_factors, new.astype(np.float32)])
        empty = np.zeros((users - len(self.user_factors), size), np.float32)
        self.user_factors = np.concatenate([self.user_factors, empty])
        self._alternate(self.config.rounds)

    def _alternate(self, rounds: int) -> None:
        config = self.config
        likes = self._likes()
        if config.backend == "implicit":
            self._by_implicit(likes)
            return
        sides = (likes, sparse.csr_matrix(likes.T))
        features = (self._user_features(), self._features())
        factors = [self.user_factors, self.item_factors]
        for _ in range(rounds):
            for side in (0, 1):
                prior = np.zeros((0, config.factors), np.float32)
                content = features[side]
                if content is not None:
                    prior = self._prior(content, factors[side], sides[side])
                self._solve(sides[side], factors[1 - side], factors[side], prior)
        self.user_factors, self.item_factors = factors
        self._average = self._mean_user(likes)
        self._settle_cold(sides, features)

    def _settle_cold(self, sides: tuple[Any, Any], features: tuple[Any, Any]) -> None:
        """Give users and items without likes what content says, users else the average."""
        cold = np.diff(sides[0].indptr) == 0
        self.user_factors[cold] = self._average
        if features[0] is not None and cold.any():
            self.user_factors[cold] = self._prior(features[0], self.user_factors, sides[0])[cold]
        cold = np.diff(sides[1].indptr) == 0
        self.item_factors[cold] = 0.0
        if features[1] is not None and cold.any():
            self.item_factors[cold] = self._prior(features[1], self.item_factors, sides[1])[cold]

    def _likes(self) -> sparse.csr_matrix:
        """Return (U, I) of ones where liked, and set the threshold."""
        chosen = self.config.positive
        self.threshold = default_threshold(self.log) if chosen is None else chosen
        liked = self.log.values >= self.threshold
        where = (self.log.users[liked], self.log.items[liked])
        shape = (len(self.log.user_ids), len(self.log.item_ids))
        likes = sparse.csr_matrix((np.ones(len(where[0]), np.float32), where), shape)
        likes.sort_indices()
        return likes

    def _features(self) -> F32 | None:
        return None if self.content is None else append_one(unit_blocks(self.content))

    def _user_features(self) -> F32 | None:
        if self.user_content is None:
            return None
        missing = len(self.log.user_ids) - len(self.user_content)  # new ones of a partial fit
        self.user_content = np.pad(self.user_content, ((0, max(0, missing)), (0, 0)))
        return append_one(unit_blocks(self.user_content))

    def _prior(self, features: F32, factors: F32, likes: sparse.csr_matrix) -> F32:
        """Return what content says of factors, (R, F), learned from the rows with likes."""
        known = np.diff(likes.indptr) > 0
        weights = self._ridge(likes) * known
        map_ = linear_map(features, factors, weights, self.config.content_penalty)
        return np.ascontiguousarray(features @ map_, dtype=np.float32)

    def _ridge(self, likes: sparse.csr_matrix) -> F32:
        """Return the penalty of each row, (R,)."""
        count = np.diff(likes.indptr) + self.config.unseen * likes.shape[1]
        return np.asarray(self.config.penalty * count**self.config.power, dtype=np.float32)

    def _solve(self, likes: sparse.csr_matrix, other: F32, out: F32, prior: F32) -> None:
        """Improve ``out`` (R, F) given the other side's factors, in place."""
        unseen, steps = self.config.unseen, self.config.steps
        gram = (unseen * (other.T @ other)).astype(np.float32)
        arguments = (likes.indptr, likes.indices, likes.data, other, gram, unseen)
        if steps:
            conjugate_rows(*arguments, self._ridge(likes), prior, out, steps)
        else:
            exact_rows(*arguments, self._ridge(likes), prior, out)

    def _by_implicit(self, likes: sparse.csr_matrix) -> None:
        """Fit with the package: its alpha is 1 / unseen, its penalty ours / unseen."""
        from slategym.cf_baselines.implicit_backend import fit_als

        if self.content is not None or self.user_content is not None:
            in_range(self.name, False, "backend='implicit' with content", "it knows no content")
        self.user_factors, self.item_factors = fit_als(
            likes, self.user_factors, self.item_factors, self.config
        )
        self._average = self._mean_user(likes)
        self._settle_cold((likes, sparse.csr_matrix(likes.T)), (None, None))

    def _mean_user(self, likes: sparse.csr_matrix) -> F32:
        known = np.diff(likes.indptr) > 0
        rows = self.user_factors[known]
        return rows.mean(axis=0) if len(rows) else np.zeros(self.config.factors, np.float32)

    # ------------------------------------------------------------------ scoring
    def _states(self, users: Rows) -> F32:
        return np.where((users >= 0)[:, None], self.user_factors[users], self._average)

    def _fold(self, items: Rows, values: FloatArray, times: RowArray) -> F32:  # noqa: ARG002
        likes = self._profile(items, values)
        out = np.zeros((len(items), self.config.factors), np.float32)
        other, unseen = self.item_factors, self.config.unseen
        gram = (unseen * (other.T @ other)).astype(np.float32)
        none = np.zeros((0, self.config.factors), np.float32)
        if self.user_content is not None:
            none = np.tile(self._average, (len(items), 1))
        ridge = self._ridge(likes)
        exact_rows(likes.indptr, likes.indices, likes.data, other, gram, unseen, ridge, none, out)
        out[np.diff(likes.indptr) == 0] = self._average
        return out

    def _profile(self, items: Rows, values: FloatArray) -> sparse.csr_matrix:
        """Return what histories (B, H) like, (B, I) of ones."""
        users, at = np.nonzero((items >= 0) & (values >= self.threshold))
        shape = (len(items), len(self.item_factors))
        where = (users, items[users, at])
        likes = sparse.csr_matrix((np.ones(len(users), np.float32), where), shape)
        likes.sum_duplicates()
        likes.data[:] = 1.0
        return likes

    def _score_everything(self, state: F32) -> FloatArray:
        return state @ self.item_factors.T

    def _score(self, state: F32, items: Rows) -> FloatArray:
        return np.einsum("bf,bkf->bk", state, self.item_factors[items])

    def _parts(self, case: Case) -> list[Part]:
        """A score is a sum over the likes j:  y_i^T inv(A_u) y_j  (Hu et al. 2008, section 5)."""
        likes = self._profile(case.items[None], case.values[None])
        found = likes.indices
        if not len(found):
            return [Part("popularity", float(self._average @ self.item_factors[case.item]))]
        rows = self.item_factors[found].astype(np.float64)
        every = self.item_factors.astype(np.float64)
        unseen = self.config.unseen
        system = unseen * every.T @ every + (1 - unseen) * rows.T @ rows
        system += float(self._ridge(likes)[0]) * np.eye(len(system))
        reach = np.linalg.solve(system, every[case.item])
        return [
            Part("history", float(share), int(row))
            for share, row in zip(rows @ reach, found, strict=True)
        ]

    # ------------------------------------------------------------------ keeping
    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        arrays: dict[str, npt.NDArray[Any]] = {
            "users": self.user_factors,
            "items": self.item_factors,
            "average": self._average,
            "threshold": np.float64(self.threshold),  # type: ignore[dict-item]
        }
        if self.user_content is not None:
            arrays["user_content"] = self.user_content
        return arrays

    def _restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self.user_factors, self.item_factors = arrays["users"], arrays["items"]
        self._average, self.threshold = arrays["average"], float(arrays["threshold"])
        self.user_content = arrays.get("user_content")
