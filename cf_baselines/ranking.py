"""The k best items of each user, and how they are handed over.

Letters: B batch of users, I items, H items to leave out, k items kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.interactions import FloatArray
from slategym.errors import UsageError

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Recommendations:
    """The best items of each user, the best first.

    Attributes:
        items: (B, k) item rows, -1 where there are none left.
        scores: (B, k) their scores, -inf where there are none left.
    """

    items: Rows
    scores: FloatArray

    @staticmethod
    def join(parts: Sequence["Recommendations"], k: int) -> "Recommendations":
        """Return the recommendations of several batches as one."""
        empty = Recommendations(np.zeros((0, k), np.intp), np.zeros((0, k), np.float32))
        both = [empty, *parts]
        return Recommendations(
            np.concatenate([part.items for part in both]),
            np.concatenate([part.scores for part in both]),
        )


def top_k(scores: FloatArray, k: int, exclude: npt.ArrayLike | None = None) -> Recommendations:
    """Return the k best items of scores (B, I); equal scores go by item row.

    Args:
        scores: (B, I); left as they are.
        k: At least 1.
        exclude: (B, H) item rows to leave out, -1 for none.

    Raises:
        UsageError: k is below 1.
    """
    if k < 1:
        raise UsageError(f"k={k}: ask for at least 1 item.")
    if exclude is not None:
        scores = scores.copy()
        out = np.asarray(exclude, dtype=np.intp)
        users, at = np.nonzero(out >= 0)
        scores[users, out[users, at]] = -np.inf
    kept = min(k, scores.shape[1])
    chosen = _best(scores, kept)
    best = np.take_along_axis(scores, chosen, axis=1)
    order = np.lexsort((chosen, -best), axis=1)
    chosen, best = np.take_along_axis(chosen, order, 1), np.take_along_axis(best, order, 1)
    chosen = np.where(np.isneginf(best), -1, chosen)
    wide = ((0, 0), (0, k - kept))
    return Recommendations(
        np.pad(chosen, wide, constant_values=-1).astype(np.intp),
        np.pad(best, wide, constant_values=-np.inf).astype(np.float32),
    )


def _best(scores: FloatArray, k: int) -> Rows:
    """Return the columns (B, k) of the k largest of each row, in no order."""
    if k == scores.shape[1]:
        return np.tile(np.arange(k, dtype=np.intp), (len(scores), 1))
    chosen = np.argpartition(scores, scores.shape[1] - k, axis=1)[:, -k:]
    # Which of several equal scores at the edge the partition takes is open: settle it by row.
    edge = np.take_along_axis(scores, chosen, axis=1).min(axis=1, keepdims=True)
    tied = np.flatnonzero(
        (scores == edge).sum(axis=1)
        > (np.take_along_axis(scores, chosen, axis=1) == edge).sum(axis=1)
    )
    for row in tied.tolist():
        above = np.flatnonzero(scores[row] > edge[row])
        equal = np.flatnonzero(scores[row] == edge[row])[: k - len(above)]
        chosen[row] = np.concatenate([above, equal])
    return chosen
