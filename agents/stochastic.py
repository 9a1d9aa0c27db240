"""Policies that say how likely they show a slate, and how to make one of any policy.

Letters: B batch, C candidates, K slots, M nodes of a quadrature.
"""

import math
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from slategym.agents.heuristics import RandomPolicy
from slategym.agents.policy import Observation, Policy, Slate, for_variant, top_positions
from slategym.envs.protocol import AnyVariant
from slategym.errors import UsageError

FloatArray = NDArray[np.float64]

# Trapezoid in the logarithm of time: the integrand is analytic within pi / 2 of the real axis, so
# the error falls as exp(-pi^2 / step), 6e-13 here.
_STEP = 0.35
_EARLIEST = -17.0  # log of a time at which two arrivals have probability of 1e-14 or less
_CHUNK = 2_000_000  # numbers of one pass of the quadrature


class SlateLaw(Protocol):
    """The distribution of ordered slates (B, K) of distinct positions, for one batch."""

    def sample(self, rng: np.random.Generator) -> Slate:
        """Return slates ``(B, K)``, one draw a row."""

    def log_slots(self, slates: Slate) -> FloatArray:
        """Return ``ln P(a_k | a_1..a_{k-1})`` ``(B, K)``; their sum is the slate's; may be -inf."""

    def log_positions(self, slates: Slate) -> FloatArray:
        """Return ``ln P(slot k shows a_k)`` ``(B, K)``, whatever the other slots show."""

    def slots(self, slates: Slate) -> FloatArray:
        """Return ``P(slot k shows i | a_1..a_{k-1})`` ``(B, K, C)`` for every candidate i."""


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


class PlackettLuceLaw:
    """Items drawn one after the other by softmax (Plackett 1975, eq. 1; Luce 1959).

    Args:
        scores: natural-log odds ``(B, C)``, up to a constant per row.
        slate_size: K, at most C.
    """

    def __init__(self, scores: NDArray[Any], slate_size: int) -> None:
        scores = np.asarray(scores, np.float64)
        check_sizes(slate_size, scores.shape[1])
        if not np.isfinite(scores).all():
            raise UsageError("a policy gave scores that are not finite; no slate can be drawn.")
        self.scores: FloatArray = scores - scores.max(1, keepdims=True)
        self.slate_size = slate_size

    def sample(self, rng: np.random.Generator) -> Slate:
        """Return slates ``(B, K)``: Gumbel noise, then the K largest (Yellott 1977)."""
        noisy = self.scores + rng.gumbel(size=self.scores.shape)
        return np.argsort(-noisy, axis=1, kind="stable")[:, : self.slate_size]

    def log_slots(self, slates: Slate) -> FloatArray:
        """Return conditional log-probabilities ``(B, K)``."""
        chosen = np.take_along_axis(self.scores, slates, 1)  # (B, K)
        rest = self.scores.copy()
        np.put_along_axis(rest, slates, -np.inf, 1)
        left = np.logaddexp.reduce(rest, axis=1, keepdims=True)  # (B, 1): what no slot took
        tail = np.logaddexp.accumulate(chosen[:, ::-1], axis=1)[:, ::-1]  # picks k..K
        return np.asarray(chosen - np.logaddexp(tail, left))

    def slots(self, slates: Slate) -> FloatArray:
        """Return conditional probabilities ``(B, K, C)``; 0 for what is shown already."""
        out = np.empty((*slates.shape, self.scores.shape[1]))
        left, rows = self.scores.copy(), np.arange(len(self.scores))
        for k in range(slates.shape[1]):
            # Anew in each slot: subtracting large odds would leave nothing of small ones.
            odds = np.exp(left - left.max(1, keepdims=True))
            out[:, k] = odds / odds.sum(1, keepdims=True)
            left[rows, slates[:, k]] = -np.inf
        return out

    def log_positions(self, slates: Slate) -> FloatArray:
        """Return marginal log-probabilities ``(B, K)``, to about 1e-12.

        Item i is drawn when its exponential clock of rate ``exp(score_i)`` rings, so
        ``P(slot k shows i) = int l_i e^{-l_i t} P(k - 1 other clocks rang before t) dt``; the
        count is Poisson-binomial. Exact enumeration would take ``C! / (C - K)!`` terms.
        """
        size, count = self.slate_size, self.scores.shape[1]
        first = self.scores - np.logaddexp.reduce(self.scores, axis=1, keepdims=True)
        found = np.take_along_axis(first, slates, 1)
        if size == 1:
            return found
        kth = -np.sort(-self.scores, axis=1)[:, size - 1]
        nodes = np.arange(_EARLIEST - math.log(count), 4.0 - kth.min(), _STEP)
        rows = max(1, _CHUNK // (len(nodes) * max(size * size, count)))
        for start in range(0, len(slates), rows):
            part = slice(start, start + rows)
            found[part, 1:] = _late_slots(self.scores[part], slates[part], nodes)
        return found


def _late_slots(scores: FloatArray, slates: Slate, nodes: FloatArray) -> FloatArray:
    """Return ``ln P(slot k shows a_k)`` ``(B, K - 1)`` of all slots but the first.

    Args:
        scores: ``(B, C)``, the largest of each row 0.
        slates: ``(B, K)``.
        nodes: logarithms of time ``(M,)``, equally spaced.
    """
    size = slates.shape[1]
    time = np.exp(nodes)
    rang = -np.expm1(-np.exp(scores)[..., None] * time)  # (B, C, M)
    # counts[b, s, n, m]: n of the others than slot s's item have rung before node m.
    counts = np.zeros((len(scores), size - 1, size, len(nodes)))
    counts[:, :, 0] = 1.0
    for i in range(scores.shape[1]):
        mine = (slates[:, 1:] == i)[..., None]  # (B, K - 1, 1)
        p = np.where(mine, 0.0, rang[:, i, None, :])[:, :, None]  # (B, K - 1, 1, M)
        up = counts[:, :, :-1] * p
        counts *= 1.0 - p
        counts[:, :, 1:] += up
    exact = np.stack([counts[:, k - 1, k] for k in range(1, size)], 1)  # (B, K - 1, M)
    log_rate = np.take_along_axis(scores, slates[:, 1:], 1)[..., None]  # (B, K - 1, 1)
    density = np.exp(log_rate + nodes - np.exp(log_rate + nodes))  # l t e^{-l t}
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(_STEP * (density * exact).sum(-1)))


class MixtureLaw:
    """One slate with probability ``1 - epsilon``, else any ordered slate, all equally likely.

    ``P(a_1..a_k) = (1 - e) 1[a_1..a_k = d_1..d_k] + e (C - k)! / C!``; conditionals are ratios.

    Args:
        best: the slates ``(B, K)`` that are shown but for chance.
        epsilon: in [0, 1].
        count: C.
    """

    def __init__(self, best: Slate, epsilon: float, count: int) -> None:
        check_sizes(best.shape[1], count)
        self.best, self.epsilon, self.count = best, float(epsilon), count
        steps = 1.0 / (count - np.arange(best.shape[1]))
        self._uniform = np.cumprod(steps)  # (K,): (C - k)! / C!

    def sample(self, rng: np.random.Generator) -> Slate:
        """Return slates ``(B, K)``; as many draws whatever epsilon is."""
        batch, size = self.best.shape
        explore = rng.random(batch) < self.epsilon
        other = np.argsort(rng.random((batch, self.count)), axis=1, kind="stable")[:, :size]
        return np.where(explore[:, None], other, self.best)

    def log_slots(self, slates: Slate) -> FloatArray:
        """Return conditional log-probabilities ``(B, K)``."""
        same = np.logical_and.accumulate(slates == self.best, axis=1)
        now = (1 - self.epsilon) * same + self.epsilon * self._uniform  # (B, K)
        before = np.concatenate([np.ones((len(now), 1)), now[:, :-1]], axis=1)
        share = np.divide(now, before, out=np.zeros_like(now), where=before > 0)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(share))

    def log_positions(self, slates: Slate) -> FloatArray:
        """Return marginal log-probabilities ``(B, K)``."""
        share = (1 - self.epsilon) * (slates == self.best) + self.epsilon / self.count
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(share))

    def slots(self, slates: Slate) -> FloatArray:
        """Return conditional probabilities ``(B, K, C)``; 0 after a slate that cannot begin so."""
        batch, size = slates.shape
        out = np.zeros((batch, size, self.count))
        rows, free = np.arange(batch), np.ones((batch, self.count), dtype=np.bool_)
        same, before = np.ones(batch, dtype=np.bool_), np.ones(batch)
        for k in range(size):
            now = self.epsilon * self._uniform[k] * free
            now[rows, self.best[:, k]] += (1 - self.epsilon) * same
            np.divide(now, before[:, None], out=out[:, k], where=before[:, None] > 0)
            same &= slates[:, k] == self.best[:, k]
            before = (1 - self.epsilon) * same + self.epsilon * self._uniform[k]
            free[rows, slates[:, k]] = False
        return out


class _Wrapped:
    """What the wrappers share: the policy inside, and what it sees."""

    def __init__(self, policy: Policy, name: str) -> None:
        self.policy, self.name = policy, name
        self.privileged = bool(getattr(policy, "privileged", False))

    def law(self, observation: Observation) -> SlateLaw:
        """Return the distribution of slates for a batch."""
        raise NotImplementedError

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:
        """Return slates ``(B, K)``."""
        return self.law(observation).sample(rng)

    def reset(self) -> None:
        """Let the policy inside forget what it remembers of a session."""
        reset = getattr(self.policy, "reset", None)
        if callable(reset):
            reset()


class EpsilonPolicy(_Wrapped):
    """Shows a policy's slate with probability ``1 - epsilon``, else a uniform one.

    Args:
        policy: a deterministic policy; one that draws is refused when it does.
        epsilon: in [0, 1].

    Raises:
        UsageError: epsilon is out of range.
    """

    def __init__(self, policy: Policy, epsilon: float) -> None:
        if not 0 <= epsilon <= 1:
            raise UsageError(f"epsilon is {epsilon}; it must be in [0, 1].")
        super().__init__(policy, f"{policy.name}, epsilon {epsilon:g}")
        self.epsilon = epsilon

    def for_variant(self, variant: AnyVariant) -> "EpsilonPolicy":
        """Return the same mixture around the policy for a task."""
        return EpsilonPolicy(for_variant(self.policy, variant), self.epsilon)

    def law(self, observation: Observation) -> MixtureLaw:
        """Return the mixture for a batch."""
        best = np.asarray(self.policy.act(observation, _no_luck(self.policy.name)), np.int64)
        return MixtureLaw(best, self.epsilon, observation["candidates"].shape[1])


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
        policy: the random policy; its size and name are taken.
    """

    def __init__(self, policy: RandomPolicy) -> None:
        super().__init__(policy, policy.name)
        self.slate_size = policy.slate_size

    def law(self, observation: Observation) -> MixtureLaw:
        """Return the uniform distribution for a batch."""
        batch, count = observation["candidates"].shape[:2]
        check_sizes(self.slate_size, count)
        any_slate = np.tile(np.arange(self.slate_size), (batch, 1))
        return MixtureLaw(any_slate, 1.0, count)


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
    if isinstance(policy, RandomPolicy):
        return UniformPolicy(policy)
    if getattr(policy, "sample", False) is True and callable(getattr(policy, "scores", None)):
        return PlackettLucePolicy(policy, 1.0)
    soft = callable(getattr(policy, "scores", None))
    ways = "temperature=0.2 (softmax over its scores) or epsilon=0.1" if soft else "epsilon=0.1"
    raise UsageError(
        f"policy {policy.name!r} always shows the same slate, so it has no probabilities to judge "
        f"others by; wrap it: {ways} (any slate now and then)."
    )


def check_sizes(slate_size: int, count: int) -> None:
    """Refuse more slots than candidates.

    Raises:
        UsageError: there are fewer candidates than slots.
    """
    if slate_size > count:
        raise UsageError(
            f"a slate of {slate_size} needs at least {slate_size} candidates, "
            f"but the observation has {count}."
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
    return stand_in  # type: ignore[no-any-return]
