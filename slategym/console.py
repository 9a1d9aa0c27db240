"""What the command line shows: progress on stderr; results on stdout, as text or as one JSON."""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from slategym.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

SECONDS_BETWEEN_LINES = 5.0


def duration(seconds: float) -> str:
    """Return seconds as text for people: ``"8.3 s"``, ``"2 min 05 s"``, ``"1 h 04 min"``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _ended(stage: str, seconds: float) -> str:
    """Return the last line of a stage; one that an error closes was not done."""
    how = "done in" if sys.exc_info()[0] is None else "stopped after"
    return f"{stage}: {how} {duration(seconds)}"


@dataclass
class _Stage:
    total: int | None
    begin: float  # seconds on the clock
    said: float  # when the last line was printed, on the same clock
    done: int = 0


class LineProgress:
    """A `Progress` that prints a line when a stage starts, ends, and every few seconds between.

    Args:
        stream: Where to print.
        every: Seconds between two lines of one stage.
        clock: Returns seconds; only differences count.
    """

    def __init__(
        self,
        stream: TextIO,
        every: float = SECONDS_BETWEEN_LINES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._every = every
        self._clock = clock
        self._stages: dict[str, _Stage] = {}

    def start(self, stage: str, total: int | None = None) -> None:
        """Open a stage of ``total`` units (``None``: unknown)."""
        now = self._clock()
        self._stages[stage] = _Stage(total, now, now)
        self.note(f"{stage} ..." if total is None else f"{stage}: {total:,} to do")

    def advance(self, stage: str, units: int = 1) -> None:
        """Say that ``units`` more of the stage are done; print only if the last line is old."""
        state = self._stages[stage]
        state.done += units
        now = self._clock()
        if now - state.said < self._every:
            return
        state.said = now
        if state.total is None:
            self.note(f"{stage}: {state.done:,} after {duration(now - state.begin)}")
            return
        left = (now - state.begin) * (state.total - state.done) / max(state.done, 1)
        share = 100 * state.done / max(state.total, 1)
        self.note(
            f"{stage}: {state.done:,} of {state.total:,} ({share:.0f} %), "
            f"about {duration(max(left, 0.0))} left"
        )

    def finish(self, stage: str) -> None:
        """Close a stage and say how long it took."""
        state = self._stages.pop(stage)
        self.note(_ended(stage, self._clock() - state.begin))

    def note(self, message: str) -> None:
        """Print one line."""
        print(message, file=self._stream, flush=True)


class BarProgress:
    """A `Progress` that draws a bar with the time left for each stage, on a terminal."""

    def __init__(self, bars: "Bars") -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def start(self, stage: str, total: int | None = None) -> None:
        """Open a bar of ``total`` units (``None``: it only moves)."""
        self._tasks[stage] = self._bars.add_task(stage, total=total)

    def advance(self, stage: str, units: int = 1) -> None:
        """Move the bar by ``units``."""
        self._bars.advance(self._tasks[stage], units)

    def finish(self, stage: str) -> None:
        """Replace the bar by a line that says how long the stage took."""
        task = self._bars.tasks[self._bars.task_ids.index(self._tasks[stage])]
        self._bars.remove_task(self._tasks.pop(stage))
        self.note(_ended(stage, task.elapsed or 0.0))

    def note(self, message: str) -> None:
        """Print one line above the bars."""
        self._bars.console.print(message, markup=False, highlight=False)


@contextmanager
def progress_on_stderr() -> Iterator[Progress]:
    """Give bars when stderr is a terminal, else plain lines."""
    if not sys.stderr.isatty():
        yield LineProgress(sys.stderr)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        yield BarProgress(bars)


def to_json(value: Any) -> Any:  # noqa: ANN401
    """Return a value that JSON can hold: NaN and infinities become null, arrays lists."""
    if isinstance(value, Mapping):
        return {str(key): to_json(inner) for key, inner in value.items()}
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):  # a NumPy array or number
        return to_json(value.tolist())
    if isinstance(value, Sequence | set | frozenset):
        return [to_json(inner) for inner in value]
    return str(value)


def print_json(document: Mapping[str, Any]) -> None:
    """Print the one JSON document of a command to stdout."""
    print(json.dumps(to_json(document), indent=1, ensure_ascii=False), flush=True)


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, first_left: int = 1
) -> None:
    """Print a table to stdout; all columns but the first ``first_left`` are right-aligned."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    if title:
        print(title)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < first_left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # Wider than any table: a number is never folded or cut, whatever the terminal does.
    Console(width=240, markup=False, highlight=False).print(table)
