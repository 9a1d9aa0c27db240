"""Models of rewards fitted on a log: of a slate, of a slot, and of all that follows a slate.

All are linear in features of the user's state and of the items (`slategym.benchmarks.log_features`)
and fitted by ridge regression. Letters: N impressions, K slots, C candidates, U users, Q features
of a slate, R replicates of a bootstrap, M slates drawn.
"""

from dataclasses import dataclass

import numpy as np

from slategym.agents.slate_laws import SlateLaw
from slategym.benchmarks.behaviour_policy import user_folds
from slategym.benchmarks.log_schema import FloatArray, Log, LongArray

RIDGE = 1.0  # in units of one impression per standardised feature
FOLDS = 3
DRAWS = 16
_CHUNK = 2048
_MODEL_STREAM = 0x40DE1


@dataclass(frozen=True, eq=False)
class SlateFeatures:
    """What models read of each impression, standardised.

    Attributes:
        state: ``(N, S)``, a 1 first.
        items: of every candidate ``(N, C, P)``.
    """

    state: FloatArray
    items: FloatArray

    @classmethod
    def of(cls, state: FloatArray, items: FloatArray) -> "SlateFeatures":
        """Return raw features with mean 0 and deviation 1 per column; constant ones are dropped."""
        state = _standard(state)
        flat = _standard(items.reshape(-1, items.shape[2]))
        return cls(
            np.concatenate([np.ones((len(state), 1)), state], axis=1),
            flat.reshape(*items.shape[:2], -1),
        )

    @property
    def width(self) -> int:
        """Q, the number of features of a slate."""
        return self.state.shape[1] + 2 * self.items.shape[2]

    def of_slates(self, slates: LongArray, rows: slice | LongArray = slice(None)) -> FloatArray:
        """Return the features ``(n, Q)`` of slates ``(n, K)`` shown at some impressions.

        State, mean over the slots, and spread over the slots: a slate of unlike items is another
        thing than its average item.
        """
        shown = np.take_along_axis(self.items[rows], slates[..., None], 1)  # (n, K, P)
        return np.concatenate([self.state[rows], shown.mean(1), shown.std(1)], axis=1)

    def expected(self, laws: "list[tuple[slice, SlateLaw]]", seed: int) -> FloatArray:
        """Return the mean features ``(N, Q)`` of slates drawn from a policy at each impression.

        Args:
            laws: the policy's law, block of impressions by block.
            seed: of the draws; `DRAWS` a row.
        """
        out = np.zeros((len(self.state), self.width))
        for rows, law in laws:
            rng = np.random.default_rng((_MODEL_STREAM, seed, rows.start))
            for _ in range(DRAWS):
                out[rows] += self.of_slates(law.sample(rng), rows) / DRAWS
        return out


def _standard(table: FloatArray) -> FloatArray:
    """Return columns of mean 0 and deviation 1, without those that do not vary."""
    spread = table.std(0)
    kept = spread > 1e-9
    return np.asarray((table[:, kept] - table[:, kept].mean(0)) / spread[kept])


@dataclass(frozen=True, eq=False)
class RewardModel:
    """The reward of an impression as a cross-fitted model sees it.

    Attributes:
        shown: expected reward of the slate shown ``(N,)``.
        policy: expected reward of what the judged policy would show ``(N,)``.
    """

    shown: FloatArray
    policy: FloatArray


def reward_model(
    log: Log, shown: FloatArray, expected: FloatArray, *, seed: int = 0
) -> RewardModel:
    """Return a ridge regression of the reward, cross-fitted over users.

    Args:
        log: gives rewards and users.
        shown: features of the slates shown ``(N, Q)``.
        expected: mean features of the judged policy's slates ``(N, Q)``.
        seed: of the folds.
    """
    fold = user_folds(log.user, FOLDS, seed)
    found = np.zeros((2, len(log)))
    for group in range(FOLDS):
        kept, held = fold != group, fold == group
        weights = ridge(shown[kept], log.reward[kept])
        found[0, held], found[1, held] = shown[held] @ weights, expected[held] @ weights
    return RewardModel(found[0], found[1])


def slot_model(log: Log, features: SlateFeatures, *, seed: int = 0) -> FloatArray:
    """Return the expected reward ``(N, K, C)`` of every candidate in every slot.

    One ridge regression a slot, of the slot's reward on state and item, cross-fitted over users.

    Args:
        log: gives rewards per slot and users.
        features: of its impressions.
        seed: of the folds.
    """
    fold = user_folds(log.user, FOLDS, seed)
    count, size = log.items.shape
    out = np.zeros((count, size, features.items.shape[1]))
    split = features.state.shape[1]
    for slot in range(size):
        picked = log.positions[:, slot, None, None]
        item = np.take_along_axis(features.items, picked, 1)[:, 0]
        table = np.concatenate([features.state, item], axis=1)
        for group in range(FOLDS):
            kept, held = fold != group, fold == group
            weights = ridge(table[kept], log.reward_slot[kept, slot])
            own = features.state[held] @ weights[:split]
            out[held, slot] = own[:, None] + features.items[held] @ weights[split:]
    return out


def ridge(table: FloatArray, target: FloatArray) -> FloatArray:
    """Return the weights of least squares with `RIDGE` on every feature.

    Args:
        table: features ``(N, Q)``.
        target: ``(N,)``.
    """
    gram = table.T @ table + RIDGE * np.eye(table.shape[1])
    return np.asarray(np.linalg.solve(gram, table.T @ target))


@dataclass(frozen=True, eq=False)
class FittedReturn:
    """An estimated mean return with replicates over users.

    Attributes:
        value: the estimate.
        replicates: the estimate on resampled users ``(R,)``.
        shown: value of the slate shown at each impression ``(N,)``, as fitted on other users.
        policy: value of what the judged policy would show ``(N,)``, likewise.
    """

    value: float
    replicates: FloatArray
    shown: FloatArray
    policy: FloatArray


def linear_fqe(
    log: Log,
    shown: FloatArray,
    expected: FloatArray,
    *,
    gamma: float = 1.0,
    replicates: int = 200,
    seed: int = 0,
) -> FittedReturn:
    """Return the mean return of a policy by fitted Q evaluation with linear features.

    The fixed point of fitted Q evaluation (Le et al. 2019, "Batch policy learning under
    constraints", algorithm 3) for ``Q(s, a) = w . phi(s, a)`` is that of LSTD-Q (Lagoudakis and
    Parr 2003, eq. 6): ``sum phi (phi - gamma E_pi phi')' w = sum phi r``, with no next state after
    the end of an episode. The return is ``E_pi w . phi`` at the first impressions. Replicates
    resample users and solve anew, so they know of sampling and not of what the features miss.

    Args:
        log: in order of episode and step.
        shown: features of the slates shown ``(N, Q)``.
        expected: mean features of the judged policy's slates ``(N, Q)``.
        gamma: discount.
        replicates: R.
        seed: of the resampling.
    """
    problem = LinearReturn.of(log, shown, expected, gamma)
    resampled, _ = problem.solve(problem.resamples(replicates, seed))
    (value,), _ = problem.solve(np.ones((1, len(problem.begun))))
    # Where values correct the terms of other estimators, no user may have been fitted on itself:
    # residuals would be too small, and intervals too narrow.
    fold = user_folds(log.user, FOLDS, seed)
    kept = np.array([np.bincount(problem.user, fold != group) > 0 for group in range(FOLDS)])
    weights = problem.solve(kept.astype(np.float64))[1][fold]  # (N, Q)
    return FittedReturn(
        float(value), resampled, (shown * weights).sum(1), (expected * weights).sum(1)
    )


@dataclass(frozen=True, eq=False)
class LinearReturn:
    """Fitted Q evaluation with linear features as sums over users, to be solved at once.

    Attributes:
        matrix: each user's ``sum phi (phi - gamma E_pi phi')'`` ``(U, Q * Q)``.
        target: each user's ``sum phi r`` ``(U, Q)``.
        begun: episodes of each user ``(U,)``.
        first: each user's sum of ``E_pi phi`` over first impressions ``(U, Q)``.
        user: number of the user of each impression ``(N,)``.
    """

    matrix: FloatArray
    target: FloatArray
    begun: FloatArray
    first: FloatArray
    user: LongArray

    @classmethod
    def of(cls, log: Log, shown: FloatArray, expected: FloatArray, gamma: float) -> "LinearReturn":
        """Return the sums; see `linear_fqe` for the arguments."""
        later = np.concatenate([expected[1:], np.zeros((1, expected.shape[1]))])
        later[np.append(log.first[1:], [True])] = 0.0
        _, user = np.unique(log.user, return_inverse=True)
        total = int(user.max()) + 1
        matrix, target = _by_user(user, shown, shown - gamma * later, log.reward)
        begun, sums = np.zeros(total), np.zeros((total, shown.shape[1]))
        np.add.at(begun, user[log.first], 1.0)
        np.add.at(sums, user[log.first], expected[log.first])
        return cls(matrix, target, begun, sums, user)

    def resamples(self, replicates: int, seed: int) -> FloatArray:
        """Return how often each user is drawn ``(R, U)``."""
        total = len(self.begun)
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(total, np.full(total, 1 / total), size=replicates)
        return drawn.astype(np.float64)

    def solve(self, counts: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean returns ``(R,)`` and weights ``(R, Q)`` with users counted ``(R, U)``."""
        width = self.target.shape[1]
        gram = (counts @ self.matrix).reshape(-1, width, width) + RIDGE * np.eye(width)
        found: FloatArray = np.asarray(
            np.linalg.solve(gram, (counts @ self.target)[..., None])[..., 0], np.float64
        )
        return ((counts @ self.first) * found).sum(1) / (counts @ self.begun), found


def _by_user(
    user: LongArray, shown: FloatArray, change: FloatArray, reward: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return each user's ``sum phi change'`` ``(U, Q * Q)`` and ``sum phi r`` ``(U, Q)``."""
    total, width = int(user.max()) + 1, shown.shape[1]
    matrix, target = np.zeros((total, width * width)), np.zeros((total, width))
    order = np.argsort(user, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(user[order])) + 1):
        matrix[user[rows[0]]] = (shown[rows].T @ change[rows]).reshape(-1)
        target[user[rows[0]]] = shown[rows].T @ reward[rows]
    return matrix, target
