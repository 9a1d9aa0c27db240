"""The three tasks of fine-tuning, their data and their targets.

Letters: N ratings, U users, I items, D numbers of an item's vector, F of a target, B of a batch.

With ratings R observed on a set of pairs, and read over observed pairs only:

- T1, rating: the squared error of f(u, v) against R_uv;
- T2, item features: the squared error of g(u, v), made from the user's side, against F_v, the
  vector of item v through which its place in the log is explained;
- T3, recommendation features: the squared error of h(u, v) against the joint vector of user and
  item, the parts whose sum is what the user's ratings say of the item.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from slategym.encoders.base import FloatArray
from slategym.errors import DataError, UsageError

IntArray = npt.NDArray[np.int64]

TASKS = ("rating", "item_features", "recommendation_features")
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Ratings:
    """Observed ratings as three columns.

    Attributes:
        users: (N,) rows of users.
        items: (N,) rows of items.
        values: (N,) ratings, in any unit.
    """

    users: IntArray
    items: IntArray
    values: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "users", np.asarray(self.users, np.int64))
        object.__setattr__(self, "items", np.asarray(self.items, np.int64))
        object.__setattr__(self, "values", np.asarray(self.values, np.float32))
        if not len(self.users) == len(self.items) == len(self.values):
            raise DataError(
                f"{len(self.users)} users, {len(self.items)} items and {len(self.values)} values "
                "are not one table of ratings."
            )
        if not np.isfinite(self.values).all():
            raise DataError("ratings must be finite numbers.")

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True, eq=False)
class Factors:
    """Vectors of users and items whose products explain a log.

    Attributes:
        users: (U, F).
        items: (I, F).
        known: (I,), which items the log says something about.
    """

    users: FloatArray
    items: FloatArray
    known: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class FinetuneData:
    """What fine-tuning learns from.

    Attributes:
        train: The ratings to learn.
        validation: Ratings of known users to stop by, none of them in ``train``. Those of items
            without a training rating measure cold items.
        item_vectors: (I, D) what a frozen encoder made of the items; a zero row is none.
        n_users: U.
        generated: Targets of T2; F_v is a row of ``generated.items``.
        joint: Targets of T3; h is a row of ``joint.users`` times one of ``joint.items``.
        texts: (I,) what the items say, for training the encoder itself; or none.
    """

    train: Ratings
    validation: Ratings
    item_vectors: FloatArray
    n_users: int
    generated: Factors
    joint: Factors
    texts: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        vectors = np.asarray(self.item_vectors, np.float32)
        object.__setattr__(self, "item_vectors", vectors)
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise DataError(f"item vectors must be finite of shape (I, D), not {vectors.shape}.")
        if len(self.train) == 0 or len(self.validation) == 0:
            raise DataError(
                f"fine-tuning needs ratings to learn and to stop by; got {len(self.train)} and "
                f"{len(self.validation)}."
            )
        if self.texts and len(self.texts) != len(vectors):
            raise DataError(f"{len(self.texts)} texts were given for {len(vectors)} items.")
        for rows in (self.train, self.validation):
            _check_range("users", rows.users, self.n_users)
            _check_range("items", rows.items, len(vectors))
        for name in ("generated", "joint"):
            factors: Factors = getattr(self, name)
            if len(factors.users) != self.n_users or len(factors.items) != len(vectors):
                raise DataError(
                    f"the targets {name!r} are of {len(factors.users)} users and "
                    f"{len(factors.items)} items, not {self.n_users} and {len(vectors)}."
                )

    @property
    def n_items(self) -> int:
        """I."""
        return len(self.item_vectors)

    @property
    def rated(self) -> npt.NDArray[np.bool_]:
        """Which items have a training rating, (I,)."""
        return np.bincount(self.train.items, minlength=self.n_items) > 0


def _check_range(what: str, rows: IntArray, limit: int) -> None:
    if rows.min() < 0 or rows.max() >= limit:
        raise DataError(f"ratings name {what} outside [0, {limit}).")


@dataclass(frozen=True)
class Biases:
    """The mean rating, and how far users and items lie from it.

    Attributes:
        mean: Of all ratings.
        users: (U,) shrunken deviations.
        items: (I,) shrunken deviations; 0 for an item without ratings.
    """

    mean: float
    users: FloatArray
    items: FloatArray

    def predict(self, users: npt.ArrayLike, items: npt.ArrayLike) -> FloatArray:
        """Return the rating that biases alone expect, (B,)."""
        u, i = np.asarray(users, np.int64), np.asarray(items, np.int64)
        return np.asarray(self.mean + self.users[u] + self.items[i], np.float32)


def fit_biases(
    ratings: Ratings, n_users: int, n_items: int, *, user_shrink: float = 5, item_shrink: float = 3
) -> Biases:
    """Return shrunken means (Koren 2010, section 2.1), by ten alternating passes."""
    mean = float(ratings.values.mean())
    users, items = np.zeros(n_users), np.zeros(n_items)
    user_count = np.bincount(ratings.users, minlength=n_users)
    item_count = np.bincount(ratings.items, minlength=n_items)
    rest = ratings.values.astype(np.float64) - mean
    for _ in range(10):
        left = np.bincount(ratings.items, rest - users[ratings.users], n_items)
        items = left / (item_count + item_shrink)
        left = np.bincount(ratings.users, rest - items[ratings.items], n_users)
        users = left / (user_count + user_shrink)
    return Biases(mean, users.astype(np.float32), items.astype(np.float32))


def choice_factors(ratings: Ratings, n_users: int, n_items: int, *, factors: int = 32) -> Factors:
    """Return what explains who chose which items: a singular value decomposition.

    The matrix has 1 where a user rated an item, divided by ``sqrt(n_u) ** 0.5 sqrt(n_v) ** 0.5``
    (PureSVD of Cremonesi, Koren and Turrin 2010 on a normalised matrix). Its scale is undone on
    the item's side: popular items have long vectors.

    Raises:
        UsageError: ``factors`` does not fit the matrix.
    """
    values = np.ones(len(ratings))
    user_count = np.maximum(np.bincount(ratings.users, minlength=n_users), 1) ** 0.25
    item_count = np.maximum(np.bincount(ratings.items, minlength=n_items), 1) ** 0.25
    values = values / user_count[ratings.users] / item_count[ratings.items]
    found = _decompose(ratings, values, n_users, n_items, factors)
    items = (found.items * item_count[:, None]).astype(np.float32)
    return Factors(found.users, items, found.known)


def taste_factors(
    ratings: Ratings, biases: Biases, n_users: int, n_items: int, *, factors: int = 16,
    penalty: float = 10.0, passes: int = 8, seed: int = 0,
) -> Factors:  # fmt: skip
    """Return what explains ratings beyond biases: alternating least squares (Koren 2009, eq. 5).

    Args:
        ratings: What is explained.
        biases: Subtracted first.
        n_users: U.
        n_items: I.
        factors: F.
        penalty: Ridge on both sides, in ratings.
        passes: Over both sides.
        seed: Of the start.
    """
    rest = ratings.values.astype(np.float64) - biases.predict(ratings.users, ratings.items)
    rng = np.random.default_rng(seed)
    items = rng.standard_normal((n_items, factors)) * 0.1
    users = np.zeros((n_users, factors))
    for _ in range(passes):
        users = _solve_side(ratings.users, ratings.items, rest, items, n_users, penalty)
        items = _solve_side(ratings.items, ratings.users, rest, users, n_items, penalty)
    known = np.bincount(ratings.items, minlength=n_items) > 0
    return Factors(users.astype(np.float32), items.astype(np.float32), known)


def _solve_side(
    own: IntArray, other: IntArray, rest: npt.NDArray[np.float64],
    vectors: npt.NDArray[np.float64], count: int, penalty: float,
) -> npt.NDArray[np.float64]:  # fmt: skip
    """Return the ridge solution of each row of one side, (count, F)."""
    order = np.argsort(own, kind="stable")
    starts = np.searchsorted(own[order], np.arange(count + 1))
    width = vectors.shape[1]
    found = np.zeros((count, width))
    for row in range(count):
        rows = order[starts[row] : starts[row + 1]]
        if len(rows):
            x = vectors[other[rows]]
            found[row] = np.linalg.solve(x.T @ x + penalty * np.eye(width), x.T @ rest[rows])
    return found


def _decompose(
    ratings: Ratings, values: npt.NDArray[np.float64], n_users: int, n_items: int, factors: int
) -> Factors:
    """Return users (U, F) and items (I, F) of the truncated decomposition of a sparse matrix."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import svds

    if not 1 <= factors < min(n_users, n_items):
        raise UsageError(
            f"{factors} factors do not fit {n_users} users and {n_items} items; "
            f"give 1 to {min(n_users, n_items) - 1}."
        )
    matrix = csr_matrix((values, (ratings.users, ratings.items)), (n_users, n_items))
    start = np.full(min(n_users, n_items), 1.0)  # a fixed start: the same factors every time
    left, strength, right = svds(matrix, k=factors, v0=start)
    order = np.argsort(-strength)
    left, right = left[:, order], right[order]
    signs = np.sign(right[np.arange(factors), np.abs(right).argmax(axis=1)])
    root = np.sqrt(np.maximum(strength[order], _TINY)) * np.where(signs == 0, 1, signs)
    known = np.bincount(ratings.items, minlength=n_items) > 0
    return Factors((left * root).astype(np.float32), (right.T * root).astype(np.float32), known)
