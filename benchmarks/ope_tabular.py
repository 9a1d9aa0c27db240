"""Values of policies where states and actions can be counted: exact, by FQE, and state weights.

Letters: N trajectories, T steps, S states, A actions.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slategym.benchmarks.ope_estimate import Estimate, mean_estimate, no_weights

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]
BoolArray = npt.NDArray[np.bool_]

FQE_CAVEAT = "it is as wrong as its model of values, and its interval knows the first states only"


@dataclass(frozen=True)
class TabularLog:
    """Trajectories over counted states.

    Attributes:
        states: (N, T), in 0 .. S - 1; anything after the end.
        actions: (N, T), in 0 .. A - 1.
        rewards: (N, T).
        alive: whether the step took place (N, T).
    """

    states: IntArray
    actions: IntArray
    rewards: FloatArray
    alive: BoolArray


@dataclass(frozen=True)
class Chain:
    """A decision process with states that can be counted.

    Attributes:
        transitions: probability of the next state if the session goes on (S, A, S).
        rewards: mean reward (S, A).
        hazard: probability that the session ends after the step (S, A).
        start: probability of each first state (S,).
    """

    transitions: FloatArray
    rewards: FloatArray
    hazard: FloatArray
    start: FloatArray

    @property
    def going_on(self) -> FloatArray:
        """Probability of each next state, the missing mass being the end (S, A, S)."""
        return self.transitions * (1.0 - self.hazard)[:, :, None]


def backup(
    rewards: FloatArray, going_on: FloatArray, policy: FloatArray, discount: float, steps: int
) -> FloatArray:
    """Return action values (S, A) with a number of steps to go, by as many Bellman backups.

    Args:
        rewards: mean reward (S, A).
        going_on: probability of each next state, the missing mass being the end (S, A, S).
        policy: probabilities of actions (S, A).
        discount: in [0, 1].
        steps: at least 0.
    """
    values = np.zeros_like(rewards, dtype=np.float64)
    for _ in range(steps):
        values = rewards + discount * (going_on @ (policy * values).sum(axis=1))
    return values


def exact_value(chain: Chain, policy: FloatArray, discount: float, steps: int) -> float:
    """Return the expected discounted return of a policy (S, A) over a number of steps."""
    values = backup(chain.rewards, chain.going_on, policy, discount, steps)
    return float(chain.start @ (policy * values).sum(axis=1))


def occupancy(chain: Chain, policy: FloatArray, steps: int) -> FloatArray:
    """Return the probability of being in each state at each time, not ended (T, S)."""
    moves = np.einsum("sa,san->sn", policy, chain.going_on)
    rows = [np.asarray(chain.start, np.float64)]
    for _ in range(steps - 1):
        rows.append(rows[-1] @ moves)
    return np.stack(rows)


def state_weights(
    judged: FloatArray, logged: FloatArray, states: IntArray, alive: BoolArray
) -> FloatArray:
    """Return ``d_t^e(s_t) / d_t^b(s_t)`` of each logged step (N, T).

    After the end stands the ratio of the probabilities of having ended, so that the weights of
    each step have mean 1.

    Args:
        judged: occupancy of the judged policy (T, S).
        logged: occupancy of the logging policy (T, S).
        states: (N, T).
        alive: (N, T).
    """
    times = np.arange(states.shape[1])[None, :]
    inside = _safe(judged, logged)[times, np.where(alive, states, 0)]
    ended = _safe(1.0 - judged.sum(axis=1), 1.0 - logged.sum(axis=1))
    return np.where(alive, inside, np.maximum(ended, 0.0)[None, :])


def estimated_state_weights(log: TabularLog, ratios: FloatArray, n_states: int) -> FloatArray:
    """Return state weights (N, T) estimated from the log alone.

    The judged policy's occupancy is carried forward through logged steps, each weighted by its
    state's weight and its action's ratio: ``d_t+1^e(s') = mean(w_t(s_t) rho_t 1[s_t+1 = s'])``
    (Xie, Ma and Wang 2019, "Towards optimal off-policy evaluation with marginalized importance
    sampling").

    Args:
        log: the trajectories.
        ratios: of the logged actions (N, T), 1 after the end.
        n_states: S.
    """
    trajectories, steps = log.states.shape
    weights = np.ones((trajectories, steps))
    for t in range(1, steps):
        there, states = log.alive[:, t], log.states[:, t]
        carried = np.where(log.alive[:, t - 1], weights[:, t - 1] * ratios[:, t - 1], 0.0)
        mass = np.bincount(states[there], weights=carried[there], minlength=n_states)
        seen = np.bincount(states[there], minlength=n_states)
        weights[there, t] = _safe(mass, seen)[states[there]]
        ended = (1.0 - mass.sum() / trajectories) * trajectories
        weights[~there, t] = max(ended, 0.0) / max(int((~there).sum()), 1)
    return weights


def fqe_values(
    log: TabularLog,
    policy: FloatArray,
    discount: float,
    *,
    counts: npt.ArrayLike | None = None,
) -> FloatArray:
    """Return action values (S, A) of a policy by tabular fitted Q evaluation, T backups.

    Rewards and next states are means over all logged visits of a state and action, whenever
    they were; a session that ended has no next state, and the last step of the horizon says
    nothing about it (Le, Voloshin and Yue 2019, algorithm 3, with tables). What was never tried
    has value 0.

    Args:
        log: the trajectories.
        policy: probabilities of actions (S, A).
        discount: in [0, 1].
        counts: how often each trajectory counts (N,); ``None`` means once.
    """
    shape = policy.shape
    cells, steps = policy.size, log.states.shape[1]
    times = np.ones(len(log.states)) if counts is None else np.asarray(counts, np.float64)
    visits = np.broadcast_to(times[:, None], log.states.shape)
    cell = np.where(log.alive, log.states * shape[1] + log.actions, 0).astype(np.int64)

    def total(rows: BoolArray, values: FloatArray, upto: int) -> FloatArray:
        counted = (visits[:, :upto] * values)[rows]
        sums = np.bincount(cell[:, :upto][rows], weights=counted, minlength=cells)
        return sums.astype(np.float64)

    here, before = log.alive, log.alive[:, :-1]
    seen = total(here, np.ones(log.states.shape), steps)
    earned = total(here, np.asarray(log.rewards, np.float64), steps)
    left = total(before, np.ones(before.shape), steps - 1)
    went_on = log.alive[:, 1:]
    pairs = cell[:, :-1].astype(np.int64) * shape[0] + np.where(went_on, log.states[:, 1:], 0)
    moved = np.bincount(
        pairs[went_on], weights=visits[:, :-1][went_on], minlength=cells * shape[0]
    ).reshape(cells, shape[0])
    rewards = _safe(earned, seen).reshape(shape)
    going_on = _safe(moved, left[:, None]).reshape(*shape, shape[0])
    return backup(rewards, going_on, policy, discount, steps)


def fqe(log: TabularLog, policy: FloatArray, discount: float) -> Estimate:
    """Return the mean value of the first states by `fqe_values`."""
    first = (policy * fqe_values(log, policy, discount)).sum(axis=1)[log.states[:, 0]]
    return mean_estimate("fqe", first, no_weights(len(first)), caveat=FQE_CAVEAT)


def fqe_replicates(
    log: TabularLog, policy: FloatArray, discount: float, counts: npt.ArrayLike
) -> FloatArray:
    """Return FQE fitted anew on resamples (R,), each trajectory drawn ``counts`` (R, N) times."""
    found = []
    for drawn in np.asarray(counts, np.float64):
        values = fqe_values(log, policy, discount, counts=drawn)
        first = (policy * values).sum(axis=1)[log.states[:, 0]]
        found.append(float(drawn @ first / drawn.sum()))
    return np.array(found)


def _safe(above: npt.ArrayLike, below: npt.ArrayLike) -> FloatArray:
    """Return above / below, 0 where below is 0."""
    numerator, denominator = np.asarray(above, np.float64), np.asarray(below, np.float64)
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    return np.divide(numerator, denominator, out=np.zeros(shape), where=denominator > 0)
