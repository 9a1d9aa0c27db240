"""Policies that learn nothing: random, popularity, collaborative filtering, and a reference."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slategym.agents.policy import Observation, Slate, top_positions
from slategym.agents.public_model import FloatArray, PublicModel
from slategym.envs.spaces import CONTEXT_SCALARS
from slategym.envs.world import World
from slategym.errors import UsageError


class RandomPolicy:
    """Uniform slates of distinct candidates."""

    name = "random"

    def __init__(self, world: World, slate_size: int) -> None:  # noqa: ARG002
        self.slate_size = slate_size

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:
        """Return slates ``(B, K)``; every ordered slate is equally likely."""
        return top_positions(rng.random(observation["candidates"].shape), self.slate_size)


class PopularityPolicy:
    """The candidates most often consumed in the public log."""

    name = "popularity"

    def __init__(self, world: World, slate_size: int) -> None:
        self.slate_size = slate_size
        self._popularity: FloatArray = np.append(
            np.asarray(world.item_popularity, np.float64), -1.0
        )

    def scores(self, observation: Observation) -> FloatArray:
        """Return the public interactions ``(B, C)`` of the candidates."""
        return self._popularity[observation["candidates"]]

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:  # noqa: ARG002
        """Return slates ``(B, K)``, most popular first."""
        return top_positions(self.scores(observation), self.slate_size)


class CFGreedyPolicy:
    """Ranks by predicted rating: myopic, personal, blind to boredom.

    The public model takes in the observed history anew at each step, so it follows what the user
    did in the session; nothing is remembered between calls.

    Args:
        world: only its public tables are read.
        slate_size: K.
        noise_std: rating noise of the fold-in in rating points; None measures it.
    """

    name = "cf-greedy"

    def __init__(self, world: World, slate_size: int, noise_std: float | None = None) -> None:
        self.slate_size = slate_size
        self.model = PublicModel.from_world(world, noise_std)

    def scores(self, observation: Observation) -> FloatArray:
        """Return predicted ratings ``(B, C)`` in the rating scale of the public model."""
        feedback = observation["history_feedback"]
        user = self.model.fold_in(observation["history"], feedback[..., 1], feedback[..., 0])
        return self.model.score(user, observation["candidates"])

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:  # noqa: ARG002
        """Return slates ``(B, K)``, highest predicted rating first."""
        return top_positions(self.scores(observation), self.slate_size)


class CFRestPolicy(CFGreedyPolicy):
    """CF-greedy that lets tired topics rest: the strong static rule.

    score = predicted rating - fatigue * (topic exposure . candidate topics)

    Args:
        world: only its public tables are read.
        slate_size: K.
        fatigue: rating points that one unit of exposure costs, at least 0.
        noise_std: as in `CFGreedyPolicy`.
    """

    name = "cf-rested"

    def __init__(
        self,
        world: World,
        slate_size: int,
        fatigue: float = 0.5,
        noise_std: float | None = None,
    ) -> None:
        if not fatigue >= 0:
            raise UsageError(f"fatigue is {fatigue}; it must be at least 0.")
        super().__init__(world, slate_size, noise_std)
        self.fatigue = fatigue
        self._topics = padded(world.item_topics)

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:  # noqa: ARG002
        """Return slates ``(B, K)``, best rating after the charge for exposure first."""
        size = self._topics.shape[1]
        exposure = observation["context"][:, CONTEXT_SCALARS : CONTEXT_SCALARS + size]  # (B, Z)
        topics = self._topics[observation["candidates"]]  # (B, C, Z)
        tired = np.einsum("bz,bcz->bc", exposure, topics)
        return top_positions(self.scores(observation) - self.fatigue * tired, self.slate_size)


class OracleMyopicPolicy:
    """Ranks by the true click logit, which no real platform sees: a reference only.

    It knows the user's taste and ignores boredom.
    """

    name = "oracle-myopic"
    privileged = True

    def __init__(self, world: World, slate_size: int) -> None:  # noqa: ARG002
        self.slate_size = slate_size

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:  # noqa: ARG002
        """Return slates ``(B, K)``, highest click logit first.

        Raises:
            UsageError: the observation lacks ``privileged_click_logit``.
        """
        if "privileged_click_logit" not in observation:
            raise UsageError(
                "oracle-myopic needs observation['privileged_click_logit'] (B, C); make the "
                "environment with privileged=True and copy info['privileged']['click_logit']."
            )
        return top_positions(observation["privileged_click_logit"], self.slate_size)


def padded(table: NDArray[Any]) -> FloatArray:
    """Return a table ``(I, n)`` with a zero row for padding, ``(I + 1, n)``."""
    table = np.asarray(table, np.float64)
    return np.concatenate([table, np.zeros((1, table.shape[1]))])
