"""A log of who gave which value to what and when, checked on entry, and ways to split it.

Letters: N rows of the log, U users, I items.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from slategym.encoders.catalog import Catalog
from slategym.encoders.tables import (
    UNKNOWN,
    ColumnReport,
    Wanted,
    guess_columns,
    number_column,
    offenders,
    read_table,
    text_column,
)
from slategym.errors import DataError, UsageError

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]
RowArray = npt.NDArray[np.int64]

_NAMES = {
    "user_id": "user_id user uid customer_id customer member_id reviewer_id account_id visitor_id "
    "session_id",
    "item_id": "item_id item asin parent_asin movie_id product_id article_id news_id video_id "
    "track_id song_id book_id isbn sku",
    "value": "value rating stars score overall",
    "time": "time timestamp ts unix_time unix_timestamp unix_review_time datetime date event_time "
    "created_at",
}
MAX_VALUE = 1e15  # float32 holds the square of a larger one badly
MAX_SECONDS = 1e11  # the year 5138
LOG_COLUMNS = tuple(
    Wanted(role, tuple(names.split()), required=role.endswith("_id"))
    for role, names in _NAMES.items()
)


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


def load_interactions(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    catalog: Catalog | None = None,
    name: str | None = None,
) -> tuple[Interactions, ColumnReport]:
    """Return the log in a CSV, TSV or Parquet file, and which columns it was read from.

    Columns are guessed by name; ``columns`` overrides, role to column (roles: user_id, item_id,
    value, time), ``""`` for none. Without a value column, or with every value 1, the log is
    implicit. Of several rows of one user and item the last by time is kept. Times may be seconds,
    milli-, micro- or nanoseconds since 1970, or ISO dates (UTC unless they say otherwise).

    Args:
        path: The file.
        columns: Overrides.
        catalog: If given, items are numbered as in it, and every item must be there.
        name: What to call the log; the file's name by default.

    Raises:
        DataError: a column missing; an id empty; a value not a finite number; a time not a time;
            all values equal, but not 1; items unknown to the catalogue. The message names rows
            (1 is the first data row).
        UsageError: ``columns`` names a role that does not exist.
    """
    path = Path(path)
    frame = read_table(path)
    report = guess_columns(frame, LOG_COLUMNS, columns, path)
    roles = report.columns
    notes: list[str] = []
    user_ids = _id_column(frame, roles["user_id"], "user", path)
    item_ids = _id_column(frame, roles["item_id"], "item", path)
    values, implicit = _read_values(frame, roles.get("value"), path, notes)
    times = _read_times(frame, roles.get("time"), path, notes)
    user_rows, users = pd.factorize(np.array(user_ids, dtype=object))
    if catalog is None:
        item_rows, found = pd.factorize(np.array(item_ids, dtype=object))
        items = tuple(map(str, found))
    else:
        item_rows, items = _rows_in(catalog, item_ids, path), catalog.item_ids
    keep = _last_of_each(user_rows.astype(np.int64) * len(items) + item_rows, times)
    if len(keep) < len(frame):
        notes.append(
            f"{len(frame) - len(keep)} rows repeat a user and item; the last by time was kept"
        )
    log = Interactions(
        user_ids=tuple(map(str, users)),
        item_ids=items,
        users=user_rows[keep].astype(np.int32),
        items=item_rows[keep].astype(np.int32),
        values=values[keep].astype(np.float32),
        times=times[keep],
        implicit=implicit,
        name=name or path.name.split(".")[0],
    )
    return log, replace(report, notes=(*report.notes, *notes))


def _id_column(frame: pd.DataFrame, column: str, what: str, path: Path) -> list[str]:
    """Return ids as text; an empty one is refused."""
    ids = text_column(frame, column)
    empty = [f"row {row + 1}" for row, id_ in enumerate(ids) if not id_]
    if empty:
        raise DataError(
            f"{path}, column {column!r}: the {what} id is empty in {offenders(empty)}; "
            "fill it in or drop the row."
        )
    return ids


def _read_values(
    frame: pd.DataFrame, column: str | None, path: Path, notes: list[str]
) -> tuple[npt.NDArray[np.float64], bool]:
    """Return the values (N,) and whether the log is implicit."""
    if column is None:
        notes.append("implicit: no value column, every row counts as 1")
        return np.ones(len(frame)), True
    values = number_column(frame, column, path)
    if np.abs(values).max() > MAX_VALUE:
        row = int(np.abs(values).argmax())
        raise DataError(
            f"{path}, column {column!r}: {values[row]:g} in row {row + 1} is beyond "
            f"{MAX_VALUE:g}; bring the values to a smaller unit."
        )
    if (values == 1).all():
        notes.append(f"implicit: every {column!r} is 1")
        return values, True
    if len(values) > 1 and np.ptp(values) == 0:
        raise DataError(
            f"{path}, column {column!r}: all {len(values)} values are {values[0]:g}, so nothing "
            "can be learned from them; use columns={'value': ''} to read the log as implicit."
        )
    return values, False


def _read_times(frame: pd.DataFrame, column: str | None, path: Path, notes: list[str]) -> RowArray:
    """Return seconds since 1970, (N,); 0 where there is none."""
    if column is None:
        notes.append("times: none, so rows of a user count as oldest first, as they stand")
        return np.zeros(len(frame), dtype=np.int64)
    cells = text_column(frame, column)
    missing = np.array([cell.lower() in UNKNOWN for cell in cells])
    filled = pd.Series(["0" if gone else c for c, gone in zip(cells, missing, strict=True)])
    numbers = pd.to_numeric(filled, errors="coerce").to_numpy(np.float64)
    if np.isfinite(numbers).all():
        unit, word = _time_unit(numbers)
        if unit > 1:
            notes.append(f"times: {column!r} read as {word}, converted to seconds")
        wild = np.flatnonzero(np.abs(numbers / unit) > MAX_SECONDS)
        if len(wild):
            found = offenders([f"{cells[row]!r} (row {row + 1})" for row in wild.tolist()])
            raise DataError(
                f"{path}, column {column!r}: most times are {word} since 1970, but {found} would "
                "be after the year 5000; use one unit, or columns={'time': ''} to do without."
            )
        seconds = np.floor(numbers / unit).astype(np.int64)
    else:
        seconds = _read_dates(cells, missing, column, path)
    if missing.any():
        notes.append(f"times: {int(missing.sum())} rows have none and count as time 0")
    return seconds


def _time_unit(numbers: npt.NDArray[np.float64]) -> tuple[float, str]:
    """Return how many units make a second, told from the size of the numbers."""
    some = np.abs(numbers[numbers != 0])
    typical = float(np.median(some)) if len(some) else 0.0
    # 1e11 seconds is the year 5138, 1e11 milliseconds is 1973.
    for least, unit, word in (
        (1e17, 1e9, "nanoseconds"),
        (1e14, 1e6, "microseconds"),
        (1e11, 1e3, "milliseconds"),
    ):
        if typical > least:
            return unit, word
    return 1.0, "seconds"


def _read_dates(
    cells: Sequence[str], missing: npt.NDArray[np.bool_], column: str, path: Path
) -> RowArray:
    """Return ISO dates as seconds; a cell that is neither a date nor missing is refused."""
    written = pd.Series(cells).mask(missing)
    dates = pd.to_datetime(written, errors="coerce", utc=True, format="ISO8601")
    wrong = [
        f"{cells[row]!r} (row {row + 1})"
        for row in np.flatnonzero(dates.isna().to_numpy() & ~missing).tolist()
    ]
    if wrong:
        raise DataError(
            f"{path}, column {column!r}: a time is a number of seconds or an ISO date such as "
            f"2024-05-31 or 2024-05-31T18:00:00Z, not {offenders(wrong)}; use "
            "columns={'time': ''} to do without."
        )
    # Whole seconds first: a difference of nanoseconds would overflow in the year 2262.
    seconds = dates.fillna(pd.Timestamp(0, tz="UTC")).dt.as_unit("s").astype("int64")
    return np.asarray(seconds, dtype=np.int64)


def _rows_in(catalog: Catalog, item_ids: Sequence[str], path: Path) -> RowArray:
    """Return each item's row in the catalogue, (N,)."""
    known = {id_: row for row, id_ in enumerate(catalog.item_ids)}
    rows = np.array([known.get(id_, -1) for id_ in item_ids], dtype=np.int64)
    if (rows < 0).any():
        first = int(np.flatnonzero(rows < 0)[0])
        if (rows < 0).all():
            raise DataError(
                f"{path}: none of its items is in catalogue {catalog.name!r}; are the ids written "
                f"the same way? The log's first is {item_ids[0]!r}, the catalogue's "
                f"{catalog.item_ids[0]!r}."
            )
        unknown = {item_ids[row] for row in np.flatnonzero(rows < 0).tolist()}
        raise DataError(
            f"{path}: {len(unknown)} items in {int((rows < 0).sum())} rows are not in catalogue "
            f"{catalog.name!r}, the first is {item_ids[first]!r} (row {first + 1}); add them to "
            "the catalogue or drop the rows."
        )
    return rows


def _last_of_each(keys: RowArray, times: RowArray) -> RowArray:
    """Return the rows that are the last by time of their key, ascending; ties: the later row."""
    order = np.lexsort((np.arange(len(keys)), times, keys))
    last = np.ones(len(keys), dtype=np.bool_)
    last[:-1] = keys[order][1:] != keys[order][:-1]
    return np.sort(order[last]).astype(np.int64)
