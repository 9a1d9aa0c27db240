"""MovieLens, ready to build a world from: movies with text and posters, ratings, a split.

The files belong to GroupLens and are not part of slategym: research use, no redistribution.
"""

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from slategym.cf_baselines.interactions import Interactions, RowArray, Split, split_random
from slategym.cf_baselines.movielens_files import (
    MovieLensFiles,
    read_fields,
    read_movielens_files,
)
from slategym.encoders.catalog import Catalog
from slategym.encoders.tables import UNKNOWN, read_table, text_column
from slategym.errors import DataError
from slategym.files import atomic_folder, cache_dir, file_hash

LICENCE = "GroupLens: research use, no redistribution"
MAX_POSTER_BYTES = 4 * 2**20
VALIDATION_SHARE = 0.1
_TITLE = re.compile(r"^(?P<title>.*?)\s*\((?P<year>\d{4})\)\s*$")
_ARTICLE = re.compile(r"^(.*), (The|A|An|Les?|La|El|Il|Das|Der|Die|Los|Las|L')$")
_EXTRA = ("director", "actors", "country", "language")


@dataclass(frozen=True)
class MovieLens:
    """MovieLens as slategym's types.

    Attributes:
        catalog: The I movies.
        interactions: The N ratings, 1 to 5 stars (0.5 to 5 in newer releases).
        split: The official u1 split of 100K, a tenth of its training rows held out for
            validation by a seed; a random split (a fifth for test) where there is no u1.
        user_profiles: (U,) a line such as ``24 year old man, technician``, or ``""``.
    """

    catalog: Catalog
    interactions: Interactions
    split: Split
    user_profiles: tuple[str, ...]


def load_movielens(folder: str | Path, *, posters: Path | None = None, seed: int = 0) -> MovieLens:
    """Return the MovieLens in a folder as GroupLens packs it, 100K, 1M or latest-small.

    Two optional files of this project's layout enrich it: ``item_text.csv.gz`` (movie_id and any
    of plot, imdb_description, director, actors, runtime, country, language), and a zip of posters
    named ``<MovieLens 1M id>.jpg``, with ``ml1m_map.csv`` (ml100k_id, ml1m_id) to find them for
    100K. Only 100K is tested on real files.

    Args:
        folder: The folder.
        posters: The zip of posters; looked for as ``posters_96x144.zip`` in the folder and in
            ``../ml-1m`` by default. Unpacked once into the cache folder.
        seed: For the validation rows.

    Raises:
        DataError: not a MovieLens folder, a file damaged, a row that does not fit, no such zip.
    """
    folder = Path(folder)
    files = read_movielens_files(folder)
    log = Interactions(
        user_ids=files.user_ids,
        item_ids=files.item_ids,
        users=files.users.astype(np.int32),
        items=files.items.astype(np.int32),
        values=files.values.astype(np.float32),
        times=files.times,
        name=files.name,
    )
    split = _official_split(folder, files, seed) or split_random(
        log, 0.2, seed, validation=VALIDATION_SHARE
    )
    return MovieLens(_catalog(folder, files, posters), log, split, files.profiles)


def _official_split(folder: Path, files: MovieLensFiles, seed: int) -> Split | None:
    """Return the rows of u1.base, less validation, and of u1.test; None without these files."""
    parts = [folder / "u1.base", folder / "u1.test"]
    if not all(part.is_file() for part in parts):
        return None
    pairs = zip(files.users.tolist(), files.items.tolist(), strict=True)
    rows = {
        (files.user_ids[user], files.item_ids[item]): row for row, (user, item) in enumerate(pairs)
    }
    base, test = (_find_rows(part, rows) for part in parts)
    both = np.intersect1d(base, test)
    if len(both):
        raise DataError(f"{folder}: {len(both)} ratings are in both u1.base and u1.test.")
    order = np.random.default_rng(seed).permutation(base)
    held = round(len(base) * VALIDATION_SHARE)
    return Split(np.sort(order[held:]), np.sort(order[:held]), test)


def _find_rows(path: Path, rows: dict[tuple[str, str], int]) -> RowArray:
    """Return where in u.data the ratings of a part stand, ascending."""
    part = read_fields(path, ["user", "item", "value", "time"], "\t")
    found = [rows.get(pair, -1) for pair in zip(part["user"], part["item"], strict=True)]
    if -1 in found:
        raise DataError(
            f"{path}, row {found.index(-1) + 1}: this rating is not in u.data; the files are of "
            "different releases."
        )
    return np.unique(np.array(found, dtype=np.int64))


def _catalog(folder: Path, files: MovieLensFiles, posters: Path | None) -> Catalog:
    """Return the movies with all that is known about them."""
    told = _read_item_text(folder, files)
    titles, years = zip(*map(split_title, files.titles), strict=True)
    text = []
    for row, title in enumerate(titles):
        plot = max(told["plot"][row], told["imdb_description"][row], key=len)
        director, actors = told["director"][row], told["actors"][row]
        parts = [title, years[row], ", ".join(files.genres[row]), plot]
        parts += [f"Directed by {director}"] * bool(director) + [f"With {actors}"] * bool(actors)
        text.append(". ".join(part.rstrip(". ") for part in parts if part))
    attributes = pd.DataFrame({"year": list(years), **{name: told[name] for name in _EXTRA}})
    return Catalog(
        name=files.name,
        item_ids=files.item_ids,
        titles=tuple(f"{t} ({y})" if y else t for t, y in zip(titles, years, strict=True)),
        text=tuple(text),
        images=_posters(folder, files, posters),
        audio=(None,) * len(titles),
        topics=files.genres,
        duration=_minutes(told["runtime"]),
        attributes=attributes,
        source="MovieLens (grouplens.org); plots and runtimes from OMDb/IMDb where given",
        licence=LICENCE,
    )


def split_title(title: str) -> tuple[str, str]:
    """Return title and year of ``Usual Suspects, The (1995)``: ``The Usual Suspects``, ``1995``."""
    match = _TITLE.match(title)
    name, year = (match["title"], match["year"]) if match else (title.strip(), "")
    article = _ARTICLE.match(name)
    return (f"{article[2]} {article[1]}" if article else name), year


def _read_item_text(folder: Path, files: MovieLensFiles) -> dict[str, list[str]]:
    """Return each movie's plot, people and runtime, ``""`` where nothing is known."""
    names = ("plot", "imdb_description", "runtime", *_EXTRA)
    # ML-100K's movie 267 is called "unknown"; a text found by that title is another film's.
    ids = ["" if t == "unknown" else i for i, t in zip(files.item_ids, files.titles, strict=True)]
    path = folder / "item_text.csv.gz"
    if not path.is_file():
        return {name: [""] * len(ids) for name in names}
    table = read_table(path)
    if "movie_id" not in table.columns:
        raise DataError(f"{path} has no column 'movie_id': it has {', '.join(table.columns)}.")
    places = {id_: row for row, id_ in enumerate(text_column(table, "movie_id"))}
    told = {}
    for name in names:
        cells = text_column(table, name) if name in table.columns else [""] * len(table)
        cells = ["" if cell.lower() in UNKNOWN else cell for cell in cells]
        told[name] = [cells[places[id_]] if id_ in places else "" for id_ in ids]
    return told


def _minutes(cells: list[str]) -> tuple[float, ...] | None:
    """Return minutes told as ``81 min``; the median for a movie without; None if none has any."""
    found = [re.match(r"(\d+)", cell) for cell in cells]
    minutes = np.array([float(match[1]) if match else np.nan for match in found])
    minutes[minutes <= 0] = np.nan
    if np.isnan(minutes).all():
        return None
    return tuple(np.where(np.isnan(minutes), np.nanmedian(minutes), minutes).tolist())


def _posters(folder: Path, files: MovieLensFiles, posters: Path | None) -> tuple[Path | None, ...]:
    """Return each movie's poster file, or None."""
    nothing: tuple[Path | None, ...] = (None,) * len(files.item_ids)
    usual = [folder / "posters_96x144.zip", folder.parent / "ml-1m" / "posters_96x144.zip"]
    archive = Path(posters) if posters else next((path for path in usual if path.is_file()), None)
    names = dict(zip(files.item_ids, files.item_ids, strict=True))
    if files.name == "movielens-100k":
        listed = folder / "ml1m_map.csv"
        if not listed.is_file():
            if posters:
                raise DataError(f"{listed} is missing; it says which poster is which movie's.")
            return nothing
        table = read_table(listed)
        if not {"ml100k_id", "ml1m_id"} <= set(table.columns):
            seen = ", ".join(table.columns)
            raise DataError(f"{listed} needs the columns ml100k_id and ml1m_id: it has {seen}.")
        names = dict(zip(table["ml100k_id"], table["ml1m_id"], strict=True))
    elif files.name != "movielens-1m" and not posters:
        return nothing
    if archive is None:
        return nothing
    unpacked = unpack_posters(archive)
    paths = [unpacked / f"{names.get(id_, '')}.jpg" for id_ in files.item_ids]
    there = {path.name for path in unpacked.iterdir()}
    return tuple(path if path.name in there else None for path in paths)


def unpack_posters(archive: Path) -> Path:
    """Return the folder in the cache with the pictures of a zip, unpacked the first time.

    Only members named ``<number>.jpg`` that are JPEG files of at most 4 MiB are taken.

    Raises:
        DataError: no such file, not a zip, a member damaged, not a JPEG or too large.
    """
    if not archive.is_file():
        raise DataError(f"{archive} does not exist; give the zip of posters, or none.")
    target = cache_dir() / "posters" / file_hash(archive)[:16]
    if target.is_dir():
        return target
    try:
        with zipfile.ZipFile(archive) as pictures, atomic_folder(target) as folder:
            members = [m for m in pictures.infolist() if re.fullmatch(r"\d+\.jpg", m.filename)]
            if not members:
                raise DataError(f"{archive} holds no pictures named like 12.jpg.")
            for member in members:
                if member.file_size > MAX_POSTER_BYTES:
                    raise DataError(f"{archive}: {member.filename} is larger than 4 MiB.")
                content = pictures.read(member)
                if content[:3] != b"\xff\xd8\xff":
                    raise DataError(f"{archive}: {member.filename} is not a JPEG file.")
                (folder / member.filename).write_bytes(content)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{archive} is not a whole zip file ({error}); get it again.") from None
    return target
