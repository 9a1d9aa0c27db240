"""How fast bandits learn: ``python -m slategym.benchmarks.bandit_curve --world WORLD``.

Users arrive in waves; a bandit that knows nothing at first serves each wave with what all waves
before it taught. Every policy meets the same users with the same luck.
"""

import argparse
import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import slategym.envs  # noqa: F401 - registers the variants
from slategym.agents.policy import Policy, make_policy
from slategym.benchmarks.rollout import rollout
from slategym.envs.registry import get_variant
from slategym.envs.world import World
from slategym.envs.worlds import as_world, world_of
from slategym.errors import unknown_name

FloatArray = npt.NDArray[np.float64]

CONTENDERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "random": ("random", {}),
    "cf-greedy": ("cf-greedy", {}),
    "cf-rested": ("cf-rested", {}),
    "greedy": ("epsilon-greedy", {"explore": 0.0, "keep": True}),
    "epsilon-greedy": ("epsilon-greedy", {"keep": True}),
    "linucb": ("linucb", {"keep": True}),
    "lin-ts": ("lin-ts", {"keep": True}),
}
"""What the curve compares: policy and options. "greedy" never explores on purpose."""
_WAVES_APART = 100_000  # seeds between two replicates


def learning_curve(
    world: World,
    policy: str,
    options: Mapping[str, Any],
    *,
    variant: str,
    wave: int,
    waves: int,
    seed: int,
    split: str = "held_out",
) -> FloatArray:
    """Return the mean return of the users of each wave ``(waves,)``.

    Args:
        world: to simulate.
        policy: a registered name.
        options: of the policy.
        variant: a registered id.
        wave: users who are served at once.
        waves: how many.
        seed: of the users; another seed gives other users throughout.
        split: which users of the world.
    """
    seen = world_of(get_variant(variant), world)
    made: Policy = make_policy(policy, seen, _slots(variant), **options)
    curve = np.empty(waves)
    for number in range(waves):
        found = rollout(
            made, world, users=wave, seed=seed * _WAVES_APART + number, split=split, variant=variant
        )
        curve[number] = found.returns.mean()
    return curve


def stretches(waves: int) -> list[tuple[int, int]]:
    """Return half-open ranges of waves, each as long as all before it: 0-1, 1-2, 2-4, 4-8, ..."""
    edges = [0, 1]
    while edges[-1] < waves:
        edges.append(min(2 * edges[-1], waves))
    return list(itertools.pairwise(edges))


def interval(values: FloatArray) -> tuple[float, float]:
    """Return mean and half the width of a 95 % interval over replicates ``(R,)``, by normality."""
    spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(values.mean()), float(1.96 * spread)


def _slots(variant: str) -> int:
    return int(get_variant(variant).parameters["slate_size"])


def _row(name: str, curves: FloatArray, base: FloatArray, parts: Sequence[tuple[int, int]]) -> str:
    """Return a line of the table: a stretch a cell, then all waves, and the difference."""
    cells = [interval(curves[:, start:stop].mean(axis=1)) for start, stop in parts]
    cells.append(interval(curves.mean(axis=1)))
    cells.append(interval((curves - base).mean(axis=1)))
    return f"| {name} | " + " | ".join(f"{mean:.2f} ± {half:.2f}" for mean, half in cells) + " |\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(
        prog="python -m slategym.benchmarks.bandit_curve", description=__doc__
    )
    parser.add_argument("--world", type=Path, help="a WORLD folder; the tiny one")
    parser.add_argument("--variant", default="slategym/World-v0", help="slategym/World-v0")
    parser.add_argument("--wave", type=int, default=8, help="users served at once; 8")
    parser.add_argument("--waves", type=int, default=32, help="32")
    parser.add_argument("--seeds", type=int, default=10, help="replicates with other users; 10")
    parser.add_argument("--split", default="held_out", help="held_out, train or all; held_out")
    parser.add_argument("--blocks", help="item columns the bandits read: public or content")
    parser.add_argument(
        "--policies", default=",".join(CONTENDERS), help="some of them; greedy is always there; all"
    )
    given: Any = parser.parse_args(arguments)
    chosen = given.policies.split(",")
    for name in chosen:
        if name not in CONTENDERS:
            raise unknown_name("policy of the curve", name, CONTENDERS)
    world, parts = as_world(given.world), stretches(given.waves)
    found: dict[str, FloatArray] = {}
    for name in dict.fromkeys(["greedy", *chosen]):
        policy, options = CONTENDERS[name]
        told = dict(options) | ({"blocks": given.blocks} if given.blocks and options else {})
        curves = [
            learning_curve(
                world, policy, told, variant=given.variant, wave=given.wave,
                waves=given.waves, seed=seed, split=given.split,
            )
            for seed in range(given.seeds)
        ]  # fmt: skip
        found[name] = np.array(curves)
    heads = [f"users {given.wave * start + 1} to {given.wave * stop}" for start, stop in parts]
    sys.stdout.write(f"| policy | {' | '.join(heads)} | all | minus greedy, paired |\n")
    sys.stdout.write("| --- " * (len(heads) + 3) + "|\n")
    for name, curve in found.items():
        sys.stdout.write(_row(name, curve, found["greedy"], parts))


if __name__ == "__main__":
    main()
