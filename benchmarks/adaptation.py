"""Does an agent that goes on learning while it serves do better than one that does not?

Run as ``python -m slategym.benchmarks.adaptation --world WORLD``. An agent is trained on a world,
then serves it after users have changed: their tastes walk and jump, or they tire three times as
fast. Compared on held-out users, same luck: the frozen agent, the same with a head that learns
from live feedback, and one retrained from scratch after the change, which no platform has in time.
Several waves of users come one after the other; the head keeps what it learned from each.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slategym.agents.adaptive import AdaptivePolicy
from slategym.agents.policy import Policy
from slategym.agents.train_config import TrainConfig
from slategym.agents.trained import load_agent
from slategym.agents.training import train
from slategym.benchmarks.rollout import rollout
from slategym.benchmarks.statistics import iqm, paired_interval
from slategym.envs.registry import get_variant
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World
from slategym.envs.worlds import as_world

VARIANT = "slategym/World-v0"
CHANGES: Mapping[str, Mapping[str, Any]] = {
    "nothing changes": {},
    "tastes walk and jump": {"drift": "both"},
    "topics tire three times as fast": {"satiation_weight": 4.5},
}
WAVES, WARM_SEED = 4, 900


def returns_of(policy: Policy, world: World, changes: Mapping[str, Any], users: int) -> list[float]:
    """Return the mean return of each wave of held-out users, one wave after the other."""
    variant = get_variant(VARIANT).override(**changes)
    waves = (rollout(policy, world, users=users, seed=wave, variant=variant)
             for wave in range(WAVES))  # fmt: skip
    return [float(played.returns.mean()) for played in waves]


def seed_rows(
    world: World, seed: int, frames: int, users: int, folder: Path, options: Mapping[str, float]
) -> dict[str, dict[str, list[float]]]:
    """Return change -> arm -> returns of the waves, for one training seed."""
    config = TrainConfig(frames=frames, seed=seed, evaluations=0, variant=VARIANT)
    train(world, folder / "before", config)
    frozen, found = load_agent(folder / "before", world), {}
    for name, changes in CHANGES.items():
        after = TrainConfig.from_json({**config.to_json(), "env": dict(changes)})
        run = folder / name.replace(" ", "-")
        train(world, run, after)
        calm = SlateVectorEnv(users, variant=VARIANT, world=world, observation="ids", users="train")
        adapting = AdaptivePolicy(frozen, world, **options).warm_up(calm, seed=WARM_SEED)
        arms: dict[str, Policy] = {
            "frozen": frozen, "adapting": adapting, "retrained": load_agent(run, world)
        }  # fmt: skip
        found[name] = {arm: returns_of(policy, world, changes, users)
                       for arm, policy in arms.items()}  # fmt: skip
    return found


def table(runs: Sequence[Mapping[str, Mapping[str, list[float]]]]) -> str:
    """Return the table: mean over waves, interquartile mean over seeds, paired intervals."""
    lines = ["| what changes | arm | return | minus frozen [95 %] | by wave |",
             "| --- | --- | --- | --- | --- |"]  # fmt: skip
    for name in CHANGES:
        frozen = np.array([np.mean(run[name]["frozen"]) for run in runs])
        for arm in runs[0][name]:
            waves = np.array([run[name][arm] for run in runs])
            own = waves.mean(axis=1)
            gap = paired_interval(own, frozen)
            told = f"{gap.estimate:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}]"
            each = " ".join(f"{value:.2f}" for value in iqm(waves, axis=0))
            lines.append(
                f"| {name} | {arm} | {iqm(own):.2f} | {'' if arm == 'frozen' else told} | {each} |"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", default="tiny", help="a WORLD folder; the tiny one")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="the first training seed")
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=512, help="of a wave")
    parser.add_argument("--memory", type=float, default=20_000.0)
    parser.add_argument("--strength", type=float, default=1.0)
    given: Any = parser.parse_args(arguments)
    world, runs = as_world(given.world), []
    options = {"memory": given.memory, "strength": given.strength}
    for seed in range(given.first, given.first + given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(seed_rows(world, seed, given.frames, given.users, Path(folder), options))
    print(table(runs))


if __name__ == "__main__":
    main()
