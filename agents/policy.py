"""What a recommendation policy is, and how to make one by name."""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from slategym.envs.protocol import AnyVariant
from slategym.envs.world import World
from slategym.errors import UsageError, nearest, unknown_name

# Batched arrays of the ``ids`` encoding:
#   user (B, Dp); history (B, H) item rows, I = padding, newest last;
#   history_feedback (B, H, 3): present, value in [0, 1], recency in (0, 1];
#   candidates (B, C) item rows; context (B, 6 + 2Z + E);
#   candidate_traits (B, C, X) and query (B, D) where the variant's parts give them.
Observation = Mapping[str, NDArray[Any]]
Slate = NDArray[np.int64]


@runtime_checkable
class Policy(Protocol):
    """Chooses slates for a batch of users.

    A policy may also declare ``privileged = True``: then whoever runs it gives it the observation
    of `with_privileged`. Such a policy is a reference, not a competitor. One that depends on the
    task has a method ``for_variant(variant)`` that returns it for that task. One that learns live
    has ``update(observation, slate, response)``, called after each step with the rows whose
    session went on: ``response`` holds the users' signals ``(B, K)`` and ``reward`` ``(B,)``. One
    that remembers has ``reset()``, called before the first step.
    """

    @property
    def name(self) -> str:
        """The name it has in reports."""

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:
        """Return slates ``(B, K)`` of distinct candidate positions, best first.

        Args:
            observation: batched arrays of the ``ids`` encoding; not modified.
            rng: the only source of randomness; deterministic policies do not touch it.
        """


# Strings, so that naming a policy imports nothing.
POLICIES: dict[str, str] = {
    "random": "slategym.agents.heuristics:RandomPolicy",
    "popularity": "slategym.agents.heuristics:PopularityPolicy",
    "quality": "slategym.agents.rules:QualityPolicy",
    "threshold": "slategym.agents.rules:ThresholdPolicy",
    "sequence": "slategym.agents.rules:SequencePolicy",
    "cf-greedy": "slategym.agents.heuristics:CFGreedyPolicy",
    "cf-mmr": "slategym.agents.reranked:MMRPolicy",
    "cf-dpp": "slategym.agents.reranked:DPPPolicy",
    "cf-calibrated": "slategym.agents.reranked:CalibratedPolicy",
    "cf-rested": "slategym.agents.heuristics:CFRestPolicy",
    "linucb": "slategym.agents.bandits:LinUCB",
    "lin-ts": "slategym.agents.bandits:LinTS",
    "epsilon-greedy": "slategym.agents.bandits:EpsilonGreedy",
    "oracle-myopic": "slategym.agents.heuristics:OracleMyopicPolicy",
    "oracle-reward": "slategym.agents.oracles:MyopicOracle",
    "oracle-planner": "slategym.agents.oracles:IndexPlanner",
}


def make_policy(name: str, world: World, slate_size: int, **options: object) -> Policy:
    """Return the policy registered under ``name``.

    Args:
        name: a key of `POLICIES`.
        world: the world whose public tables it may read.
        slate_size: K, at least 1.
        **options: fields of that policy, such as ``trade_off=0.7`` of ``cf-mmr``.

    Raises:
        UsageError: an unknown name or option, or a slate size below 1.
    """
    if name not in POLICIES:
        raise unknown_name("policy", name, POLICIES)
    if slate_size < 1:
        raise UsageError(f"slate_size is {slate_size}; it must be at least 1.")
    module, _, attribute = POLICIES[name].partition(":")
    factory = getattr(importlib.import_module(module), attribute)
    known = [key for key in inspect.signature(factory).parameters if key not in _FIXED]
    for option in options:
        if option not in known:
            listed = ", ".join(known) or "none"
            raise UsageError(
                f"policy {name!r} has no option {option!r}.{nearest(option, known)} "
                f"Its options: {listed}."
            )
    return cast("Policy", factory(world, slate_size, **options))


_FIXED = ("world", "slate_size")


def with_privileged(
    policy: Policy, observation: Observation, info: Mapping[str, Any]
) -> Observation:
    """Return the observation as the policy may see it.

    For a policy that declares ``privileged``, each array of ``info["privileged"]`` is added as
    ``privileged_<name>``: ``privileged_click_logit``, ``_utility`` and ``_worth`` ``(B, C)`` in
    natural-log odds and reward, and the hidden state of the users.
    """
    if not getattr(policy, "privileged", False):
        return observation
    told = info["privileged"]
    return {**observation, **{f"privileged_{name}": array for name, array in told.items()}}


def for_variant(policy: Policy, variant: AnyVariant) -> Policy:
    """Return the policy for a task: itself, unless it says that it depends on the task."""
    adapt = getattr(policy, "for_variant", None)
    return cast("Policy", adapt(variant)) if callable(adapt) else policy


def top_positions(scores: NDArray[Any], slate_size: int) -> Slate:
    """Return the positions ``(B, K)`` of the K highest scores ``(B, C)``, best first.

    Equal scores keep the order of the candidates.

    Raises:
        UsageError: there are fewer candidates than slots.
    """
    if slate_size > scores.shape[1]:
        raise UsageError(
            f"a slate of {slate_size} needs at least {slate_size} candidates, "
            f"but the observation has {scores.shape[1]}."
        )
    return np.argsort(-scores, axis=1, kind="stable")[:, :slate_size]
