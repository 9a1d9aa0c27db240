"""Policies that say how likely they show a slate, and how to make one of any policy.

Letters: B batch, C candidates, K slots.
"""

import math
from collections.abc import Mapping
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from slategym.agents.classic_rules import RandomSlates
from slategym.agents.heuristics import RandomPolicy
from slategym.agents.policy import Observation, Policy, Slate, for_variant, top_positions
from slategym.agents.slate_laws import MixtureLaw, PlackettLuceLaw, SlateLaw
from slategym.envs.protocol import AnyVariant
from slategym.errors import UsageError


@runtime_checkable
class StochasticPolicy(Protocol):
    """A `slategym.agents.policy.Policy` that also gives its law."""

    @property
    def name(self) -> str:
        """The name it has in logs and reports."""

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:
        """Return slates ``(B, K)``."""

    def law(self, observation: Observation) -> SlateLaw:
        """Return the distribution that `act` draws from."""


class _Wrapped:
    """What the wrappers share: the policy inside, and what it sees."""

    def __init__(self, policy: Policy, name: str, count: int | None = None) -> None:
        self.policy, self.name, self.count = policy, name, count
        self.privileged = bool(getattr(policy, "privileged", False))

    def law(self, observation: Observation) -> SlateLaw:
        """Return the distribution of slates for a batch."""
        raise NotImplementedError

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:
        """Return slates ``(B, K)``."""
        return self.law(observation).sample(rng)

    def candidates(self, observation: Observation) -> int:
        """Return C."""
        return observation["candidates"].shape[1] if self.count is None else self.count

    def reset(self) -> None:
        """Let the policy inside forget what it remembers of a session."""
        reset = getattr(self.policy, "reset", None)
        if callable(reset):
            reset()

    def update(
        self, observation: Observation, slate: Slate, response: Mapping[str, NDArray[Any]]
    ) -> None:
        """Let the policy inside learn from a step, if it does; see `Policy`."""
        learn = getattr(self.policy, "update", None)
        if callable(learn):
            learn(observation, slate, response)


class EpsilonPolicy(_Wrapped):
    """Shows a policy's slate with probability ``1 - epsilon``, else a uniform one.

    Args:
        policy: a deterministic policy; one that draws is refused when it does.
        epsilon: in [0, 1].
        count: C, where the observation does not say it: a classic's is one flat vector.

    Raises:
        UsageError: epsilon is out of range.
    """

    def __init__(self, policy: Policy, epsilon: float, count: int | None = None) -> None:
        if not 0 <= epsilon <= 1:
            raise UsageError(f"epsilon is {epsilon}; it must be in [0, 1].")
        super().__init__(policy, f"{policy.name}, epsilon {epsilon:g}", count)
        self.epsilon = epsilon

    def for_variant(self, variant: AnyVariant) -> "EpsilonPolicy":
        """Return the same mixture around the policy for a task."""
        return EpsilonPolicy(for_variant(self.policy, variant), self.epsilon, _documents(variant))

    def law(self, observation: Observation) -> MixtureLaw:
        """Return the mixture for a batch."""
        best = np.asarray(self.policy.act(observation, _no_luck(self.policy.name)), np.int64)
        return MixtureLaw(best, self.epsilon, self.candidates(observation))


class PlackettLucePolicy(_Wrapped):
    """Draws slates by softmax over a policy's scores divided by a temperature.

    Args:
        policy: has ``scores(observation)`` (B, C) and ``slate_size``.
        temperature: above 0, in the units of the scores; 1 draws a trained slate agent as it was
            in training.

    Raises:
        UsageError: the policy has no scores, or the temperature is not above 0.
    """

    def __init__(self, policy: Policy, temperature: float) -> None:
        if not (temperature > 0 and math.isfinite(temperature)):
            raise UsageError(f"temperature is {temperature}; it must be above 0.")
        if not callable(getattr(policy, "scores", None)):
            raise UsageError(
                f"policy {policy.name!r} has no scores that a temperature could soften; "
                "use epsilon instead."
            )
        super().__init__(policy, f"{policy.name}, temperature {temperature:g}")
        self.temperature = temperature
        self._checked = False

    def for_variant(self, variant: AnyVariant) -> "PlackettLucePolicy":
        """Return the same softening of the policy for a task."""
        return PlackettLucePolicy(for_variant(self.policy, variant), self.temperature)

    def law(self, observation: Observation) -> PlackettLuceLaw:
        """Return the Plackett-Luce distribution for a batch.

        Raises:
            UsageError: the policy's own slates are not those of its highest scores.
        """
        policy: Any = self.policy
        scores = policy.scores(observation)
        if not self._checked and not getattr(policy, "sample", False):
            best = policy.act(observation, _no_luck(policy.name))
            if not (top_positions(scores, policy.slate_size) == best).all():
                raise UsageError(
                    f"policy {policy.name!r} does not rank by its scores alone, so softening them "
                    "would make another policy of it; use epsilon instead."
                )
            self._checked = True
        return PlackettLuceLaw(scores / self.temperature, policy.slate_size)


class UniformPolicy(_Wrapped):
    """Every ordered slate is equally likely.

    Args:
        policy: a random policy; its size and name are taken.
        count: as in `EpsilonPolicy`.
    """

    def __init__(self, policy: RandomPolicy | RandomSlates, count: int | None = None) -> None:
        super().__init__(policy, policy.name, count)
        self._random = policy

    def for_variant(self, variant: AnyVariant) -> "UniformPolicy":
        """Return the same policy for a task."""
        return UniformPolicy(self._random, _documents(variant))

    def law(self, observation: Observation) -> MixtureLaw:
        """Return the uniform distribution for a batch."""
        batch, size = len(observation["candidates"]), self._random.slate_size
        any_slate = np.tile(np.arange(size), (batch, 1))
        return MixtureLaw(any_slate, 1.0, self.candidates(observation))


def _documents(variant: AnyVariant) -> int | None:
    """Return C for a classic; None for a world, whose observation lists the candidates."""
    return None if variant.family == "world" else variant.num_candidates


def with_propensities(
    policy: Policy, *, temperature: float | None = None, epsilon: float | None = None
) -> StochasticPolicy:
    """Return a policy that says how likely it shows a slate.

    Args:
        policy: any policy. One with a method ``law`` of its own, and ``random``, need no wrapping.
        temperature: wrap it in a `PlackettLucePolicy`.
        epsilon: wrap it in an `EpsilonPolicy`; 0 leaves it deterministic, which serves as a
            policy to be judged and not as one that writes a log.

    Raises:
        UsageError: the policy is deterministic and neither is given, or both are.
    """
    if temperature is not None and epsilon is not None:
        raise UsageError("temperature and epsilon were both given; give one of them.")
    if temperature is not None:
        return PlackettLucePolicy(policy, temperature)
    if epsilon is not None:
        return EpsilonPolicy(policy, epsilon)
    if isinstance(policy, StochasticPolicy):
        return policy
    if isinstance(policy, RandomPolicy | RandomSlates):
        return UniformPolicy(policy)
    if getattr(policy, "sample", False) is True and callable(getattr(policy, "scores", None)):
        return PlackettLucePolicy(policy, 1.0)
    soft = callable(getattr(policy, "scores", None))
    ways = "temperature=0.2 (softmax over its scores) or epsilon=0.1" if soft else "epsilon=0.1"
    raise UsageError(
        f"policy {policy.name!r} always shows the same slate, so it has no probabilities to judge "
        f"others by; wrap it: {ways} (any slate now and then)."
    )


class _NoLuck:
    """Stands for a generator and refuses to be used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:  # noqa: ANN401
        raise UsageError(
            f"policy {self._name!r} draws at random (rng.{attribute}) and does not say how likely "
            "its slates are; give it a method law(observation), or use another policy."
        )


def _no_luck(name: str) -> np.random.Generator:
    """Return what a deterministic policy may be given for its generator."""
    stand_in: Any = _NoLuck(name)
    return cast("np.random.Generator", stand_in)
