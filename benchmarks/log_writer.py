"""Writes a log: one row per slot of every slate that a policy showed, with its probability."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from slategym.agents.policy import Observation, Slate, for_variant, with_privileged
from slategym.agents.slate_laws import SlateLaw
from slategym.agents.stochastic import StochasticPolicy
from slategym.benchmarks.log_schema import (
    METADATA_KEY,
    OBSERVATION,
    RESPONSE,
    AnyArray,
    FloatArray,
    Log,
    LogInfo,
    LongArray,
    env_hash,
)
from slategym.benchmarks.log_slots import slot_rewards
from slategym.envs.protocol import AnyVariant
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World
from slategym.errors import UsageError
from slategym.files import write_atomic
from slategym.progress import Progress, Silent, stage

STAGE = "log"
# Users stepped together, and written as one row group. The draws of a policy depend on it, so a
# change is a change of what a seed means.
BLOCK = 256
# More candidates than this, and the probability of an item at its place, whatever the other slots
# show, is left out: its cost grows with their number.
MOST_CANDIDATES = 100
_LOG_STREAM = 0x106


def write_log(
    policy: StochasticPolicy,
    variant: AnyVariant,
    out: Path | str,
    *,
    world: World | None = None,
    users: int = 1024,
    seed: int = 0,
    split: str = "train",
    progress: Progress | None = None,
) -> LogInfo:
    """Write one episode of each user stream (seed, 0) .. (seed, users - 1) as a Parquet file.

    The file appears when it is whole. The same arguments give the same bytes.

    Args:
        policy: chooses the slates and says how likely they were; see `with_propensities`.
        variant: the task.
        out: the file.
        world: the world; None for a classic.
        users: episodes.
        seed: of the users, their luck and the policy's draws.
        split: "train", "held_out" or "all" users of the world.
        progress: hears of finished episodes.

    Raises:
        UsageError: no users, or a policy that shows a slate it gives probability 0.
    """
    if users < 1:
        raise UsageError(f"users is {users}; a log needs at least 1.")
    heard, chosen = progress or Silent(), cast("StochasticPolicy", for_variant(policy, variant))
    run = _Run(chosen, variant, world, seed, split)

    def write(target: Path) -> None:
        with stage(heard, STAGE, users):
            write_blocks(target, run.info(), run.blocks(users, heard))

    write_atomic(Path(out), write)
    return run.info()


def log_blocks(
    policy: StochasticPolicy,
    variant: AnyVariant,
    *,
    world: World | None = None,
    users: int = 1024,
    seed: int = 0,
    split: str = "train",
) -> Iterator[Log]:
    """Yield what `write_log` would write as logs in memory, of `BLOCK` episodes each.

    Args:
        policy: chooses the slates and says how likely they were.
        variant: the task.
        world: the world; None for a classic.
        users: episodes in all.
        seed: of the users, their luck and the policy's draws.
        split: which users of the world.
    """
    chosen = cast("StochasticPolicy", for_variant(policy, variant))
    return _Run(chosen, variant, world, seed, split).blocks(users, Silent())


def write_blocks(target: Path, info: LogInfo, blocks: Iterator[Log]) -> None:
    """Write blocks of impressions as row groups of one Parquet file.

    Args:
        target: the file; written in place.
        info: kept in the file's metadata.
        blocks: at least one.
    """
    import json

    import pyarrow.parquet as pq

    writer = None
    try:
        for block in blocks:
            table = table_of(replace(block, info=info))
            if writer is None:
                text = json.dumps(info.to_json(), sort_keys=True, allow_nan=False)
                schema = table.schema.with_metadata({METADATA_KEY: text.encode()})
                writer = pq.ParquetWriter(target, schema, compression="zstd")
            writer.write_table(table.cast(writer.schema))
    finally:
        if writer is not None:
            writer.close()


def save_log(log: Log, out: Path | str) -> None:
    """Write a log that is in memory; see `write_log`."""
    write_atomic(Path(out), lambda target: write_blocks(target, log.info, iter([log])))


def table_of(log: Log) -> Any:  # noqa: ANN401 - a pyarrow.Table
    """Return a log as rows, one per slot, in the columns of `slategym.benchmarks.log_schema`."""
    import pyarrow as pa

    count, size = log.items.shape
    names = np.array(log.info.policies, dtype=object)
    each: dict[str, AnyArray] = {
        "episode_id": log.episode, "user_id": log.user, "step": log.step.astype(np.int32),
        "reward": log.reward, "terminated": log.terminated, "truncated": log.truncated,
        "behavior_logp_slate": log.logp_slate, "policy_id": names[log.policy],
    }  # fmt: skip
    columns: dict[str, Any] = {name: np.repeat(array, size) for name, array in each.items()}
    columns["slot"] = np.tile(np.arange(size, dtype=np.int16), count)
    flat: dict[str, AnyArray] = {
        "item_id": log.items, "position": log.positions.astype(np.int32),
        "reward_slot": log.reward_slot, "behavior_logp_slot": log.logp_slot,
        "behavior_logp_position": log.logp_position,
    }  # fmt: skip
    flat |= {RESPONSE + name: array.astype(np.float32) for name, array in log.responses.items()}
    columns |= {name: array.reshape(-1) for name, array in flat.items()}
    lists = {"candidates": log.candidates}
    lists |= {OBSERVATION + name: array for name, array in log.observation.items()}
    arrays = {name: pa.array(array, from_pandas=True) for name, array in columns.items()}
    arrays |= {name: _first_slot(array, size) for name, array in lists.items()}
    order = ["episode_id", "user_id", "step", "slot", "item_id", "position", "candidates"]
    order += [name for name in arrays if name not in order]
    return pa.table({name: arrays[name] for name in order})


def _first_slot(array: AnyArray, size: int) -> Any:  # noqa: ANN401 - a pyarrow.ListArray
    """Return (N, ...) as lists in the first of each impression's ``size`` rows, else null."""
    import pyarrow as pa

    flat = array.reshape(len(array), -1)
    width = flat.shape[1]
    present = np.tile(np.arange(size) == 0, len(array))
    offsets = np.concatenate([[0], np.cumsum(present * width)]).astype(np.int32)
    values = pa.array(np.ascontiguousarray(flat.reshape(-1)))
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(~present))


class _Run:
    """One policy in one environment, block of users by block of users."""

    def __init__(
        self,
        policy: StochasticPolicy,
        variant: AnyVariant,
        world: World | None,
        seed: int,
        split: str,
    ) -> None:
        self.policy, self.seed = policy, seed
        self.variant = variant.override(observation="ids") if world is not None else variant
        self.world, self.split = world, split if world is not None else "all"

    def info(self) -> LogInfo:
        """Return what the file's metadata says."""
        world = None if self.world is None else self.world.hash
        return LogInfo(
            env_hash=env_hash(self.variant, world),
            slate_size=self.variant.slate_size,
            num_candidates=self.variant.num_candidates,
            policies=(self.policy.name,),
            seed=self.seed,
            variant=self.variant.to_json(),
            world=world,
            split=self.split,
        )

    def blocks(self, users: int, progress: Progress) -> Iterator[Log]:
        """Yield the impressions of `BLOCK` users at a time; who learns goes on learning."""
        reset = getattr(self.policy, "reset", None)
        if callable(reset):
            reset()
        for start in range(0, users, BLOCK):
            streams = np.arange(start, min(start + BLOCK, users))
            yield self._block(streams)
            progress.advance(STAGE, len(streams))

    def _block(self, streams: LongArray) -> Log:
        """Return one episode of each of some user streams, in order of stream and step."""
        env = SlateVectorEnv(
            len(streams),
            variant=self.variant,
            world=self.world,
            users=self.split,
            privileged=bool(getattr(self.policy, "privileged", False)),
        )
        try:
            parts = list(self._steps(env, streams))
        finally:
            env.close()
        keys = parts[0].keys()
        whole = {key: np.concatenate([part[key] for part in parts]) for key in keys}
        order = np.lexsort((whole["step"], whole["episode"]))
        return _as_log(self.info(), {key: array[order] for key, array in whole.items()})

    def _steps(self, env: SlateVectorEnv, streams: LongArray) -> Iterator[dict[str, AnyArray]]:
        """Yield what happened in each step to the users whose first episode goes on."""
        observation, info = env.reset(seed=self.seed, options={"streams": streams})
        learn = getattr(self.policy, "update", None)
        alive, step = np.ones(len(streams), dtype=np.bool_), 0
        while alive.any():
            told_all = with_privileged(self.policy, observation, info)
            seen = {key: array[alive] for key, array in told_all.items()}
            rng = np.random.default_rng((_LOG_STREAM, self.seed, int(streams[0]), step))
            law = self.policy.law(seen)
            slates = np.asarray(law.sample(rng), np.int64)
            shown = propensities(law, slates, env.variant.num_candidates)
            _refuse_impossible(self.policy.name, shown["logp_slot"])
            # A user whose episode is over is shown anything; nothing of it is kept.
            actions = np.tile(np.arange(slates.shape[1]), (len(alive), 1))
            actions[alive] = slates
            acted = observation
            observation, reward, terminated, truncated, info = env.step(
                actions.reshape(env.action_space.shape)
            )
            if callable(learn):
                told = {k: np.asarray(v)[alive] for k, v in info["response"].items()}
                learn(seen, slates, told | {"reward": np.asarray(reward)[alive]})
            told = _told(env, streams, acted, actions, reward, info)
            told |= {"terminated": terminated, "truncated": truncated & ~terminated}
            told |= {"episode": streams, "step": np.full(len(streams), step)}
            yield {key: np.asarray(array)[alive] for key, array in told.items()} | shown
            alive &= ~(terminated | truncated)
            step += 1


def propensities(law: SlateLaw, slates: Slate, count: int) -> dict[str, FloatArray]:
    """Return the log-probabilities of slates ``(B, K)`` as the arrays of a `Log`.

    Args:
        law: what they were drawn from.
        slates: positions.
        count: C; beyond `MOST_CANDIDATES` those by place are NaN.
    """
    slot = law.log_slots(slates)
    if slates.shape[1] == 1:
        position = slot
    elif count > MOST_CANDIDATES:
        position = np.full(slot.shape, np.nan)
    else:
        position = law.log_positions(slates)
    # A probability of 1 may come out a rounding error above it.
    slot, position = np.minimum(slot, 0.0), np.minimum(position, 0.0)
    return {"logp_slot": slot, "logp_position": position, "logp_slate": slot.sum(1)}


def _told(
    env: SlateVectorEnv,
    streams: LongArray,
    seen: Observation,
    slates: Slate,
    reward: AnyArray,
    info: Mapping[str, Any],
) -> dict[str, AnyArray]:
    """Return what a step tells, by the names of `Log` or with a prefix."""
    batch = len(slates)
    responses = {name: array.reshape(slates.shape) for name, array in info["response"].items()}
    listed, kept = seen["candidates"], dict(seen)
    if np.issubdtype(listed.dtype, np.integer):
        del kept["candidates"]
    else:  # a classic: documents have no number
        listed = np.tile(np.arange(env.variant.num_candidates), (batch, 1))
    items = np.take_along_axis(listed, slates, 1)
    # A new user may stand in the row by now: who was served is told by the step itself.
    told: dict[str, AnyArray] = {
        "user": np.array(info.get("user", streams)),
        "items": items,
        "positions": slates,
        "candidates": listed.copy(),
        "reward": np.asarray(reward, np.float64),
        "reward_slot": slot_rewards(env, items, np.asarray(reward, np.float64), info),
    }
    told |= {RESPONSE + name: array.copy() for name, array in responses.items()}
    # Copies: the environment uses the memory of its observations again.
    return told | {OBSERVATION + name: array.copy() for name, array in kept.items()}


def _as_log(info: LogInfo, arrays: Mapping[str, AnyArray]) -> Log:
    """Return the arrays of steps as a log."""
    named = {
        name: array
        for name, array in arrays.items()
        if not name.startswith((RESPONSE, OBSERVATION))
    }
    for name in ("episode", "user", "step", "items", "positions", "candidates"):
        named[name] = named[name].astype(np.int64)

    def starting(prefix: str) -> dict[str, AnyArray]:
        found = {k: v for k, v in arrays.items() if k.startswith(prefix)}
        return {k.removeprefix(prefix): v for k, v in found.items()}

    return Log(
        info=info,
        policy=np.zeros(len(named["step"]), np.int64),
        responses=starting(RESPONSE),
        observation=starting(OBSERVATION),
        **named,
    )


def _refuse_impossible(name: str, logp: FloatArray) -> None:
    """Refuse a policy that showed what it gives no probability."""
    if not np.isfinite(logp).all() or (logp > 1e-9).any():
        raise UsageError(
            f"policy {name!r} showed a slate whose probability it gives as 0, above 1 or NaN; "
            "its act(...) must draw from its law(...)."
        )
