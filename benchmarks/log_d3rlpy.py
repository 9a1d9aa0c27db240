"""Logs as arrays for d3rlpy, which trains CQL, IQL and others on them; it is an extra.

d3rlpy knows no slates and no propensities. What it can be given is either one item an impression,
numbered in the catalogue, or the point in item space that a slate stands for: the mean of its
items' vectors, which the environment answers with ``action="proto"``. Letters: N impressions.
"""

import importlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slategym.benchmarks.log_features import state_features
from slategym.benchmarks.log_schema import AnyArray, Log
from slategym.envs.actions import proto_scale
from slategym.envs.world import World
from slategym.errors import SlateGymError, UsageError, unknown_name

ACTIONS = ("item", "proto")


@dataclass(frozen=True)
class Transitions:
    """The arrays that ``d3rlpy.dataset.MDPDataset`` takes."""

    observations: NDArray[np.float32]  # (N, S)
    actions: AnyArray  # (N, 1) item rows, or (N, D) in [-1, 1]
    rewards: NDArray[np.float32]  # (N, 1)
    terminals: NDArray[np.float32]  # (N,)
    timeouts: NDArray[np.float32]  # (N,)


def transitions(log: Log, world: World, actions: Literal["item", "proto"] = "proto") -> Transitions:
    """Return a log as transitions.

    Args:
        log: has observations.
        world: gives item tables.
        actions: "item": the number of the one item shown; "proto": the mean of the slate's item
            vectors, divided per column by the largest absolute value in the catalogue, as
            `slategym.envs.actions.ProtoActions` takes it.

    Raises:
        UsageError: an unknown kind of action, or slates where one item is needed.
    """
    if actions not in ACTIONS:
        raise unknown_name("kind of action", actions, ACTIONS)
    size = log.items.shape[1]
    if actions == "item" and size > 1:
        raise UsageError(
            f"d3rlpy has no actions of {size} items; use actions='proto', or a log with "
            "slate_size 1."
        )
    if actions == "item":
        taken: AnyArray = log.items.astype(np.int32)
    else:
        vectors = np.asarray(world.item_vectors, np.float32)
        taken = vectors[log.items].mean(1) / proto_scale(vectors)
    last = np.append(log.first[1:], [True])
    return Transitions(
        observations=state_features(log, world).astype(np.float32),
        actions=taken,
        rewards=log.reward[:, None].astype(np.float32),
        terminals=log.terminated.astype(np.float32),
        timeouts=(last & ~log.terminated).astype(np.float32),
    )


def to_d3rlpy(log: Log, world: World, actions: Literal["item", "proto"] = "proto") -> Any:  # noqa: ANN401
    """Return a log as a ``d3rlpy.dataset.MDPDataset``; see `transitions`.

    Raises:
        SlateGymError: d3rlpy is not installed.
        UsageError: see `transitions`.
    """
    made = transitions(log, world, actions)
    try:
        dataset = importlib.import_module("d3rlpy.dataset")
        constants = importlib.import_module("d3rlpy.constants")
    except ImportError as error:
        raise SlateGymError(
            f"d3rlpy data sets need {error.name}; install it with `pip install slategym[d3rlpy]`."
        ) from None
    discrete = actions == "item"
    kind = constants.ActionSpace
    return dataset.MDPDataset(
        observations=made.observations,
        actions=made.actions,
        rewards=made.rewards,
        terminals=made.terminals,
        timeouts=made.timeouts,
        action_space=kind.DISCRETE if discrete else kind.CONTINUOUS,
        action_size=world.n_items if discrete else made.actions.shape[1],
    )
