"""Where the curves of fine-tuning go: TensorBoard and Weights & Biases, each when asked for."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from slategym.errors import UsageError

Tracker = Callable[[int, Mapping[str, float]], None]


@contextmanager
def trackers(
    tensorboard: Path | None = None,
    wandb: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[Tracker]:
    """Give a tracker that tells all that were asked for; it tells nobody by default.

    Args:
        tensorboard: A folder for TensorBoard's events.
        wandb: A project of Weights & Biases.
        settings: Settings of the run, kept there with the curves.

    Raises:
        UsageError: a package that is asked for is not installed.
    """
    told: list[Tracker] = []
    with ExitStack() as stack:
        if tensorboard is not None:
            told.append(_tensorboard(tensorboard, stack))
        if wandb is not None:
            told.append(_wandb(wandb, settings or {}, stack))

        def tell(epoch: int, measures: Mapping[str, float]) -> None:
            for each in told:
                each(epoch, measures)

        yield tell


def _tensorboard(folder: Path, stack: ExitStack) -> Tracker:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            "curves for TensorBoard need the package tensorboard: pip install tensorboard."
        ) from None
    writer: Any = SummaryWriter(str(folder))
    stack.callback(writer.close)

    def tell(epoch: int, measures: Mapping[str, float]) -> None:
        for name, value in measures.items():
            writer.add_scalar(name, value, epoch)

    return tell


def _wandb(project: str, settings: Mapping[str, Any], stack: ExitStack) -> Tracker:
    try:
        import wandb
    except ImportError:
        raise UsageError(
            "curves for Weights & Biases need the package wandb: pip install wandb."
        ) from None
    run: Any = wandb.init(project=project, config=dict(settings))
    stack.callback(run.finish)

    def tell(epoch: int, measures: Mapping[str, float]) -> None:
        run.log(dict(measures), step=epoch)

    return tell
