"""The same names as other libraries compute them, so that their numbers can be checked.

RecTools 0.19 and Microsoft's recommenders 1.2 give different numbers under one name; `diversity`
and `metrics` state the conventions this project reports. Letters: B users, K slots, I items.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slategym.benchmarks.diversity import entropy, hamming_diversity, vendi
from slategym.benchmarks.metrics import coverage, intra_list_diversity, self_information

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Lists:
    """Recommendations with what was known before and what came after.

    Attributes:
        items: full lists of item rows (B, K), the best first.
        train: who consumed what before, one entry of 1 a pair (B, I).
        test: who consumed what after (B, I).
        labels: labels of items (I, Z).
        vectors: content vectors (I, D).
    """

    items: IntArray
    train: sp.csr_array
    test: sp.csr_array
    labels: npt.NDArray[np.number]
    vectors: npt.NDArray[np.floating]

    @property
    def n_items(self) -> int:
        """Size of the catalogue I."""
        return int(self.train.shape[1])

    @property
    def popularity(self) -> FloatArray:
        """Number of users who consumed each item before (I,)."""
        return np.asarray(self.train.sum(axis=0), np.float64).ravel()

    @property
    def hits(self) -> FloatArray:
        """Whether each slot was consumed after (B, K), 0 or 1."""
        dense = self.test.toarray() > 0
        return np.take_along_axis(dense, self.items, axis=1).astype(np.float64)

    @property
    def counts(self) -> FloatArray:
        """How often each item is in a list (I,)."""
        return np.bincount(self.items.ravel(), minlength=self.n_items).astype(np.float64)


def rectools(lists: Lists) -> dict[str, float]:
    """Return RecTools' metrics by name, at K, averaged over users with something to find."""
    users = np.asarray(lists.test.sum(axis=1)).ravel() > 0
    hits, slots = lists.hits[users], lists.items.shape[1]
    relevant = np.asarray(lists.test.sum(axis=1), np.float64).ravel()[users]
    ranks = np.arange(1, slots + 1)
    gains = 1.0 / np.log2(ranks + 1)
    precision = np.cumsum(hits, axis=1) / ranks
    first = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1.0, np.inf)
    novelty = self_information(lists.popularity, total=len(lists.items))
    return {
        "IntraListDiversity_hamming": float(hamming_diversity(lists.items, lists.labels).mean()),
        "MeanInvUserFreq": float(novelty[lists.items].mean()),
        "Serendipity": float(_rank_serendipity(lists).mean()),
        "CatalogCoverage_norm": float(coverage(lists.counts)),
        "AvgRecPopularity": float(lists.popularity[lists.items].mean()),
        "NDCG": float(((hits @ gains) / gains.sum()).mean()),
        "Recall": float((hits.sum(axis=1) / relevant).mean()),
        "Precision": float((hits.sum(axis=1) / slots).mean()),
        "MAP": float(((hits * precision).sum(axis=1) / relevant).mean()),
        "MRR": float((1.0 / first).mean()),
        "HitRate": float(hits.any(axis=1).mean()),
    }


def recommenders(lists: Lists) -> dict[str, float]:
    """Return the metrics of Microsoft's recommenders by name."""
    popularity = lists.popularity
    known = popularity > 0
    total = popularity.sum()
    # Items unseen in training drop out of the sum but stay in the denominator.
    surprise = np.where(known, -np.log2(np.where(known, popularity, 1.0) / total), 0.0)
    return {
        "novelty": float(surprise[lists.items].mean()),
        "catalog_coverage": float((lists.counts > 0).sum() / known.sum()),
        "distributional_coverage_bits": float(entropy(lists.counts)),
        "diversity_cooccurrence": float(_cooccurrence_diversity(lists)),
        "diversity_item_feature_vector": float(
            intra_list_diversity(lists.items, lists.vectors).mean()
        ),
        "serendipity_cooccurrence_rel1": float(_cooccurrence_serendipity(lists)),
    }


def vendi_score(lists: Lists) -> dict[str, float]:
    """Return the mean score of the vendi-score package, from a kernel and from vectors."""
    mean = float(vendi(lists.items, lists.vectors).mean())
    return {"score_K_cos_mean": mean, "score_X_cos_mean": mean}


def _rank_serendipity(lists: Lists) -> FloatArray:
    """Return RecTools' serendipity (B,): how much higher a hit is ranked than by popularity.

    Items of equal counts share a rank and ranks have no gaps; an item unseen in training has
    probability 0.
    """
    popularity, size = lists.popularity, lists.n_items
    distinct = np.unique(popularity[popularity > 0])[::-1]
    rank = len(distinct) - np.searchsorted(distinct[::-1], popularity)
    anyone = np.where(popularity > 0, (size + 1.0 - rank) / size, 0.0)
    slots = np.arange(1, lists.items.shape[1] + 1)
    surprise = np.maximum((size + 1.0 - slots) / size - anyone[lists.items], 0.0)
    return np.asarray((surprise * lists.hits).mean(axis=1))


def _cooccurrence(lists: Lists) -> FloatArray:
    """Return users in common divided by the root of the product of users (I, I)."""
    shared = (lists.train.T @ lists.train).toarray().astype(np.float64)
    root = np.sqrt(lists.popularity)
    below = np.outer(root, root)
    return np.divide(shared, below, out=np.zeros_like(shared), where=below > 0)


def _cooccurrence_diversity(lists: Lists) -> float:
    """Return 1 - the mean co-occurrence cosine over unordered pairs of a list."""
    alike = _cooccurrence(lists)
    first, second = np.triu_indices(lists.items.shape[1], k=1)
    return 1.0 - float(alike[lists.items[:, first], lists.items[:, second]].mean())


def _cooccurrence_serendipity(lists: Lists) -> float:
    """Return 1 - the mean co-occurrence cosine of listed items to the history, over users.

    Users without history drop out.
    """
    alike = _cooccurrence(lists)
    size = np.asarray(lists.train.sum(axis=1), np.float64).ravel()
    near = np.take_along_axis(np.asarray(lists.train @ alike), lists.items, axis=1)
    known = size > 0
    return float((1.0 - near[known] / size[known, None]).mean())
