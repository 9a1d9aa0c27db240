"""Made-up problems whose true values are known exactly, for trying out off-policy estimators.

Letters: M contexts, N units, A actions, K slots, L slates, S states, T steps, U users. Contexts are
a finite set, so that truths are sums and not samples. Rounds of one user come from the user's own
context half of the time, so that they depend on one another.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from slategym.benchmarks.ope_bandit import BanditLog, bandit_log
from slategym.benchmarks.ope_sequence import SequenceLog, sequence_log
from slategym.benchmarks.ope_slate import SlateLog, slate_log
from slategym.benchmarks.ope_tabular import Chain, exact_value

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]

ROUNDS_PER_USER = 5


@dataclass(frozen=True)
class Rounds:
    """Single decisions with clicks.

    Attributes:
        behaviour: probabilities of the logging policy in each context (M, A).
        evaluation: probabilities of the judged policy (M, A).
        clicks: probability of a click (M, A).
        model: what a wrong reward model predicts (M, A).
        told: probabilities written down; ``None`` means the true ones.
    """

    behaviour: FloatArray
    evaluation: FloatArray
    clicks: FloatArray
    model: FloatArray
    told: FloatArray | None = None

    @property
    def truth(self) -> float:
        """Value of the judged policy."""
        return float((self.evaluation * self.clicks).sum(axis=1).mean())

    def draw(self, units: int, rng: np.random.Generator) -> tuple[BanditLog, IntArray]:
        """Return a log of N rounds and the user of each (N,)."""
        contexts, users = _contexts(len(self.behaviour), units, rng)
        actions = _choices(self.behaviour[contexts], rng)
        rewards = (rng.random(units) < self.clicks[contexts, actions]).astype(np.float64)
        told = self.behaviour if self.told is None else self.told
        log = bandit_log(
            actions,
            rewards,
            told[contexts, actions],
            self.evaluation[contexts],
            model=self.model[contexts],
            behaviour=told[contexts],
        )
        return log, users


def make_rounds(
    behaviour: float, evaluation: float, *, seed: int = 0, forbidden: int = 0, wrong: bool = False
) -> Rounds:
    """Return a problem of 300 contexts and 10 actions.

    Args:
        behaviour: how strongly the logging policy follows the true log odds; negative avoids.
        evaluation: how strongly the judged policy does; the farther apart, the smaller the
            effective sample.
        seed: seed of the problem.
        forbidden: number of the best actions in each context the logging policy never takes.
        wrong: whether uniform propensities were written down whatever the policy was.
    """
    rng = np.random.default_rng(seed)
    odds = rng.normal(size=(300, 5)) @ rng.normal(size=(5, 10)) / np.sqrt(5.0) + rng.normal(size=10)
    logged = behaviour * odds
    best = np.argsort(-odds, axis=1)[:, :forbidden]
    np.put_along_axis(logged, best, -np.inf, axis=1)
    probabilities = _softmax(logged)
    return Rounds(
        behaviour=probabilities,
        evaluation=_softmax(evaluation * odds),
        clicks=_sigmoid(odds - 1.0),
        model=_sigmoid(0.6 * odds - 0.7),
        told=np.full(odds.shape, 0.1) if wrong else None,
    )


@dataclass(frozen=True)
class Slates:
    """Ordered slates of distinct items whose clicks suffer from like items above.

    Attributes:
        slates: all ordered slates (L, K).
        behaviour: probability of each under the logging policy (M, L).
        evaluation: under the judged policy (M, L).
        clicks: probability of a click in each slot (M, L, K).
        items: number of items A.
    """

    slates: IntArray
    behaviour: FloatArray
    evaluation: FloatArray
    clicks: FloatArray
    items: int

    @property
    def truth(self) -> float:
        """Expected clicks of a slate of the judged policy."""
        return float((self.evaluation * self.clicks.sum(axis=2)).sum(axis=1).mean())

    @cached_property
    def _tables(self) -> tuple[FloatArray, ...]:
        """Slot and cascade probabilities of both policies (M, L, K)."""
        policies = (self.evaluation, self.behaviour)
        slots = [_slot_probabilities(p, self.slates, self.items) for p in policies]
        return (*slots, *(_cascade_probabilities(p, self.slates) for p in policies))

    def draw(self, units: int, rng: np.random.Generator) -> tuple[SlateLog, IntArray]:
        """Return a log of N slates and the user of each (N,)."""
        contexts, users = _contexts(len(self.behaviour), units, rng)
        chosen = _choices(self.behaviour[contexts], rng)
        at = (contexts, chosen)
        rewards = (rng.random((units, self.slates.shape[1])) < self.clicks[at]).astype(np.float64)
        judged_slot, logged_slot, judged_cascade, logged_cascade = self._tables
        log = slate_log(
            rewards,
            evaluation_slate=self.evaluation[at],
            behaviour_slate=self.behaviour[at],
            evaluation_slot=judged_slot[at],
            behaviour_slot=logged_slot[at],
            evaluation_cascade=judged_cascade[at],
            behaviour_cascade=logged_cascade[at],
        )
        return log, users


def make_slates(behaviour: float, evaluation: float, *, seed: int = 0) -> Slates:
    """Return a problem of 100 contexts and slates of 3 among 6 items, Plackett-Luce policies.

    Args:
        behaviour: how strongly the logging policy follows the true log odds.
        evaluation: how strongly the judged policy does.
        seed: seed of the problem.
    """
    rng = np.random.default_rng(seed)
    odds = rng.normal(size=(100, 6)) + rng.normal(size=6)
    alike = np.abs(rng.normal(size=(6, 6)))
    alike = (alike + alike.T) / 2.0
    slates = np.array(list(permutations(range(6), 3)))
    above = np.zeros(slates.shape)
    for slot in range(1, 3):
        above[:, slot] = alike[slates[:, :slot], slates[:, slot : slot + 1]].mean(axis=1)
    return Slates(
        slates=slates,
        behaviour=plackett_luce(behaviour * odds, slates),
        evaluation=plackett_luce(evaluation * odds, slates),
        clicks=_sigmoid(odds[:, slates] - 1.0 - above),
        items=6,
    )


def plackett_luce(logits: FloatArray, slates: IntArray) -> FloatArray:
    """Return the probability of each ordered slate (M, L) when items are drawn one by one.

    Each slot is a softmax over the items not yet taken (Plackett 1975; Luce 1959).

    Args:
        logits: (M, A).
        slates: ordered slates of distinct items (L, K).
    """
    left = np.repeat(logits[:, None, :], len(slates), axis=1)  # (M, L, A)
    total = np.zeros(left.shape[:2])
    for slot in range(slates.shape[1]):
        chosen = slates[None, :, slot, None]
        # Summed anew over what is left: taking away from a sum leaves only rounding errors
        # once the item that holds nearly all of it is gone.
        total += np.take_along_axis(left, chosen, axis=2)[:, :, 0] - logsumexp(left, axis=2)
        np.put_along_axis(left, chosen, -np.inf, axis=2)
    return np.exp(total)


@dataclass(frozen=True)
class Sessions:
    """Sessions over a few states, some of which end early.

    Attributes:
        chain: the process.
        behaviour: probabilities of the logging policy (S, A).
        evaluation: of the judged policy (S, A).
        steps: horizon T.
    """

    chain: Chain
    behaviour: FloatArray
    evaluation: FloatArray
    steps: int

    @property
    def truth(self) -> float:
        """Expected return of the judged policy."""
        return exact_value(self.chain, self.evaluation, 1.0, self.steps)

    def draw(self, units: int, rng: np.random.Generator) -> tuple[SequenceLog, IntArray]:
        """Return a log of N sessions and the user of each (N,)."""
        chain, steps = self.chain, self.steps
        states, users = _contexts(len(chain.start), units, rng)
        shape = (units, steps)
        alive = np.zeros(shape, bool)
        rewards, judged, logged = np.zeros(shape), np.ones(shape), np.ones(shape)
        there = np.ones(units, bool)
        for step in range(steps):
            actions = _choices(self.behaviour[states], rng)
            alive[:, step] = there
            rewards[:, step] = rng.random(units) < chain.rewards[states, actions]
            judged[:, step] = self.evaluation[states, actions]
            logged[:, step] = self.behaviour[states, actions]
            there = there & (rng.random(units) >= chain.hazard[states, actions])
            states = _choices(chain.transitions[states, actions], rng)
        return sequence_log(rewards, judged, logged, alive), users


def make_sessions(mix: float, steps: int, *, seed: int = 0) -> Sessions:
    """Return a problem of 5 states and 3 actions.

    Args:
        mix: how much of the judged policy is its own; the rest is the logging policy.
        steps: horizon T.
        seed: seed of the problem.
    """
    rng = np.random.default_rng(seed)
    behaviour, own = rng.dirichlet(np.full(3, 3.0), 5), rng.dirichlet(np.full(3, 0.7), 5)
    chain = Chain(
        transitions=rng.dirichlet(np.ones(5), (5, 3)),
        rewards=rng.random((5, 3)),
        hazard=0.15 * rng.random((5, 3)),
        start=np.full(5, 0.2),
    )
    return Sessions(chain, behaviour, mix * own + (1.0 - mix) * behaviour, steps)


def _contexts(count: int, units: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Return contexts and users (N,): a user's own context half of the time, else any."""
    users = np.arange(units) // ROUNDS_PER_USER
    own = rng.integers(0, count, int(users[-1]) + 1)[users]
    return np.where(rng.random(units) < 0.5, own, rng.integers(0, count, units)), users


def _choices(probabilities: FloatArray, rng: np.random.Generator) -> IntArray:
    """Return one draw from each row (N,)."""
    edges = np.cumsum(probabilities, axis=1)
    reached = rng.random((len(edges), 1)) * edges[:, -1:] < edges
    return np.asarray(reached.argmax(axis=1))


def _slot_probabilities(policy: FloatArray, slates: IntArray, items: int) -> FloatArray:
    """Return the probability that a slot holds the slate's item, whatever else (M, L, K)."""
    found = np.empty((*policy.shape, slates.shape[1]))
    for slot in range(slates.shape[1]):
        marginal = policy @ np.eye(items)[slates[:, slot]]  # (M, A)
        found[:, :, slot] = marginal[:, slates[:, slot]]
    return found


def _cascade_probabilities(policy: FloatArray, slates: IntArray) -> FloatArray:
    """Return the probability of the slate's first items, up to each slot (M, L, K)."""
    found = np.empty((*policy.shape, slates.shape[1]))
    for slot in range(slates.shape[1]):
        _, same = np.unique(slates[:, : slot + 1], axis=0, return_inverse=True)
        member = same.ravel()
        sums = policy @ np.eye(int(member.max()) + 1)[member]
        found[:, :, slot] = sums[:, member]
    return found


def _softmax(logits: FloatArray) -> FloatArray:
    """Return probabilities of rows."""
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


def _sigmoid(odds: FloatArray) -> FloatArray:
    """Return probabilities of log odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-odds)))
