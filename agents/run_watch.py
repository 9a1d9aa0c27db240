"""The learning curve of a run as TensorBoard and Weights & Biases want it."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slategym.agents.run_folder import RunFolder
from slategym.files import read_json
from slategym.trackers import Point, Tracker, trackers

FOLDER = "tensorboard"


@dataclass(frozen=True)
class Watch:
    """Who is told of a run's curve, beside its own file; nobody by default.

    None of it has a part in what is trained.
    """

    tensorboard: bool = False
    """Write ``RUN/tensorboard``."""
    wandb: str | None = None
    """A project of Weights & Biases."""

    def open(self, folder: RunFolder) -> AbstractContextManager[Tracker]:
        """Return a tracker that first hears of the curve so far.

        Raises:
            UsageError: a package that is asked for is not installed.
        """
        events = folder.path / FOLDER if self.tensorboard else None
        settings = read_json(folder.agent)["config"]
        return trackers(
            events, self.wandb, settings, again=list(_told(folder)), name=_name(folder.path)
        )


def point_of(line: Mapping[str, Any]) -> Point:
    """Return step and named numbers of a line of a learning curve."""
    kind = str(line["kind"])
    return int(line["frames"]), dict(_numbers(kind, line))


def _told(folder: RunFolder) -> Iterator[Point]:
    """Yield the points of the curve so far."""
    for line in folder.read_curve():
        yield point_of(line)


def _numbers(prefix: str, line: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a line, those of a nested one under its own name."""
    for key, value in line.items():
        if isinstance(value, Mapping):
            yield from _numbers(key, value)
        elif isinstance(value, int | float) and key != "frames":
            yield f"{prefix}/{key}", float(value)


def _name(path: Path) -> str:
    """Return what a run is called, the same whenever it goes on."""
    return f"{path.name}-{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
