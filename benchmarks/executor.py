"""Runs the cells of an experiment: here, in other processes, or on other machines.

A cell is plain JSON and its result a dictionary of arrays that depends on nothing else. So it does
not matter where a cell runs, in which order cells end, or which backend began a folder: one
process writes results, each to its own file, before its line is added to the journal.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from slategym.benchmarks.cells import CellJournal, cell_key
from slategym.errors import UsageError
from slategym.progress import Progress, Silent, stage

Cell = dict[str, Any]
Arrays = dict[str, npt.NDArray[Any]]
Run = Callable[[Cell, str | None], Arrays]
"""A module's own function: a cell, and a folder that belongs to it (or None) -> arrays."""

Backend = Literal["local", "joblib", "ray"]
BACKENDS: tuple[Backend, ...] = ("local", "joblib", "ray")
STAGE = "cells"
_RETRIES = 3  # of a cell whose ray node was lost


@dataclass(frozen=True)
class Executor:
    """How cells are run.

    Attributes:
        backend: "local" (one after the other, here), "joblib" (processes) or "ray" (an extra).
        workers: cells at once; 1 for "local". None: one for each core, or what ray has.
        address: of a running ray cluster; None begins one on this machine.

    Raises:
        UsageError: an unknown backend, fewer than 1 worker, or the extra is not installed.
    """

    backend: Backend = "local"
    workers: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise UsageError(f"backend is {self.backend!r}; it must be one of {_listed()}.")
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"workers is {self.workers}; it must be at least 1.")
        if self.address is not None and self.backend != "ray":
            raise UsageError("an address is for the ray backend only; choose --backend ray.")

    def run(
        self,
        run: Run,
        cells: Sequence[Cell],
        folder: Path,
        progress: Progress | None = None,
    ) -> dict[str, Arrays]:
        """Run the cells that the folder does not hold; return the arrays of all, by cell key.

        Args:
            run: an importable function; other processes import it by name.
            cells: what to run. Two equal ones are run once.
            folder: holds ``cells.jsonl``, ``cells/`` and, for cells not finished, ``scratch/``.
            progress: hears of finished cells.

        Raises:
            DataError: the journal is damaged.
        """
        progress = progress or Silent()
        journal = CellJournal(folder)
        asked = {cell_key(cell): cell for cell in cells}
        missing = [key for key in asked if journal.get(key) is None]
        with stage(progress, STAGE, len(asked)):
            progress.advance(STAGE, len(asked) - len(missing))
            jobs = [(asked[key], str(folder / "scratch" / key)) for key in missing]
            for number, arrays, seconds in self._results(run, jobs):
                journal.add_arrays(asked[missing[number]], arrays, seconds)
                shutil.rmtree(jobs[number][1], ignore_errors=True)
                progress.advance(STAGE, 1)
        return {key: journal.arrays(key) for key in asked}

    def _results(
        self, run: Run, jobs: Sequence[tuple[Cell, str]]
    ) -> Iterator[tuple[int, Arrays, float]]:
        """Yield number, arrays and CPU seconds of each job as it ends."""
        if not jobs:
            return
        if self.backend == "local":
            for number, (cell, scratch) in enumerate(jobs):
                yield _timed(run, number, cell, scratch)
        elif self.backend == "joblib":
            yield from self._with_joblib(run, jobs)
        else:
            yield from self._with_ray(run, jobs)

    def _with_joblib(
        self, run: Run, jobs: Sequence[tuple[Cell, str]]
    ) -> Iterator[tuple[int, Arrays, float]]:
        from joblib import Parallel, delayed

        workers = self.workers or os.cpu_count() or 1
        parallel = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)
        yield from parallel(
            delayed(_timed)(run, number, cell, scratch)
            for number, (cell, scratch) in enumerate(jobs)
        )

    def _with_ray(
        self, run: Run, jobs: Sequence[tuple[Cell, str]]
    ) -> Iterator[tuple[int, Arrays, float]]:
        try:
            import ray
        except ImportError:
            raise UsageError(
                "backend 'ray' needs an extra: pip install 'slategym[ray]'; or choose joblib."
            ) from None
        if not ray.is_initialized():
            limits = {} if self.address else {"num_cpus": self.workers, "include_dashboard": False}
            ray.init(address=self.address, log_to_driver=False, **limits)
        # A cell that was on a lost node starts again elsewhere; its scratch folder resumes it.
        remote = ray.remote(num_cpus=1, max_retries=_RETRIES)(_timed)
        waiting = [
            remote.remote(run, number, cell, scratch) for number, (cell, scratch) in enumerate(jobs)
        ]
        while waiting:
            ended, waiting = ray.wait(waiting, num_returns=1)
            number, arrays, seconds = ray.get(ended[0])
            # Arrays from ray's store are views that would keep its memory.
            yield number, {name: np.array(array) for name, array in arrays.items()}, seconds


def _timed(run: Run, number: int, cell: Cell, scratch: str) -> tuple[int, Arrays, float]:
    """Run a cell and say how many CPU seconds it took."""
    start = time.process_time()
    arrays = run(cell, scratch)
    return number, arrays, time.process_time() - start


def _listed() -> str:
    return ", ".join(repr(name) for name in BACKENDS)
