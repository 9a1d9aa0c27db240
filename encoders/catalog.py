"""The catalogue: what the items are, in words, pictures and sounds."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from slategym.encoders.media import picture_problem, sound_problem
from slategym.encoders.tables import (
    UNKNOWN,
    ColumnReport,
    Wanted,
    guess_columns,
    offenders,
    read_table,
    text_column,
)
from slategym.errors import DataError
from slategym.files import file_hash

Modality = Literal["text", "image", "audio"]
MAX_ROWS = 4  # named for each doubled id
MODALITIES: tuple[Modality, ...] = ("text", "image", "audio")

_NAMES: dict[str, str] = {
    "item_id": "item_id id asin parent_asin movie_id product_id article_id news_id video_id "
    "track_id song_id book_id isbn sku item",
    "title": "title name item_name product_name product_title headline product_display_name "
    "movie_title track_name caption",
    "text": "text description plot overview summary abstract synopsis body content "
    "item_description product_description detail_desc",
    "image": "image image_path image_file picture picture_path poster poster_path thumbnail "
    "photo cover img",
    "audio": "audio audio_path audio_file sound sound_path wav",
    "topics": "topics topic genres genre categories category tags article_type",
    "duration": "duration duration_minutes duration_min minutes runtime runtime_minutes "
    "duration_seconds duration_sec seconds length_minutes duration_ms",
}
ITEM_COLUMNS = tuple(
    Wanted(role, tuple(names.split()), required=role == "item_id") for role, names in _NAMES.items()
)


@dataclass(frozen=True, eq=False)
class Catalog:
    """What the I items are. Row i of everything is item i.

    Attributes:
        name: A short name.
        item_ids: (I,) ids, unique, never empty, always text.
        titles: (I,) titles; the id where there is none.
        text: (I,) what a text encoder reads: title, description, attributes; ``""`` is none.
        images: (I,) picture files, or None.
        audio: (I,) sound files, or None.
        topics: (I,) named topics, genres or categories of each item, perhaps none.
        duration: (I,) minutes to consume each item; None is unknown.
        attributes: I rows of everything else.
        synthetic: Whether the items were made up by a program.
        source: Where the data came from.
        licence: Its licence.
    """

    name: str
    item_ids: tuple[str, ...]
    titles: tuple[str, ...]
    text: tuple[str, ...]
    images: tuple[Path | None, ...]
    audio: tuple[Path | None, ...]
    topics: tuple[tuple[str, ...], ...]
    duration: tuple[float, ...] | None = None
    attributes: pd.DataFrame = field(default_factory=pd.DataFrame)
    synthetic: bool = False
    source: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        if self.attributes.empty:
            object.__setattr__(self, "attributes", pd.DataFrame(index=range(len(self))))
        columns = {name: getattr(self, name) for name in _PER_ITEM}
        for name, values in columns.items():
            if values is not None and len(values) != len(self):
                raise DataError(
                    f"catalogue {self.name!r} has {len(self)} item ids but {len(values)} {name}."
                )
        _check_ids(self.item_ids, f"catalogue {self.name!r}")

    def __len__(self) -> int:
        return len(self.item_ids)

    def has(self, modality: Modality) -> npt.NDArray[np.bool_]:
        """Return which items have a text, a picture or a sound, (I,)."""
        values: Sequence[str | Path | None] = self.content(modality)
        return np.array([bool(value and str(value).strip()) for value in values], dtype=np.bool_)

    def content(self, modality: Modality) -> tuple[str | Path | None, ...]:
        """Return the text, picture file or sound file of every item, (I,)."""
        return {"text": self.text, "image": self.images, "audio": self.audio}[modality]

    def content_hash(self) -> str:
        """Return a hash of everything the items are, file contents included; 64 hex digits."""
        digest = hashlib.sha256()
        for row, item_id in enumerate(self.item_ids):
            files = [file_hash(p) if p else "" for p in (self.images[row], self.audio[row])]
            minutes = repr(self.duration[row]) if self.duration else ""
            parts = (item_id, self.titles[row], self.text[row], *files, minutes, *self.topics[row])
            digest.update("\x1f".join(parts).encode() + b"\x1e")
        digest.update(self.attributes.to_csv(index=False, lineterminator="\n").encode())
        return digest.hexdigest()

    def subset(self, rows: npt.ArrayLike) -> "Catalog":
        """Return the catalogue of the given rows, by position or by a mask (I,), in order."""
        chosen = np.arange(len(self))[np.asarray(rows)]
        taken: dict[str, Any] = {
            name: tuple(values[row] for row in chosen)
            for name in _PER_ITEM
            if name != "attributes" and (values := getattr(self, name)) is not None
        }
        attributes = self.attributes.iloc[chosen].reset_index(drop=True)
        return replace(self, attributes=attributes, **taken)


_PER_ITEM = ("item_ids", "titles", "text", "images", "audio", "topics", "duration", "attributes")


def load_catalog(
    path: str | Path, *, columns: Mapping[str, str] | None = None, name: str | None = None
) -> tuple[Catalog, ColumnReport]:
    """Return the catalogue in a CSV, TSV or Parquet file, and which columns it was read from.

    Columns are guessed by name; ``columns`` overrides, role to column (roles: item_id, title,
    text, image, audio, topics, duration), ``""`` for none. Paths of pictures and sounds are
    relative to the file. Topics are split at ``|``, ``,`` and ``;``. Durations are minutes,
    unless the column's name says seconds or milliseconds.

    Raises:
        DataError: no id column; ids empty or twice; a file missing or not a picture or sound;
            a duration that is not one. The message names rows (1 is the first data row).
        UsageError: ``columns`` names a role that does not exist.
    """
    path = Path(path)
    frame = read_table(path)
    report = guess_columns(frame, ITEM_COLUMNS, columns, path)
    roles = report.columns

    def texts(role: str) -> list[str]:
        return text_column(frame, roles[role]) if role in roles else [""] * len(frame)

    item_ids = tuple(texts("item_id"))
    _check_ids(item_ids, f"{path}, column {roles['item_id']!r}")
    topics = tuple(map(split_topics, texts("topics")))
    titles = texts("title")
    worded = wordy_columns(frame, report.unused)
    duration, note = _read_duration(texts("duration"), roles.get("duration"), path)
    catalog = Catalog(
        name=name or path.name.split(".")[0],
        item_ids=item_ids,
        titles=tuple(title or id_ for title, id_ in zip(titles, item_ids, strict=True)),
        text=join_text(titles, texts("text"), topics, frame, worded),
        images=_media_paths(texts("image"), roles.get("image"), path, "image", picture_problem),
        audio=_media_paths(texts("audio"), roles.get("audio"), path, "audio", sound_problem),
        topics=topics,
        duration=duration,
        attributes=frame[list(report.unused)].reset_index(drop=True),
        source=str(path),
    )
    said = [f"added to the text: {', '.join(worded)}"] if worded else []
    return catalog, replace(report, notes=tuple(said + ([note] if note else [])))


def split_topics(cell: str) -> tuple[str, ...]:
    """Return the topics named in a cell, without repeats; ``"['a', 'b']"`` is understood too."""
    bare = re.sub(r"^\[(.*)\]$", r"\1", cell.strip(), flags=re.DOTALL)
    listed = bare != cell.strip()
    parts = [part.strip() for part in re.split(r"[|,;]", bare)]
    if listed:
        parts = [part.strip("'\"") for part in parts]
    return tuple(dict.fromkeys(part for part in parts if part.lower() not in UNKNOWN))


def _check_ids(item_ids: Sequence[str], where: str) -> None:
    empty = [f"row {row + 1}" for row, item_id in enumerate(item_ids) if not item_id]
    if empty:
        raise DataError(
            f"{where}: the item id is empty in {offenders(empty)}; every item needs one."
        )
    if len(set(item_ids)) == len(item_ids):
        return
    rows: dict[str, list[int]] = {}
    for row, item_id in enumerate(item_ids):
        rows.setdefault(item_id, []).append(row + 1)
    twice = [
        f"{item_id!r} (rows {', '.join(map(str, found[:MAX_ROWS]))})"
        for item_id, found in rows.items()
        if len(found) > 1
    ]
    raise DataError(
        f"{where}: item ids must be unique, but there is more than one {offenders(twice)}."
    )


def wordy_columns(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Return the columns that hold words about the items: short, shared between some, no codes."""
    found = []
    for name in names:
        values = [value for value in text_column(frame, name) if value.lower() not in UNKNOWN]
        if not values:
            continue
        letters = sum(bool(re.search(r"[^\W\d_]{2}", value)) for value in values)
        short = sum(map(len, values)) <= 60 * len(values)
        shared = len(set(values)) <= 0.9 * len(values)
        linked = any("://" in value for value in values)
        if letters > 0.9 * len(values) and short and shared and not linked:
            found.append(name)
    return found


def join_text(
    titles: Sequence[str],
    texts: Sequence[str],
    topics: Sequence[tuple[str, ...]],
    frame: pd.DataFrame,
    worded: Sequence[str],
) -> tuple[str, ...]:
    """Return title, description, topics and attributes of each item as one text."""
    attributes = {name: text_column(frame, name) for name in worded}
    joined = []
    for row, (title, text, named) in enumerate(zip(titles, texts, topics, strict=True)):
        said = [f"{name}: {cells[row]}" for name, cells in attributes.items() if cells[row]]
        parts = [title, text, ", ".join(named), "; ".join(said)]
        joined.append(". ".join(part.rstrip(". ") for part in parts if part))
    return tuple(joined)


def _media_paths(
    cells: Sequence[str],
    column: str | None,
    path: Path,
    role: str,
    problem: Callable[[Path], str | None],
) -> tuple[Path | None, ...]:
    """Return the files named in a column, each checked; an empty cell is None."""
    paths: list[Path | None] = []
    wrong = []
    for row, cell in enumerate(cells):
        found = None if cell.lower() in UNKNOWN else path.parent / cell
        if found is not None:
            said = "is a web address" if "://" in cell else problem(found)
            if said:
                wrong.append(f"{cell} (row {row + 1}) {said}")
        paths.append(found)
    if wrong:
        raise DataError(
            f"{path}, column {column!r}: {offenders(wrong)}; paths are relative to the file "
            f"(use columns={{'{role}': ''}} to do without this column)."
        )
    return tuple(paths)


def _unit_of(column: str) -> tuple[str, float]:
    """Return the unit that a column of durations names, and how many minutes one of it is."""
    if re.search(r"([\W_]ms|[a-z]Ms|milli\w*|msecs?)$", column):
        return "milliseconds", 1 / 60_000
    return ("seconds", 1 / 60) if "sec" in column.lower() else ("minutes", 1.0)


_TIME = re.compile(
    r"^(?:(?P<h>\d+)\s*h(?:ours?|rs?)?)?\s*(?:(?P<m>\d+(?:\.\d+)?)\s*(?:m|min|mins|minutes?)?\.?)?$"
)


def _read_duration(
    cells: Sequence[str], column: str | None, path: Path
) -> tuple[tuple[float, ...] | None, str]:
    """Return minutes per item, and what was assumed; unknown ones take the median."""
    if column is None:
        return None, ""
    unit_name, unit = _unit_of(column)
    minutes = np.full(len(cells), np.nan)
    wrong = []
    for row, cell in enumerate(cells):
        if cell.lower() in UNKNOWN:
            continue
        match = _TIME.match(cell.lower())
        if match is None:
            wrong.append(f"{cell!r} (row {row + 1})")
            continue
        minutes[row] = unit * (60 * float(match["h"] or 0) + float(match["m"] or 0))
    if wrong:
        raise DataError(
            f"{path}, column {column!r}: a duration is a number of minutes (or '1h 30m'), "
            f"not {offenders(wrong)}; use columns={{'duration': ''}} to do without."
        )
    unknown = ~(minutes > 0)
    if unknown.all():
        return None, f"durations: column {column!r} holds none"
    median = float(np.median(minutes[~unknown]))
    minutes[unknown] = median
    note = f"durations: read as {unit_name}"
    if unknown.any():
        note += f"; {int(unknown.sum())} items without one take the median, {median:g} minutes"
    return tuple(minutes.tolist()), note
