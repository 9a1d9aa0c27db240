"""A model's lists and predicted values against rows it has not seen.

Letters: B users, I items, K items of a user, N rows, k length of a list, D dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from slategym.cf_baselines.base import Scorer
from slategym.cf_baselines.interactions import FloatArray, Interactions
from slategym.cf_baselines.metrics import (
    Array,
    Estimate,
    Rows,
    coverage,
    diversity,
    hit_table,
    interval,
    novelty,
    ranking_metrics,
    rating_errors,
)
from slategym.cf_baselines.ranking import top_k
from slategym.errors import DataError, UsageError

# Users scored at once.
BATCH = 512


@dataclass(frozen=True)
class RankingReport:
    """How good the lists of some users are.

    Attributes:
        users: (B,) rows of the users with at least one positive.
        items: (B, k) their lists, the best first, -1 where they end.
        by_user: Measure, ``ndcg@10`` say, to its value for each user, (B,); see
            `ranking_metrics` for the denominators.
        lists: Measures of all lists of the first k together: ``coverage@10``, ``novelty@10``,
            and ``diversity@10`` if item vectors were given.
    """

    users: Rows
    items: Rows
    by_user: dict[str, Array]
    lists: dict[str, float]

    def __getitem__(self, measure: str) -> float:
        """Return the mean over users of a measure, or a measure of all lists."""
        if measure in self.lists:
            return self.lists[measure]
        if measure not in self.by_user:
            known = ", ".join([*self.by_user, *self.lists])
            raise UsageError(f"no measure {measure!r}; there are {known}.")
        return float(self.by_user[measure].mean())

    def estimate(self, measure: str, seed: int = 0) -> Estimate:
        """Return the mean over users with its 95 % interval."""
        return interval(self.by_user[measure], seed)


def evaluate_ranking(
    scorer: Scorer,
    test: Interactions,
    *,
    positive: float | None = None,
    at: Sequence[int] = (10, 20),
    candidates: npt.ArrayLike | None = None,
    vectors: npt.ArrayLike | None = None,
) -> RankingReport:
    """Return how well a fitted model ranks what the test rows say was liked.

    Every item of the catalogue that the user has no row for in the scorer's log is ranked, those
    never seen in training too. Users without a positive do not count.

    Args:
        scorer: Fitted on a log with the same ids in the same order.
        test: The test rows.
        positive: Test values from here on are positives; all rows if None.
        at: Lengths k of the lists.
        candidates: Item rows to rank; all by default.
        vectors: (I, D) item vectors, for diversity.

    Raises:
        UsageError: ids differ from those of the scorer's log, or a length is below 1.
        DataError: there is no positive.
    """
    if (test.user_ids, test.item_ids) != (scorer.log.user_ids, scorer.log.item_ids):
        raise UsageError(
            f"{test.name}: its users or items are not those {scorer.name} was fitted on; fit and "
            "test on rows of one log."
        )
    positives = positive_table(test, positive)
    users = np.flatnonzero(np.diff(positives.indptr))
    if not len(users):
        raise DataError(f"{test.name}: none of the {len(test)} test rows is a positive.")
    items = ranked_lists(scorer, users, max(at), candidates)
    chosen = positives[users]
    hits, counts = hit_table(items, chosen), np.diff(chosen.indptr)
    by_user = {
        f"{name}@{k}": each for k in at for name, each in ranking_metrics(hits, counts, k).items()
    }
    known = np.bincount(scorer.log.items, minlength=len(test.item_ids))
    lists: dict[str, float] = {}
    for k in at:
        first = items[:, :k]
        lists[f"coverage@{k}"] = coverage(first, len(test.item_ids))
        lists[f"novelty@{k}"] = novelty(first, known, len(test.user_ids))
        if vectors is not None:
            lists[f"diversity@{k}"] = diversity(first, vectors)
    return RankingReport(users, items, by_user, lists)


def positive_table(test: Interactions, positive: float | None = None) -> sparse.csr_matrix:
    """Return (U, I) with an entry for each pair of a positive row."""
    liked = np.ones(len(test), np.bool_) if positive is None else test.values >= positive
    shape = (len(test.user_ids), len(test.item_ids))
    ones = np.ones(int(liked.sum()), np.float32)
    table = sparse.csr_matrix((ones, (test.users[liked], test.items[liked])), shape)
    table.sum_duplicates()
    return table


def ranked_lists(
    scorer: Scorer, users: Rows, k: int, candidates: npt.ArrayLike | None = None
) -> Rows:
    """Return the k best items (B, k) that each user has no row for, the best first."""
    lists = []
    for start in range(0, len(users), BATCH):
        batch = users[start : start + BATCH]
        if candidates is None:
            lists.append(scorer.recommend(batch, k).items)
            continue
        allowed = np.asarray(candidates, dtype=np.intp)
        scores = scorer.score_all(batch)
        masked = np.full_like(scores, -np.inf)
        masked[:, allowed] = scores[:, allowed]
        lists.append(top_k(masked, k, scorer.index.items_of(batch)).items)
    return np.concatenate(lists)


def predict_pairs(scorer: Scorer, users: npt.ArrayLike, items: npt.ArrayLike) -> FloatArray:
    """Return the score of each pair, (N,); pairs of one user are asked for together."""
    rows, chosen = np.asarray(users, dtype=np.intp), np.asarray(items, dtype=np.intp)
    order = np.argsort(rows, kind="stable")
    who, starts, sizes = np.unique(rows[order], return_index=True, return_counts=True)
    out = np.empty(len(rows), np.float32)
    for at in range(0, len(who), BATCH):
        some = slice(at, at + BATCH)
        steps = np.arange(int(sizes[some].max()))
        there = steps < sizes[some][:, None]
        places = order[np.where(there, starts[some][:, None] + steps, starts[some][:, None])]
        out[places[there]] = scorer.score(who[some], chosen[places])[there]
    return out


@dataclass(frozen=True)
class RatingReport:
    """Errors of predicted values over N test rows, in the log's units.

    Attributes:
        rmse: Root of the mean squared error over rows. mae: Mean absolute error over rows.
        rmse_interval: The RMSE with its 95 % interval by bootstrap over users.
        rows: N.
    """

    rmse: float
    mae: float
    rmse_interval: Estimate
    rows: int


def evaluate_ratings(
    scorer: Scorer,
    test: Interactions,
    *,
    clip: tuple[float, float] | None = None,
    seed: int = 0,
) -> RatingReport:
    """Return the errors of a model whose scores are values in the log's units.

    Args:
        scorer: Fitted on a log with the same ids in the same order.
        test: The test rows; all of them count.
        clip: Cut predictions to this range; by default that of the scorer's log.
        seed: For the interval.
    """
    low, high = clip or (float(scorer.log.values.min()), float(scorer.log.values.max()))
    guess = np.clip(predict_pairs(scorer, test.users, test.items), low, high)
    rmse, mae = rating_errors(guess, test.values)
    return RatingReport(rmse, mae, _rmse_interval(guess, test, seed), len(test))


def _rmse_interval(guess: FloatArray, test: Interactions, seed: int) -> Estimate:
    squared = (guess.astype(np.float64) - test.values) ** 2
    who, at = np.unique(test.users, return_inverse=True)
    sums, counts = np.bincount(at, squared), np.bincount(at)
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(0, len(who), len(who)) for _ in range(1000))
    roots = [float(np.sqrt(sums[rows].sum() / counts[rows].sum())) for rows in drawn]
    low, high = np.quantile(roots, [0.025, 0.975])
    return Estimate(float(np.sqrt(squared.mean())), float(low), float(high))
