"""Tables from CSV, TSV and Parquet files, and which of their columns plays which role."""

import csv
import gzip
import io
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from slategym.errors import DataError, UsageError, unknown_name

MAX_OFFENDERS = 5
UNKNOWN = frozenset({"", "n/a", "na", "nan", "none", "null", "-"})
_SEPARATORS = (",", "\t", ";", "|")


@dataclass(frozen=True)
class Wanted:
    """One role a table may have a column for.

    Attributes:
        role: Its name, the key of an override.
        names: Usual column names in order of preference, in lower_snake_case.
        required: Whether a table without it is refused.
    """

    role: str
    names: tuple[str, ...]
    required: bool = False


@dataclass(frozen=True)
class ColumnReport:
    """Which column of a table plays which role, and why.

    Attributes:
        path: The file.
        columns: Role to column name, for every role that was found.
        how: Role to a few words on how its column was chosen.
        unused: Columns that play no role, in file order.
        notes: What else the loader did with the columns, one sentence each.
    """

    path: Path
    columns: Mapping[str, str]
    how: Mapping[str, str]
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def describe(self) -> str:
        """Return the report as lines of plain text."""
        width = max((len(role) for role in self.columns), default=0)
        lines = [f"{self.path.name}: columns"]
        lines += [
            f"  {role:<{width}}  {column}  ({self.how[role]})"
            for role, column in self.columns.items()
        ]
        if self.unused:
            lines.append(f"  unused: {', '.join(self.unused)}")
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)


def read_table(path: str | Path) -> pd.DataFrame:
    """Return the table in a CSV, TSV or Parquet file; ``.gz`` is unpacked.

    Every cell of a CSV or TSV file comes as text, an empty one as ``""``, so that ids such as
    ``007`` or ``NA`` stay what they are. The separator of a CSV file is the one of comma, tab,
    semicolon and bar that its first line has most of. Parquet keeps its types.

    Raises:
        DataError: no such file, not a table, columns of the same name, or no rows.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {what}; give the path of a CSV, TSV or Parquet file.")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    parquet = bool(suffixes) and suffixes[-1] in {".parquet", ".pq"}
    frame = _read_parquet(path) if parquet else _read_text(path, suffixes)
    if frame.empty:
        raise DataError(f"{path} has no rows of data; it needs a header line and at least one row.")
    return frame


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(". ")
        raise DataError(f"{path} is not a readable Parquet file ({reason}).") from None
    return frame.rename(columns=str).reset_index(drop=True)


def _read_text(path: Path, suffixes: list[str]) -> pd.DataFrame:
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is not a table of UTF-8 text ({error}); "
            "save it as CSV in UTF-8, or as Parquet with the ending .parquet."
        ) from None
    if "\0" in text[:4096] or not text.strip():
        what = "is empty" if not text.strip() else "holds binary data"
        raise DataError(f"{path} {what}; it needs a header line and at least one row of text.")
    first = text.lstrip("\r\n").splitlines()[0]
    tabs = ".tsv" in suffixes[-2:]
    separator = "\t" if tabs else max(_SEPARATORS, key=lambda mark: first.count(mark))
    header = next(csv.reader([first], delimiter=separator))
    doubled = sorted({name for name in header if header.count(name) > 1})
    if doubled:
        raise DataError(
            f"{path} has more than one column named {doubled[0]!r}; give each its own name."
        )
    return _parse(path, text, separator)


def _parse(path: Path, text: str, separator: str) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            # pandas only warns when rows have more fields than the header, and drops them.
            warnings.simplefilter("error")
            frame = pd.read_csv(
                io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, index_col=False
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        reason = str(error).strip().splitlines()[-1].rstrip(". ")
        raise DataError(f"{path} is not a well-formed table ({reason}).") from None
    return frame.fillna("")


def guess_columns(
    frame: pd.DataFrame,
    wanted: Sequence[Wanted],
    overrides: Mapping[str, str] | None,
    path: str | Path,
) -> ColumnReport:
    """Return which column plays which role.

    An override names the column of a role; ``""`` says that the role has none. A column taken
    by an override is not guessed for another role. Names are compared in lower case, without
    separators, so ``Item ID``, ``itemId`` and ``item_id`` are the same.

    Raises:
        DataError: a required role has no column, or an override names a column not there.
        UsageError: an override names a role that does not exist.
    """
    path = Path(path)
    given = dict(overrides or {})
    seen = ", ".join(map(str, frame.columns))
    _check_overrides(frame, wanted, given, path, seen)
    columns: dict[str, str] = {}
    how: dict[str, str] = {}
    plain = {_plain(str(name)): str(name) for name in reversed(list(frame.columns))}
    for want in wanted:
        if want.role in given:
            found, why = given[want.role], "given"
        else:
            taken = {*columns.values(), *given.values()}
            free = [plain[key] for key in map(_plain, want.names) if key in plain]
            found = next((name for name in free if name not in taken), "")
            why = f"guessed: a usual name for {want.role}"
        if found:
            columns[want.role], how[want.role] = found, why
        elif want.required:
            raise DataError(
                f"{path} has no {want.role} column: its columns are {seen}; name the right one "
                f"with columns={{'{want.role}': '<column>'}}."
            )
    unused = tuple(str(name) for name in frame.columns if str(name) not in columns.values())
    return ColumnReport(path, columns, how, unused)


def _check_overrides(
    frame: pd.DataFrame, wanted: Sequence[Wanted], given: dict[str, str], path: Path, seen: str
) -> None:
    roles = [want.role for want in wanted]
    for role, column in given.items():
        if role not in roles:
            raise unknown_name("column role", role, roles)
        if column and column not in frame.columns:
            raise DataError(
                f"{path} has no column {column!r}, which was given for {role}: "
                f"its columns are {seen}."
            )
    named = [column for column in given.values() if column]
    doubled = next((column for column in named if named.count(column) > 1), None)
    if doubled is not None:
        raise UsageError(f"column {doubled!r} was given for two roles; give one column per role.")


def _plain(name: str) -> str:
    """Return a column name in lower case with letters and digits only."""
    return re.sub(r"[\W_]+", "", name.lower())


def text_column(frame: pd.DataFrame, column: str) -> list[str]:
    """Return a column as stripped text, missing cells as ``""``, whole floats without ``.0``."""
    return [_text(value) for value in frame[column].tolist()]


def _text(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list | tuple | np.ndarray):
        return "|".join(_text(part) for part in value)
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, float):
        # An integer column with gaps is read from Parquet as floats: 12.0 was the id 12.
        return "" if np.isnan(value) else str(int(value) if value.is_integer() else value)
    return str(value).strip()


def number_column(
    frame: pd.DataFrame, column: str, path: str | Path, *, empty: bool = False
) -> npt.NDArray[np.float64]:
    """Return a column as finite float64 numbers; with ``empty``, an empty cell becomes NaN.

    Raises:
        DataError: cells that are not finite numbers, with their row numbers.
    """
    numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    suspects = np.flatnonzero(~np.isfinite(numbers))
    cells = [(row, _text(frame[column].iloc[row])) for row in suspects.tolist()]
    wrong = [(row, cell) for row, cell in cells if not (empty and cell.lower() in UNKNOWN)]
    if wrong:
        listed = offenders([f"{cell!r} (row {row + 1})" for row, cell in wrong])
        raise DataError(f"{path}: column {column!r} must hold numbers, but holds {listed}.")
    return numbers


def offenders(texts: Sequence[str]) -> str:
    """Return up to five texts as a list in words, and how many more there are."""
    shown = ", ".join(texts[:MAX_OFFENDERS])
    more = len(texts) - MAX_OFFENDERS
    return f"{shown} and {more} more" if more > 0 else shown
