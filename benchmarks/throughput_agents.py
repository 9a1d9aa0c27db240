"""What training costs beside a bare loop: ``python -m slategym.benchmarks.throughput_agents``.

Run it by hand. Rollouts of all contestants alternate, one of each in turn, so that what else the
machine does hits all alike. A rate is that of the best rollout; a ratio is given twice, of the best
rollouts and as the median of what neighbouring rollouts give: apart where the machine is busy.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

# Before numpy's libraries are asked to work: one thread, so that CPU seconds mean something.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
TASKS = ("tiny", "interest-evolution")
WARM = 2  # rollouts of each before the clock starts


@dataclass
class Contestant:
    """One way to train, and what its rollouts cost."""

    name: str
    iterate: Callable[[int], object]
    """Does one rollout and its gradient steps, given its number."""
    frames: int
    """Of one rollout."""
    outside: Callable[[], float] = lambda: 0.0
    """CPU seconds spent in environment and adapter so far."""
    seconds: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    def run(self, number: int) -> None:
        """Do one rollout and keep its CPU seconds."""
        before, start = self.outside(), time.process_time()
        self.iterate(number)
        spent = time.process_time() - start
        self.seconds.append(spent)
        self.shares.append((self.outside() - before) / spent)

    @property
    def rate(self) -> float:
        """Frames per CPU-second in the best rollout."""
        return self.frames / min(self.seconds[WARM:])

    def against(self, other: "Contestant") -> float:
        """Return how many times the speed of another this has, as the median over rounds."""
        pairs = zip(self.seconds[WARM:], other.seconds[WARM:], strict=True)
        return median(theirs * self.frames / (mine * other.frames) for mine, theirs in pairs)

    @property
    def share(self) -> float:
        """Median share of environment and adapter in a rollout's time."""
        return median(self.shares[WARM:])


class _Clock:
    """CPU seconds spent inside one method of an object."""

    def __init__(self, owner: Any, method: str) -> None:  # noqa: ANN401
        self.seconds, self._inner = 0.0, getattr(owner, method)
        setattr(owner, method, self._timed)

    def _timed(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        start = time.process_time()
        result = self._inner(*args, **kwargs)
        self.seconds += time.process_time() - start
        return result

    def read(self) -> float:
        """Return the seconds so far."""
        return self.seconds


def configuration(task: str, *, aux: bool) -> Any:  # noqa: ANN401
    """Return the training options of a task: preset or defaults, from nothing.

    Args:
        task: one of `TASKS`, or a WORLD folder.
        aux: all auxiliary losses that the task can have, or none.
    """
    from slategym.agents.presets import preset_config
    from slategym.agents.train_config import TrainConfig

    if task == "interest-evolution":
        sizes = {"slate_size": 3, "num_candidates": 10}
        found = preset_config("slategym/InterestEvolution-v0", warm_start=None, env=sizes)
        return replace(found, rating=1.0 if aux else 0.0)
    if aux:
        return TrainConfig()
    return TrainConfig(rating=0.0, item_features=0.0, recommendation_features=0.0)


def world_of(task: str) -> Any:  # noqa: ANN401
    """Return the world of a task, None for a classic."""
    from slategym.envs.tiny import tiny_world
    from slategym.envs.world import World

    if task == "interest-evolution":
        return None
    return tiny_world() if task == "tiny" else World.open(task)


def ours(world: Any, config: Any, name: str) -> tuple[Contestant, Any]:  # noqa: ANN401
    """Return the agent as ``slategym train`` runs it, without evaluations and checkpoints."""
    from slategym.agents.algorithms import algorithm
    from slategym.agents.sb3_env import as_sb3
    from slategym.agents.trained import tables_of
    from slategym.agents.training import seed_rollout

    env = as_sb3(config.make_env(world, config.num_envs, config.observation))
    env.reward_scale = config.reward_scale or 0.01
    model: Any = algorithm(config.algo).from_config(env, tables_of(env.venv), config)
    model.begin(10**9)
    clock = _Clock(env, "step")

    def iterate(number: int) -> None:
        seed_rollout(config.seed, number)
        model.iterate()
        env.take_finished()
        model.policy.take_aux_means()
        model.figures()

    return Contestant(name, iterate, config.rollout_frames, clock.read), model


def bare(world: Any, config: Any, name: str) -> Contestant:  # noqa: ANN401
    """Return the single-file loop."""
    import torch

    from slategym.agents.trained import tables_of
    from slategym.benchmarks.throughput_bare import BarePPO

    venv = config.make_env(world, config.num_envs, config.observation)
    torch.manual_seed(config.seed)
    scale = config.reward_scale or 0.01
    loop = BarePPO(venv, tables_of(venv), config, reward_scale=scale)
    clock = _Clock(venv, "step")
    return Contestant(name, lambda _: loop.iterate(), config.rollout_frames, clock.read)


def stock(world: Any, config: Any, name: str) -> Contestant:  # noqa: ANN401
    """Return Stable-Baselines3's PPO with its own buffer around the same network."""
    from stable_baselines3 import PPO

    from slategym.agents.sb3_env import as_sb3
    from slategym.agents.slate_policy import SlatePolicy
    from slategym.agents.slate_ppo import SlatePPO
    from slategym.agents.trained import tables_of

    env = as_sb3(config.make_env(world, config.num_envs, config.observation))
    env.reward_scale = config.reward_scale or 0.01
    tables = tables_of(env.venv)
    model = PPO(
        SlatePolicy, env, n_steps=config.n_steps, learning_rate=config.learning_rate,
        gamma=config.gamma, gae_lambda=config.gae_lambda, ent_coef=config.entropy,
        vf_coef=config.value, max_grad_norm=config.max_grad_norm, seed=config.seed, device="cpu",
        policy_kwargs=config.network(tables), **SlatePPO.own_options(config),
    )  # fmt: skip
    total, callback = model._setup_learn(10**9)  # noqa: SLF001
    assert total == 10**9
    clock = _Clock(env, "step")

    def iterate(_: int) -> None:
        model.collect_rollouts(env, callback, model.rollout_buffer, model.n_steps)
        model.train()

    return Contestant(name, iterate, config.rollout_frames, clock.read)


def checkpoint_seconds(model: Any, tries: int = 5) -> float:  # noqa: ANN401
    """Return the CPU seconds that one checkpoint takes."""
    from slategym.agents.checkpoint import write_checkpoint

    best = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        for number in range(tries):
            start = time.process_time()
            write_checkpoint(Path(folder), number, *model.get_state())
            best = min(best, time.process_time() - start)
    return best


def measure(task: str, rounds: int) -> list[str]:
    """Return the rows of one task."""
    world = world_of(task)
    none, every = configuration(task, aux=False), configuration(task, aux=True)
    agent, model = ours(world, none, "slategym")
    with_aux, _ = ours(world, every, "slategym")
    contestants = {
        "agent": agent,
        "bare": bare(world, none, "bare loop"),
        "stock": stock(world, none, "Stable-Baselines3's buffer and loop"),
        "agent+": with_aux,
        "bare+": bare(world, every, "bare loop"),
    }
    for number in range(WARM + rounds):
        for contestant in contestants.values():
            contestant.run(number)
    lines = []
    for key, contestant in contestants.items():
        losses, peer = ("all", "bare+") if key.endswith("+") else ("none", "bare")
        cost = f"{1 - with_aux.against(agent):.1%}" if key == "agent+" else ""
        lines.append(
            f"| {task} | {contestant.name} | {losses} | {contestant.rate:,.0f} "
            f"| {contestant.rate / contestants[peer].rate:.3f} "
            f"| {contestant.against(contestants[peer]):.3f} | {contestant.share:.1%} | {cost} |"
        )
    saved = checkpoint_seconds(model)
    rollout = min(agent.seconds[WARM:]) * none.checkpoint_every
    lines.append(
        f"| {task} | a checkpoint every {none.checkpoint_every} rollouts | none "
        f"| {1e3 * saved:.1f} ms: {saved / (saved + rollout):.1%} of training | | | | |"
    )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m slategym.benchmarks.throughput_agents", description=__doc__
    )
    parser.add_argument("task", nargs="*", help=f"{' or '.join(TASKS)} or a WORLD folder; both")
    parser.add_argument("--rounds", type=int, default=12, help="rollouts of each; 12")
    given = parser.parse_args(arguments)
    for name in _THREADS:
        os.environ.setdefault(name, "1")
    from slategym.agents.training import private_torch

    sys.stdout.write(
        "| task | loop | auxiliary losses | frames per CPU-second | times bare, best | median "
        "| environment and adapter | cost of the losses |\n" + "|---" * 8 + "|\n"
    )
    with private_torch(1):
        for task in given.task or TASKS:
            sys.stdout.write("\n".join(measure(task, given.rounds)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
