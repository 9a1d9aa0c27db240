"""The optimum, or the best known policy, of each classic, and the rules it is measured against."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from slategym.envs.arrays import AnyArray, LongArray
from slategym.envs.classic_constants import (
    EvolutionConstants,
    ExplorationConstants,
    SatisfactionConstants,
)
from slategym.envs.classic_oracle_evolution import BestQuality, RatioPolicy, price_of_time
from slategym.envs.classic_oracle_exploration import BayesGreedy, ScorePolicy
from slategym.envs.classic_oracle_satisfaction import LeastClickbait, PlanPolicy
from slategym.envs.classic_policies import FixedPolicy
from slategym.envs.classic_variant import ClassicVariant
from slategym.errors import UsageError, unknown_name

Known = Mapping[str, AnyArray]


class Oracle(Protocol):
    """Chooses slates by what is known of users and candidates.

    One that learns also has ``learn(info)``, to be called with the info of each step.
    """

    def act(self, known: Known, observation: Known | None = None) -> LongArray:
        """Return slates (B, K) of candidate positions.

        Args:
            known: ``info["privileged"]`` of an environment made with ``privileged=True``.
            observation: of the environment.
        """


@dataclass(frozen=True)
class Score:
    """Mean return over users, with its standard error."""

    mean: float
    se: float


class _Random:
    """Uniform slates of distinct candidates."""

    def __init__(self, variant: ClassicVariant) -> None:
        size, count = variant.slate_size, variant.num_candidates
        rng = np.random.Generator(np.random.Philox(0))
        self._policy = FixedPolicy(variant.family, "random", size, count, rng)

    def act(self, known: Known, observation: Known | None = None) -> LongArray:
        """Return slates (B, K)."""
        del observation
        return self._policy.act(known, len(next(iter(known.values()))))


def _ratio(variant: ClassicVariant, knows_quality: bool) -> Oracle:
    constants = variant.constants
    assert isinstance(constants, EvolutionConstants)
    return RatioPolicy(constants, _price(variant), knows_quality)


@lru_cache(maxsize=32)
def _price(variant: ClassicVariant) -> float:
    """Return what a minute of the budget is worth in a task."""
    constants = variant.constants
    assert isinstance(constants, EvolutionConstants)
    return price_of_time(constants, lambda policy: play(variant, policy, users=512, seed=1).mean)


_EVOLUTION: dict[str, Callable[[Any], Oracle]] = {
    "ratio": lambda v: _ratio(v, knows_quality=True),
    "ratio_of_means": lambda v: _ratio(v, knows_quality=False),
    "myopic": lambda v: RatioPolicy(v.constants, price=0.0),
    "best_quality": lambda v: BestQuality(v.constants),
    "random": _Random,
}
_EXPLORATION: dict[str, Callable[[Any], Oracle]] = {
    "oracle_affinity": lambda v: ScorePolicy(v.constants, "oracle_affinity"),
    "oracle_type": lambda v: ScorePolicy(v.constants, "oracle_type"),
    "bayes_greedy": lambda v: BayesGreedy(v.constants),
    "prior_mean": lambda v: ScorePolicy(v.constants, "prior_mean"),
    "quality_only": lambda v: ScorePolicy(v.constants, "quality_only"),
    "random": _Random,
}
_SATISFACTION: dict[str, Callable[[Any], Oracle]] = {
    "optimal": lambda v: PlanPolicy(v.constants, "optimal"),
    "myopic": lambda v: PlanPolicy(v.constants, "myopic"),
    "least_clickbait": lambda v: LeastClickbait(v.constants),
    "random": _Random,
}
_POLICIES = {
    EvolutionConstants.family: _EVOLUTION,
    ExplorationConstants.family: _EXPLORATION,
    SatisfactionConstants.family: _SATISFACTION,
}


def oracle_names(variant: ClassicVariant) -> tuple[str, ...]:
    """Return the policies of `oracle` for a task, the best first."""
    return tuple(_POLICIES[variant.family])


def oracle(variant: ClassicVariant, name: str | None = None) -> Oracle:
    """Return a policy that knows the user; by default the optimum, or the best known.

    Args:
        variant: a classic task.
        name: one of `oracle_names`; None: the first of them.

    Raises:
        UsageError: the variant is no classic, or there is no such policy; or the optimum is
            asked for where candidates stay for ever, which the plan does not cover.
    """
    if not isinstance(variant, ClassicVariant):
        raise UsageError(f"{variant!r} is no classic task; oracles are for those.")
    names = _POLICIES[variant.family]
    chosen = next(iter(names)) if name is None else name
    if chosen not in names:
        raise unknown_name("oracle", chosen, names)
    if chosen == "optimal" and not variant.constants.resample_documents:
        raise UsageError(
            "the plan of long-term satisfaction takes candidates for new in every step; use "
            "resample_documents=True, or the oracle 'myopic'."
        )
    return names[chosen](variant)


def play(variant: ClassicVariant, policy: Oracle, users: int = 2048, seed: int = 0) -> Score:
    """Return the mean return of one episode of each of ``users`` user streams.

    Args:
        variant: the task.
        policy: chooses the slates.
        users: how many.
        seed: of the users.
    """
    simulation = variant.simulation(users)
    rows = np.arange(users, dtype=np.uint64)
    simulation.begin(np.full(users, seed, dtype=np.uint64), rows)
    total, live = np.zeros(users), np.ones(users, dtype=np.bool_)
    learn = getattr(policy, "learn", None)
    while live.any():
        step = simulation.step(policy.act(simulation.privileged(), None))
        total += np.where(live, step.reward, 0.0)
        live &= ~(step.terminated | step.truncated)
        if learn is not None:
            learn(step.info)
    return Score(float(total.mean()), float(total.std(ddof=1) / math.sqrt(users)))
