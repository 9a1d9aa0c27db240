"""A catalogue file read piece by piece; a row that is wrong is said and left out."""

import csv
import gzip
import io
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import IO, Literal, cast

import pandas as pd

from slategym.encoders.catalog import (
    ITEM_COLUMNS,
    MODALITIES,
    Catalog,
    Modality,
    join_text,
    split_topics,
    wordy_columns,
)
from slategym.encoders.media import picture_problem, sound_problem
from slategym.encoders.pipeline import Problem
from slategym.encoders.tables import UNKNOWN, ColumnReport, guess_columns, text_column
from slategym.errors import DataError

CHUNK = 4096
_FIELD = 2**24  # characters; a longer cell is a missing quote
_SEPARATORS = (",", "\t", ";", "|")


def catalog_chunks(
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    chunk: int = CHUNK,
    modalities: Collection[Modality] = MODALITIES,
) -> Iterator[tuple[Catalog, list[Problem], str]]:
    """Yield catalogues of at most ``chunk`` items, what was wrong, and which columns were read.

    Columns are guessed from the first piece, as `load_catalog` guesses them from the whole.
    Rows whose id is empty or was seen before are left out; a picture or sound that is not there
    or not one is left out of its item. Files of modalities that are not asked for are not looked
    at.

    Raises:
        DataError: the file is no table, has no id column, or no rows.
        UsageError: ``columns`` names a role that does not exist.
    """
    path = Path(path)
    seen: set[str] = set()
    report: ColumnReport | None = None
    worded: list[str] = []
    row = 0
    for frame in _frames(path, chunk):
        if report is None:
            report = guess_columns(frame, ITEM_COLUMNS, columns, path)
            worded = wordy_columns(frame, report.unused)
        problems: list[Problem] = []
        kept = _good_rows(frame, report, seen, row, problems)
        row += len(frame)
        part = frame.iloc[kept].reset_index(drop=True)
        catalog = _catalog(part, report, worded, path, problems, modalities)
        yield catalog, problems, report.describe()
    if report is None:
        raise DataError(f"{path} has no rows of data; it needs a header line and at least one row.")


def _good_rows(
    frame: pd.DataFrame,
    report: ColumnReport,
    seen: set[str],
    before: int,
    problems: list[Problem],
) -> list[int]:
    kept = []
    for at, item_id in enumerate(text_column(frame, report.columns["item_id"])):
        if not item_id:
            said = f"row {before + at + 1} of {report.path} has no item id and is left out."
            problems.append(Problem("", "text", said))
        elif not item_id.isascii() and _broken(item_id):
            said = (
                f"row {before + at + 1} of {report.path} has an id that is not UTF-8: {item_id!a}."
            )
            problems.append(Problem(ascii(item_id), "text", said))
        elif item_id in seen:
            said = f"row {before + at + 1} of {report.path} repeats the id {item_id!r}."
            problems.append(Problem(item_id, "text", said))
        else:
            seen.add(item_id)
            kept.append(at)
    return kept


def _broken(text: str) -> bool:
    """Return whether a text has halves of surrogate pairs, which bytes that are no UTF-8 become."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def _catalog(
    frame: pd.DataFrame,
    report: ColumnReport,
    worded: list[str],
    path: Path,
    problems: list[Problem],
    modalities: Collection[Modality],
) -> Catalog:
    roles = report.columns

    def texts(role: str) -> list[str]:
        return text_column(frame, roles[role]) if role in roles else [""] * len(frame)

    def files(role: Literal["image", "audio"]) -> tuple[Path | None, ...]:
        wanted = role in modalities
        return _files(texts(role), item_ids, path, role, problems) if wanted else none

    none = (None,) * len(frame)
    item_ids, titles = tuple(texts("item_id")), texts("title")
    topics = tuple(map(split_topics, texts("topics")))
    return Catalog(
        name=path.name.split(".")[0],
        item_ids=item_ids,
        titles=tuple(title or id_ for title, id_ in zip(titles, item_ids, strict=True)),
        text=join_text(titles, texts("text"), topics, frame, worded),
        images=files("image"),
        audio=files("audio"),
        topics=topics,
        source=str(path),
    )


def _files(
    cells: list[str],
    item_ids: tuple[str, ...],
    path: Path,
    role: Literal["image", "audio"],
    problems: list[Problem],
) -> tuple[Path | None, ...]:
    """Return the files named in a column; one that is not a picture or sound is a problem."""
    check = {"image": picture_problem, "audio": sound_problem}[role]
    noun = {"image": "picture", "audio": "sound"}[role]
    found: list[Path | None] = []
    for item_id, cell in zip(item_ids, cells, strict=True):
        file = None if cell.lower() in UNKNOWN else path.parent / cell
        if file is not None:
            said = "is a web address" if "://" in cell else check(file)
            if said:
                problems.append(Problem(item_id, role, f"the {noun} {file} {said}."))
                file = None
        found.append(file)
    return tuple(found)


def _frames(path: Path, chunk: int) -> Iterator[pd.DataFrame]:
    """Yield tables of at most ``chunk`` rows."""
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {what}; give the path of a CSV, TSV or Parquet file.")
    if path.suffix.lower() in {".parquet", ".pq"}:
        yield from _parquet(path, chunk)
        return
    try:
        with path.open("rb") as stored:
            packed = stored.read(2) == b"\x1f\x8b"
            stored.seek(0)
            raw = cast("IO[bytes]", gzip.GzipFile(fileobj=stored)) if packed else stored
            # A byte that is not UTF-8 spoils one text, not the catalogue: it becomes half of a
            # surrogate pair, which the item's content key refuses.
            with io.TextIOWrapper(raw, "utf-8-sig", "surrogateescape", newline="") as stream:
                yield from _csv(stream, path, chunk)
    except (OSError, EOFError, csv.Error) as error:
        raise DataError(f"{path} is not a well-formed table of UTF-8 text ({error}).") from None


def _csv(stream: io.TextIOWrapper, path: Path, chunk: int) -> Iterator[pd.DataFrame]:
    first = stream.readline()
    if not first.strip():
        raise DataError(f"{path} is empty; it needs a header line and at least one row of text.")
    tabs = ".tsv" in [suffix.lower() for suffix in path.suffixes[-2:]]
    separator = "\t" if tabs else max(_SEPARATORS, key=first.count)
    header = next(csv.reader([first], delimiter=separator))
    csv.field_size_limit(_FIELD)
    rows: list[list[str]] = []
    for number, cells in enumerate(csv.reader(stream, delimiter=separator), start=1):
        if not cells:
            continue
        if len(cells) > len(header):
            raise DataError(f"{path}: row {number} has more cells than the header has columns.")
        rows.append(cells + [""] * (len(header) - len(cells)))
        if len(rows) == chunk:
            yield pd.DataFrame(rows, columns=header, dtype=object)
            rows = []
    if rows:
        yield pd.DataFrame(rows, columns=header, dtype=object)


def _parquet(path: Path, chunk: int) -> Iterator[pd.DataFrame]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as stored:
            for batch in stored.iter_batches(chunk):
                yield batch.to_pandas().rename(columns=str)
    except (ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(". ")
        raise DataError(f"{path} is not a readable Parquet file ({reason}).") from None
