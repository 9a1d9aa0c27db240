"""Bayesian personalised ranking: factors that put what was liked before what was not.

Letters: B batch of users, U users, I items, H history, F factors, C factors from content,
G = F + C, D content dimensions, N sampled items.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from slategym.cf_baselines.base import Rows, Scorer
from slategym.cf_baselines.bpr_kernels import pulls, ranking_steps, settle_users
from slategym.cf_baselines.explanations import Case, Part
from slategym.cf_baselines.gibbs_features import standard_content
from slategym.cf_baselines.history_linear import history_matrix, likes_of
from slategym.cf_baselines.interactions import FloatArray, RowArray
from slategym.cf_baselines.settings import in_range

START = 0.1  # spread of the first vectors
LEAST_TRIPLES = 200_000  # a small log is gone over more often
SAMPLED = 200  # items that stand for those not liked when a user's vector is found


@dataclass(frozen=True)
class BprConfig:
    """Settings of `BprScorer`.

    Attributes:
        factors: Dimensions, at least 1.
        epochs: Passes over the likes, at least 1; more over a log of few likes.
        learning_rate: At the start, > 0; it falls in a straight line to a tenth.
        penalty: On squares of vectors and biases, > 0.
        user_penalty: The same on users' vectors when they are found given the items, > 0.
        seed: Equal seeds give equal vectors.
    """

    factors: int = 64
    epochs: int = 60
    learning_rate: float = 0.05
    penalty: float = 0.03
    user_penalty: float = 0.03
    seed: int = 0

    def __post_init__(self) -> None:
        _check("bpr", self)


@dataclass(frozen=True)
class VbprConfig(BprConfig):
    """Settings of `VbprScorer`: those of `BprConfig`, and one more.

    Attributes:
        content_factors: Dimensions that come from content, at least 1.
    """

    factors: int = 48
    content_factors: int = 16

    def __post_init__(self) -> None:
        _check("vbpr", self)
        said = f"content_factors={self.content_factors}"
        in_range("vbpr", self.content_factors >= 1, said, "at least 1")


def _check(name: str, config: BprConfig) -> None:
    for field in ("factors", "epochs"):
        value = getattr(config, field)
        in_range(name, value >= 1, f"{field}={value}", "at least 1")
    for field in ("learning_rate", "penalty", "user_penalty"):
        value = getattr(config, field)
        in_range(name, value > 0, f"{field}={value}", "must be positive")


class BprScorer(Scorer):
    """Scores  x_u.v_i + b_i,  trained so that likes score above the rest.

    Gradient steps over random triples of a user, a like and another item that somebody liked
    bring the vectors of the items (Rendle et al. 2009, "BPR: Bayesian personalized ranking",
    figure 4). Users then get the likeliest vector given those; see `settle_users`. It is found
    anew for a changed history, in the same way for people the log does not hold. An item nobody
    liked has the least bias of all.

    Attributes:
        items: (I, G) vectors.
        bias: (I,).
        sample: (N,) items that stand for those not liked.
        threshold: Values from here on are likes.
    """

    name: ClassVar[str] = "bpr"
    Config: ClassVar[type[Any]] = BprConfig
    config: BprConfig

    items: FloatArray
    bias: FloatArray
    sample: npt.NDArray[np.int32]
    users: FloatArray
    threshold: float = 0.0

    def _learn(self) -> None:
        rng = np.random.default_rng(self.config.seed)
        likes, self.threshold, _ = likes_of(self.log)
        content = np.zeros((likes.shape[1], 0), np.float32)
        if self.content is not None:
            content = standard_content(self.content, likes.shape[1], "item").astype(np.float32)
        self.items, self.bias = self._train(likes, content, rng)
        count = min(SAMPLED, likes.shape[1])
        drawn = np.sort(rng.choice(likes.shape[1], count, replace=False))
        self.sample = drawn.astype(np.int32)
        self.users = self._settled(likes)

    def _train(
        self, likes: sparse.csr_matrix, content: FloatArray, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        """Return vectors (I, G) and biases (I,) of the items."""
        config, mapped = self.config, self._content_factors()
        n_users, n_items = likes.shape

        def drawn(*shape: int) -> FloatArray:
            return (START * rng.standard_normal(shape)).astype(np.float32)

        users, items = drawn(n_users, config.factors + mapped), drawn(n_items, config.factors)
        # Others are drawn from items with likes: of one without, nothing is known yet.
        warm = np.flatnonzero(np.diff(likes.tocsc().indptr)).astype(np.int32)
        cold = np.setdiff1d(np.arange(n_items), warm)
        items[cold] = 0
        to_factors, to_bias = drawn(content.shape[1], mapped), np.zeros(content.shape[1])
        bias, to_bias = np.zeros(n_items, np.float32), to_bias.astype(np.float32)
        who, what = (rows.astype(np.int32) for rows in likes.nonzero())
        known = who.astype(np.int64) * n_items + what
        passes = max(config.epochs, -(-LEAST_TRIPLES // max(1, len(who))))
        for number in range(passes if len(who) else 0):
            order = rng.permutation(len(who))
            other = warm[rng.integers(0, len(warm), len(who))]
            open_ = ~_among(who[order].astype(np.int64) * n_items + other, known)
            order, other = order[open_], other[open_]
            ranking_steps(
                who[order],
                what[order],
                other,
                users,
                items,
                bias,
                content,
                to_factors,
                to_bias,
                config.learning_rate * (1 - 0.9 * number / passes),
                config.penalty,
            )
        bias[cold] = bias.min()
        both = np.concatenate([items, content @ to_factors], axis=1)
        return np.ascontiguousarray(both), np.asarray(bias + content @ to_bias, np.float32)

    def _content_factors(self) -> int:
        return 0

    def _settled(self, likes: sparse.csr_matrix) -> FloatArray:
        """Return the vectors (B, G) of users with these likes (B, I)."""
        out = np.zeros((likes.shape[0], self.items.shape[1]), np.float32)
        rows = sparse.csr_matrix(likes)
        settle_users(
            rows.indptr.astype(np.int32),
            rows.indices.astype(np.int32),
            self.items,
            self.bias,
            self.sample,
            self.config.user_penalty,
            out,
        )
        return out

    def _states(self, users: Rows) -> FloatArray:
        return self.users[users] * (users >= 0).astype(np.float32)[:, None]

    def _fold(self, items: Rows, values: FloatArray, times: RowArray) -> FloatArray:  # noqa: ARG002
        liked = (values >= self.threshold).astype(np.float32)
        return self._settled(history_matrix(items, liked, len(self.items)))

    def _score_everything(self, state: FloatArray) -> FloatArray:
        return np.asarray(state @ self.items.T + self.bias, dtype=np.float32)

    def _score(self, state: FloatArray, items: Rows) -> FloatArray:
        taste = np.einsum("bg,bkg->bk", state, self.items[items])
        return np.asarray(taste + self.bias[items], dtype=np.float32)

    def _parts(self, case: Case) -> list[Part]:
        """At its likeliest a user's vector is a sum of items':  sum_i a_i v_i - sum_j c_j v_j."""
        item, liked = case.item, np.unique(case.items[case.values >= self.threshold])
        parts = [Part("popularity", float(self.bias[item]))]
        if not len(liked):
            return parts
        vector = self._fold(case.items[None], case.values[None], case.times[None])[0]
        scores = self.items @ vector + self.bias
        ahead, behind = pulls(scores[liked], scores[self.sample])
        its = self.items[item] / self.config.user_penalty
        against = -float(behind @ (self.items[self.sample] @ its))
        shares = ahead * (self.items[liked] @ its)
        return [
            *parts,
            Part("against", against, name="how it compares with what was not chosen"),
            *(Part("history", float(s), int(row)) for s, row in zip(shares, liked, strict=True)),
        ]

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {
            "items": self.items,
            "bias": self.bias,
            "sample": self.sample,
            "users": self.users,
            "threshold": np.array(self.threshold),
        }

    def _restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self.items, self.bias, self.users = arrays["items"], arrays["bias"], arrays["users"]
        self.sample, self.threshold = arrays["sample"], float(arrays["threshold"])


class VbprScorer(BprScorer):
    """`BprScorer` with a part of each item's vector and bias a learned map of its content.

    Score  x.v + y.(E c) + b + e.c  with content c (He and McAuley 2016, "VBPR: visual Bayesian
    personalized ranking", equation 4). An item nobody liked is known by its content alone;
    without content this is BPR with fewer factors.
    """

    name: ClassVar[str] = "vbpr"
    uses_content: ClassVar[bool] = True
    Config: ClassVar[type[Any]] = VbprConfig
    config: VbprConfig

    def _content_factors(self) -> int:
        return self.config.content_factors if self.content is not None else 0


def _among(keys: npt.NDArray[np.int64], known: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which keys (N,) are among sorted ones."""
    at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.asarray(known[at] == keys)
