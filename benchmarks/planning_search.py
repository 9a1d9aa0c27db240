"""Weights of the index planner, found in the simulator by the cross-entropy method.

Run by hand: ``python -m slategym.benchmarks.planning_search VARIANT`` prints them.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.agents.oracles import IndexPlanner
from slategym.agents.planner_weights import WEIGHTS
from slategym.benchmarks.planning_play import play
from slategym.envs.registry import get_variant
from slategym.envs.tiny import tiny_world
from slategym.envs.variant import Variant
from slategym.envs.world import World
from slategym.envs.worlds import as_world

FloatArray = npt.NDArray[np.float64]

# Users are tuned on under these seeds, and evaluated under others.
SEARCH_SEED = 7_000
# Seeds of the tiny worlds that the weights of `planner_weights` were found on.
TUNED_ON = (0, 1, 2)


def search(
    worlds: Sequence[World],
    variant: Variant,
    *,
    users: int = 48,
    population: int = 24,
    generations: int = 12,
    spread: float = 1.0,
    seed: int = SEARCH_SEED,
    start: dict[str, float] | None = None,
) -> dict[str, float]:
    """Return weights of `IndexPlanner` by the cross-entropy method (Rubinstein 1999).

    Each generation draws weights from a normal distribution, plays ``users`` episodes with each,
    all with the same users and luck, and moves mean and spread to those of the best quarter.

    Args:
        worlds: where to plan; what counts is the mean return in each, as a share of what the
            generation's mean weights return there.
        variant: the task.
        users: user streams per weight vector and world; new ones in each generation.
        population: weight vectors per generation.
        generations: how many.
        spread: first standard deviation; a weight of 1 is worth a middling item.
        seed: of the draws and, plus the generation, of the users.
        start: first mean; None: zero, which is the myopic oracle.
    """
    names = IndexPlanner(worlds[0], variant.slate_size, variant).features.weights
    mean = np.array([(start or {}).get(name, 0.0) for name in names])
    std = np.full(len(names), spread)
    rng = np.random.default_rng(seed)
    for generation in range(generations):
        drawn = mean + std * rng.standard_normal((population, len(names)))
        drawn[0] = mean
        score = np.zeros(population)
        for world in worlds:
            found = scores(world, variant, drawn, users, seed + 1 + generation)
            score += found / max(abs(float(found[0])), 1e-9)
        elite = drawn[np.argsort(-score)[: max(2, population // 4)]]
        # A floor that shrinks keeps the spread from collapsing on the luck of one generation.
        floor = 0.1 * spread * (1.0 - generation / generations)
        mean = 0.3 * mean + 0.7 * elite.mean(axis=0)
        std = 0.3 * std + 0.7 * elite.std(axis=0) + floor
    return {name: round(float(value), 4) for name, value in zip(names, mean, strict=True)}


def scores(
    world: World, variant: Variant, weights: FloatArray, users: int, seed: int
) -> FloatArray:
    """Return the mean return of each weight vector over the same user streams.

    Args:
        world: the world.
        variant: the task.
        weights: (P, W).
        users: streams (seed, 0) .. (seed, users - 1).
        seed: of the users.
    """
    policy = IndexPlanner(world, variant.slate_size, variant)
    played = play(
        _Held(policy, np.repeat(weights, users, axis=0)),
        world,
        variant,
        users=users * len(weights),
        seed=seed,
        streams=np.tile(np.arange(users), len(weights)),
    )
    return played.returns.reshape(len(weights), users).mean(axis=1)


class _Held:
    """An index planner with weights of its own in every row."""

    privileged = True

    def __init__(self, policy: IndexPlanner, weights: FloatArray) -> None:
        policy.vector = weights
        self.name, self.act = policy.name, policy.act


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the weights of a variant."""
    parser = argparse.ArgumentParser(
        prog="python -m slategym.benchmarks.planning_search", description=__doc__
    )
    parser.add_argument("variant", help="a registered id")
    parser.add_argument(
        "--world",
        action="append",
        help="a WORLD folder; may be repeated; three tiny ones if absent",
    )
    parser.add_argument("--users", type=int, default=32, help="per weight vector and world")
    parser.add_argument("--generations", type=int, default=14)
    given: Any = parser.parse_args(arguments)
    variant: Any = get_variant(given.variant)
    tiny = [tiny_world(seed=seed) for seed in TUNED_ON]
    worlds = tiny if given.world is None else [as_world(path) for path in given.world]
    start = WEIGHTS.get(variant.id)
    found = search(
        worlds, variant, users=given.users, generations=given.generations, start=start,
        spread=1.0 if start is None else 0.5,
    )  # fmt: skip
    sys.stdout.write(f"{variant.id}: {found}\n")


if __name__ == "__main__":
    main()
