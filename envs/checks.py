"""Is an environment, or a world, what it promises to be? The checks the tests run, for anyone."""

import copy
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from slategym.envs.arrays import AnyArray, LongArray
from slategym.envs.registry import get_variant
from slategym.envs.single import SlateEnv
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World
from slategym.envs.worlds import as_world

STEPS = 30
MOST_STEPS = 1000  # of the check that episodes end and begin anew
SEED = 11


def check_variant(
    variant_id: str,
    world: World | str | Path | None = None,
    **changes: Any,  # noqa: ANN401
) -> list[str]:
    """Return what is wrong with a registered variant; an empty list means it is sound.

    Checked: Gymnasium's own checker without warnings; spaces contain what is handed out and
    everything is finite; equal seeds give equal bytes; a user alone, in a batch of 7 and in one
    of 512 gives the same bytes; no array handed out is changed later; rows that end go on with
    a new episode; a snapshot goes on exactly; reward terms sum to the reward.

    Args:
        variant_id: a registered id.
        world: another world than the variant's own.
        **changes: keywords for the environment.
    """
    variant = get_variant(variant_id)
    place: dict[str, Any] = {} if world is None else {"world": as_world(world)}

    def make(batch: int) -> SlateVectorEnv:
        return SlateVectorEnv(batch, variant=variant, **place, **changes)

    problems = list(_gymnasium_problems(variant_id, {**place, **changes}))
    for check in _CHECKS:
        problems += check(make)
    return problems


def check_world(world: World | str | Path | None) -> list[str]:
    """Return what is wrong with a world's content; an empty list means it is sound."""
    opened = as_world(world)
    info, total = opened.info, opened.item_topics.sum(axis=1)
    past, value = opened.user_history, opened.user_history_value
    gap = (past[:, :-1] >= 0) & (past[:, 1:] < 0)
    whole = np.isclose(total, 1, atol=1e-4) | (total == 0)
    rules = {
        "rows of item_topics must sum to 1 or to 0": whole.all(),
        "item_topics must not be negative": opened.item_topics.min(initial=0) >= 0,
        "user_history names items that do not exist": (past < opened.n_items).all(),
        "user_history must be padded on the left only": not gap.any(),
        "user_history_value must be in [0, 1]": ((value >= 0) & (value <= 1)).all(),
        "item_duration must be positive minutes": opened.item_duration.min(initial=1) > 0,
        "value_high must be above value_low": info.value_high > info.value_low,
        "click_slope must be positive: liked items are clicked more": info.click_slope > 0,
        "users must be in split 'train' or 'held_out'": opened.users["split"]
        .isin(["train", "held_out"])
        .all(),
        "item_id must be unique": opened.items["item_id"].is_unique,
        "user_id must be unique": opened.users["user_id"].is_unique,
    }
    problems = [message for message, holds in rules.items() if not holds]
    return problems + list(_array_problems(opened)) + list(_block_problems(opened))


def _array_problems(world: World) -> Iterator[str]:
    """Yield which arrays are not finite or not read-only."""
    for name, array in world.arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            yield f"{name} holds values that are not finite"
        if array.flags.writeable:
            yield f"{name} can be written to"


def _block_problems(world: World) -> Iterator[str]:
    """Yield what is wrong with the named column ranges of the item table."""
    end = 0
    for name, (start, stop) in sorted(world.info.blocks.items(), key=lambda entry: entry[1]):
        if start != end or stop < start:
            yield f"block {name!r} must begin where the one before it ends"
        end = stop
    if end != world.item_vectors.shape[1]:
        yield "blocks must cover item_vectors"
    missing = {"content", "collaborative", "topics", "prior"} - set(world.info.blocks)
    if missing:
        yield f"blocks lack {sorted(missing)}"


def _gymnasium_problems(variant_id: str, changes: dict[str, Any]) -> Iterator[str]:
    """Yield every warning and error of Gymnasium's own checker."""
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        env = gymnasium.make(variant_id, **changes)
        try:
            check_env(env.unwrapped)
        except Exception as error:  # the checker raises whatever it meets
            yield f"gymnasium's check_env: {type(error).__name__}: {error}"
        finally:
            env.close()
    for warning in caught:
        yield f"gymnasium's check_env warns: {warning.message}"


Make = Callable[[int], SlateVectorEnv]


def actions_for(env: SlateVectorEnv, step: int, streams: LongArray) -> AnyArray:
    """Return fixed, varied actions (B, ...) that depend on the stream and the step only."""
    space = env.single_action_space
    if isinstance(space, spaces.Box):
        wave = np.sin(np.arange(space.shape[0]) + streams[:, None] * 0.7 + step * 0.3)
        return (wave * np.minimum(space.high, 1.0)).astype(np.float32)
    if isinstance(space, spaces.Discrete):
        return (streams * 7 + step * 3) % int(space.n)
    slot = np.arange(len(space.nvec))
    return (streams[:, None] * 7 + step * 3 + slot * (1 + streams[:, None] % 3)) % space.nvec[0]


def rollout(env: SlateVectorEnv, streams: LongArray, steps: int = STEPS) -> list[Any]:
    """Return everything handed out by a seeded episode under `actions_for`."""
    seen: list[Any] = [env.reset(seed=SEED, options={"streams": streams})]
    seen += [env.step(actions_for(env, step, streams)) for step in range(steps)]
    return seen


def _check_spaces(make: Make) -> Iterator[str]:
    env = make(7)
    for number, given in enumerate(rollout(env, np.arange(7))):
        if not env.observation_space.contains(given[0]):
            yield f"the observation after {number} steps is outside the observation space"
            return
        if any(not np.isfinite(array).all() for array in leaves(given) if array.dtype.kind == "f"):
            yield f"something handed out after {number} steps is not finite"
            return


def _check_same_seed(make: Make) -> Iterator[str]:
    if differs(rollout(make(7), np.arange(7)), rollout(make(7), np.arange(7))):
        yield "two rollouts of one seed differ"


def _check_batch_size(make: Make) -> Iterator[str]:
    large = rollout(make(512), np.arange(512))
    small = rollout(make(7), np.arange(7)[::-1].copy())
    for row in (0, 3, 6):
        alone = rollout(make(1), np.array([row]))
        if any(differs_in_row(a, b, 0, row) for a, b in zip(alone, large, strict=True)):
            yield f"user stream {row} alone differs from itself in a batch of 512"
        if any(differs_in_row(a, b, 0, 6 - row) for a, b in zip(alone, small, strict=True)):
            yield f"user stream {row} alone differs from itself in a batch of 7, reversed"


def _check_aliasing(make: Make) -> Iterator[str]:
    env = make(7)
    streams = np.arange(7)
    given: list[Any] = [env.reset(seed=SEED, options={"streams": streams})]
    copies = [copy.deepcopy(given[0])]
    for step in range(STEPS):
        given.append(env.step(actions_for(env, step, streams)))
        copies.append(copy.deepcopy(given[-1]))
    if differs(given, copies):
        yield "an array that was handed out was changed by a later step"
    seen: set[int] = set()
    for one in given:
        bases = {id(array.base if array.base is not None else array) for array in leaves(one)}
        if bases & seen:
            yield "two steps handed out the same array"
            return
        seen |= bases


def _check_autoreset(make: Make) -> Iterator[str]:
    env, other = make(64), make(64)
    streams = np.arange(64)
    env.reset(seed=SEED)
    other.reset(seed=SEED)
    second = other.reset()[0]  # the first observation of each row's next episode
    ended = np.zeros(64, dtype=np.int64)
    steps = min(2 * env.variant.horizon + 2, MOST_STEPS)
    for step in range(steps):
        observation, _, terminated, truncated, info = env.step(actions_for(env, step, streams))
        done = terminated | truncated
        if (terminated & truncated).any():
            yield "a row was terminated and truncated at once"
            return
        if done.any() and not (info["_final_obs"] == done).all():
            yield "info['_final_obs'] is not the mask of the rows that ended"
            return
        for row in np.flatnonzero(done & (ended == 0)):
            if differs_in_row(observation, second, int(row), int(row)):
                yield "a row that ended was not given the first observation of its next episode"
                return
            if not differs_in_row(info["final_obs"], second, int(row), int(row)):
                yield "info['final_obs'] does not hold the last observation of a row that ended"
                return
        ended += done
    if steps < MOST_STEPS and (ended < 2).any():
        yield f"a row did not end twice within {steps} steps at horizon {env.variant.horizon}"


def _check_snapshot(make: Make) -> Iterator[str]:
    env, other = make(7), make(7)
    streams = np.arange(7)
    env.reset(seed=SEED)
    for step in range(10):
        env.step(actions_for(env, step, streams))
    other.reset(seed=SEED + 1)
    other.set_state(env.get_state())
    for step in range(10, 10 + STEPS):
        action = actions_for(env, step, streams)
        if differs(env.step(action), other.step(action)):
            yield "an environment set to a snapshot goes on differently"
            return


def _check_terms(make: Make) -> Iterator[str]:
    for given in rollout(make(7), np.arange(7))[1:]:
        total = sum(given[4]["reward_terms"].values())
        if not np.allclose(total, given[1], atol=1e-4, rtol=1e-5):
            yield "info['reward_terms'] do not sum to the reward"
            return


def _check_single(make: Make) -> Iterator[str]:
    batch = make(1)
    place = getattr(batch.simulation, "world", None)
    single = SlateEnv(variant=batch.variant, **({} if place is None else {"world": place}))
    first = batch.reset(seed=SEED)
    if differs_in_row(single.reset(seed=SEED), first, None, 0):
        yield "the single environment begins differently from row 0 of the batch"
    for step in range(STEPS):
        action = actions_for(batch, step, np.zeros(1, dtype=np.int64))
        one, row = single.step(action[0]), batch.step(action)
        ended = bool(row[2][0] or row[3][0])
        expected = row[4]["final_obs"] if ended else row[0]
        if differs_in_row(one[0], expected, None, 0) or one[1] != float(row[1][0]):
            yield f"the single environment differs from row 0 of the batch in step {step}"
            return
        if ended:
            break


_CHECKS: tuple[Callable[[Make], Iterator[str]], ...] = (
    _check_spaces,
    _check_same_seed,
    _check_batch_size,
    _check_aliasing,
    _check_autoreset,
    _check_snapshot,
    _check_terms,
    _check_single,
)


def leaves(value: Any) -> Iterator[AnyArray]:  # noqa: ANN401
    """Yield every array in nested dicts, tuples and lists."""
    if isinstance(value, dict):
        for key in sorted(value):
            yield from leaves(value[key])
    elif isinstance(value, (tuple, list)):
        for entry in value:
            yield from leaves(entry)
    else:
        yield np.asarray(value)


def differs(a: Any, b: Any) -> bool:  # noqa: ANN401
    """Return True unless both hold the same arrays, byte for byte."""
    pairs = list(zip(leaves(a), leaves(b), strict=False))
    same = len(list(leaves(a))) == len(list(leaves(b)))
    return not same or any(x.dtype != y.dtype or x.tobytes() != y.tobytes() for x, y in pairs)


def differs_in_row(a: Any, b: Any, row_a: int | None, row_b: int) -> bool:  # noqa: ANN401
    """Return True unless row ``row_a`` of ``a`` (None: all of it) is row ``row_b`` of ``b``.

    Keys about rows that ended are compared only where both have them.
    """
    if isinstance(a, dict) and isinstance(b, dict):
        shared = [key for key in a if key in b]
        if "_final_obs" in b and not b["_final_obs"][row_b]:
            shared = [key for key in shared if "final" not in key]
        return any(differs_in_row(a[key], b[key], row_a, row_b) for key in shared)
    if isinstance(a, (tuple, list)):
        return any(differs_in_row(x, y, row_a, row_b) for x, y in zip(a, b, strict=True))
    left = np.asarray(a) if row_a is None else np.asarray(a)[row_a]
    return bool(left.tobytes() != np.asarray(b)[row_b].tobytes())
