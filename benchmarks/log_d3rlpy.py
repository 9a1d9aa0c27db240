"""Logs as arrays for d3rlpy, which trains CQL, IQL and others on them; it is an extra.

d3rlpy knows no slates and no propensities. What it can be given is either one item an impression,
numbered in the catalogue, or the point in item space that a slate stands for: the mean of its
items' vectors, which the environment answers with ``action="proto"``. Letters: N impressions.
"""

import importlib
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from slategym.agents.policy import Observation, Slate, top_positions
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
    made, d3rlpy = transitions(log, world, actions), import_d3rlpy()
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


class _Served:
    """What both kinds of policy share: a d3rlpy algorithm, and the states it is asked about.

    Args:
        algorithm: trained on `transitions`.
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

    def for_variant(self, variant: AnyVariant) -> Self:
        """Return the same policy for a task: the context counts steps in shares of its horizon."""
        told = (self.algorithm, self.world, self.slate_size, self.name)
        return type(self)(*told, horizon=variant.horizon)

    def states(self, observation: Observation) -> NDArray[np.float32]:
        """Return what the algorithm reads of an observation ``(B, S)``."""
        step = np.round(np.asarray(observation["context"][:, 0], np.float64) * self.horizon)
        return state_of(observation, step, self.world).astype(np.float32)


class PointPolicy(_Served):
    """Shows the K candidates nearest to the point that a d3rlpy algorithm asks for.

    Its algorithm was trained with actions "proto": anything with ``predict(states)``.
    """

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:  # noqa: ARG002
        """Return slates ``(B, K)``, nearest first."""
        vectors = np.asarray(self.world.item_vectors, np.float32)
        wanted = np.asarray(self.algorithm.predict(self.states(observation)), np.float32)
        points = wanted * proto_scale(vectors)
        return nearest_of(points, vectors, observation["candidates"], self.slate_size)


class ItemPolicy(_Served):
    """Shows the candidates of the highest value, one a slate where the algorithm knows no more.

    Its algorithm was trained with actions "item": anything with
    ``predict_value(states, items)``.
    """

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        """Return the value of each candidate ``(B, C)``."""
        listed = observation["candidates"]
        states = np.repeat(self.states(observation), listed.shape[1], axis=0)
        values = self.algorithm.predict_value(states, listed.reshape(-1))
        return np.asarray(values, np.float64).reshape(listed.shape)

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:  # noqa: ARG002
        """Return slates ``(B, K)``, highest value first."""
        return top_positions(self.scores(observation), self.slate_size)


# Name -> (configuration, kind of actions, its encoders, its own options).
_BOTH = ("actor_encoder_factory", "critic_encoder_factory")
_DISCRETE = {"learning_rate": 3e-4, "target_update_interval": 500}
ALGORITHMS: dict[str, tuple[str, Literal["item", "proto"], tuple[str, ...], dict[str, float]]] = {
    "iql": ("IQLConfig", "proto", (*_BOTH, "value_encoder_factory"), {}),
    "cql": ("CQLConfig", "proto", _BOTH, {}),
    "td3+bc": ("TD3PlusBCConfig", "proto", _BOTH, {}),
    "bc": ("BCConfig", "proto", ("encoder_factory",), {}),
    "discrete-cql": ("DiscreteCQLConfig", "item", ("encoder_factory",), _DISCRETE),
}


def train_d3rlpy(
    log: Log,
    world: World,
    algorithm: str = "iql",
    *,
    steps: int = 5000,
    width: int = 256,
    gamma: float = 0.99,
    seed: int = 0,
) -> PointPolicy | ItemPolicy:
    """Return an agent that d3rlpy trains on a log alone.

    Args:
        log: has observations.
        world: what it was written in.
        algorithm: "iql" (Kostrikov et al. 2022), "cql" (Kumar et al. 2020), "td3+bc" or "bc" on
            points of item space; "discrete-cql" on items, for logs with K = 1.
        steps: gradient steps on 256 impressions each.
        width: of both hidden layers of each network.
        gamma: discount a step.
        seed: of d3rlpy, torch and NumPy; global ones, for d3rlpy knows no other.

    Raises:
        SlateGymError: d3rlpy is not installed.
        UsageError: an unknown algorithm, or slates where one item is needed.
    """
    if algorithm not in ALGORITHMS:
        raise unknown_name("d3rlpy algorithm", algorithm, ALGORITHMS)
    config, actions, encoders, own = ALGORITHMS[algorithm]
    dataset, d3rlpy = to_d3rlpy(log, world, actions), import_d3rlpy()
    d3rlpy.seed(seed)
    layers = d3rlpy.models.encoders.VectorEncoderFactory(hidden_units=[width, width])
    later = {} if algorithm == "bc" else {"gamma": gamma}
    made = getattr(d3rlpy.algos, config)(
        **{"batch_size": 256, **later, **own, **dict.fromkeys(encoders, layers)},
        observation_scaler=d3rlpy.preprocessing.StandardObservationScaler(),
    ).create(device=None)
    quiet = d3rlpy.logging.NoopAdapterFactory()
    made.fit(
        dataset, n_steps=steps, n_steps_per_epoch=steps, show_progress=False, logger_adapter=quiet
    )
    kind = PointPolicy if actions == "proto" else ItemPolicy
    return kind(made, world, log.items.shape[1], f"d3rlpy-{algorithm}")


def import_d3rlpy() -> Any:  # noqa: ANN401 - the module
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
