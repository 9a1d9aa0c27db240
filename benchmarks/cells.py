"""The journal of a benchmark: finished cells, appended one line at a time, never lost twice."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from slategym.benchmarks.rollout import Trajectories
from slategym.errors import DataError
from slategym.files import file_hash, write_atomic


def cell_key(cell: dict[str, Any]) -> str:
    """Return the name of a cell: 16 hexadecimal digits of the hash of its canonical JSON."""
    text = json.dumps(cell, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Journal:
    """A file of JSON lines that only grows, each line on disk before the next is begun.

    Attributes:
        lines: what the file holds.
    """

    def __init__(self, path: Path) -> None:
        """Open (or begin) a journal; a last line cut short by a kill is dropped from the file.

        Raises:
            DataError: a line that is not the last one is damaged.
        """
        self._path = path
        self.lines: list[dict[str, Any]] = []
        if path.exists():
            self._load()

    def append(self, record: dict[str, Any]) -> None:
        """Add a line; it is on disk when this returns."""
        line = json.dumps(record, sort_keys=True, allow_nan=False)
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        self.lines.append(record)

    def _load(self) -> None:
        content = self._path.read_bytes()
        good = 0
        for number, line in enumerate(content.split(b"\n")[:-1], start=1):
            try:
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise ValueError("it is no JSON object")
            except ValueError as error:
                raise DataError(
                    f"{self._path} line {number} is damaged ({error}); delete that line and run "
                    "the same command again, its cell is then run anew."
                ) from None
            self.lines.append(record)
            good += len(line) + 1
        if good < len(content):
            with self._path.open("r+b") as stream:
                stream.truncate(good)


@dataclass(frozen=True)
class CellRecord:
    """One finished cell.

    Attributes:
        key: `cell_key` of ``cell``.
        cell: what was run, as JSON.
        sha256: hash of the arrays file.
        seconds: time it took: of the wall, or of the processor for cells of experiments.
    """

    key: str
    cell: dict[str, Any]
    sha256: str
    seconds: float


class CellJournal:
    """``cells.jsonl`` and the folder ``cells/`` of arrays beside it.

    A line is appended and flushed to disk only after the arrays of the cell are whole, so a
    process that is killed loses at most the cell it was running.
    """

    def __init__(self, folder: Path) -> None:
        """Open (or begin) the journal in a folder.

        Raises:
            DataError: a line that is not the last one is damaged.
        """
        self._journal = Journal(folder / "cells.jsonl")
        self._arrays = folder / "cells"
        try:
            records = [CellRecord(**line) for line in self._journal.lines]
        except TypeError as error:
            raise DataError(
                f"{folder / 'cells.jsonl'} holds a line that is no cell ({error}); delete the "
                "folder and run the benchmark anew."
            ) from None
        self._records = {record.key: record for record in records}

    def __len__(self) -> int:
        """Return the number of finished cells known."""
        return len(self._records)

    def get(self, key: str) -> CellRecord | None:
        """Return a finished cell whose arrays are still as written, else ``None``."""
        record = self._records.get(key)
        if record is None:
            return None
        arrays = self.arrays_path(key)
        whole = arrays.exists() and file_hash(arrays) == record.sha256
        return record if whole else None

    def arrays_path(self, key: str) -> Path:
        """Return where the arrays of a cell lie."""
        return self._arrays / f"{key}.safetensors"

    def add(self, cell: dict[str, Any], result: Trajectories, seconds: float) -> CellRecord:
        """Write the arrays of a cell of sessions, then its line."""
        return self.add_arrays(cell, result.arrays(), seconds)

    def add_arrays(
        self, cell: dict[str, Any], arrays: dict[str, npt.NDArray[Any]], seconds: float
    ) -> CellRecord:
        """Write the arrays of a cell, then its line."""
        key = cell_key(cell)
        path = self.arrays_path(key)
        write_atomic(path, lambda target: save_file(arrays, target))
        record = CellRecord(key, cell, file_hash(path), round(seconds, 3))
        self._journal.append(asdict(record))
        self._records[key] = record
        return record

    def arrays(self, key: str) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays of a finished cell."""
        found: dict[str, npt.NDArray[Any]] = load_file(self.arrays_path(key))
        return found

    def load(self, record: CellRecord) -> Trajectories:
        """Return the sessions of a finished cell."""
        found = self.arrays(record.key)
        return Trajectories(policy=record.cell["policy"], seed=int(record.cell["seed"]), **found)
