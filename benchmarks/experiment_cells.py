"""One cell of an experiment: train if need be, play every session, return numbers per session."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slategym.benchmarks.curves import read_curve
from slategym.benchmarks.executor import Arrays, Cell
from slategym.benchmarks.experiment import Task, task_of
from slategym.benchmarks.rollout import Trajectories, rollout
from slategym.benchmarks.session_numbers import lorenz_of, session_metrics, set_metrics
from slategym.benchmarks.statistics import UserBootstrap
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.oracles import oracle
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.worlds import as_world, world_of

if TYPE_CHECKING:
    from slategym.agents.policy import Policy
    from slategym.agents.train_config import TrainConfig

# Keeps a policy's own draws apart from any other use of the same (seed, step).
_POLICY_STREAM = 0x51A7E
ORACLE = "oracle:"
"""Before the name of one of `slategym.envs.oracles.oracle_names`."""
SET, CURVE, SLATES, LORENZ = "set/", "curve/", "trace/slates", "lorenz/exposure"
"""Arrays that are not one number a session: a set-level metric with its replicates on resampled
users (1 + R,); a learning curve (P,); slates of the first streams (S, T, K); a Lorenz curve."""
SET_REPLICATES = 500
_TRACED = 4  # streams whose slates are kept

Act = Callable[[Mapping[str, Any], Mapping[str, Any], np.random.Generator], npt.NDArray[Any]]
"""Observation, info, randomness -> slates (B, K)."""


def run_cell(cell: Cell, scratch: str | None) -> Arrays:
    """Return one number a session for each metric, each (N,), N user seeds times users.

    ``user`` is what tells distinct users apart. Names with a stroke are of all sessions together:
    see `SET` and its neighbours.

    Args:
        cell: of `Experiment.cells`.
        scratch: a folder of the cell's own, where a training that was cut is resumed.

    Raises:
        DataError: the world or the variant has changed since.
        UsageError: an unknown policy or option.
    """
    task = task_of(cell)
    if "agent" not in cell:
        return _all_sessions(task, cell, None)
    with TemporaryDirectory() as spare:
        run = Path(scratch or spare) / "run"
        config = _train(task, cell["agent"]["settings"], int(cell["seed"]), run)
        # An agent may observe more than the task says, such as a longer history.
        sessions = _all_sessions(replace(task, changes=config.env), cell, run)
        return sessions | _learning(run)


def played_changes(task: Task, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a task as an agent plays it, who may observe more."""
    return {**settings.get("env", {}), **task.changes}


def _learning(run: Path) -> Arrays:
    """Return the returns met in training."""
    curve = read_curve("", run)["exploring"]
    return {
        f"{CURVE}frames": np.array(curve["frames"], np.float64),
        f"{CURVE}returns": np.array(curve["values"], np.float64),
    }


def _train(task: Task, settings: Mapping[str, Any], seed: int, run: Path) -> "TrainConfig":
    """Train into a RUN folder, or go on there; return what it was trained with."""
    from slategym.agents.train_config import TrainConfig
    from slategym.agents.training import train

    env = played_changes(task, settings)
    chosen = {**settings, "variant": task.variant, "env": env, "seed": seed}
    config = TrainConfig.from_json(chosen)
    train(None if task.world is None else as_world(task.world), run, config)
    return config


def _all_sessions(task: Task, cell: Cell, run: Path | None) -> Arrays:
    """Return the sessions of every user seed, one after the other."""
    policy, users = cell.get("policy", ""), int(cell["users"])
    seeds = [int(seed) for seed in cell["user_seeds"]]
    if not isinstance(task.task(), ClassicVariant):
        return _world([_played(task, policy, run, users, seed) for seed in seeds], task)
    parts = [_classic(task, policy, run, users, seed) for seed in seeds]
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return joined | {SLATES: parts[0][SLATES]}


def _world(played: list[Trajectories], task: Task) -> Arrays:
    """Return the numbers of the sessions of a world."""
    world = as_world(task.world)
    parts = [{"user": run.users, **session_metrics(world, run)} for run in played]
    sessions = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    bootstrap = UserBootstrap(sessions["user"], replicates=SET_REPLICATES)
    sets = set_metrics(world, played, bootstrap)
    traced = played[0].shown[:, :_TRACED]
    return {
        **sessions,
        **{f"{SET}{key}": drawn for key, drawn in sets.items()},
        LORENZ: lorenz_of(world, played),
        SLATES: np.ascontiguousarray(np.swapaxes(traced, 0, 1)),
    }


def _played(task: Task, policy: str, run: Path | None, users: int, seed: int) -> Trajectories:
    """Return the sessions of user streams (seed, 0), (seed, 1), ... of a world."""
    from slategym.agents.policy import make_policy
    from slategym.agents.trained import load_agent

    variant, world = task.task(), as_world(task.world)
    chosen: Policy = (  # either knows what the scenario leaves to a platform
        make_policy(policy, world_of(variant, world), variant.slate_size)
        if run is None
        else load_agent(run, world, slate_size=variant.slate_size)
    )
    return rollout(chosen, world, users=users, seed=seed, variant=variant, split=task.session_users)


def _classic(task: Task, policy: str, run: Path | None, users: int, seed: int) -> Arrays:
    """Return the sessions of user streams (seed, 0), (seed, 1), ... of a classic."""
    variant = task.task()
    assert isinstance(variant, ClassicVariant)
    if run is not None:
        from slategym.agents.trained import load_agent

        agent = load_agent(run, None, slate_size=variant.slate_size)
        return classic_sessions(variant, lambda seen, _, rng: agent.act(seen, rng), users, seed)
    if policy.startswith(ORACLE):
        seeing = _seeing(variant, policy.removeprefix(ORACLE))
        return classic_sessions(variant, seeing, users, seed)
    from slategym.agents.classic_rules import make_classic_policy

    rule = make_classic_policy(policy, variant)
    return classic_sessions(variant, lambda seen, _, rng: rule.act(seen, rng), users, seed)


def _seeing(variant: ClassicVariant, name: str) -> Act:
    """Return an oracle, which is told what the environment hides and learns from responses."""
    chosen = oracle(variant, name)
    learn = getattr(chosen, "learn", None)
    started: list[bool] = []

    def act(
        observation: Mapping[str, Any], info: Mapping[str, Any], _: np.random.Generator
    ) -> npt.NDArray[Any]:
        if learn is not None and started:
            learn(info)
        started.append(True)
        return chosen.act(info["privileged"], observation)

    return act


def classic_sessions(variant: ClassicVariant, act: Act, users: int, seed: int) -> Arrays:
    """Return ``return``, ``clicks`` and ``length`` of one session of each user stream, (B,).

    And `SLATES`, positions shown to the first streams (S, T, K), -1 after the end.

    Args:
        variant: a classic task.
        act: chooses slates; it may look at ``info["privileged"]``.
        users: B.
        seed: of the streams (seed, 0), (seed, 1), ...; the same users, the same luck.
    """
    env = SlateVectorEnv(users, variant=variant, privileged=True)
    observation, info = env.reset(seed=seed)
    alive = np.ones(users, np.bool_)
    returns, clicks, length = np.zeros((3, users))
    step, traced = 0, []
    while alive.any():
        rng = np.random.default_rng((_POLICY_STREAM, seed, step))
        slates = np.asarray(act(observation, info, rng)).reshape(env.action_space.shape)
        kept = slates.reshape(users, -1)[:_TRACED]
        traced.append(np.where(alive[:_TRACED, None], kept, -1).astype(np.int32))
        observation, reward, terminated, truncated, info = env.step(slates)
        returns += np.where(alive, reward, 0.0)
        clicks += np.where(alive, np.asarray(info["response"]["click"]).sum(axis=1), 0.0)
        length += alive
        alive &= ~(terminated | truncated)
        step += 1
    stream = (np.int64(seed) << np.int64(32)) + np.arange(users)
    return {
        "user": stream,
        "return": returns,
        "clicks": clicks,
        "length": length,
        SLATES: np.stack(traced, axis=1),
    }
