"""How fast environments step and agents train: ``python -m slategym.benchmarks.throughput``.

Run it by hand on a quiet machine; CPU time of one thread is measured, not wall time. With
``--recsim PYTHON`` (an interpreter that has recsim 0.2.4) the classics are compared with the
original in the same run.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from slategym.benchmarks.throughput_classic import classic_rows
from slategym.benchmarks.throughput_world import Row, world_rows
from slategym.envs.tiny import tiny_world
from slategym.envs.world import World

WHAT = ("classics", "worlds", "training")
# Before numpy's libraries are asked to work: one thread, so that CPU seconds mean something.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def training_row(world: World, *, frames: int = 65_536) -> Row:
    """Return training frames per CPU-second with the default options, evaluations left out."""
    from slategym.agents.train_config import TrainConfig
    from slategym.agents.training import train

    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(frames=frames, evaluations=0)
        result = train(world, Path(folder) / "run", config)
    return Row(f"training frames, world {world.info.name}", result.frames / result.cpu_seconds)


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| what | per CPU-second | times RecSim | share of the floor | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:,.0f}"
        floor = "" if row.floor is None else f"{row.floor:.2f}"
        lines.append(f"| {row.what} | {row.per_second:,.0f} | {ratio} | {floor} | {row.note} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m slategym.benchmarks.throughput", description=__doc__
    )
    parser.add_argument("what", nargs="*", choices=[*WHAT, []], help="what to measure; all")
    parser.add_argument("--world", type=Path, help="a WORLD folder to train on; the tiny one")
    parser.add_argument("--recsim", type=Path, help="a Python interpreter that has recsim 0.2.4")
    given: Any = parser.parse_args(arguments)
    for name in _THREADS:
        os.environ.setdefault(name, "1")
    wanted = given.what or WHAT
    rows: list[Row] = []
    if "classics" in wanted:
        rows += classic_rows(given.recsim)
    if "worlds" in wanted:
        rows += world_rows()
    if "training" in wanted:
        rows.append(training_row(tiny_world() if given.world is None else World.open(given.world)))
    sys.stdout.write(table(rows))


if __name__ == "__main__":
    main()
