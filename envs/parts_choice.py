"""How attractive an item is, and which items of a slate the user takes."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import BoolArray, DoubleArray, FloatArray
from slategym.envs.part import number, register_part
from slategym.envs.parts_hooks import HookedPart
from slategym.errors import UsageError

if TYPE_CHECKING:
    from slategym.envs.reference_scene import Scene

Numbers = FloatArray | DoubleArray


def logistic(x: Numbers) -> DoubleArray:
    """Return 1 / (1 + exp(-x))."""
    # exp(709) is near the largest double; the quotient is 0 there to all digits that matter.
    return 1.0 / (1.0 + np.exp(-np.maximum(np.asarray(x, dtype=np.float64), -709.0)))


@dataclass(frozen=True)
class Response(HookedPart):
    """How attractive an item is by itself, before what the parts of slot "change" add."""

    slot = "response"

    def attract(self, scene: "Scene") -> DoubleArray:
        """Return (B, N) tastes for ``scene.items``, in natural-log odds."""
        raise NotImplementedError


@register_part
@dataclass(frozen=True)
class TasteResponse(Response):
    """How attractive an item is to a user by taste: the fitted and calibrated click logit.

    ``taste_i = taste_scale * (click_intercept + click_slope * value_i)`` in natural-log odds,
    ``value_i = mean + user bias + item bias_i + p . q_i`` on the log's scale. At the start of an
    episode ``p = user_factors + taste_spread * user_std * N(0, 1)``. The utility of an item is
    its taste plus what the parts of slot "change" add.
    """

    name = "taste"
    taste_scale: float = number(1.0, 0.0, 20.0, "multiplies the click logit")
    taste_spread: float = number(1.0, 0.0, 5.0, "multiplies the posterior sd of the taste")

    def taste(self, click_logit: Numbers) -> DoubleArray:
        """Return tastes in natural-log odds."""
        return np.asarray(self.taste_scale * np.asarray(click_logit, dtype=np.float64))

    def attract(self, scene: "Scene") -> DoubleArray:
        """Return the scaled click logit."""
        return self.taste(scene.click_logit)


@dataclass(frozen=True)
class Choice(HookedPart):
    """Which items of a slate are taken.

    Subclasses give the probability of each slot; noise hangs on the item and not on its place,
    so that two policies that show the same item meet the same luck.
    """

    slot = "choice"

    def probabilities(  # a part of one's own may state only how it draws
        self,
        utility: Numbers,  # noqa: ARG002
        filled: BoolArray,  # noqa: ARG002
        no_click: float,  # noqa: ARG002
    ) -> DoubleArray:
        """Return (B, K+1): the probability that each slot is taken, and that none is.

        Args:
            utility: (B, K) natural-log odds.
            filled: (B, K) False for empty slots, which are never taken.
            no_click: utility of taking nothing, natural-log odds.

        Raises:
            UsageError: a part of one's own that states only how it draws.
        """
        raise UsageError(
            f"part {self.name!r} states no probabilities(self, utility, filled, no_click), which "
            "policies that know the simulation plan with; state it, or ask for another policy."
        )

    def choose(self, scene: "Scene") -> BoolArray:
        """Return (B, K): True where an item of ``scene.slate`` is taken."""
        raise NotImplementedError


def _normalised(weight: DoubleArray, none: DoubleArray) -> DoubleArray:
    """Return weights and the weight of nothing, divided by their sum."""
    both = np.concatenate([weight, none], axis=1)
    return np.asarray(both / both.sum(axis=1, keepdims=True))


def _only(slot: np.ndarray, taken: BoolArray, count: int) -> BoolArray:
    """Return (B, K): True at ``slot`` (B,) of the rows that are ``taken`` (B,)."""
    return np.asarray((np.arange(count) == slot[:, None]) & taken[:, None])


@register_part
@dataclass(frozen=True)
class LogitChoice(Choice):
    """Multinomial logit with a no-choice option (McFadden 1974, eq. 12).

    Item k is taken with probability ``exp(v_k) / (exp(v_0) + sum_j exp(v_j))``,
    ``v_k = utility_k - position_bias * k``. Drawn as the largest of ``v + Gumbel``.
    """

    name = "logit"
    no_click_logit: float | None = number(
        None, -100.0, 100.0, "utility v_0 of choosing nothing; None: the world's", optional=True
    )
    position_bias: float = number(0.1, 0.0, 10.0, "logit lost per place down the slate")

    def probabilities(self, utility: Numbers, filled: BoolArray, no_click: float) -> DoubleArray:
        """Return (B, K+1) probabilities that sum to one, the last column choosing nothing."""
        biased = np.where(filled, self.biased(utility), -np.inf)
        logits = np.concatenate([biased, np.full((len(utility), 1), no_click)], axis=1)
        weight = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(weight / weight.sum(axis=1, keepdims=True))

    def biased(self, utility: Numbers) -> DoubleArray:
        """Return (B, K) utilities less the position bias of each place."""
        return np.asarray(utility - self.position_bias * np.arange(utility.shape[1]))

    def choose(self, scene: "Scene") -> BoolArray:
        """Return True at the largest of utility plus Gumbel noise, if it beats nothing's."""
        attraction = self.biased(scene.utility) + scene.gumbel(rng.CHOICE, scene.items + 1)
        attraction = np.where(scene.filled, attraction, -np.inf)
        nothing = scene.no_click(self.no_click_logit) + scene.gumbel(rng.CHOICE, 0)
        slot = attraction.argmax(axis=1)
        return _only(slot, attraction.max(axis=1) > nothing, attraction.shape[1])


@register_part
@dataclass(frozen=True)
class ProportionalChoice(Choice):
    """Choice in proportion to how far a utility lies above a floor (RecSim, Ie et al. 2019).

    ``v_k = max(utility_k - min_normalizer, 0)``, ``v_0 = max(v_none - min_normalizer, 0)`` and
    P(k) = ``v_k / (v_0 + sum_j v_j)``. Drawn as the first of exponential clocks of rate v.
    """

    name = "proportional"
    no_click_logit: float | None = number(
        None, -100.0, 100.0, "utility v_none of choosing nothing; None: the world's", optional=True
    )
    min_normalizer: float = number(-8.0, -100.0, 100.0, "utility that is never chosen")

    def probabilities(self, utility: Numbers, filled: BoolArray, no_click: float) -> DoubleArray:
        """Return (B, K+1) probabilities that sum to one, the last column choosing nothing."""
        weight = np.where(filled, np.maximum(utility - self.min_normalizer, 0.0), 0.0)
        none = np.full((len(utility), 1), max(no_click - self.min_normalizer, 0.0))
        total = weight.sum(axis=1, keepdims=True) + none
        # Nothing attracts and nothing repels: then nothing is chosen.
        return _normalised(weight, np.where(total > 0, none, 1.0))

    def choose(self, scene: "Scene") -> BoolArray:
        """Return True at the item whose clock rings first, if it rings before nothing's."""
        rate = np.where(scene.filled, np.maximum(scene.utility - self.min_normalizer, 0.0), 0.0)
        clock = np.full(rate.shape, np.inf)
        wait = scene.exponential(rng.CHOICE, scene.items + 1)
        np.divide(wait, rate, out=clock, where=rate > 0)
        none = max(scene.no_click(self.no_click_logit) - self.min_normalizer, 0.0)
        first = scene.exponential(rng.CHOICE, 0) / none if none > 0 else np.full(len(rate), np.inf)
        return _only(clock.argmin(axis=1), clock.min(axis=1) < first, rate.shape[1])


@dataclass(frozen=True)
class _Cascade(Choice, ABC):
    """The slate is read from the top; the first item that attracts enough is taken."""

    attention_prob: float = number(0.9, 0.0, 1.0, "probability that an item is looked at")
    score_scaling: float = number(0.3, 0.0, 1e6, "multiplies the attraction")

    @abstractmethod
    def attraction(self, utility: Numbers) -> DoubleArray:
        """Return how much each item attracts, before scaling; at least 0."""

    def own_chance(self, utility: Numbers) -> DoubleArray:
        """Return q: the probability that an item is taken once the reader has come to it."""
        scaled = np.minimum(self.score_scaling * self.attraction(utility), 1.0)
        return np.asarray(self.attention_prob * scaled)

    def probabilities(self, utility: Numbers, filled: BoolArray, no_click: float) -> DoubleArray:  # noqa: ARG002
        """Return (B, K+1) probabilities that sum to one, the last column choosing nothing."""
        taken = np.where(filled, self.own_chance(utility), 0.0)
        reached = np.cumprod(1.0 - taken, axis=1)
        before = np.concatenate([np.ones((len(taken), 1)), reached[:, :-1]], axis=1)
        return np.concatenate([taken * before, reached[:, -1:]], axis=1)

    def choose(self, scene: "Scene") -> BoolArray:
        """Return True at the first item that is taken when read from the top."""
        luck = scene.uniform(rng.CHOICE, scene.items + 1)
        taken = scene.filled & (luck < self.own_chance(scene.utility))
        return _only(taken.argmax(axis=1), np.any(taken, axis=1), taken.shape[1])


@register_part
@dataclass(frozen=True)
class ExponentialCascade(_Cascade):
    """Cascade (Craswell et al. 2008, eq. 3) with ``q_k = a min(score_scaling exp(u_k), 1)``.

    a is ``attention_prob``; P(k) = ``q_k prod_{j<k} (1 - q_j)``. RecSim requires the scaled
    score to stay below 1; here it is cut there.
    """

    name = "exp_cascade"

    def attraction(self, utility: Numbers) -> DoubleArray:
        """Return exp(utility)."""
        return np.asarray(np.exp(np.minimum(utility, 700.0)))


@register_part
@dataclass(frozen=True)
class ProportionalCascade(_Cascade):
    """Cascade with ``q_k = attention_prob min(score_scaling max(u_k - min_normalizer, 0), 1)``."""

    name = "prop_cascade"
    min_normalizer: float = number(-4.0, -100.0, 100.0, "utility that is never chosen")

    def attraction(self, utility: Numbers) -> DoubleArray:
        """Return how far a utility lies above the floor."""
        return np.asarray(np.maximum(utility - self.min_normalizer, 0.0))


@register_part
@dataclass(frozen=True)
class PositionChoice(Choice):
    """Position-based examination: any number of items is taken (Richardson et al. 2007, eq. 3).

    Slot k is looked at with probability ``(k + 1)^-examine_decay`` and, once looked at, its item
    is taken with probability ``logistic(u_k - v_0)``, independently of the others.
    """

    name = "position"
    no_click_logit: float | None = number(
        None, -100.0, 100.0, "utility v_0 that an item must beat; None: the world's", optional=True
    )
    examine_decay: float = number(0.6, 0.0, 10.0, "exponent; 0: every slot is looked at")

    def examined(self, count: int) -> DoubleArray:
        """Return (K,) the probability that each slot is looked at."""
        return np.asarray(np.arange(1, count + 1) ** -self.examine_decay)

    def probabilities(self, utility: Numbers, filled: BoolArray, no_click: float) -> DoubleArray:
        """Return (B, K+1): each slot's own probability, and that no slot is taken."""
        wanted = self.examined(utility.shape[1]) * logistic(utility - no_click)
        taken = np.where(filled, wanted, 0.0)
        none = np.prod(1.0 - taken, axis=1, keepdims=True)
        return np.concatenate([taken, none], axis=1)

    def choose(self, scene: "Scene") -> BoolArray:
        """Return True where a slot is looked at and its item is wanted."""
        count = scene.items.shape[1]
        looked = scene.uniform(rng.EXAMINE, np.arange(count)) < self.examined(count)
        wish = logistic(scene.utility - scene.no_click(self.no_click_logit))
        return looked & scene.filled & (scene.uniform(rng.CHOICE, scene.items + 1) < wish)
