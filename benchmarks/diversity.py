"""Diversity, novelty, calibration and fairness of what was shown, each with its one convention.

Letters: B lists (or users), K slots, I items, D vector, Z topics, G groups, T time. Lists hold
item rows, -1 for an empty slot. Intra-list diversity on content vectors, coverage, Gini and
self-information are in `metrics`, which the benchmark's leaderboard uses; the rest is here.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slategym.benchmarks.metrics import exposure_matrix
from slategym.errors import UsageError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]
BoolArray = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.number]
_Kind = TypeVar("_Kind", bound=np.generic)

# Added to the diagonal of a list's kernel, so that its volume is a number (never -inf).
JITTER = 1e-6
# Weight of the user's own distribution in the list's (Steck 2018).
SMOOTHING = 0.01


def hamming_diversity(lists: IntArray, labels: Numbers) -> FloatArray:
    """Return the mean number of labels in which two items of a list differ (B,), in [0, Z].

    Mean over unordered pairs; NaN for a list of fewer than two items. RecTools'
    ``IntraListDiversity`` with its Hamming distance; an item without labels counts.

    Args:
        lists: (B, K).
        labels: whether an item has each label (I, Z), 0 or 1.
    """
    held = np.asarray(labels, np.float64)
    size = held.sum(axis=1)
    return _mean_over_pairs(lists, size[:, None] + size - 2.0 * (held @ held.T))


def jaccard_diversity(lists: IntArray, labels: Numbers) -> FloatArray:
    """Return 1 - the mean Jaccard index of two items' labels in a list (B,), in [0, 1].

    Mean over unordered pairs; NaN for a list of fewer than two items. Two items without any
    label have distance 0, one with and one without labels distance 1.

    Args:
        lists: (B, K).
        labels: whether an item has each label (I, Z), 0 or 1.
    """
    held = np.asarray(labels, np.float64)
    size = held.sum(axis=1)
    both = held @ held.T
    either = size[:, None] + size - both
    index = np.divide(both, either, out=np.ones_like(both), where=either > 0)
    return _mean_over_pairs(lists, 1.0 - index)


def pooled_diversity(
    shown: IntArray, vectors: npt.NDArray[np.floating], consumed: BoolArray | None = None
) -> FloatArray:
    """Return 1 - the mean cosine over all pairs of impressions of a whole session (B,), in [0, 2].

    Pairs go across slates, so a session that shows one varied slate again and again is less
    diverse than its slates. An item met twice is a pair at distance 0.

    Args:
        shown: item rows (T, B, K), -1 for empty.
        vectors: content vectors (I, D).
        consumed: which impressions count (T, B, K), e.g. those clicked; ``None`` means all.
    """
    kept = np.where(consumed, shown, -1) if consumed is not None else shown
    unit = _units(vectors)
    known = (np.abs(unit).sum(axis=1) > 0).astype(np.float64)
    counts = exposure_matrix(kept, len(vectors))
    # |sum of unit vectors|^2 = n + 2 * (sum of the cosines of unordered pairs)
    size = np.asarray(counts @ known)
    squared = np.square(np.asarray(counts @ unit)).sum(axis=1)
    pairs = size * (size - 1.0)
    mean = np.divide(squared - size, pairs, out=np.full(len(size), np.nan), where=pairs > 0)
    return np.clip(1.0 - mean, 0.0, 2.0)


def subtopic_recall(lists: IntArray, labels: Numbers) -> FloatArray:
    """Return the share of all labels that some item of a list has (B,), in [0, 1].

    (Zhai, Cohen and Lafferty 2003, "S-recall".)

    Args:
        lists: (B, K).
        labels: whether an item has each label (I, Z), 0 or 1.
    """
    held = _padded(np.asarray(labels) > 0)
    return np.asarray(held[lists].any(axis=1).mean(axis=1))


def inter_user_diversity(lists: IntArray) -> float:
    """Return 1 - the mean overlap of two users' lists divided by K, in [0, 1]; NaN for one user.

    Mean over unordered pairs of users (Zhou et al. 2010, "Solving the apparent
    diversity-accuracy dilemma"); lists must not repeat an item.
    """
    users, slots = lists.shape
    if users < 2:
        return np.nan
    counts = np.bincount(lists[lists >= 0].ravel()).astype(np.float64)
    shared = (counts * (counts - 1.0)).sum() / (users * (users - 1.0))
    return float(1.0 - shared / slots)


def entropy(counts: Numbers, base: float = 2.0) -> FloatArray:
    """Return the entropy of exposure over items, in [0, log(I) / log(base)]; 0 if nothing is shown.

    ``-sum_i p_i log p_i``, p the share of all impressions (Shannon 1948).

    Args:
        counts: times each item was shown (..., I).
        base: 2 for bits, e for nats.
    """
    values = np.asarray(counts, np.float64)
    total = values.sum(axis=-1, keepdims=True)
    share = np.divide(values, total, out=np.zeros_like(values), where=total > 0)
    nats = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=-1)
    return np.asarray(np.maximum(nats, 0.0) / np.log(base))


def effective_catalogue(counts: Numbers) -> FloatArray:
    """Return the number of equally shown items with the same entropy, in [1, I]: ``exp(H)``."""
    return np.exp(entropy(counts, np.e))


def serendipity(
    lists: IntArray,
    relevant: BoolArray,
    history: sp.csr_array,
    vectors: npt.NDArray[np.floating],
) -> FloatArray:
    """Return the mean over slots of relevance times surprise (B,), in [0, 1]; NaN if unknown.

    Surprise is (1 - cosine of the item to the mean direction of what the user consumed) / 2, 0
    where the user liked exactly this before, 1 the opposite; only relevant slots count. NaN for
    a user without history or a list without items. (Unexpected and useful, after Ge,
    Delgado-Battenfeld and Jannach 2010; RecTools compares popularity ranks and recommenders
    co-occurrence instead: their numbers cannot be compared with this one.)

    Args:
        lists: (B, K).
        relevant: whether the user liked or consumed it (B, K).
        history: how often each user consumed each item before (B, I).
        vectors: content vectors (I, D).
    """
    unit = _units(vectors)
    profile = _units(history @ unit)
    cosine = np.einsum("bkd,bd->bk", _padded(unit)[lists], profile)
    there = lists >= 0
    size = there.sum(axis=1)
    total = (there & relevant).astype(np.float64) * (1.0 - np.clip(cosine, -1.0, 1.0)) / 2.0
    known = (size > 0) & (np.abs(profile).sum(axis=1) > 0)
    return np.divide(total.sum(axis=1), size, out=np.full(len(lists), np.nan), where=known)


def topic_shares(lists: IntArray, topics: npt.NDArray[np.floating]) -> FloatArray:
    """Return the mean topic distribution of each list (B, Z); zeros for a list without topics.

    Args:
        lists: (B, K).
        topics: distribution of each item (I, Z), rows summing to 1 or, unknown, to 0.
    """
    total = _padded(np.asarray(topics, np.float64))[lists].sum(axis=1)
    mass = total.sum(axis=1, keepdims=True)
    return np.divide(total, mass, out=np.zeros_like(total), where=mass > 0)


def history_shares(history: sp.csr_array, topics: npt.NDArray[np.floating]) -> FloatArray:
    """Return the mean topic distribution of what each user consumed (B, Z), all events alike.

    Args:
        history: how often each user consumed each item (B, I).
        topics: distribution of each item (I, Z), rows summing to 1 or, unknown, to 0.
    """
    total = np.asarray(history @ np.asarray(topics, np.float64))
    mass = total.sum(axis=1, keepdims=True)
    return np.divide(total, mass, out=np.zeros_like(total), where=mass > 0)


def calibration_kl(
    target: FloatArray, shares: FloatArray, smoothing: float = SMOOTHING
) -> FloatArray:
    """Return how far lists are from users' tastes (B,), in nats, at least 0: Steck's divergence.

    ``KL(p || (1 - a) q + a p)``, p the topics of the user's history and q those of the list
    (Steck 2018, "Calibrated recommendations"). 0 is perfectly calibrated;
    NaN where p or q is not known (zeros).

    Args:
        target: p (B, Z).
        shares: q (B, Z).
        smoothing: a in (0, 1).

    Raises:
        UsageError: smoothing outside (0, 1).
    """
    if not 0.0 < smoothing < 1.0:
        raise UsageError(f"smoothing is {smoothing}; it must lie between 0 and 1.")
    mixed = (1.0 - smoothing) * shares + smoothing * target
    return np.where(_both_known(target, shares), np.maximum(_kl(target, mixed), 0.0), np.nan)


def calibration_js(target: FloatArray, shares: FloatArray) -> FloatArray:
    """Return the Jensen-Shannon divergence of tastes and lists (B,), in nats, in [0, ln 2].

    ``KL(p || m) / 2 + KL(q || m) / 2``, m = (p + q) / 2 (Lin 1991): symmetric, bounded and
    without smoothing. NaN where p or q is not known (zeros).
    """
    middle = (target + shares) / 2.0
    both = (_kl(target, middle) + _kl(shares, middle)) / 2.0
    return np.where(_both_known(target, shares), np.clip(both, 0.0, np.log(2.0)), np.nan)


def vendi(lists: IntArray, vectors: npt.NDArray[np.floating], order: float = 1.0) -> FloatArray:
    """Return the effective number of different items of each list (B,), in [1, K].

    ``exp`` of the Renyi entropy of order q of the eigenvalues of ``S / k``, S the cosines of the
    k items (Friedman and Dieng 2023, "The Vendi score"; order q: Pasarkar and
    Dieng 2024). Items with zero vectors are left out; NaN for an empty list.

    Args:
        lists: (B, K).
        vectors: content vectors (I, D).
        order: q, at least 0; 1 is Shannon's entropy, infinity the largest eigenvalue alone.

    Raises:
        UsageError: an order below 0.
    """
    if not order >= 0.0:
        raise UsageError(f"order is {order}; it must be at least 0.")
    rows, size = _list_vectors(lists, vectors)
    kernel = np.einsum("bkd,bjd->bkj", rows, rows) / np.maximum(size, 1)[:, None, None]
    values = np.clip(np.linalg.eigvalsh(kernel), 0.0, 1.0)
    positive = values > 1e-12
    logs = np.log(np.where(positive, values, 1.0))
    if order == 1.0:
        nats = -(values * logs).sum(axis=1)
    elif np.isinf(order):
        nats = -np.log(np.maximum(values.max(axis=1), 1e-12))
    else:
        power = np.where(positive, np.exp(order * logs), 0.0).sum(axis=1)
        nats = np.log(np.maximum(power, 1e-300)) / (1.0 - order)
    bounded = np.clip(np.exp(nats), 1.0, np.maximum(size, 1))
    return np.where(size > 0, bounded, np.nan)


def log_volume(
    lists: IntArray, vectors: npt.NDArray[np.floating], jitter: float = JITTER
) -> FloatArray:
    """Return ``log det(S + jitter I)`` of the cosines S of each list (B,), in nats.

    The log-probability of a determinantal point process up to a constant (Kulesza and Taskar
    2012): about 0 if all items are at right angles, very negative if some are alike.
    Without jitter it is -inf once a list is longer than the vectors. Items with zero vectors
    are left out; NaN for an empty list.

    Args:
        lists: (B, K).
        vectors: content vectors (I, D).
        jitter: added to the diagonal, above 0.

    Raises:
        UsageError: jitter not above 0.
    """
    if not jitter > 0.0:
        raise UsageError(f"jitter is {jitter}; it must be above 0.")
    rows, size = _list_vectors(lists, vectors)
    slots = lists.shape[1]
    kernel = np.einsum("bkd,bjd->bkj", rows, rows) + jitter * np.eye(slots)
    kernel[:, np.arange(slots), np.arange(slots)] += np.square(rows).sum(axis=2) == 0.0
    # A slot left out holds 1 + jitter on the diagonal: its factor is taken away again.
    extra = (slots - size) * np.log1p(jitter)
    return np.where(size > 0, np.linalg.slogdet(kernel)[1] - extra, np.nan)


def _mean_over_pairs(lists: IntArray, distances: FloatArray) -> FloatArray:
    """Return the mean distance over unordered pairs of slots (B,) from a table (I, I)."""
    there = lists >= 0
    first, second = np.triu_indices(lists.shape[1], k=1)
    pairs = there[:, first] & there[:, second]
    values = np.where(pairs, distances[lists[:, first], lists[:, second]], 0.0)
    count = pairs.sum(axis=1)
    out = np.full(len(lists), np.nan)
    return np.divide(values.sum(axis=1), count, out=out, where=count > 0)


def _list_vectors(
    lists: IntArray, vectors: npt.NDArray[np.floating]
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Return unit vectors of the items (B, K, D), zeros where there is none, and their number."""
    rows = _padded(_units(vectors))[lists]
    return rows, (np.abs(rows).sum(axis=2) > 0).sum(axis=1)


def _units(vectors: npt.ArrayLike) -> FloatArray:
    """Return rows divided by their lengths; zeros stay."""
    values = np.asarray(vectors, np.float64)
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return values / np.where(length > 0, length, 1.0)


def _padded(table: npt.NDArray[_Kind]) -> npt.NDArray[_Kind]:
    """Return a table with a last row of zeros, which row -1 finds."""
    return np.concatenate([table, np.zeros((1, *table.shape[1:]), table.dtype)])


def _kl(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the Kullback-Leibler divergence of rows (B,), in nats."""
    held = first > 0
    ratio = np.log(np.where(held, first, 1.0)) - np.log(np.where(held, second, 1.0))
    return np.asarray((first * ratio).sum(axis=1))


def _both_known(first: FloatArray, second: FloatArray) -> BoolArray:
    """Return which rows have mass in both."""
    return np.asarray((first.sum(axis=1) > 0) & (second.sum(axis=1) > 0))
