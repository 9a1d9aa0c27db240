"""Distributions of slates with the probability of every slot, in NumPy and double precision.

Letters: B batch, C candidates, K slots, M nodes of a quadrature.
"""

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slategym.agents.policy import Slate
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
        explore = rng.random((batch, 1)) < self.epsilon
        other = np.argsort(rng.random((batch, self.count)), axis=1, kind="stable")[:, :size]
        return np.where(explore, other, self.best)

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
