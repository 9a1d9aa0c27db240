"""How long work tells where it stands, without knowing who is listening."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Where long work reports to. The command line draws bars; a library call stays silent."""

    def start(self, stage: str, total: int | None = None) -> None:
        """Open a stage of ``total`` units (``None``: unknown)."""

    def advance(self, stage: str, units: int = 1) -> None:
        """Say that ``units`` more of the stage are done."""

    def finish(self, stage: str) -> None:
        """Close a stage."""

    def note(self, message: str) -> None:
        """Say one thing worth a line."""


class Silent:
    """A `Progress` that says nothing."""

    def start(self, stage: str, total: int | None = None) -> None:
        """Do nothing."""

    def advance(self, stage: str, units: int = 1) -> None:
        """Do nothing."""

    def finish(self, stage: str) -> None:
        """Do nothing."""

    def note(self, message: str) -> None:
        """Do nothing."""


@contextmanager
def stage(progress: Progress, name: str, total: int | None = None) -> Iterator[None]:
    """Open a stage for the length of a ``with`` block."""
    progress.start(name, total)
    try:
        yield
    finally:
        progress.finish(name)
