"""Trained agents on a classic task beside rules that see what they see, and the best known."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.agents.classic_rules import CLASSIC_POLICIES, make_classic_policy
from slategym.agents.policy import Policy
from slategym.agents.run_folder import RunFolder, changed_parameters
from slategym.agents.seed_runs import runs_in
from slategym.agents.train_config import TrainConfig
from slategym.agents.trained import load_agent
from slategym.agents.training import read_result
from slategym.benchmarks.statistics import iqm, mean, stratified_interval
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.oracles import oracle, oracle_names
from slategym.envs.vector import SlateVectorEnv
from slategym.errors import UsageError, unknown_name
from slategym.files import read_json, write_json
from slategym.progress import Progress, Silent, stage

FloatArray = npt.NDArray[np.float64]
Acts = Callable[[Mapping[str, Any], Mapping[str, Any], np.random.Generator], Any]
"""(observation, what only an oracle knows, rng) -> slates (B, K)."""

# First half of the user streams' names: no training run has this seed.
JUDGING_SEED = 7_311_977
STAGE = "judge"
SCHEMA = 1


@dataclass(frozen=True)
class Row:
    """What one contender earned: mean returns ``(S, U)`` of S seeds over U users."""

    name: str
    kind: str  # "agent", "rule" (sees what agents see) or "oracle" (sees what is hidden)
    returns: FloatArray
    frames: int | None = None  # trained for, each seed
    cpu_seconds: float | None = None  # mean over seeds


def is_classic(run: str | Path) -> bool:
    """Return whether a run, or a set of seeds, was trained on a classic.

    Raises:
        DataError: there is no run, or it is not finished.
    """
    return read_json(RunFolder(runs_in(run)[0]).agent).get("world", {}) is None


def judge_classic(
    runs: Sequence[str | Path],
    out: str | Path | None = None,
    *,
    policies: Sequence[str] | None = None,
    users: int = 2048,
    seeds: Sequence[int] = (0,),
    sampled: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Play one episode of the same users with every agent, rule and oracle of a classic task.

    Args:
        runs: RUN folders, or folders of seeds, all trained on one task.
        out: a folder for ``results.json``.
        policies: rules of `CLASSIC_POLICIES` to play beside them; None: all.
        users: user streams for each seed of ``seeds``.
        seeds: added to `JUDGING_SEED`, so that more are other users.
        sampled: also play agents that draw slates, as they did in training, in rows of their own.
        progress: hears of contenders.

    Returns:
        ``variant``, ``users`` and ``rows``: name, kind, ``return`` (IQM over training seeds with
        its 95 % interval; mean over users where nothing was trained), ``score`` (share of the way
        from random to the best oracle, the users paired), frames, CPU-seconds, and every seed.

    Raises:
        UsageError: the runs are of different tasks, or the task has changed since.
        DataError: a run is missing or not finished.
    """
    task = _task(runs)
    chosen = tuple(CLASSIC_POLICIES[task.family]) if policies is None else tuple(policies)
    told = progress or Silent()
    streams = [JUDGING_SEED + int(seed) for seed in seeds]
    rows = []
    ways = (False, True) if sampled else (False,)
    with stage(told, STAGE, len(runs) * len(ways) + len(chosen) + 1):
        for run in runs:
            for drawn in ways:
                rows.append(_agent(Path(run), task, users, streams, drawn))
                told.advance(STAGE, 1)
        for name in chosen:
            rule = make_classic_policy(name, task)
            rows.append(Row(name, "rule", _play(_rule(rule), task, users, streams)[None]))
            told.advance(STAGE, 1)
        best = oracle_names(task)[0]
        acts, learn = _oracle(task, best)
        rows.append(Row(best, "oracle", _play(acts, task, users, streams, learn)[None]))
        told.advance(STAGE, 1)
    results = _results(task, rows, users * len(streams))
    if out is not None:
        write_json(Path(out) / "results.json", results)
    return results


def _task(runs: Sequence[str | Path]) -> ClassicVariant:
    """Return the task that all runs were trained on."""
    if not runs:
        raise UsageError("name at least one run with --run.")
    found: list[ClassicVariant] = []
    for run in runs:
        for folder in runs_in(run):
            record = read_json(RunFolder(folder).agent)
            task = TrainConfig.from_json(record["config"]).task()
            if not isinstance(task, ClassicVariant):
                raise UsageError(f"{folder} was trained in a world; judge it with --world.")
            changes = changed_parameters(record, task)
            if changes:
                raise UsageError(
                    f"{folder} was trained on other parameters of {task.id}: "
                    f"{'; '.join(changes)}; train again."
                )
            # What is remembered of the past is the agent's business, not the task's.
            found.append(task.override(history_length=1))
    other = next((task for task in found if task != found[0]), None)
    if other is not None:
        raise UsageError(
            f"the runs are of different tasks ({found[0].id} and {other.id}, or other "
            "parameters of one); judge them one by one."
        )
    return found[0]


def _agent(
    run: Path, task: ClassicVariant, users: int, streams: Sequence[int], sampled: bool
) -> Row:
    """Return what the seeds of a run earn."""
    returns, frames, seconds = [], [], []
    for folder in runs_in(run):
        config = TrainConfig.from_json(read_json(RunFolder(folder).agent)["config"])
        own = task.override(history_length=config.task().parameters["history_length"])
        agent = load_agent(folder, None, sample=sampled)
        returns.append(_play(_rule(agent), own, users, streams))
        result = read_result(folder)
        frames.append(result.frames)
        seconds.append(result.cpu_seconds)
    name = run.resolve().name + (", sampled" if sampled else "")
    return Row(name, "agent", np.stack(returns), frames[0], float(np.mean(seconds)))


def _rule(policy: Policy) -> Acts:
    return lambda observation, known, rng: policy.act(observation, rng)  # noqa: ARG005


def _oracle(task: ClassicVariant, name: str) -> tuple[Acts, Callable[[Any], None] | None]:
    """Return how an oracle acts and, if it does, learns."""
    if name not in oracle_names(task):
        raise unknown_name("oracle", name, oracle_names(task))
    chosen = oracle(task, name)
    return (lambda seen, known, rng: chosen.act(known, seen)), getattr(chosen, "learn", None)  # noqa: ARG005


def _play(
    acts: Acts,
    task: ClassicVariant,
    users: int,
    streams: Sequence[int],
    learn: Callable[[Any], None] | None = None,
) -> FloatArray:
    """Return the return of the first episode of each user ``(len(streams) * users,)``."""
    encoding = "ids" if "ids" in task.constants.observations else "features"
    env = SlateVectorEnv(users, variant=task, observation=encoding, privileged=True)
    found = []
    for stream in streams:
        observation, info = env.reset(seed=stream)
        rng = np.random.default_rng(stream)
        total, live = np.zeros(users), np.ones(users, np.bool_)
        while live.any():
            slate = np.asarray(acts(observation, info["privileged"], rng))
            observation, reward, ended, cut, info = env.step(slate.reshape(env.action_space.shape))
            total += np.where(live, reward, 0.0)
            live &= ~(ended | cut)
            if learn is not None:
                learn(info)
        found.append(total)
    return np.concatenate(found)


def _results(task: ClassicVariant, rows: Sequence[Row], users: int) -> dict[str, Any]:
    """Return what was played as JSON values; scores are paired by user."""
    random = next((row.returns.mean() for row in rows if row.name == "random"), None)
    best = max(float(row.returns.mean()) for row in rows if row.kind == "oracle")
    listed = []
    for row in rows:
        seeds = row.returns.mean(axis=1)
        if row.kind == "agent":
            interval = stratified_interval([seeds])
        else:
            interval = stratified_interval([row.returns[0]], mean)
        score = None
        if random is not None and best != random:
            score = float((iqm(seeds) - random) / (best - random))
        listed.append(
            {
                "name": row.name,
                "kind": row.kind,
                "return": interval.to_json(),
                "score": score,
                "frames": row.frames,
                "cpu_seconds": row.cpu_seconds,
                "seeds": [float(value) for value in seeds],
            }
        )
    return {"schema": SCHEMA, "variant": task.to_json(), "users": users, "rows": listed}
