"""Policies for interest evolution that know the user: best known, myopic, and a static rule.

The best known policy spends the time budget where it earns most. With lambda the minutes watched
per minute of budget that the policy itself earns, it shows the slate of the largest

    E[watch time - lambda * budget spent] ,

a renewal-reward argument that is exact while interests stand still; they move slowly.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from slategym.envs.arrays import AnyArray, DoubleArray, LongArray
from slategym.envs.classic_constants import EvolutionConstants
from slategym.envs.classic_exact import weights_of

Known = Mapping[str, AnyArray]
Return = Callable[["RatioPolicy"], float]
"""Gives the mean return of a policy."""


@dataclass(frozen=True)
class RatioPolicy:
    """Shows the slate of the largest expected gain, at a price for a minute of the budget.

    Example:
        >>> from slategym.envs.classic_constants import EvolutionConstants
        >>> RatioPolicy(EvolutionConstants(), price=0.0).price  # counts minutes watched only
        0.0
    """

    constants: EvolutionConstants
    price: float
    """Minutes watched that a minute of budget is worth (lambda)."""
    knows_quality: bool = True
    """Whether it sees each video's quality, or only the mean of its cluster."""

    def act(self, known: Known, observation: Known | None = None) -> LongArray:
        """Return slates (B, K).

        Args:
            known: ``info["privileged"]``.
            observation: not looked at.
        """
        del observation
        c = self.constants
        cluster = known["cluster_id"].astype(np.int64)
        interest = np.take_along_axis(known["interest"], cluster, axis=1)  # (B, C)
        means = np.array(c.cluster_means)[cluster]
        quality = known["quality"] if self.knows_quality else means
        watched = np.minimum(c.video_length, np.maximum(known["time_budget"], 0.0))[:, None]
        utility = c.document_quality_factor * quality + c.user_quality_factor * interest
        spent = watched - c.user_update_alpha * watched * utility
        gain = watched - self.price * spent
        return best_slate(c, interest, gain, -self.price * c.step_penalty)


@dataclass(frozen=True)
class BestQuality:
    """Shows the videos of the best clusters, whoever the user is."""

    constants: EvolutionConstants

    def act(self, known: Known, observation: Known | None = None) -> LongArray:
        """Return slates (B, K)."""
        del observation
        order = np.argsort(-known["cluster_id"], axis=1, kind="stable")
        return np.ascontiguousarray(order[:, : self.constants.slate_size])


def price_of_time(constants: EvolutionConstants, play: Return, rounds: int = 6) -> float:
    """Return lambda by fixed-point iteration: what the policy of a price itself earns.

    Args:
        constants: of the task.
        play: gives the mean return of a policy.
        rounds: iterations; three digits stand after five.
    """
    price = 1.0
    for _ in range(rounds):
        price = play(RatioPolicy(constants, price)) / constants.time_budget
    return price


def best_slate(
    constants: EvolutionConstants, interest: DoubleArray, gain: DoubleArray, without: float
) -> LongArray:
    """Return the slates of the largest expected gain (B, K), exactly.

    The multinomial models have expectation sum w_i g_i / sum w_i over the slate and choosing
    nothing: a ratio of linear functions, maximised by Dinkelbach's (1967) iteration over the K
    largest w_i (g_i - best). A cascade is left at its first click, so the order of decreasing
    gain is best, and which documents are in it is a dynamic program over them in that order.

    Args:
        constants: give the choice model and K.
        interest: scores (B, C).
        gain: what a click is worth (B, C).
        without: what no click is worth.
    """
    size = constants.slate_size
    if "cascade" in constants.choice_model:
        chance = _examined_chance(constants, interest)
        return _best_cascade(chance, gain, without, size)
    weights, nothing = weights_of(constants, interest)
    best = np.full(len(gain), without)
    chosen = np.zeros((len(gain), size), dtype=np.int64)
    for _ in range(20):
        worth = weights * (gain - best[:, None])
        chosen = np.argsort(-worth, axis=1, kind="stable")[:, :size]
        w = np.take_along_axis(weights, chosen, axis=1)
        g = np.take_along_axis(gain, chosen, axis=1)
        found = ((w * g).sum(axis=1) + nothing * without) / (w.sum(axis=1) + nothing)
        if np.allclose(found, best, rtol=1e-12, atol=1e-12):
            break
        best = found
    return np.ascontiguousarray(chosen)


def _examined_chance(constants: EvolutionConstants, interest: DoubleArray) -> DoubleArray:
    """Return the chance of a click where a document is reached, in the cascade models."""
    proportional = constants.choice_model == "prop_cascade"
    x = interest - constants.min_normalizer if proportional else np.exp(interest)
    return np.asarray(constants.attention_prob * np.minimum(constants.score_scaling * x, 1.0))


def _best_cascade(chance: DoubleArray, gain: DoubleArray, without: float, size: int) -> LongArray:
    """Return the best slate of ``size`` documents in order of decreasing gain (B, K)."""
    order = np.argsort(-gain, axis=1, kind="stable")
    q, g = np.take_along_axis(chance, order, axis=1), np.take_along_axis(gain, order, axis=1)
    batch, count = q.shape
    # worth[:, m]: of the best choice of m documents among those from j on.
    worth = np.full((batch, size + 1), -np.inf)
    worth[:, 0] = without
    takes = np.zeros((count, batch, size + 1), dtype=np.bool_)
    for j in range(count - 1, -1, -1):
        taken = q[:, [j]] * g[:, [j]] + (1.0 - q[:, [j]]) * worth[:, :-1]
        takes[j, :, 1:] = taken > worth[:, 1:]
        worth[:, 1:] = np.maximum(taken, worth[:, 1:])
    slate = np.zeros((batch, size), dtype=np.int64)
    left = np.full(batch, size)
    for j in range(count):
        rows = np.flatnonzero(takes[j, np.arange(batch), left])
        slate[rows, size - left[rows]] = order[rows, j]
        left[rows] -= 1
    return slate
