"""What rules earn in RecSim's tasks: ``python -m slategym.benchmarks.classic_table``.

Every policy of `slategym.agents.classic_rules`, which see observations only, and the best policy
known that sees the user, on the same users with the same luck.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

import slategym.envs  # noqa: F401 - registers the tasks
from slategym.agents.classic_rules import CLASSIC_POLICIES, make_classic_policy
from slategym.agents.policy import Policy
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.oracles import Score, oracle, oracle_names, play
from slategym.envs.registry import get_variant
from slategym.envs.vector import SlateVectorEnv

TASKS: tuple[tuple[str, dict[str, int]], ...] = (
    ("slategym/InterestEvolution-v0", {}),
    ("slategym/InterestEvolution-v0", {"slate_size": 2}),
    ("slategym/InterestEvolutionTight-v0", {}),
    ("slategym/InterestExploration-v0", {"slate_size": 2}),
    ("slategym/NicheExploration-v0", {}),
    ("slategym/LongTermSatisfaction-v0", {"num_candidates": 20}),
    ("slategym/LongTermSatisfactionHard-v0", {}),
    ("slategym/LongTermSatisfactionExtreme-v0", {}),
)
"""The tasks of the table, with what differs from the registered numbers."""


def play_observed(
    policy: Policy, variant: ClassicVariant, users: int = 2048, seed: int = 0
) -> Score:
    """Return the mean return of one episode of each of ``users`` user streams.

    The users and their luck are those of `slategym.envs.oracles.play` of the same seed.

    Args:
        policy: sees observations only.
        variant: the task.
        users: how many, at least 2.
        seed: of the users; the policy's own draws follow from it and the step.
    """
    env = SlateVectorEnv(users, variant=variant)
    observation, _ = env.reset(seed=seed)
    total, alive = np.zeros(users), np.ones(users, np.bool_)
    step = 0
    while alive.any():
        slate = policy.act(observation, np.random.default_rng((seed, step)))
        observation, reward, terminated, truncated, _ = env.step(
            slate.reshape(env.action_space.shape)
        )
        total += np.where(alive, reward, 0.0)
        alive &= ~(terminated | truncated)
        step += 1
    return Score(float(total.mean()), float(total.std(ddof=1) / math.sqrt(users)))


def task_rows(variant: ClassicVariant, users: int, seed: int) -> list[tuple[str, Score]]:
    """Return (policy, score) for every rule of a task, and last the best that sees the user."""
    rows = [
        (name, play_observed(make_classic_policy(name, variant), variant, users, seed))
        for name in CLASSIC_POLICIES[variant.family]
    ]
    best = f"{oracle_names(variant)[0]} (sees the user)"
    return [*rows, (best, play(variant, oracle(variant), users, seed))]


def title(variant: ClassicVariant) -> str:
    """Return what a task is called in the table."""
    name = variant.id.partition("/")[2].rpartition("-")[0]
    return f"{name}, {variant.slate_size} of {variant.num_candidates}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table as Markdown, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(
        prog="python -m slategym.benchmarks.classic_table", description=__doc__
    )
    parser.add_argument("--users", type=int, default=20_000, help="users; 20,000")
    parser.add_argument("--seed", type=int, default=0, help="seed of the users; 0")
    parser.add_argument("--task", help="a part of the id, such as Niche; all tasks")
    given: Any = parser.parse_args(arguments)
    sys.stdout.write(
        "| task | policy | mean return | standard error |\n| --- | --- | --- | --- |\n"
    )
    for task, changes in TASKS:
        if given.task and given.task.lower() not in task.lower():
            continue
        variant = get_variant(task).override(**changes)
        assert isinstance(variant, ClassicVariant)
        for name, score in task_rows(variant, given.users, given.seed):
            sys.stdout.write(f"| {title(variant)} | {name} | {score.mean:.2f} | {score.se:.2f} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
