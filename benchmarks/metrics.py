"""What a policy did to its users and to the catalogue, one convention for each number.

How each is called and printed is in `metric_list`; more of them are computed in `diversity`.
"""

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]
BoolArray = npt.NDArray[np.bool_]

_CHUNK_SLATES = 16_384


def intra_list_diversity(slates: IntArray, vectors: npt.NDArray[np.floating]) -> FloatArray:
    """Return 1 - mean cosine over the unordered pairs of each slate (N,), in [0, 2].

    Convention of Ziegler et al. 2005 with cosine distance; ordered and unordered pairs give
    the same mean. A slate with fewer than two items has no pair: NaN. An item whose vector is
    zero (no content known) has no direction and is left out, rather than called different
    from everything.

    Args:
        slates: item rows (N, K), -1 for an empty slot.
        vectors: content vectors (I, D).
    """
    lengths = np.linalg.norm(vectors, axis=1)
    usable = lengths > 0
    unit = vectors / np.where(usable, lengths, 1.0)[:, None]
    parts = []
    for start in range(0, len(slates), _CHUNK_SLATES):
        items = slates[start : start + _CHUNK_SLATES]
        present = (items >= 0) & usable[items]  # (n, K)
        rows = unit[np.where(present, items, 0)].astype(np.float64) * present[..., None]
        size = present.sum(axis=1)
        # |sum of unit vectors|^2 = n + 2 * (sum of the cosines of unordered pairs)
        squared = np.square(rows.sum(axis=1)).sum(axis=1)
        pairs = size * (size - 1)
        cosine = np.divide(squared - size, pairs, out=np.full(len(items), np.nan), where=pairs > 0)
        parts.append(np.clip(1.0 - cosine, 0.0, 2.0))
    return np.concatenate(parts) if parts else np.empty(0)


def exposure_matrix(shown: IntArray, items: int) -> sp.csr_array:
    """Return how often each item was shown in each session (B, I).

    Args:
        shown: item rows (T, B, K), -1 for empty slots and after the end of a session.
        items: size of the catalogue I.
    """
    step, user, slot = np.nonzero(shown >= 0)
    columns = shown[step, user, slot]
    ones = np.ones(columns.size)
    return sp.csr_array((ones, (user, columns)), shape=(shown.shape[1], items))


def coverage(counts: npt.NDArray[np.number]) -> FloatArray:
    """Return the share of the catalogue shown at least once, in [0, 1].

    The denominator is the whole catalogue (as in RecTools), not the items of a training log
    (as in Microsoft's recommenders, where the number can exceed 1).

    Args:
        counts: times each item was shown (..., I).
    """
    return np.asarray(np.mean(counts > 0, axis=-1))


def gini(counts: npt.NDArray[np.number]) -> FloatArray:
    """Return the Gini coefficient of exposure, in [0, 1); 0 where nothing was shown.

    ``(2 sum_j j c_(j)) / (n sum_j c_j) - (n + 1) / n`` with counts ascending, over all n items
    of the catalogue, items never shown included. High = few items take all exposure.

    Args:
        counts: times each item was shown (..., I).
    """
    ordered = np.sort(np.asarray(counts, np.float64), axis=-1)
    size = ordered.shape[-1]
    total = ordered.sum(axis=-1)
    ranked = ordered @ np.arange(1, size + 1, dtype=np.float64)
    share = np.divide(2.0 * ranked, size * total, out=np.zeros_like(total), where=total > 0)
    return np.where(total > 0, np.maximum(share - (size + 1) / size, 0.0), 0.0)


def lorenz(counts: npt.NDArray[np.number], points: int = 101) -> tuple[FloatArray, FloatArray]:
    """Return the Lorenz curve: share of exposure of the least shown share of the catalogue.

    Args:
        counts: times each item was shown (I,).
        points: number of points of the curve P.

    Returns:
        Share of items (P,) and share of exposure (P,), both in [0, 1].
    """
    ordered = np.sort(np.asarray(counts, np.float64))
    total = max(float(ordered.sum()), 1.0)
    cumulative = np.concatenate([[0.0], np.cumsum(ordered)]) / total
    shares = np.linspace(0.0, 1.0, points)
    return shares, np.interp(shares, np.linspace(0.0, 1.0, cumulative.size), cumulative)


def self_information(popularity: npt.NDArray[np.number], total: float | None = None) -> FloatArray:
    """Return -log2(max(popularity, 1) / total) of each item (I,), in bits.

    An item nobody has met counts as if one had, so that it is the most novel item rather than
    an infinity. With ``total`` = number of users this is RecTools' MeanInvUserFreq; the report
    uses the number of interactions, which keeps the number non-negative when a user may meet
    an item twice.

    Args:
        popularity: public count of each item (I,).
        total: what counts are divided by; ``None`` means their sum.
    """
    floored = np.maximum(np.asarray(popularity, np.float64), 1.0)
    whole = float(np.sum(popularity)) if total is None else float(total)
    return -np.log2(floored / max(whole, 1.0))


def mean_over_shown(shown: IntArray, values: FloatArray) -> FloatArray:
    """Return the mean of an item's number over the items shown in each session (B,).

    Args:
        shown: item rows (T, B, K), -1 for empty.
        values: a number for each item (I,).
    """
    present = shown >= 0
    sums = np.where(present, values[shown], 0.0).sum(axis=(0, 2))
    size = present.sum(axis=(0, 2))
    return np.divide(sums, size, out=np.full(sums.shape, np.nan), where=size > 0)


def topic_entropy(
    shown: IntArray, clicked: BoolArray, topics: npt.NDArray[np.floating]
) -> FloatArray:
    """Return the entropy of what each session consumed (B,), in bits, in [0, log2 Z].

    The topic rows of the clicked items are added up, normalised, and
    ``H = -sum_z p_z log2 p_z`` is taken (Shannon 1948). NaN for a session without a clicked
    item that has topics.

    Args:
        shown: item rows (T, B, K), -1 for empty.
        clicked: whether each was clicked (T, B, K).
        topics: topic distribution of each item (I, Z), rows summing to 1 or 0.
    """
    consumed = exposure_matrix(np.where(clicked, shown, -1), len(topics))
    mass = np.asarray(consumed @ topics.astype(np.float64))  # (B, Z)
    total = mass.sum(axis=1, keepdims=True)
    share = np.divide(mass, total, out=np.zeros_like(mass), where=total > 0)
    bits = -np.sum(share * np.log2(np.where(share > 0, share, 1.0)), axis=1)
    return np.where(total[:, 0] > 0, np.maximum(bits, 0.0), np.nan)


def session_diversity(shown: IntArray, vectors: npt.NDArray[np.floating]) -> FloatArray:
    """Return the mean intra-list diversity over the slates of each session (B,).

    Args:
        shown: item rows (T, B, K), -1 for empty.
        vectors: content vectors (I, D).
    """
    steps, users, slots = shown.shape
    each = intra_list_diversity(shown.reshape(-1, slots), vectors).reshape(steps, users)
    known = np.isfinite(each)
    sums, size = np.where(known, each, 0.0).sum(axis=0), known.sum(axis=0)
    return np.divide(sums, size, out=np.full(users, np.nan), where=size > 0)
