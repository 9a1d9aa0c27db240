"""Where the curves of a run go: TensorBoard and Weights & Biases, each when asked for."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from slategym.errors import UsageError
from slategym.event_file import EventFile, remove_events

Tracker = Callable[[int, Mapping[str, float]], None]
Point = tuple[int, Mapping[str, float]]


@contextmanager
def trackers(
    tensorboard: Path | None = None,
    wandb: str | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    again: Iterable[Point] | None = None,
    name: str | None = None,
) -> Iterator[Tracker]:
    """Give a tracker that tells all that were asked for; it tells nobody by default.

    Args:
        tensorboard: a folder for TensorBoard's events; its package is not needed to write them.
        wandb: a project of Weights & Biases.
        settings: settings of the run, kept there with the curves.
        again: of a run that goes on: what was told before. TensorBoard's file is then written
            anew from it, so that steps of a killed process do not appear twice.
        name: of the run for Weights & Biases, which goes on with the run of that name and drops
            the steps it has; None: a new one.

    Raises:
        UsageError: a package that is asked for is not installed.
    """
    told: list[Tracker] = []
    with ExitStack() as stack:
        if wandb is not None:
            told.append(_wandb(wandb, settings or {}, name, stack))
        if tensorboard is not None:
            told.append(_tensorboard(tensorboard, again, stack))

        def tell(step: int, measures: Mapping[str, float]) -> None:
            for each in told:
                each(step, measures)

        yield tell


def _tensorboard(folder: Path, again: Iterable[Point] | None, stack: ExitStack) -> Tracker:
    if again is not None:
        remove_events(folder)
    writer = stack.enter_context(EventFile(folder))
    for step, measures in again or ():
        writer.scalars(step, measures)
    return writer.scalars


def _wandb(
    project: str, settings: Mapping[str, Any], name: str | None, stack: ExitStack
) -> Tracker:
    try:
        import wandb
    except ImportError:
        raise UsageError(
            "curves for Weights & Biases need the package wandb: pip install 'slategym[wandb]'."
        ) from None
    going_on = {} if name is None else {"id": name, "resume": "allow"}
    run: Any = wandb.init(project=project, config=dict(settings), **going_on)
    stack.callback(run.finish)

    def tell(step: int, measures: Mapping[str, float]) -> None:
        run.log(dict(measures), step=step)

    return tell
