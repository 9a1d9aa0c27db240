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

from slategym.agents.policy import Observation, Slate
from slategym.benchmarks.log_features import state_features, state_of
from slategym.benchmarks.log_schema import AnyArray, Log
from slategym.envs.actions import proto_scale
from slategym.envs.nearest import nearest_of
from slategym.envs.protocol import AnyVariant
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
    made, d3rlpy = transitions(log, world, actions), _d3rlpy()
    kind, discrete = d3rlpy.constants.ActionSpace, actions == "item"
    return d3rlpy.dataset.MDPDataset(
        observations=made.observations,
        actions=made.actions,
        rewards=made.rewards,
        terminals=made.terminals,
        timeouts=made.timeouts,
        action_space=kind.DISCRETE if discrete else kind.CONTINUOUS,
        action_size=world.n_items if discrete else made.actions.shape[1],
    )


class PointPolicy:
    """Shows the K candidates nearest to the point that a d3rlpy algorithm asks for.

    Args:
        algorithm: trained on `transitions` with actions "proto"; anything with
            ``predict(observations)``.
        world: what it was trained in.
        slate_size: K.
        name: what it is called in reports.
        horizon: most steps of an episode; set by `for_variant`.
    """

    def __init__(
        self,
        algorithm: Any,  # noqa: ANN401
        world: World,
        slate_size: int,
        name: str,
        horizon: int = 0,
    ) -> None:
        self.algorithm, self.world, self.horizon = algorithm, world, horizon
        self.slate_size, self.name = slate_size, name
        self._vectors = np.asarray(world.item_vectors, np.float32)
        self._scale = proto_scale(self._vectors)

    def for_variant(self, variant: AnyVariant) -> "PointPolicy":
        """Return the same policy for a task: the context counts steps in shares of its horizon."""
        told = (self.algorithm, self.world, self.slate_size, self.name)
        return PointPolicy(*told, horizon=variant.horizon)

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:  # noqa: ARG002
        """Return slates ``(B, K)``, nearest first."""
        step = np.round(np.asarray(observation["context"][:, 0], np.float64) * self.horizon)
        state = state_of(observation, step, self.world).astype(np.float32)
        points = np.asarray(self.algorithm.predict(state), np.float32) * self._scale
        return nearest_of(points, self._vectors, observation["candidates"], self.slate_size)


def train_d3rlpy(
    log: Log, world: World, algorithm: str = "iql", *, steps: int = 5000, seed: int = 0
) -> PointPolicy:
    """Return an agent that d3rlpy trains on a log alone.

    Args:
        log: has observations.
        world: what it was written in.
        algorithm: "iql" (Kostrikov et al. 2022), "cql" (Kumar et al. 2020), "td3+bc" or "bc".
        steps: gradient steps on 256 impressions each.
        seed: of d3rlpy, torch and NumPy; global ones, for d3rlpy knows no other.

    Raises:
        SlateGymError: d3rlpy is not installed.
        UsageError: an unknown algorithm.
    """
    names = {"iql": "IQLConfig", "cql": "CQLConfig", "td3+bc": "TD3PlusBCConfig", "bc": "BCConfig"}
    if algorithm not in names:
        raise unknown_name("d3rlpy algorithm", algorithm, names)
    dataset, d3rlpy = to_d3rlpy(log, world), _d3rlpy()
    d3rlpy.seed(seed)
    scaler = d3rlpy.preprocessing.StandardObservationScaler()
    made = getattr(d3rlpy.algos, names[algorithm])(observation_scaler=scaler).create(device=None)
    quiet = d3rlpy.logging.NoopAdapterFactory()
    made.fit(
        dataset, n_steps=steps, n_steps_per_epoch=steps, show_progress=False, logger_adapter=quiet
    )
    return PointPolicy(made, world, log.items.shape[1], f"d3rlpy-{algorithm}")


def _d3rlpy() -> Any:  # noqa: ANN401 - the module
    """Return the module ``d3rlpy``.

    Raises:
        SlateGymError: it, or what it needs, is not installed.
    """
    try:
        return importlib.import_module("d3rlpy")
    except ImportError as error:
        raise SlateGymError(
            f"d3rlpy needs {error.name}; install it with `pip install slategym[d3rlpy]`."
        ) from None
