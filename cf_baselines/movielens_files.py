"""The three file layouts in which GroupLens gives out MovieLens, read into one form.

The 100K layout is tested on the real files. The 1M layout (``::`` between fields) and that of
ml-latest-small (CSV) are tested on small files made in their documented form only.
"""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from slategym.cf_baselines.interactions import RowArray
from slategym.encoders.tables import number_column, read_table, text_column
from slategym.errors import DataError

_AGES_1M = {
    "1": "person under 18",
    "18": "18 to 24 year old",
    "25": "25 to 34 year old",
    "35": "35 to 44 year old",
    "45": "45 to 49 year old",
    "50": "50 to 55 year old",
    "56": "person of 56 or older",
}
_OCCUPATIONS_1M = (
    "other",
    "academic or educator",
    "artist",
    "clerical or admin",
    "college or grad student",
    "customer service",
    "doctor or health care",
    "executive or managerial",
    "farmer",
    "homemaker",
    "school student",
    "lawyer",
    "programmer",
    "retired",
    "sales or marketing",
    "scientist",
    "self-employed",
    "technician or engineer",
    "tradesman or craftsman",
    "unemployed",
    "writer",
)
_GENRES_100K = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
_LAYOUTS = {
    "100K": ("u.data", "u.item"),
    "1M": ("ratings.dat", "movies.dat"),
    "ml-latest-small": ("ratings.csv", "movies.csv"),
}


@dataclass(frozen=True)
class MovieLensFiles:
    """What the files say: I movies, U users, N ratings in file order.

    Attributes:
        name: ``movielens-100k``, ``movielens-1m`` or ``movielens-latest``.
        item_ids: (I,) and titles: (I,) as written, with the year.
        genres: (I,) genres of each movie.
        user_ids: (U,) and profiles: (U,) a line about each user, ``""`` if nothing is known.
        users, items: (N,) rows into the above.
        values: (N,) stars. times: (N,) seconds since 1970.
    """

    name: str
    item_ids: tuple[str, ...]
    titles: tuple[str, ...]
    genres: tuple[tuple[str, ...], ...]
    user_ids: tuple[str, ...]
    profiles: tuple[str, ...]
    users: RowArray
    items: RowArray
    values: npt.NDArray[np.float64]
    times: RowArray


def read_movielens_files(folder: Path) -> MovieLensFiles:
    """Return what a MovieLens folder holds, in whichever layout.

    Raises:
        DataError: not a MovieLens folder, a file missing, or a row that does not fit.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the unpacked MovieLens folder.")
    for name, (ratings, movies) in _LAYOUTS.items():
        there = [(folder / file).is_file() for file in (ratings, movies)]
        if all(there):
            return {"100K": _read_100k, "1M": _read_1m}.get(name, _read_latest)(folder)
        if any(there):
            has, lacks = (ratings, movies) if there[0] else (movies, ratings)
            raise DataError(
                f"{folder} has {has} but not {lacks}; MovieLens {name} needs both, unpack it anew."
            )
    seen = ", ".join(sorted(entry.name for entry in folder.iterdir())[:8]) or "nothing"
    wanted = "; ".join(f"{' and '.join(files)} ({name})" for name, files in _LAYOUTS.items())
    raise DataError(f"{folder} is not a MovieLens folder: it holds {seen}, not {wanted}.")


def read_fields(path: Path, names: Sequence[str], separator: str) -> pd.DataFrame:
    """Return a file without header as text columns; GroupLens writes latin-1.

    Raises:
        DataError: a row with another number of fields.
    """
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("latin-1")
    # Not splitlines(): in text of Windows, which latin-1 reads too, an ellipsis would end a line.
    lines = text.replace("\r\n", "\n").split("\n")
    rows = [line.split(separator) for line in lines if line]
    wrong = next((row for row, fields in enumerate(rows) if len(fields) != len(names)), None)
    if wrong is not None:
        raise DataError(
            f"{path}, row {wrong + 1}: {len(rows[wrong])} fields, but {len(names)} are wanted "
            f"({', '.join(names[:4])}, ...)."
        )
    if not rows:
        raise DataError(f"{path} is empty; unpack the folder anew.")
    return pd.DataFrame(rows, columns=list(names), dtype=str)


def _read_100k(folder: Path) -> MovieLensFiles:
    genres = _genres_100k(folder)
    names = ["item", "title", "released", "video", "url", *genres]
    movies = read_fields(folder / "u.item", names, "|")
    flags = movies[genres].to_numpy() == "1"
    # "unknown" says that there is no genre, so it is none.
    named = [
        tuple(g for g, flag in zip(genres, row, strict=True) if flag and g != "unknown")
        for row in flags
    ]
    ratings = read_fields(folder / "u.data", ["user", "item", "value", "time"], "\t")
    profiles: dict[str, str] = {}
    if (folder / "u.user").is_file():
        people = read_fields(folder / "u.user", ["user", "age", "sex", "work", "zip"], "|")
        columns = (text_column(people, name) for name in ("user", "age", "sex", "work"))
        profiles = {
            user: _profile(f"{age} year old", sex, work)
            for user, age, sex, work in zip(*columns, strict=True)
        }
    return _assemble("movielens-100k", folder / "u.data", movies, named, ratings, profiles)


def _genres_100k(folder: Path) -> list[str]:
    path = folder / "u.genre"
    if path.is_file():
        return read_fields(path, ["genre", "number"], "|")["genre"].tolist()
    return list(_GENRES_100K)


def _read_1m(folder: Path) -> MovieLensFiles:
    movies = read_fields(folder / "movies.dat", ["item", "title", "genres"], "::")
    named = [tuple(cell.split("|")) for cell in movies["genres"]]
    ratings = read_fields(folder / "ratings.dat", ["user", "item", "value", "time"], "::")
    profiles: dict[str, str] = {}
    if (folder / "users.dat").is_file():
        people = read_fields(folder / "users.dat", ["user", "sex", "age", "work", "zip"], "::")
        columns = (text_column(people, name) for name in ("user", "sex", "age", "work"))
        for user, sex, age, work in zip(*columns, strict=True):
            number = int(work) if work.isdecimal() else 0
            job = _OCCUPATIONS_1M[number] if number < len(_OCCUPATIONS_1M) else "other"
            profiles[user] = _profile(_AGES_1M.get(age, "person"), sex, job)
    return _assemble("movielens-1m", folder / "ratings.dat", movies, named, ratings, profiles)


def _read_latest(folder: Path) -> MovieLensFiles:
    movies = _read_csv(folder / "movies.csv", {"movieId": "item", "title": "title", "genres": "g"})
    named = [() if cell.startswith("(no ") else tuple(cell.split("|")) for cell in movies["g"]]
    ratings = _read_csv(
        folder / "ratings.csv",
        {"userId": "user", "movieId": "item", "rating": "value", "timestamp": "time"},
    )
    return _assemble("movielens-latest", folder / "ratings.csv", movies, named, ratings, {})


def _read_csv(path: Path, names: dict[str, str]) -> pd.DataFrame:
    frame = read_table(path)
    missing = [name for name in names if name not in frame.columns]
    if missing:
        seen = ", ".join(map(str, frame.columns))
        raise DataError(f"{path} has no column {missing[0]!r}: its columns are {seen}.")
    return frame.rename(columns=names)


def _profile(age: str, sex: str, work: str) -> str:
    """Return a line such as ``24 year old man, technician``."""
    who = {"M": "man", "F": "woman"}.get(sex, "person")
    who = age.replace("person", who) if "person" in age else f"{age} {who}"
    return who if work in {"", "none", "other"} else f"{who}, {work}"


def _assemble(
    name: str,
    path: Path,
    movies: pd.DataFrame,
    genres: Sequence[tuple[str, ...]],
    ratings: pd.DataFrame,
    profiles: dict[str, str],
) -> MovieLensFiles:
    """Return the parts with ids turned into rows; users in the order of their numbers."""
    item_ids = tuple(movies["item"])
    known = {id_: row for row, id_ in enumerate(item_ids)}
    items = ratings["item"].map(known)
    if items.isna().any():
        row = int(np.flatnonzero(items.isna())[0])
        raise DataError(f"{path}, row {row + 1}: movie {ratings['item'][row]!r} is not listed.")
    everyone = {*profiles, *ratings["user"]}
    user_ids = tuple(sorted(everyone, key=lambda id_: (len(id_), id_)))
    places = {id_: row for row, id_ in enumerate(user_ids)}
    return MovieLensFiles(
        name=name,
        item_ids=item_ids,
        titles=tuple(movies["title"]),
        genres=tuple(genres),
        user_ids=user_ids,
        profiles=tuple(profiles.get(id_, "") for id_ in user_ids),
        users=ratings["user"].map(places).to_numpy(np.int64),
        items=items.to_numpy(np.int64),
        values=number_column(ratings, "value", path),
        times=number_column(ratings, "time", path).astype(np.int64),
    )
