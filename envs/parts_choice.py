"""How attractive an item is, and which items of a slate the user takes."""

from dataclasses import dataclass

import numpy as np

from slategym.envs.arrays import BoolArray, DoubleArray, FloatArray
from slategym.envs.part import Part, number, register_part

Numbers = FloatArray | DoubleArray


def logistic(x: Numbers) -> DoubleArray:
    """Return 1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + np.exp(-np.asarray(x, dtype=np.float64)))


@register_part
@dataclass(frozen=True)
class TasteResponse(Part):
    """How attractive an item is to a user by taste: the fitted and calibrated click logit.

    ``taste_i = taste_scale * (click_intercept + click_slope * value_i)`` in natural-log odds,
    ``value_i = mean + user bias + item bias_i + p . q_i`` on the log's scale. At the start of an
    episode ``p = user_factors + taste_spread * user_std * N(0, 1)``. The utility of an item is
    its taste plus what the parts of slot "change" add.
    """

    name = "taste"
    slot = "response"
    taste_scale: float = number(1.0, 0.0, 20.0, "multiplies the click logit")
    taste_spread: float = number(1.0, 0.0, 5.0, "multiplies the posterior sd of the taste")

    def taste(self, click_logit: Numbers) -> DoubleArray:
        """Return tastes in natural-log odds."""
        return np.asarray(self.taste_scale * np.asarray(click_logit, dtype=np.float64))


@dataclass(frozen=True)
class Choice(Part):
    """Which items of a slate are taken.

    Subclasses give the probability of each slot; noise hangs on the item and not on its place,
    so that two policies that show the same item meet the same luck.
    """

    slot = "choice"

    def probabilities(self, utility: Numbers, filled: BoolArray, no_click: float) -> DoubleArray:
        """Return (B, K+1): the probability that each slot is taken, and that none is.

        Args:
            utility: (B, K) natural-log odds.
            filled: (B, K) False for empty slots, which are never taken.
            no_click: utility of taking nothing, natural-log odds.
        """
        raise NotImplementedError


def _normalised(weight: DoubleArray, none: DoubleArray) -> DoubleArray:
    """Return weights and the weight of nothing, divided by their sum."""
    both = np.concatenate([weight, none], axis=1)
    return np.asarray(both / both.sum(axis=1, keepdims=True))


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
        place = np.arange(utility.shape[1])
        biased = np.where(filled, utility - self.position_bias * place, -np.inf)
        logits = np.concatenate([biased, np.full((len(utility), 1), no_click)], axis=1)
        weight = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(weight / weight.sum(axis=1, keepdims=True))


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


@dataclass(frozen=True)
class _Cascade(Choice):
    """The slate is read from the top; the first item that attracts enough is taken."""

    attention_prob: float = number(0.9, 0.0, 1.0, "probability that an item is looked at")
    score_scaling: float = number(0.3, 0.0, 1e6, "multiplies the attraction")

    def attraction(self, utility: Numbers) -> DoubleArray:
        """Return how much each item attracts, before scaling; at least 0."""
        raise NotImplementedError

    def probabilities(self, utility: Numbers, filled: BoolArray, no_click: float) -> DoubleArray:  # noqa: ARG002
        """Return (B, K+1) probabilities that sum to one, the last column choosing nothing."""
        scaled = np.minimum(self.score_scaling * self.attraction(utility), 1.0)
        taken = np.where(filled, self.attention_prob * scaled, 0.0)
        reached = np.cumprod(1.0 - taken, axis=1)
        before = np.concatenate([np.ones((len(taken), 1)), reached[:, :-1]], axis=1)
        return np.concatenate([taken * before, reached[:, -1:]], axis=1)


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

    def probabilities(self, utility: Numbers, filled: BoolArray, no_click: float) -> DoubleArray:
        """Return (B, K+1): each slot's own probability, and that no slot is taken."""
        looked = np.arange(1, utility.shape[1] + 1) ** -self.examine_decay
        taken = np.where(filled, looked * logistic(utility - no_click), 0.0)
        none = np.prod(1.0 - taken, axis=1, keepdims=True)
        return np.concatenate([taken, none], axis=1)
