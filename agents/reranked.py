"""Policies that fill a slate for variety or balance from the scores of any scoring policy."""

from typing import Protocol, cast

import numpy as np

from slategym.agents.heuristics import padded
from slategym.agents.policy import Observation, Slate, make_policy
from slategym.agents.public_model import FloatArray
from slategym.agents.rerank import calibrated, greedy_dpp, mmr
from slategym.envs.world import World
from slategym.errors import UsageError, unknown_name

# Policies whose slate is the order of their scores.
BASES = ("cf-greedy", "popularity", "quality", "sequence", "threshold")


class Scorer(Protocol):
    """A policy that can say what it thinks of every candidate."""

    def scores(self, observation: Observation) -> FloatArray:
        """Return scores ``(B, C)``, in any scale; more is better."""


class RerankedPolicy:
    """What re-rankings share: the scores they start from.

    Args:
        world: only its public tables are read.
        slate_size: K.
        base: one of `BASES`, whose scores are re-ranked.

    Raises:
        UsageError: an unknown base.
    """

    def __init__(self, world: World, slate_size: int, base: str) -> None:
        if base not in BASES:
            raise unknown_name("base of a re-ranking", base, BASES)
        self.slate_size = slate_size
        self.base = cast("Scorer", make_policy(base, world, slate_size))

    def scores(self, observation: Observation) -> FloatArray:
        """Return the base's scores ``(B, C)``, before re-ranking."""
        return self.base.scores(observation)


class MMRPolicy(RerankedPolicy):
    """Re-ranked for variety: maximal marginal relevance (Carbonell and Goldstein 1998).

    See `slategym.agents.rerank.mmr`; relevance is the base's score, cosine that of
    `World.directions`.

    Args:
        world: only its public tables are read.
        slate_size: K.
        trade_off: in [0, 1]; 1 is the base's order.
        base: one of `BASES`.
    """

    name = "cf-mmr"

    def __init__(
        self, world: World, slate_size: int, trade_off: float = 0.7, base: str = "cf-greedy"
    ) -> None:
        if not 0 <= trade_off <= 1:
            raise UsageError(f"trade_off is {trade_off}; it must be in [0, 1].")
        super().__init__(world, slate_size, base)
        self.trade_off = trade_off
        self._direction = padded(world.directions)

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:  # noqa: ARG002
        """Return slates ``(B, K)`` in the order the slots were filled."""
        direction = self._direction[observation["candidates"]]  # (B, C, D)
        scores = self.scores(observation)
        return mmr(scores, direction, self.slate_size, trade_off=self.trade_off)


class DPPPolicy(RerankedPolicy):
    """Re-ranked for variety as a whole: greedy determinantal point process (Chen et al. 2018).

    See `slategym.agents.rerank.greedy_dpp`; relevance is the base's score, cosine that of
    `World.directions`.

    Args:
        world: only its public tables are read.
        slate_size: K.
        theta: weight of relevance in [0, 1); 0 is variety alone.
        base: one of `BASES`.
    """

    name = "cf-dpp"

    def __init__(
        self, world: World, slate_size: int, theta: float = 0.7, base: str = "cf-greedy"
    ) -> None:
        if not 0 <= theta < 1:
            raise UsageError(f"theta is {theta}; it must be in [0, 1).")
        super().__init__(world, slate_size, base)
        self.theta = theta
        self._direction = padded(world.directions)

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:  # noqa: ARG002
        """Return slates ``(B, K)`` in the order the slots were filled."""
        direction = self._direction[observation["candidates"]]  # (B, C, D)
        scores = self.scores(observation)
        return greedy_dpp(scores, direction, self.slate_size, theta=self.theta)


class CalibratedPolicy(RerankedPolicy):
    """Re-ranked so that a slate has the topics of the user's history (Steck 2018).

    See `slategym.agents.rerank.calibrated`; the target is the mean topic distribution of the
    observed history, each item weighted by the value it got and its recency.

    Args:
        world: only its public tables are read.
        slate_size: K.
        trade_off: weight of calibration in [0, 1]; 0 is the base's order.
        base: one of `BASES`.
    """

    name = "cf-calibrated"

    def __init__(
        self, world: World, slate_size: int, trade_off: float = 0.3, base: str = "cf-greedy"
    ) -> None:
        if not 0 <= trade_off <= 1:
            raise UsageError(f"trade_off is {trade_off}; it must be in [0, 1].")
        super().__init__(world, slate_size, base)
        self.trade_off = trade_off
        self._topics = _shares(padded(world.item_topics))

    def target(self, observation: Observation) -> FloatArray:
        """Return the topic distribution ``(B, Z)`` of each history; zeros where it is empty."""
        weight = np.prod(observation["history_feedback"], axis=2, dtype=np.float64)
        topics = self._topics[observation["history"]]  # (B, H, Z)
        return _shares(np.einsum("bh,bhz->bz", weight, topics))

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:  # noqa: ARG002
        """Return slates ``(B, K)`` in the order the slots were filled."""
        topics = self._topics[observation["candidates"]]  # (B, C, Z)
        return calibrated(
            self.scores(observation),
            topics,
            self.target(observation),
            self.slate_size,
            trade_off=self.trade_off,
        )


def _shares(table: FloatArray) -> FloatArray:
    """Return rows ``(n, Z)`` scaled to sum to 1; a row of zeros stays."""
    sums = table.sum(axis=1, keepdims=True)
    return table / np.where(sums > 0, sums, 1.0)
