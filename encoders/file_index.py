"""Hashes of files that have not changed, so that large catalogues are not read twice."""

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from slategym.files import file_hash

_NAME = "files.sqlite"
# A file changed this soon before it was hashed may change again within one tick of its clock.
_SETTLED_NS = 2_000_000_000
_WAIT = 30.0  # seconds for another process to finish writing


@dataclass(frozen=True)
class FileIndex:
    """Path, size and time of change of files, to the sha256 of their bytes.

    A file of the same size and time is taken to be the same; `stale` reads all and says where
    that is wrong. Losing the index loses time and nothing else: a damaged one is made anew.

    Attributes:
        folder: Where the index is kept.
    """

    folder: Path

    def known(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Return the sha256 of those files that are remembered and have not changed, in one look.

        Opening the index costs more than a question does, so many are asked at once.
        """
        found = {}
        with self._open() as index:
            for path in paths:
                row = self._row(index, _name(path))
                try:
                    stat = path.stat()
                except OSError:  # who wants its hash will be told
                    continue
                if row and row[:2] == (stat.st_size, stat.st_mtime_ns):
                    found[path] = str(row[2])
        return found

    def hash(self, path: Path) -> str:
        """Return the sha256 of a file, remembered or computed; 64 hex digits.

        Raises:
            OSError: the file cannot be read.
        """
        found = self.known([path]).get(path)
        if found is not None:
            return found
        stat, begin = path.stat(), time.time_ns()
        digest = file_hash(path)
        if stat.st_mtime_ns < begin - _SETTLED_NS:
            row = (_name(path), stat.st_size, stat.st_mtime_ns, digest)
            with self._open() as index, index:
                index.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", row)
        return digest

    def stale(self) -> list[str]:
        """Return the files whose bytes changed though size and time did not; forget them."""
        with self._open() as index:
            rows = index.execute("SELECT path, size, changed, hash FROM files").fetchall()
        wrong = [name for name, size, changed, digest in rows if _lies(name, size, changed, digest)]
        with self._open() as index, index:
            index.executemany("DELETE FROM files WHERE path = ?", [(name,) for name in wrong])
        return wrong

    def forget_missing(self) -> int:
        """Forget files that are no longer there; return how many."""
        with self._open() as index, index:
            names = [name for (name,) in index.execute("SELECT path FROM files")]
            gone = [(name,) for name in names if not Path(name).is_file()]
            index.executemany("DELETE FROM files WHERE path = ?", gone)
        return len(gone)

    @staticmethod
    def _row(index: sqlite3.Connection, name: str) -> tuple[int, int, str] | None:
        query = "SELECT size, changed, hash FROM files WHERE path = ?"
        row: tuple[int, int, str] | None = index.execute(query, (name,)).fetchone()
        return row

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / _NAME
        try:
            index = self._connect(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, or the disk is full
                raise OSError(0, f"the index of files is not usable: {error}", str(path)) from None
            path.unlink(missing_ok=True)
            index = self._connect(path)
        with closing(index):
            yield index

    @staticmethod
    def _connect(path: Path) -> sqlite3.Connection:
        index = sqlite3.connect(path, timeout=_WAIT)
        try:
            index.execute(
                "CREATE TABLE IF NOT EXISTS files"
                " (path TEXT PRIMARY KEY, size INTEGER, changed INTEGER, hash TEXT)"
            )
        except sqlite3.DatabaseError:
            index.close()
            raise
        return index


def _name(path: Path) -> str:
    """Return what a file is remembered by."""
    return os.path.abspath(path)  # noqa: PTH100 - links stay links


def _lies(name: str, size: int, changed: int, digest: str) -> bool:
    """Return whether a file that looks unchanged has other bytes."""
    try:
        stat = os.stat(name)  # noqa: PTH116
        same = (stat.st_size, stat.st_mtime_ns) == (size, changed)
        return same and file_hash(Path(name)) != digest
    except OSError:
        return False
