"""The slate of greatest expected gain under a choice model, exactly, when everything is known."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from slategym.agents.policy import Slate, top_positions
from slategym.envs.variant import STANDARD_PARTS, Variant
from slategym.envs.world import World
from slategym.errors import UsageError

FloatArray = NDArray[np.float64]

# Dinkelbach's ratios grow until the slate stays, which takes a handful of rounds; with a cost of
# being shown it may waver between two slates that are as good.
_ROUNDS = 12


@dataclass(frozen=True)
class ChoiceRule:
    """How a user chooses from a slate: a part of slot "choice" with the world's numbers in it.

    Attributes:
        part: the choice part.
        no_click: utility of taking nothing, natural-log odds.
    """

    part: Any
    no_click: float

    @classmethod
    def of(cls, variant: Variant | None, world: World) -> Self:
        """Return the rule of a variant over a world; without one, that of ``World-v0``."""
        standard = next(part for part in STANDARD_PARTS if part.slot == "choice")
        part: Any = standard if variant is None else variant["choice"]
        own = getattr(part, "no_click_logit", None)
        return cls(part, float(world.info.no_click_logit if own is None else own))

    def expected(self, utility: NDArray[Any], gain: NDArray[Any]) -> FloatArray:
        """Return the expected gain (B,) of slates.

        Args:
            utility: (B, K) natural-log odds of the items shown, in order.
            gain: (B, K) what each is worth if taken.
        """
        wide = np.asarray(utility, np.float64)
        shares = self.part.probabilities(wide, np.ones(wide.shape, np.bool_), self.no_click)
        return np.asarray((shares[:, :-1] * gain).sum(axis=1))

    def best(
        self,
        utility: NDArray[Any],
        gain: NDArray[Any],
        slate_size: int,
        cost: NDArray[Any] | None = None,
    ) -> Slate:
        """Return the slates (B, K) of distinct positions with the greatest expected gain.

        Exact without ``cost`` for every built-in choice model; with it, the cost is weighed
        against the gain at the margin of the slate found so far. For a choice model of one's own
        slots are filled one by one, each with the item that adds most.

        Args:
            utility: (B, C) natural-log odds of the candidates.
            gain: (B, C) what each is worth if taken, above what taking nothing is worth.
            slate_size: K.
            cost: (B, C) what showing each costs, taken or not; None: nothing.

        Raises:
            UsageError: there are fewer candidates than slots.
        """
        u, g = np.asarray(utility, np.float64), np.asarray(gain, np.float64)
        c = np.zeros(u.shape) if cost is None else np.asarray(cost, np.float64)
        if self.part.name == "position":
            # Slots are independent, and looked at less and less: the largest products first.
            return top_positions(g / (1.0 + np.exp(self.no_click - u)) - c, slate_size)
        if self.part.name in ("exp_cascade", "prop_cascade"):
            return _best_cascade(self._alone(u), g - c, slate_size)
        if self.part.name not in ("logit", "proportional"):
            return self._greedy(u, g, c, slate_size)
        weight, none, discount = self._weights(u, slate_size)
        return _best_ratio(weight, none, discount, g, c)

    def _greedy(self, u: FloatArray, g: FloatArray, c: FloatArray, size: int) -> Slate:
        """Return slates (B, K) filled from the top, each slot with what then adds most."""
        batch, count = u.shape
        if size > count:
            raise UsageError(f"a slate of {size} needs at least {size} candidates, got {count}.")
        rows = np.arange(batch)
        picked = np.zeros((batch, 0), np.int64)
        free = np.ones((batch, count), np.bool_)
        for _ in range(size):
            new = np.broadcast_to(np.arange(count)[:, None], (batch, count, 1))
            old = np.repeat(picked[:, None], count, axis=1)
            tried = np.concatenate([old, new], axis=2).reshape(batch * count, -1)
            each = np.repeat(rows, count)[:, None]
            value = self.expected(u[each, tried], g[each, tried]) - c[each, tried].sum(axis=1)
            best = np.where(free, value.reshape(batch, count), -np.inf).argmax(axis=1)
            picked = np.concatenate([picked, best[:, None]], axis=1)
            free[rows, best] = False
        return picked

    def _alone(self, utility: FloatArray) -> FloatArray:
        """Return the probability (B, C) that each item is taken when it is looked at first."""
        flat = utility.reshape(-1, 1)
        filled = np.ones(flat.shape, np.bool_)
        alone: FloatArray = self.part.probabilities(flat, filled, self.no_click)[:, 0]
        return alone.reshape(utility.shape)

    def _weights(self, u: FloatArray, size: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return choice weights (B, C), the weight of nothing (B, 1), and discounts (K,)."""
        if self.part.name == "proportional":
            floor = self.part.min_normalizer
            none = np.full((len(u), 1), max(self.no_click - floor, 1e-12))
            return np.maximum(u - floor, 0.0), none, np.ones(size)
        top = np.maximum(u.max(axis=1, keepdims=True), self.no_click)
        discount = np.exp(-self.part.position_bias * np.arange(size))
        return np.exp(u - top), np.exp(self.no_click - top), discount


def _best_ratio(
    weight: FloatArray, none: FloatArray, discount: FloatArray, gain: FloatArray, cost: FloatArray
) -> Slate:
    """Return slates (B, K) that maximise ``sum d_k v_k g_k / (v_0 + sum d_k v_k) - sum c_k``.

    Dinkelbach (1967, "On nonlinear fractional programming"): the best ratio L is the root of
    ``max sum d_k v_k (g_k - L) - v_0 L``, and for a given L the best slate has the largest
    ``v (g - L)`` in descending order, since the discounts descend (rearrangement inequality).
    """
    size, rows = len(discount), np.arange(len(weight))[:, None]
    ratio, mass = np.zeros((len(weight), 1)), none + discount.sum() * weight.mean(1, keepdims=True)
    slate = np.zeros((len(weight), size), np.int64)
    settled = np.zeros((len(weight), 1), np.bool_)
    for _ in range(_ROUNDS):
        found = top_positions(weight * (gain - ratio) - cost * mass, size)
        # A row that stays is left alone, so that it does not depend on the rows beside it.
        settled |= (found == slate).all(axis=1, keepdims=True)
        if settled.all():
            break
        slate = np.where(settled, slate, found)
        shown = discount * weight[rows, slate]
        mass = none + shown.sum(axis=1, keepdims=True)
        ratio = (shown * gain[rows, slate]).sum(axis=1, keepdims=True) / mass
    return slate


def _best_cascade(taken: FloatArray, gain: FloatArray, size: int) -> Slate:
    """Return slates (B, K) that maximise ``sum_k q_k g_k prod_{j<k} (1 - q_j)``.

    In the best order gains descend (an exchange of neighbours shows it), so going through the
    candidates from the least gain up, the best slate of k of them either begins with the new one
    or does without it.
    """
    batch, count = taken.shape
    order = np.argsort(-gain, axis=1, kind="stable")
    rows = np.arange(batch)
    best = np.full((size + 1, batch), -np.inf)
    best[0] = 0.0
    picked = np.zeros((count, size + 1, batch), np.bool_)
    for place in range(count - 1, -1, -1):
        item = order[:, place]
        q, g = taken[rows, item], gain[rows, item]
        for k in range(size, 0, -1):
            begun = q * g + (1.0 - q) * best[k - 1]
            picked[place, k] = begun > best[k]
            best[k] = np.where(picked[place, k], begun, best[k])
    slate, left = np.zeros((batch, size), np.int64), np.full(batch, size)
    for place in range(count):
        chosen = picked[place, left, rows] & (left > 0)
        slate[rows[chosen], size - left[chosen]] = order[chosen, place]
        left = left - chosen
    return slate
