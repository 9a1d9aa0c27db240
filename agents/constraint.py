"""A floor under a second signal of every slate, held by a Lagrange multiplier."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World
from slategym.errors import UsageError, unknown_name

Info = Mapping[str, Any]
Rows = NDArray[np.float64]
Signal = Callable[[Info], Rows]

DIVERSITY = "diversity"
RESPONSE = "response_"


class Constraint:
    """Maximise the return while a signal's mean per slate stays above a floor.

    The reward becomes ``r + lambda (signal - floor)``, and after each rollout
    ``lambda <- clip(lambda + rate (floor - mean signal), 0, limit)``: projected dual ascent and
    the penalised reward of Tessler, Mankowitz and Mannor 2019 ("Reward constrained policy
    optimization", where the constraint is a ceiling).

    Args:
        signal: what is bounded, per row of a step.
        floor: its least mean.
        rate: step of the multiplier per rollout, in units of reward per unit of signal squared.
        limit: most the multiplier may be.

    Attributes:
        multiplier: lambda; the only state between two rollouts.
        deferred: whether `reward` leaves the reward alone, because a replay buffer adds today's
            lambda to what it kept when it is sampled.
        scale: what a replay buffer's rewards were multiplied by when they were stored.
        gap: ``signal - floor`` of the step seen last ``(B,)``.
    """

    def __init__(self, signal: Signal, floor: float, rate: float, limit: float) -> None:
        self.signal, self.floor, self.rate, self.limit = signal, floor, rate, limit
        self.multiplier, self.deferred, self.scale = 0.0, False, 1.0
        self.gap: Rows = np.zeros(0)
        self._total, self._count = 0.0, 0

    def reward(self, reward: NDArray[Any], info: Info) -> NDArray[Any]:
        """Take in a step, and return its rewards ``(B,)`` as the agent is to see them."""
        self.gap = self.signal(info) - self.floor
        self._total += float(self.gap.sum())
        self._count += len(self.gap)
        return reward if self.deferred else reward + self.multiplier * self.gap

    def update(self) -> dict[str, float]:
        """Move the multiplier after a rollout; return it and the rollout's mean signal."""
        gap = self._total / max(self._count, 1)
        self._total, self._count = 0.0, 0
        self.multiplier = min(max(self.multiplier - self.rate * gap, 0.0), self.limit)
        return {"signal": gap + self.floor, "multiplier": self.multiplier}


def signal_of(name: str, venv: SlateVectorEnv) -> Signal:
    """Return what reads a signal of a step's slates from its ``info``.

    Args:
        name: "diversity": 1 - mean cosine of the contents of two items of the slate, as in
            `slategym.benchmarks.metrics.intra_list_diversity` (0 where a slate has no pair);
            "response_NAME": the user's response of that name, summed over the slate.
        venv: whose slates.

    Raises:
        UsageError: an unknown signal, or diversity in a classic, whose documents are no catalogue.
    """
    if name == DIVERSITY:
        world = getattr(venv.simulation, "world", None)
        if not isinstance(world, World):
            raise UsageError(
                f"signal 'diversity' needs a catalogue of items, and variant {venv.variant.id!r} "
                "has none; use a signal 'response_...'."
            )
        return _Diversity(world)
    venv.reset(seed=0)
    info = venv.step(np.zeros(venv.action_space.shape, np.int64) + _first_slate(venv))[4]
    known = [DIVERSITY, *(f"{RESPONSE}{key}" for key in info["response"])]
    if name not in known:
        raise unknown_name("signal", name, known)
    return _Response(name.removeprefix(RESPONSE))


def _first_slate(venv: SlateVectorEnv) -> NDArray[np.int64]:
    """Return the first candidates as a slate that every row can be shown."""
    shape = venv.action_space.shape
    return np.arange(shape[1]) if len(shape) > 1 else np.zeros(1, np.int64)


class _Response:
    """Reads a response, summed over the slate."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __call__(self, info: Info) -> Rows:
        response = np.asarray(info["response"][self.key], np.float64)
        return np.asarray(response.reshape(len(response), -1).sum(axis=1))


class _Diversity:
    """Reads how unlike each other the items of a slate are."""

    def __init__(self, world: World) -> None:
        unit = np.asarray(world.directions, np.float64)
        # A last row, zero, for empty slots; like an item of unknown content they are left out.
        self.unit = np.concatenate([unit, np.zeros((1, unit.shape[1]))])
        self.known = (np.abs(self.unit).sum(1) > 0).astype(np.float64)

    def __call__(self, info: Info) -> Rows:
        slate = np.asarray(info["slate"])
        slate = slate.reshape(len(slate), -1)
        size = self.known[slate].sum(axis=1)
        # |sum of unit vectors|^2 = n + 2 * (sum of the cosines of unordered pairs)
        squared = np.square(self.unit[slate].sum(axis=1)).sum(axis=1)
        pairs = size * (size - 1.0)
        cosine = np.divide(squared - size, pairs, out=np.ones(len(slate)), where=pairs > 0)
        return np.asarray(np.clip(1.0 - cosine, 0.0, 2.0))
