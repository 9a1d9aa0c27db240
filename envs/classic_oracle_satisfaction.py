"""Long-term satisfaction solved by finite-horizon dynamic programming, with full information.

The user always consumes the first document, so only it matters. On a grid of NPE x, with s steps
left and C candidates of clickbait c drawn anew, uniform on (0, 1):

    V_s(x) = E max_c [ E r(x, c) + E V_{s-1}(m x - 2 (c - 1/2) + noise) ] ,

    E r(x, c) = exp((kale + c (choc - kale)) sigmoid(sensitivity x) + sd(c)^2 / 2) .

The maximum over C candidates is that of C points of a grid of c: its distribution follows from
the order of the values. Noise is integrated by Gauss-Hermite quadrature.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from slategym.envs.arrays import AnyArray, DoubleArray, LongArray
from slategym.envs.classic_constants import SatisfactionConstants

Known = Mapping[str, AnyArray]
_CLICKBAIT = np.linspace(0.0, 1.0, 201)
_GRID = 801
_NODES = 9


@dataclass(frozen=True)
class Plan:
    """What a policy is worth at each NPE and number of steps left."""

    grid: DoubleArray
    """NPE (X,)."""
    ahead: DoubleArray
    """(T, X): expected value after a step that leads to NPE x, noise not yet added, with as many
    steps to follow as the row's number."""
    value: DoubleArray
    """(X,) expected return of a whole episode."""

    def start(self, constants: SatisfactionConstants) -> float:
        """Return the expected return of an episode, over the users' first NPE."""
        first = np.linspace(-0.5, 0.5, 401) / (1.0 - constants.memory_discount)
        return float(np.interp(first, self.grid, self.value).mean())


def mean_engagement(
    constants: SatisfactionConstants, clickbait: AnyArray, npe: AnyArray
) -> DoubleArray:
    """Return the expected engagement, E r(x, c)."""
    c = constants
    satisfaction = 1.0 / (1.0 + np.exp(-c.sensitivity * np.asarray(npe, dtype=np.float64)))
    location = (c.kale_mean + clickbait * (c.choc_mean - c.kale_mean)) * satisfaction
    spread = clickbait * c.choc_stddev + (1.0 - clickbait) * c.kale_stddev
    return np.asarray(np.exp(location + spread**2 / 2))


@lru_cache(maxsize=32)
def solve(
    constants: SatisfactionConstants, rule: str = "optimal", any_clickbait: bool = False
) -> Plan:
    """Return the value of a policy by dynamic programming.

    Args:
        constants: of the task; candidates are drawn anew in each step.
        rule: "optimal", "myopic" (largest engagement now), "random" or "kale" (least
            clickbait).
        any_clickbait: any document of [0, 1] may be shown, instead of one of C candidates.
    """
    c = constants
    m, s = c.memory_discount, c.innovation_stddev
    reach = 1.0 / (1.0 - m) + 6.0 * s / math.sqrt(1.0 - m * m) + 0.5
    grid = np.linspace(-reach, reach, _GRID)
    reward = mean_engagement(c, _CLICKBAIT[None], grid[:, None])  # (X, grid of c)
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    noisy = grid[:, None] + s * nodes
    after = m * grid[:, None] - 2.0 * (_CLICKBAIT[None] - 0.5)
    value, ahead = np.zeros(_GRID), []
    for _ in range(math.ceil(c.time_budget)):
        ahead.append(np.interp(noisy, grid, value) @ (weights / weights.sum()))
        worth = reward + np.interp(after, grid, ahead[-1])
        count = None if any_clickbait else c.num_candidates
        value = _followed(rule, worth, reward, count)
    return Plan(grid, np.array(ahead), value)


def _followed(rule: str, worth: DoubleArray, reward: DoubleArray, count: int | None) -> DoubleArray:
    """Return the expected worth (X,) of the document that a rule shows."""
    share = np.full(len(_CLICKBAIT), 1.0 / (len(_CLICKBAIT) - 1))  # trapezoid rule on (0, 1)
    share[[0, -1]] /= 2
    if rule == "random":
        return np.asarray(worth @ share)
    liking = {"optimal": worth, "myopic": reward}.get(rule)
    if liking is None:
        liking = np.broadcast_to(-_CLICKBAIT, worth.shape)
    if count is None:
        best = liking.argmax(axis=1)
        return np.asarray(np.take_along_axis(worth, best[:, None], axis=1)[:, 0])
    order = np.argsort(liking, axis=1, kind="stable")
    below = np.cumsum(share[order], axis=1)
    first = np.zeros((len(worth), 1))
    chance = np.diff(np.concatenate([first, below], axis=1) ** count, axis=1)
    return np.asarray((np.take_along_axis(worth, order, axis=1) * chance).sum(axis=1))


class PlanPolicy:
    """Shows the document of the largest expected return, then the others in that order.

    Args:
        constants: of the task.
        rule: "optimal" looks ahead, "myopic" does not.
    """

    def __init__(self, constants: SatisfactionConstants, rule: str = "optimal") -> None:
        self.constants, self.rule = constants, rule
        self._plan = solve(constants) if rule == "optimal" else None

    def act(self, known: Known, observation: Known | None = None) -> LongArray:
        """Return slates (B, K).

        Args:
            known: ``info["privileged"]``.
            observation: not looked at.
        """
        del observation
        c, npe, clickbait = self.constants, known["npe"], known["clickbait"].astype(np.float64)
        worth = mean_engagement(c, clickbait, npe[:, None])
        if self._plan is not None:
            after = c.memory_discount * npe[:, None] - 2.0 * (clickbait - 0.5)
            worth += self._ahead(after, known["time_budget"])
        order = np.argsort(-worth, axis=1, kind="stable")
        return np.ascontiguousarray(order[:, : c.slate_size])

    def _ahead(self, after: DoubleArray, left: DoubleArray) -> DoubleArray:
        """Return the expected value of what follows (B, C)."""
        assert self._plan is not None
        grid, ahead = self._plan.grid, self._plan.ahead
        steps = np.clip(np.ceil(left).astype(np.int64) - 1, 0, len(ahead) - 1)
        place = (np.clip(after, grid[0], grid[-1]) - grid[0]) / (grid[1] - grid[0])
        low = np.minimum(place.astype(np.int64), len(grid) - 2)
        share, rows = place - low, steps[:, None]
        return np.asarray(ahead[rows, low] * (1 - share) + ahead[rows, low + 1] * share)


class LeastClickbait:
    """Shows the documents of the least clickbait first ("kale")."""

    def __init__(self, constants: SatisfactionConstants) -> None:
        self.constants = constants

    def act(self, known: Known, observation: Known | None = None) -> LongArray:
        """Return slates (B, K)."""
        del observation
        order = np.argsort(known["clickbait"], axis=1, kind="stable")
        return np.ascontiguousarray(order[:, : self.constants.slate_size])
