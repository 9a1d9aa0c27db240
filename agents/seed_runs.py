"""The same training with several seeds: one RUN folder each, in one folder."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from slategym.agents.run_folder import RunFolder
from slategym.agents.run_watch import Watch
from slategym.agents.train_config import TrainConfig
from slategym.agents.training import TrainResult, train
from slategym.envs.world import World
from slategym.errors import DataError, UsageError
from slategym.progress import Progress, Silent

PREFIX = "seed-"


def train_seeds(
    world: World | str | Path | None,
    out: str | Path,
    config: TrainConfig,
    seeds: int,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> list[TrainResult]:
    """Train with seeds s, s + 1, ... into ``out/seed-s``, ...; each is continued where it stopped.

    Args:
        world: as in `train`.
        out: the folder of the set.
        config: gives the first seed.
        seeds: how many.
        progress: where to report to.
        watch: as in `train`.

    Raises:
        UsageError: ``out`` is a run itself, or as in `train`.
        DataError: as in `train`.
    """
    folder, told = Path(out), progress or Silent()
    if RunFolder(folder).agent.exists():
        raise UsageError(f"{folder} is a single run; name another folder for a set of seeds.")
    results = []
    for seed in range(config.seed, config.seed + seeds):
        told.note(f"seed {seed}")
        path = folder / f"{PREFIX}{seed}"
        results.append(train(world, path, replace(config, seed=seed), told, watch))
    return results


def runs_in(path: str | Path) -> list[Path]:
    """Return the RUN folders of a set of seeds in order, or the one that the path is.

    Raises:
        DataError: there is none, or one is not finished.
    """
    folder = Path(path)
    found = [folder] if RunFolder(folder).agent.exists() else list(_inside(folder))
    if not found:
        raise DataError(
            f"{folder} holds no training run; run `slategym train --out` with it first."
        )
    for run in found:
        if not RunFolder(run).finished:
            raise DataError(f"{run} is not finished; give the same train command again.")
    return found


def _inside(folder: Path) -> Iterator[Path]:
    runs = [path for path in folder.glob(f"{PREFIX}*") if RunFolder(path).agent.exists()]
    yield from sorted(runs, key=lambda path: int(path.name.removeprefix(PREFIX)))
