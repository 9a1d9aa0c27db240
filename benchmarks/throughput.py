"""How fast a world steps and trains: ``python -m slategym.benchmarks.throughput``.

Run it by hand on a quiet machine; CPU time of one process is measured, not wall time.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slategym.benchmarks.rollout import make_env
from slategym.envs.tiny import tiny_world
from slategym.envs.world import World

BATCHES = (1, 256, 4096)
VARIANT = "slategym/World-v0"


def env_steps_per_second(world: World, batch: int, *, seconds: float = 2.0) -> float:
    """Return user-steps per CPU-second of the env with random slates drawn beforehand.

    Args:
        world: the world to simulate.
        batch: user streams B.
        seconds: CPU seconds to measure for, after a warm-up that is left out.
    """
    env = make_env(world, variant=VARIANT, num_envs=batch, users="all")
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    slates = rng.integers(0, 10, (16, *env.action_space.shape))
    for slate in slates:
        env.step(slate)
    steps, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        env.step(slates[steps % len(slates)])
        steps += 1
    passed = time.process_time() - start
    env.close()
    return steps * batch / passed


def training_frames_per_second(world: World, *, frames: int = 65_536) -> float:
    """Return training frames per CPU-second with the default options, evaluations left out."""
    from slategym.agents.train_config import TrainConfig
    from slategym.agents.training import train

    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(frames=frames, evaluations=0)
        result = train(world, Path(folder) / "run", config)
    return result.frames / result.cpu_seconds


def measure(world: World, batches: Sequence[int] = BATCHES) -> list[tuple[str, float]]:
    """Return the rows of the table: what, and how many per CPU-second."""
    rows: list[tuple[str, float]] = [
        (f"user-steps, batch {batch:,}", env_steps_per_second(world, batch)) for batch in batches
    ]
    return [*rows, ("training frames", training_frames_per_second(world))]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m slategym.benchmarks.throughput", description=__doc__
    )
    parser.add_argument("--world", type=Path, help="a WORLD folder; the tiny one if absent")
    given: Any = parser.parse_args(arguments)
    world = tiny_world() if given.world is None else World.open(given.world)
    sys.stdout.write(f"World {world.info.name}, per CPU-second of one process\n\n")
    sys.stdout.write("| what | per CPU-second |\n| --- | --- |\n")
    for what, rate in measure(world):
        sys.stdout.write(f"| {what} | {rate:,.0f} |\n")


if __name__ == "__main__":
    main()
