"""Cold start from content: rank items nobody has rated, for users known from others.

The protocol: a fifth of the MovieLens 100K items with at least five ratings are cold, drawn with
seed 0; all their ratings are taken away; for each user with a rating of 4 or more on a cold item
all cold items are ranked. Settings are chosen on cold items drawn from the rest.

Letters: U users, I items, W warm items, C cold items, F factors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.interactions import Interactions

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
LIKED = 4.0
FACTORS = 32
FOLDS = 4
PENALTIES = (10.0, 30.0, 100.0)
WEIGHTS = (0.25, 0.5, 1.0, 2.0)
# Ridge and weight of an observed rating in the factorisation.
ALS = ((20.0, 2.0), (10.0, 2.0), (5.0, 5.0))


def ndcg(scores: FloatArray, liked: npt.NDArray[np.bool_], k: int = 10) -> FloatArray:
    """Return NDCG at ``k`` of each user with a liked item: ideal is min(k, liked) on top."""
    some = liked.any(axis=1)
    scores, liked = scores[some], liked[some]
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    top = np.take_along_axis(liked, order, axis=1)
    gains = 1 / np.log2(np.arange(k) + 2)
    ideal = np.cumsum(gains)[np.minimum(liked.sum(axis=1), k) - 1]
    return np.asarray((top * gains[: top.shape[1]]).sum(axis=1) / ideal)


def cold_items(log: Interactions) -> tuple[IntArray, IntArray]:
    """Return the cold items of the protocol, and the items they were drawn from."""
    eligible = np.flatnonzero(np.bincount(log.items, minlength=len(log.item_ids)) >= 5)
    drawn = np.random.default_rng(0).choice(eligible, int(0.2 * len(eligible)), replace=False)
    return np.sort(drawn), eligible


@dataclass
class ColdStart:
    """The protocol with the factorisations it has needed so far.

    Attributes:
        log: All ratings.
    """

    log: Interactions
    _kept: dict[tuple[object, ...], tuple[FloatArray, FloatArray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Lay out the ratings, draw the cold items, and folds of pseudo-cold ones."""
        shape = (len(self.log.user_ids), len(self.log.item_ids))
        self.ratings = np.zeros(shape)
        self.ratings[self.log.users, self.log.items] = self.log.values
        self.cold, eligible = cold_items(self.log)
        rest = np.random.default_rng(1).permutation(np.setdiff1d(eligible, self.cold))
        self.folds = [np.sort(fold) for fold in np.array_split(rest, FOLDS)]

    def scores(
        self, kernel: FloatArray, held: IntArray, als: tuple[float, float], penalty: float
    ) -> FloatArray:
        """Return scores (U, C) of held-out items: kernel ridge from content to item factors.

        An item weighs the square root of its number of ratings.
        """
        users, items = self._factors(held, als)
        counts = (self.ratings > 0).sum(axis=0).astype(np.float64)
        counts[self.cold] = counts[held] = 0
        warm = np.flatnonzero(counts)
        inner = kernel[np.ix_(warm, warm)] + 0.2  # 0.2: a constant, hardly penalised
        dual = np.linalg.solve(inner + np.diag(penalty / np.sqrt(counts[warm])), items[warm])
        return np.asarray(users @ ((kernel[np.ix_(held, warm)] + 0.2) @ dual).T)

    def validation(self, kernel: FloatArray, als: tuple[float, float], penalty: float) -> float:
        """Return the mean NDCG@10 over folds of pseudo-cold items."""
        return float(np.mean([
            ndcg(self.scores(kernel, fold, als, penalty), self.ratings[:, fold] >= LIKED).mean()
            for fold in self.folds
        ]))  # fmt: skip

    def test(self, kernel: FloatArray, als: tuple[float, float], penalty: float) -> FloatArray:
        """Return NDCG@10 on the cold items for each user that liked one."""
        scores = self.scores(kernel, self.cold, als, penalty)
        return ndcg(scores, self.ratings[:, self.cold] >= LIKED)

    def _factors(self, held: IntArray, als: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
        key = (*held.tolist(), als)
        if key not in self._kept:
            seen = self.ratings > 0
            seen[:, self.cold] = seen[:, held] = False
            self._kept[key] = _als(seen, *als)
        return self._kept[key]


def _als(seen: npt.NDArray[np.bool_], ridge: float, weight: float) -> tuple[FloatArray, FloatArray]:
    """Return users (U, F) and items (I, F): implicit ALS (Hu, Koren, Volinsky 2008), 10 passes."""
    items = np.random.default_rng(0).normal(0, 0.1, (seen.shape[1], FACTORS))
    users = np.zeros((seen.shape[0], FACTORS))
    for _ in range(10):
        users = _half(seen, items, ridge, weight)
        items = _half(seen.T, users, ridge, weight)
    return users, items


def _half(
    seen: npt.NDArray[np.bool_], other: FloatArray, ridge: float, weight: float
) -> FloatArray:
    found = np.zeros((len(seen), other.shape[1]))
    whole = other.T @ other + ridge * np.eye(other.shape[1])
    for row, chosen in enumerate(seen):
        if chosen.any():
            near = other[chosen]
            found[row] = np.linalg.solve(whole + weight * near.T @ near,
                                         (1 + weight) * near.sum(axis=0))  # fmt: skip
    return found


@dataclass(frozen=True)
class Chosen:
    """A mixture of kernels chosen on validation.

    Attributes:
        weights: Kernel to weight.
        als: Ridge and weight of the factorisation.
        penalty: Of the kernel ridge.
        validation: Its NDCG@10 on pseudo-cold items.
    """

    weights: Mapping[str, float]
    als: tuple[float, float]
    penalty: float
    validation: float


def choose(
    case: ColdStart,
    kernels: Mapping[str, FloatArray],
    names: Sequence[str],
    start: Chosen | None = None,
) -> Chosen:
    """Return the mixture with the best validation: one pass over weights, one at a time.

    Args:
        case: The protocol.
        kernels: Name to (I, I).
        names: Those to mix.
        start: A mixture to keep, whose settings stay; only names it lacks are weighed.
    """
    if start is None:
        weights = dict.fromkeys(names, 0.5)
        found = [
            Chosen(weights, als, p, case.validation(mix(kernels, weights), als, p))
            for als in ALS for p in PENALTIES
        ]  # fmt: skip
        best = max(found, key=lambda each: each.validation)
        free = list(names) if len(names) > 1 else []
    else:
        best, free = start, [name for name in names if name not in start.weights]
    for name in free:
        for weight in WEIGHTS:
            weights = {**best.weights, name: weight}
            now = case.validation(mix(kernels, weights), best.als, best.penalty)
            if now > best.validation:
                best = Chosen(weights, best.als, best.penalty, now)
    return best


def mix(kernels: Mapping[str, FloatArray], weights: Mapping[str, float]) -> FloatArray:
    """Return the weighted sum of kernels."""
    return np.asarray(sum(weight * kernels[name] for name, weight in weights.items()))
