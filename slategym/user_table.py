"""What is known about the users of a log, from a table: a line of text for each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slategym.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from slategym.encoders.tables import ColumnReport

USER_NAMES = ("user_id", "userid", "user", "customer_id", "member_id", "id")
PROFILE_NAMES = ("profile", "profile_text", "description", "about", "bio", "text")


def load_profiles(
    path: str | Path, user_ids: Sequence[str], *, columns: Mapping[str, str] | None = None
) -> "tuple[tuple[str, ...], ColumnReport]":
    """Return a text about each user of a log, and which columns it was read from.

    It is the profile column where there is one, else every column as ``name: value``. Users
    the table does not hold get ``""``; rows of users the log does not hold are passed over.

    Args:
        path: A CSV, TSV or Parquet file.
        user_ids: (U,) the users of the log.
        columns: Overrides, role to column (roles: user_id, profile).

    Raises:
        DataError: no user id column, an id empty or twice, or no user of the log is there.
        UsageError: ``columns`` names a role that does not exist.
    """
    from slategym.encoders.tables import Wanted, guess_columns, read_table

    path = Path(path)
    frame = read_table(path)
    wanted = (Wanted("user_id", USER_NAMES, required=True), Wanted("profile", PROFILE_NAMES))
    report = guess_columns(frame, wanted, columns, path)
    ids = _unique_ids(frame, report)
    known = dict(zip(ids, _texts(frame, report), strict=True))
    if not set(known) & set(user_ids):
        raise DataError(
            f"{path}, column {report.columns['user_id']!r}: none of its users is in the log; "
            "are the ids written the same way?"
        )
    return tuple(known.get(user_id, "") for user_id in user_ids), report


def _unique_ids(frame: "pd.DataFrame", report: "ColumnReport") -> list[str]:
    """Return the user ids, none empty, none twice."""
    from slategym.encoders.tables import offenders, text_column

    column = report.columns["user_id"]
    ids = text_column(frame, column)
    empty = [f"row {row + 1}" for row, user_id in enumerate(ids) if not user_id]
    if empty:
        raise DataError(
            f"{report.path}, column {column!r}: the user id is empty in {offenders(empty)}; "
            "fill it in or drop the row."
        )
    twice = [user_id for user_id, count in Counter(ids).items() if count > 1]
    if twice:
        raise DataError(
            f"{report.path}, column {column!r}: every user needs one row, but there are more of "
            f"{offenders(twice)}."
        )
    return ids


def _texts(frame: "pd.DataFrame", report: "ColumnReport") -> list[str]:
    """Return the text of each row: the profile, or all columns with their names."""
    from slategym.encoders.tables import text_column

    if "profile" in report.columns:
        return text_column(frame, report.columns["profile"])
    cells = {name: text_column(frame, name) for name in report.unused}
    return [
        ", ".join(f"{name}: {values[row]}" for name, values in cells.items() if values[row])
        for row in range(len(frame))
    ]
