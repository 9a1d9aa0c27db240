"""A log of who gave which value to what and when, checked on entry, and ways to split it.

Letters: N rows of the log, U users, I items.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from slategym.errors import DataError, UsageError

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]
RowArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Interactions:
    """An interaction log in index form; its arrays are read-only.

    Attributes:
        user_ids: Names of the U users.
        item_ids: Names of the I items; in the catalogue's order if one was given.
        users: (N,) user of each row, in [0, U).
        items: (N,) item of each row, in [0, I).
        values: (N,) the value given, in the log's own units (stars, say); 1 if implicit.
        times: (N,) seconds since 1970; 0 where the log has none.
        implicit: True if the log says only that something happened, so every value is 1.
        name: What to call the log.

    Raises:
        DataError: lengths differ, an index is out of range, a value is not finite, or an
            explicit log holds one value only.
    """

    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]
    users: IntArray
    items: IntArray
    values: FloatArray
    times: RowArray
    implicit: bool = False
    name: str = "log"

    def __post_init__(self) -> None:
        kinds = {"users": np.int32, "items": np.int32, "values": np.float32, "times": np.int64}
        for field, kind in kinds.items():
            array = np.array(getattr(self, field), dtype=kind)  # a copy: the caller keeps theirs
            if array.shape != (len(self.users),):
                raise DataError(
                    f"{self.name}: {field} has shape {array.shape}, users has {len(self.users)} "
                    "rows; every column needs one entry a row."
                )
            array.flags.writeable = False
            object.__setattr__(self, field, array)
        for field, ids in (("users", self.user_ids), ("items", self.item_ids)):
            array = getattr(self, field)
            if len(array) and not (array.min() >= 0 and array.max() < len(ids)):
                raise DataError(f"{self.name}: {field} has indices outside [0, {len(ids)}).")
        if not np.isfinite(self.values).all():
            row = int(np.flatnonzero(~np.isfinite(self.values))[0])
            raise DataError(f"{self.name}: value {self.values[row]} in row {row} is not finite.")

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: npt.ArrayLike) -> "Interactions":
        """Return the log of these rows only; users and items keep their indices."""
        chosen = np.asarray(rows)
        return replace(
            self,
            users=self.users[chosen],
            items=self.items[chosen],
            values=self.values[chosen],
            times=self.times[chosen],
        )

    def rows_or_all(self, rows: npt.ArrayLike | None) -> RowArray:
        """Return ``rows`` as an index array, or every row for ``None``."""
        if rows is None:
            return np.arange(len(self), dtype=np.int64)
        return np.asarray(rows, dtype=np.int64)

    def item_counts(self, rows: npt.ArrayLike | None = None) -> RowArray:
        """Return how many of the rows each item has, (I,)."""
        return np.bincount(self.items[self.rows_or_all(rows)], minlength=len(self.item_ids))

    def user_counts(self, rows: npt.ArrayLike | None = None) -> RowArray:
        """Return how many of the rows each user has, (U,)."""
        return np.bincount(self.users[self.rows_or_all(rows)], minlength=len(self.user_ids))


@dataclass(frozen=True)
class Split:
    """Row numbers of a log in three disjoint parts, each ascending."""

    train: RowArray
    validation: RowArray
    test: RowArray

    def __iter__(self) -> Iterator[RowArray]:
        return iter((self.train, self.validation, self.test))


def _check_shares(n: int, fraction: float, validation: float) -> tuple[int, int]:
    """Return the sizes of test and validation parts, checked."""
    if not (0 <= fraction < 1 and 0 <= validation < 1):
        raise UsageError(
            f"fraction={fraction}, validation={validation}: both must be in [0, 1), "
            "the test share of all rows and the validation share of the rest."
        )
    test = round(n * fraction)
    return test, round((n - test) * validation)


def split_random(
    interactions: Interactions, fraction: float = 0.2, seed: int = 0, *, validation: float = 0.1
) -> Split:
    """Return a random split by row.

    Args:
        interactions: The log.
        fraction: Share of all rows that go to test, in [0, 1).
        seed: Equal seeds give equal splits.
        validation: Share of the rows left that go to validation, in [0, 1).
    """
    test, held = _check_shares(len(interactions), fraction, validation)
    order = np.random.default_rng(seed).permutation(len(interactions))
    return Split(
        np.sort(order[test + held :]), np.sort(order[test : test + held]), np.sort(order[:test])
    )


def split_by_time(
    interactions: Interactions, fraction: float = 0.2, *, validation: float = 0.1
) -> Split:
    """Return a split at two moments: the newest rows are the test, those before validation.

    Rows of one second are ordered by row number. Users and items first seen after the cut have
    no training rows, as in real life.

    Raises:
        DataError: the log has no times.
    """
    if len(interactions) and not interactions.times.any():
        raise DataError(f"{interactions.name} has no times to split by; use split_random.")
    n = len(interactions)
    test, held = _check_shares(n, fraction, validation)
    order = np.argsort(interactions.times, kind="stable")
    return Split(
        np.sort(order[: n - test - held]),
        np.sort(order[n - test - held : n - test]),
        np.sort(order[n - test :]),
    )


def default_threshold(interactions: Interactions, share: float = 0.6) -> float:
    """Return the value from which an interaction counts as positive.

    It is the smallest value in the log such that at most ``share`` of the rows reach it: 4 for
    MovieLens 100K (55 % of the rows). If no value is that rare, the largest one is taken.
    For an implicit log it is 0.5, between the sampled negatives (0) and the positives (1).
    """
    if interactions.implicit:
        return 0.5
    values, counts = np.unique(interactions.values, return_counts=True)
    reaching = counts[::-1].cumsum()[::-1] / max(1, len(interactions))
    rare = np.flatnonzero(reaching <= share)
    return float(values[rare[0]] if len(rare) else values[-1])
