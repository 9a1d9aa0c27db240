"""Models whose score is linear in the history: what an entry adds is its own share.

Letters: B batch of users, I items, H history.
"""

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import scipy.linalg.lapack as lapack
import scipy.sparse as sparse

from slategym.cf_baselines.base import Rows, Scorer
from slategym.cf_baselines.explanations import Case, Part
from slategym.cf_baselines.interactions import FloatArray, Interactions, RowArray, default_threshold

# Rows of one profile matrix turned into scores at once to explain a long history.
EXPLAINED_AT_ONCE = 256


def history_matrix(items: Rows, weights: FloatArray, n_items: int) -> sparse.csr_matrix:
    """Return histories (B, H) as a sparse (B, I); of an item named twice the last counts.

    Args:
        items: (B, H) item rows, oldest first, -1 for no entry.
        weights: (B, H); an entry of weight 0 is left out.
        n_items: I.
    """
    users, at = np.nonzero(items >= 0)
    keys = users * max(1, n_items) + items[users, at]
    # The first of the reversed keys is the last of the history.
    kept, first = np.unique(keys[::-1], return_index=True)
    values = weights[users, at][::-1][first].astype(np.float32)
    places = np.divmod(kept, max(1, n_items))
    out = sparse.csr_matrix((values, places), (len(items), n_items), dtype=np.float32)
    out.eliminate_zeros()
    return out


def ages(there: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Return how many entries (B, H) of a history are newer than each; ``there`` marks entries."""
    newer = np.cumsum(there[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(newer - there, dtype=np.intp)


def linear_weights(
    gram: FloatArray, penalty: float, dropout: float = 0.0, prior: FloatArray | None = None
) -> FloatArray:
    """Return the item-to-item weights (I, I) of a denoising linear autoencoder.

    With  P = inv(G + L),  L = penalty I + dropout / (1 - dropout) diag(G)  the weights are
    B = I - P diag(1 / diag P)  (Steck 2020, "Autoencoders that don't overfit towards the
    identity", equations 8 and 12); a dropout of 0 is EASE (Steck 2019, equation 8). Where the
    penalty pulls to a prior A instead of to 0, the same steps give  B = M - P diag(m / diag P)
    with  M = P (G + L A)  and m its diagonal; for A = 0 that is the formula above.

    Args:
        gram: (I, I) symmetric counts of pairs; left as it is.
        penalty: > 0.
        dropout: Share of a profile that training hides, in [0, 1).
        prior: (I, I) what the weights are where nothing is known; zeros if None.
    """
    own = np.diag(gram).copy()
    pull = (penalty + dropout / (1 - dropout) * own).astype(np.float32)
    inverse = _inverse(gram, pull)
    if prior is None:
        weights = np.asarray(-inverse / np.diag(inverse), dtype=np.float32)
    else:
        drawn = inverse @ (gram + pull[:, None] * prior)
        own_part = np.diag(drawn) / np.diag(inverse)
        weights = np.asarray(drawn - inverse * own_part, dtype=np.float32)
    weights = np.ascontiguousarray(weights)
    np.fill_diagonal(weights, 0.0)
    return weights


def _inverse(gram: FloatArray, diagonal: FloatArray) -> FloatArray:
    """Return the inverse of a symmetric table with something added to its diagonal."""
    table = np.array(gram, dtype=np.float32, order="F")
    table[np.diag_indices_from(table)] += diagonal
    # Through the Cholesky factor: about four times cheaper than a general inverse.
    factor, failed = lapack.spotrf(table, lower=1, overwrite_a=1)
    if failed == 0:
        inverse, failed = lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed == 0:
        return np.asarray(np.tril(inverse) + np.tril(inverse, -1).T, dtype=np.float32)
    whole = np.array(gram, dtype=np.float64)  # float32 was too coarse for so small a penalty
    whole[np.diag_indices_from(whole)] += diagonal
    return np.asarray(np.linalg.inv(whole), dtype=np.float32)


def likes_of(log: Interactions) -> tuple[sparse.csr_matrix, float, FloatArray]:
    """Return who liked what, (U, I) of ones, the least value of a like, and popularity, (I,).

    Popularity is each item's share of all likes.
    """
    threshold = default_threshold(log)
    liked = log.values >= threshold
    likes = sparse.csr_matrix(
        (np.ones(int(liked.sum()), np.float32), (log.users[liked], log.items[liked])),
        (len(log.user_ids), len(log.item_ids)),
    )
    counts = np.asarray(likes.sum(axis=0)).ravel()
    popularity = (counts / max(1.0, float(counts.sum()))).astype(np.float32)
    return likes, threshold, popularity


class HistoryLinearScorer(Scorer):
    """The shared half of models that score a sum over the entries of a history.

    A state is a tuple of sparse profiles, (B, I) each. A user whose profiles are all empty is
    scored by each item's share of the likes.

    Attributes:
        threshold: Least value of a like, in the log's units.
        popularity: (I,) each item's share of all likes.
    """

    name: ClassVar[str] = "history-linear"

    threshold = 0.0
    popularity: FloatArray

    @abstractmethod
    def _profiles(self, items: Rows, values: FloatArray) -> tuple[sparse.csr_matrix, ...]:
        """Return the profiles (B, I) of histories (B, H), without duplicates or not."""

    @abstractmethod
    def _linear(self, profiles: tuple[sparse.csr_matrix, ...]) -> FloatArray:
        """Return the scores (B, I) of profiles; a sum over their entries."""

    def _fold(
        self,
        items: Rows,
        values: FloatArray,
        times: RowArray,  # noqa: ARG002 (rows come in order)
    ) -> tuple[sparse.csr_matrix, ...]:
        return self._profiles(items, values)

    def _score_everything(self, state: tuple[sparse.csr_matrix, ...]) -> FloatArray:
        out = self._linear(state).astype(np.float32)
        empty = sum(np.diff(profile.indptr) for profile in state) == 0
        out[empty] = self.popularity
        return out

    def _parts(self, case: Case) -> list[Part]:
        item = case.item
        profiles = self._profiles(case.items[None], case.values[None])
        entries = np.unique(np.concatenate([profile.indices for profile in profiles]))
        if not len(entries):
            return [Part("popularity", float(self.popularity[item]))]
        shares = []
        for at in range(0, len(entries), EXPLAINED_AT_ONCE):
            chunk = entries[at : at + EXPLAINED_AT_ONCE]
            alone = tuple(_one_each(profile, chunk) for profile in profiles)
            shares.append(self._linear(alone)[:, item].astype(np.float64))
        return [
            Part("history", float(share), int(entry))
            for share, entry in zip(np.concatenate(shares), entries, strict=True)
        ]


def _one_each(profile: sparse.csr_matrix, entries: Rows) -> sparse.csr_matrix:
    """Return one row per entry (E, I), each with that entry of a profile (1, I) only."""
    values = np.asarray(profile[:, entries].todense()).ravel()
    rows = np.arange(len(entries))
    return sparse.csr_matrix((values, (rows, entries)), (len(entries), profile.shape[1]))
