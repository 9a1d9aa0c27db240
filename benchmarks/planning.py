"""Does planning pay? ``python -m slategym.benchmarks.planning [--variant ID] [--world W]``.

Prints for each domain what a random slate, public rules, the best myopic policy and a planner
return, the last two knowing the hidden state.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.agents.policy import make_policy
from slategym.benchmarks.planning_play import play
from slategym.benchmarks.statistics import Interval, UserBootstrap
from slategym.envs.registry import get_variant, list_variants
from slategym.envs.variant import Variant
from slategym.envs.world import World
from slategym.envs.worlds import as_world

DOMAINS = ("Video", "Music", "News", "Shop", "World")
POLICIES = (
    "random",
    "popularity",
    "cf-greedy",
    "cf-rested",
    "oracle-myopic",
    "oracle-reward",
    "oracle-planner",
)
MYOPIC, PLANNER = "oracle-reward", "oracle-planner"
# Apart from the seeds that weights were tuned on.
EVALUATION_SEED = 90_001


@dataclass(frozen=True)
class Row:
    """What one policy came to.

    Attributes:
        policy: its name.
        returns: of each user (B,).
        length: mean slates of an episode.
        sessions: mean sessions ended.
        gap: paired difference to the myopic oracle, per user.
        seconds: CPU time.
    """

    policy: str
    returns: npt.NDArray[np.float64]
    length: float
    sessions: float
    gap: Interval
    seconds: float

    @property
    def mean(self) -> float:
        """Mean return of a user."""
        return float(self.returns.mean())


def compare(
    world: World,
    variant: Variant,
    *,
    policies: Sequence[str] = POLICIES,
    users: int = 512,
    seed: int = EVALUATION_SEED,
    weights: dict[str, float] | None = None,
) -> list[Row]:
    """Return a row for each policy, all with the same users and luck.

    Args:
        world: the world.
        variant: the task.
        policies: names of `slategym.agents.policy.POLICIES`; the myopic oracle is always played.
        users: B.
        seed: of the users.
        weights: of the planner, in place of those in `slategym.agents.planner_weights`.
    """
    played, seconds = {}, {}
    for name in dict.fromkeys((MYOPIC, *policies)):
        options: dict[str, Any] = {}
        if name == PLANNER and weights is not None:
            options = {"variant": variant, "weights": weights}
        policy = make_policy(name, world, variant.slate_size, **options)
        start = time.process_time()
        played[name] = play(policy, world, variant, users=users, seed=seed)
        seconds[name] = time.process_time() - start
    # Streams are drawn apart from each other: each is a user of its own.
    bootstrap = UserBootstrap(np.arange(users), replicates=1000)
    return [
        Row(
            policy=name,
            returns=played[name].returns,
            length=float(played[name].length.mean()),
            sessions=float(played[name].sessions.mean()),
            gap=bootstrap.difference(played[name].returns, played[MYOPIC].returns),
            seconds=seconds[name],
        )
        for name in policies
    ]


def tuned(world: World, variant: Variant) -> dict[str, float]:
    """Return weights of the planner for one world, found on users apart from those evaluated."""
    from slategym.agents.planner_weights import WEIGHTS
    from slategym.benchmarks.planning_search import search

    return search(
        [world], variant, users=32, generations=8, start=WEIGHTS.get(variant.id), spread=0.7
    )


def table(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table; gaps are shares of the myopic oracle's mean return."""
    base = next((row.mean for row in rows if row.policy == MYOPIC), float("nan"))
    lines = [
        "| policy | return | above myopia | 95% interval | slates | sessions | CPU s |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        share = [100.0 * end / base for end in (row.gap.estimate, row.gap.low, row.gap.high)]
        gap = "" if row.policy == MYOPIC else f"{share[0]:+.1f} %"
        ends = "" if row.policy == MYOPIC else f"{share[1]:+.1f} to {share[2]:+.1f} %"
        lines.append(
            f"| {row.policy} | {row.mean:.3f} | {gap} | {ends} | {row.length:.1f} | "
            f"{row.sessions:.1f} | {row.seconds:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for each domain."""
    parser = argparse.ArgumentParser(
        prog="python -m slategym.benchmarks.planning", description=__doc__
    )
    parser.add_argument("--variant", help="a registered id; every domain if absent")
    parser.add_argument("--world", type=Path, help="a WORLD folder; the variant's own if absent")
    parser.add_argument("--users", type=int, default=512)
    parser.add_argument("--seed", type=int, default=EVALUATION_SEED)
    parser.add_argument(
        "--tune",
        action="store_true",
        help="find the planner's weights on this world first: minutes",
    )
    given: Any = parser.parse_args(arguments)
    known = list_variants()
    domains = [f"slategym/{name}-v0" for name in DOMAINS]
    chosen = [given.variant] if given.variant else [name for name in domains if name in known]
    for name in chosen:
        variant: Any = get_variant(name)
        world = as_world(given.world if given.world is not None else variant.world)
        sys.stdout.write(f"\n{name}, world {world.info.name}, {given.users} users, ")
        sys.stdout.write(f"seed {given.seed}\n\n")
        weights = tuned(world, variant) if given.tune else None
        rows = compare(world, variant, users=given.users, seed=given.seed, weights=weights)
        sys.stdout.write(table(rows))


if __name__ == "__main__":
    main()
