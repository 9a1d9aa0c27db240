"""How fast a world steps, and which share of the floor it reaches."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numba
import numpy as np
import pandas as pd

import slategym.envs  # noqa: F401 - registers the environments
from slategym.envs import rng
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World, WorldInfo

VARIANT = "slategym/World-v0"
_USERS, _TOPICS, _FACTORS, _HISTORY = 1000, 20, 16, 20
_draw = rng.bits


class Row(NamedTuple):
    """One line of the table."""

    what: str
    per_second: float
    """User-steps (or calls, frames) per CPU-second."""
    ratio: float | None = None
    """Of the rate to that of RecSim in the same run; None where there is none to compare."""
    floor: float | None = None
    """Share of the floor, in (0, 1]: the time its draws and its bytes take at the least."""
    note: str = ""


def wide_world(items: int, width: int = 128, seed: int = 0) -> World:
    """Return a synthetic world of many items, quickly and in little memory.

    Args:
        items: I.
        width: D, columns of the item table.
        seed: of the draws.
    """
    draw = np.random.default_rng(seed)

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray[Any, np.dtype[np.float32]]:
        return scale * draw.standard_normal(shape, dtype=np.float32)

    vectors = normal(items, width)
    topics = np.zeros((items, _TOPICS), np.float32)
    main, second = draw.integers(0, _TOPICS, (2, items))
    topics[np.arange(items), main] += np.float32(0.7)
    topics[np.arange(items), second] += np.float32(0.3)
    vectors[:, -2 - _TOPICS : -2] = topics
    factors, people = normal(items, _FACTORS, scale=0.5), normal(_USERS, _FACTORS, scale=0.5)
    bias, user_bias = normal(items, scale=0.3), normal(_USERS, scale=0.3)
    count = draw.integers(0, 500, items).astype(np.float32)
    names = np.arange(items).astype(str)
    return World(
        info=WorldInfo(
            name=f"wide-{items}", synthetic=True, mean=3.5, public_mean=3.5, click_slope=1.6,
            click_intercept=-5.8, no_click_logit=1.5, value_low=1.0, value_high=5.0,
            blocks=_blocks(width), topic_names=tuple(f"topic {z}" for z in range(_TOPICS)),
        ),
        items=pd.DataFrame(
            {
                "item_id": names, "title": names, "topics": ["[]"] * items, "duration": 10.0,
                "popularity": count.astype(np.float64), "evidence": count.astype(np.int64),
            }
        ),
        users=pd.DataFrame(
            {
                "user_id": np.arange(_USERS).astype(str), "split": ["train"] * _USERS,
                "n_ratings": _HISTORY, "profile": "",
            }
        ),
        item_vectors=vectors, item_factors=factors, item_bias=bias, user_factors=people,
        user_std=np.full((_USERS, _FACTORS), 0.1, np.float32), user_bias=user_bias,
        public_item_factors=factors, public_item_bias=bias, public_user_factors=people,
        public_user_bias=user_bias, item_topics=topics,
        item_duration=np.full(items, 10.0, np.float32), item_popularity=count,
        user_history=draw.integers(0, items, (_USERS, _HISTORY)).astype(np.int32),
        user_history_value=draw.random((_USERS, _HISTORY), dtype=np.float32),
        user_profile=normal(_USERS, 32),
    )  # fmt: skip


def _blocks(width: int) -> dict[str, tuple[int, int]]:
    """Return which columns of the item table hold what."""
    content, collaborative = width - 2 - _TOPICS - _FACTORS, width - 2 - _TOPICS
    return {
        "content": (0, content),
        "collaborative": (content, collaborative),
        "topics": (collaborative, width - 2),
        "prior": (width - 2, width),
    }


def random_slates(env: SlateVectorEnv, count: int = 16) -> list[np.ndarray[Any, Any]]:
    """Return slates (B, K) of distinct candidates, drawn beforehand."""
    draw = np.random.default_rng(0)
    size, among = env.variant.slate_size, env.variant.num_candidates
    return [np.argsort(draw.random((env.num_envs, among)), axis=1)[:, :size] for _ in range(count)]


def rate(work: Callable[[], object], amount: int, *, seconds: float = 1.0, tries: int = 3) -> float:
    """Return the best rate of ``amount`` per call of ``work``, per CPU-second.

    The best of several tries: other processes on the machine only ever make it slower.
    """
    work()
    best = 0.0
    for _ in range(tries):
        calls, start = 0, time.process_time()
        while (passed := time.process_time() - start) < seconds:
            work()
            calls += 1
        best = max(best, calls * amount / passed)
    return best


def step_rate(env: SlateVectorEnv, *, seconds: float = 1.0, tries: int = 3) -> float:
    """Return user-steps per CPU-second under random slates, new episodes included."""
    env.reset(seed=0)
    slates = random_slates(env)

    def work() -> None:
        for slate in slates:
            env.step(slate)

    return rate(work, len(slates) * env.num_envs, seconds=seconds, tries=tries)


@numba.njit
def _draws(count: int) -> np.uint64:
    total = np.uint64(0)
    for index in range(count):
        total ^= _draw(np.uint64(7), 3, index)
    return total


def draw_seconds() -> float:
    """Return CPU seconds of one counter-based draw."""
    return 1.0 / rate(lambda: _draws(1_000_000), 1_000_000, seconds=0.3)


def byte_seconds() -> float:
    """Return CPU seconds of moving one byte between arrays the size of a batch of users."""
    source, target = np.ones(4 * 2**20, np.uint8), np.empty(4 * 2**20, np.uint8)
    return 1.0 / rate(lambda: np.copyto(target, source), 2 * source.nbytes, seconds=0.3)


def floor_seconds(env: SlateVectorEnv) -> float:
    """Return the least CPU seconds of a user-step: its draws and its bytes, nothing else.

    Draws: one per candidate, per slot and for no choice, and two for what is given back. Bytes:
    the state read and written, the rows of the slate read, the observation and the response
    written.
    """
    simulation: Any = env.simulation
    batch, size = env.num_envs, env.variant.slate_size
    observation, _ = env.reset(seed=0)
    response = simulation.step(random_slates(env, 1)[0])
    state = sum(array.nbytes for array in simulation.users) / batch
    seen = sum(array.nbytes for array in observation.values()) / batch
    told = sum(array.nbytes for array in response.info["response"].values()) / batch
    rows = size * simulation.items.rows.shape[1] * 4
    draws = env.variant.num_candidates + size + 1 + 2
    return draws * draw_seconds() + (2 * state + rows + seen + told) * byte_seconds()


def user_bytes(env: SlateVectorEnv) -> tuple[float, float]:
    """Return bytes of state per user without its history, and of its history."""
    simulation: Any = env.simulation
    history = simulation.state.history.nbytes + simulation.state.history_value.nbytes
    whole = sum(array.nbytes for array in simulation.users)
    return (whole - history) / env.num_envs, history / env.num_envs


def world_rows(sizes: tuple[int, ...] = (10_000, 1_000_000), batch: int = 4096) -> list[Row]:
    """Return the rows of the world: 5 of 20 candidates, item vectors of 128 numbers."""
    rows = []
    for items in sizes:
        world = wide_world(items)
        for observation in ("ids", "features"):
            env = gymnasium.make_vec(VARIANT, num_envs=batch, world=world, observation=observation)
            found = step_rate(env)
            apart, history = user_bytes(env)
            note = f"{apart:.0f} bytes a user, and {history:.0f} of history"
            floor = floor_seconds(env) * found
            what = f"World, {items:,} items, {observation}, batch {batch:,}"
            rows.append(Row(what, found, None, floor, note))
        alone = gymnasium.make_vec(VARIANT, num_envs=1, world=world, observation="ids")
        rows.append(Row(f"World, {items:,} items, ids, batch 1", step_rate(alone)))
    return rows
