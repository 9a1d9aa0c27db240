"""Public splits that published numbers are told on, read from folders on disk.

Letters: N rows, U users, I items.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.interactions import Interactions, RowArray, load_interactions
from slategym.cf_baselines.movielens_files import read_fields, read_movielens_files
from slategym.cf_baselines.splits import split_users_at_random, split_users_by_time
from slategym.errors import DataError


@dataclass(frozen=True)
class RankingTask:
    """A log with the rows to tune on, to fit on and to be tested on.

    Attributes:
        name: What to call it.
        log: All rows.
        tune_rows: Rows to fit on while settings are chosen.
        validation: Rows to choose settings by.
        fit_rows: Rows to fit on once they are chosen.
        test: Rows to report on.
        positive: Held-out values from here on are positives; all rows if None.
        measure: What settings are chosen by.
        titles: (I,) names of the items.
        protocol: A sentence on how it is measured.
    """

    name: str
    log: Interactions
    tune_rows: RowArray
    validation: RowArray
    fit_rows: RowArray
    test: RowArray
    positive: float | None
    measure: str
    titles: tuple[str, ...]
    protocol: str


@dataclass(frozen=True)
class RatingTask:
    """A log of ratings with the rows of each fold.

    Attributes:
        name: What to call it.
        log: All rows.
        folds: Rows to fit on and rows to be tested on, of each fold.
    """

    name: str
    log: Interactions
    folds: tuple[tuple[RowArray, RowArray], ...]


def load_ranking_task(path: str | Path) -> RankingTask:
    """Return the ranking task of a folder or a log file, told by what is in it.

    Known are a MovieLens folder with ratings (the newest fifth of each user held out), the TikTok
    multimodal split (``interactions.npz``), the CoLaKG split (``train.txt``, ``test.txt``, in the
    folder or in ``colakg_split``), and a CSV, TSV or Parquet log (the newest fifth of each user,
    a random fifth if it has no times).

    Raises:
        DataError: there is nothing that is known.
    """
    path = Path(path)
    if path.is_file():
        return _own_log(path)
    if not path.exists():
        raise DataError(f"{path} does not exist; give a folder of data or a log file.")
    if (path / "interactions.npz").is_file():
        return _tiktok(path)
    for folder in (path, path / "colakg_split"):
        if (folder / "train.txt").is_file() and (folder / "test.txt").is_file():
            return _pair_lists(folder)
    logs = [each for each in sorted(path.iterdir()) if each.suffix in (".csv", ".tsv", ".parquet")]
    movielens = any((path / name).is_file() for name in ("u.data", "ratings.dat", "movies.csv"))
    return _own_log(logs[0]) if len(logs) == 1 and not movielens else _movielens(path)


def movielens_log(folder: Path) -> tuple[Interactions, tuple[str, ...]]:
    """Return the ratings of a MovieLens folder, users and items in the files' order, and titles."""
    files = read_movielens_files(folder)
    log = Interactions(
        files.user_ids,
        files.item_ids,
        files.users.astype(np.int32),
        files.items.astype(np.int32),
        files.values.astype(np.float32),
        files.times,
        name=files.name,
    )
    return log, files.titles


def load_rating_task(folder: str | Path) -> RatingTask:
    """Return the five official folds u1 to u5 of MovieLens 100K.

    Raises:
        DataError: the folder holds no u1.base to u5.test.
    """
    folder = Path(folder)
    log, _ = movielens_log(folder)
    rows = {
        (user, item): row
        for row, (user, item) in enumerate(zip(log.users.tolist(), log.items.tolist(), strict=True))
    }
    users = {id_: row for row, id_ in enumerate(log.user_ids)}
    items = {id_: row for row, id_ in enumerate(log.item_ids)}

    def read(name: str) -> RowArray:
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path} does not exist; the five folds are u1.base to u5.test.")
        frame = read_fields(path, ("user", "item", "value", "time"), "\t")
        pairs = zip(frame["user"], frame["item"], strict=True)
        return np.sort(np.array([rows[users[user], items[item]] for user, item in pairs]))

    folds = tuple((read(f"u{n}.base"), read(f"u{n}.test")) for n in range(1, 6))
    return RatingTask(f"{log.name}, five official folds", log, folds)


def _movielens(folder: Path) -> RankingTask:
    log, titles = movielens_log(folder)
    split = split_users_by_time(log)
    return RankingTask(
        f"{log.name}, newest fifth of each user",
        log,
        split.train,
        split.validation,
        np.union1d(split.train, split.validation),
        split.test,
        4.0,
        "ndcg@10",
        titles,
        "Each user's newest 20 % are the test, ratings of 4 and more its positives; settings are "
        "chosen on the newest 20 % of the rest, then all of the rest is fitted.",
    )


def _own_log(path: Path) -> RankingTask:
    log, _ = load_interactions(path)
    timed = bool(log.times.any())
    split = split_users_by_time(log) if timed else split_users_at_random(log)
    from slategym.cf_baselines.interactions import default_threshold

    fit_rows = np.union1d(split.train, split.validation)
    how = "newest 20 %" if timed else "random 20 % (no times; seed 0)"
    return RankingTask(
        f"{log.name}, {how} of each user",
        log,
        split.train,
        split.validation,
        fit_rows,
        split.test,
        default_threshold(log.take(fit_rows)),
        "ndcg@10",
        log.item_ids,
        f"Each user's {how} are the test; settings are chosen on 20 % of the rest, held out the "
        "same way, then all of the rest is fitted.",
    )


def _tiktok(folder: Path) -> RankingTask:
    """Return the split of Jiang et al. 2024, "DiffMM": train, val and test as shipped."""
    path = folder / "interactions.npz"
    with np.load(path, allow_pickle=False) as stored:
        names = [f"{part}_{side}" for part in ("trn", "val", "tst") for side in ("user", "item")]
        missing = [name for name in ("shape", *names) if name not in stored]
        if missing:
            raise DataError(f"{path} has no {missing[0]!r}; it is not the TikTok split.")
        n_users, n_items = (int(size) for size in stored["shape"])
        parts = [(stored[names[n]], stored[names[n + 1]]) for n in (0, 2, 4)]
    log, (train, held, test) = _from_parts(parts, n_users, n_items, "tiktok-mm")
    return RankingTask(
        "TikTok multimodal split",
        log,
        train,
        held,
        train,
        test,
        None,
        "recall@20",
        tuple(f"video {n}" for n in range(n_items)),
        "Train, validation and test as shipped; fitted on train only, all items but those of "
        "train are ranked.",
    )


def _pair_lists(folder: Path) -> RankingTask:
    """Return a split in the format of LightGCN: a line is a user and the items, all numbers."""
    parts = [_read_pairs(folder / name) for name in ("train.txt", "test.txt")]
    n_users = 1 + max(int(users.max()) for users, _ in parts)
    n_items = 1 + max(int(items.max()) for _, items in parts)
    name = "colakg" if folder.name == "colakg_split" else folder.name
    log, (train, test) = _from_parts(parts, n_users, n_items, name)
    held = np.random.default_rng(0).random(len(train)) < 0.1
    return RankingTask(
        f"{name} split",
        log,
        train[~held],
        train[held],
        train,
        test,
        None,
        "recall@20",
        _mapped_titles(folder, n_items),
        "Train and test as shipped; settings are chosen on a random 10 % of the training rows "
        "(seed 0), then all of them are fitted.",
    )


def _read_pairs(path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    users: list[int] = []
    items: list[int] = []
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            try:
                user, *rest = map(int, line.split())
            except ValueError:
                raise DataError(
                    f"{path}, line {number}: a line is a user and the items, all whole numbers."
                ) from None
            users += [user] * len(rest)
            items += rest
    return np.array(users, np.int64), np.array(items, np.int64)


def _from_parts(
    parts: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]],
    n_users: int,
    n_items: int,
    name: str,
) -> tuple[Interactions, list[RowArray]]:
    """Return the parts as one implicit log, and the rows of each."""
    users = np.concatenate([part[0] for part in parts])
    log = Interactions(
        tuple(map(str, range(n_users))),
        tuple(map(str, range(n_items))),
        users.astype(np.int32),
        np.concatenate([part[1] for part in parts]).astype(np.int32),
        np.ones(len(users), np.float32),
        np.zeros(len(users), np.int64),
        implicit=True,
        name=name,
    )
    ends = np.cumsum([0, *(len(part[0]) for part in parts)])
    return log, [np.arange(ends[n], ends[n + 1]) for n in range(len(parts))]


def _mapped_titles(folder: Path, n_items: int) -> tuple[str, ...]:
    """Return titles by ``item_map.txt`` and the ``movies.dat`` above it, else numbers."""
    plain = tuple(f"item {n}" for n in range(n_items))
    maps, movies = folder / "item_map.txt", folder.parent / "movies.dat"
    if not (maps.is_file() and movies.is_file()):
        return plain
    lines = movies.read_text(encoding="latin-1").splitlines()
    titles = {line.split("::")[0]: line.split("::")[1] for line in lines if line.count("::") >= 2}
    names = dict(enumerate(plain))
    for line in maps.read_text(encoding="utf-8").splitlines():
        original, row = line.split()
        names[int(row)] = titles.get(original, names[int(row)])
    return tuple(names[n] for n in range(n_items))
