"""Re-rankings for variety as plain array functions: MMR, greedy DPP, calibrated lists.

Letters: B lists, C candidates, K slots, D vector, Z topics. All lists are filled at once, slot by
slot; of candidates that are equally good the first in the row wins.
"""

import numpy as np
import numpy.typing as npt

from slategym.errors import UsageError

FloatArray = npt.NDArray[np.float64]
PositionArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

# Share of an item's squared length that must stick out of the span of the items before it; below
# this the determinant is 0 up to rounding.
SPANNED = 1e-10
# Weight of the target in the smoothed distribution of a list (Steck 2018).
CALIBRATION_SMOOTHING = 0.01


def min_max(scores: npt.ArrayLike) -> FloatArray:
    """Return scores (B, C) scaled to [0, 1] in each row; 0 throughout a row of equal scores.

    Entries of ``-inf`` stay what they are and do not count as the lowest.
    """
    values = np.asarray(scores, np.float64)
    known = np.isfinite(values)
    low = np.where(known, values, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    high = np.where(known, values, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    span = np.where(high > low, high - low, 1.0)
    return np.where(known, (np.where(known, values, 0.0) - low) / span, -np.inf)


def unit_rows(vectors: npt.ArrayLike) -> FloatArray:
    """Return vectors (..., D) divided by their lengths; a vector of zeros stays zero."""
    values = np.asarray(vectors, np.float64)
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return values / np.where(length > 0, length, 1.0)


def mmr(
    scores: npt.ArrayLike, directions: npt.ArrayLike, slots: int, *, trade_off: float = 0.5
) -> PositionArray:
    """Return lists (B, K) by maximal marginal relevance (Carbonell and Goldstein 1998).

    Each slot takes the candidate with the highest
    ``trade_off * s - (1 - trade_off) * max cosine to the slots before it``, where s is the score
    scaled to [0, 1] over the row; the first slot takes the highest score.

    Args:
        scores: relevance (B, C), any scale; ``-inf`` marks candidates that must not be taken.
        directions: unit vectors (B, C, D) or, the same for all rows, (C, D); zeros are allowed.
        slots: K, at most the candidates of every row.
        trade_off: in [0, 1]; 1 is the order of the scores.

    Returns:
        Positions in the row (B, K), in the order the slots were filled.

    Raises:
        UsageError: a trade-off outside [0, 1], or fewer candidates than slots.
    """
    _check_share("trade_off", trade_off, below_one=False)
    relevance, vectors = _prepared(scores, directions, slots)
    rows = np.arange(len(relevance))
    free = np.isfinite(relevance)
    picked = np.empty((len(relevance), slots), np.int64)
    picked[:, 0] = relevance.argmax(axis=1)
    nearest = np.full(relevance.shape, -1.0)
    gains = trade_off * np.where(free, relevance, 0.0)
    for slot in range(1, slots):
        last = picked[:, slot - 1]
        free[rows, last] = False
        cosine = np.einsum("bcd,bd->bc", vectors, vectors[rows, last])
        nearest = np.maximum(nearest, cosine)
        gain = gains - (1.0 - trade_off) * nearest
        picked[:, slot] = np.where(free, gain, -np.inf).argmax(axis=1)
    return picked


def greedy_dpp(
    scores: npt.ArrayLike, directions: npt.ArrayLike, slots: int, *, theta: float = 0.7
) -> PositionArray:
    """Return lists (B, K) that greedily maximise the determinant of a DPP kernel.

    The kernel is ``L = diag(q) S diag(q)`` with S the cosines and
    ``q = exp(theta / (2 (1 - theta)) * s)``, s the score scaled to [0, 1] over the row (Chen,
    Zhang and Zhou 2018; Wilhelm et al. 2018). Each slot takes the
    candidate that multiplies ``det L`` of the list the most, by the incremental Cholesky
    factors of Chen et al. 2018, algorithm 1: O(K^2 C) a row. Logarithms are compared, so theta
    near 1 does not overflow.

    When every candidate left lies in the span of those taken (always so beyond D slots), the
    determinant is 0 whatever follows; the rest of the list then follows the scores.

    Args:
        scores: relevance (B, C), any scale; ``-inf`` marks candidates that must not be taken.
        directions: unit vectors (B, C, D) or, the same for all rows, (C, D); zeros are allowed.
        slots: K, at most the candidates of every row.
        theta: weight of relevance in [0, 1); 0 is variety alone.

    Returns:
        Positions in the row (B, K), in the order the slots were filled.

    Raises:
        UsageError: theta outside [0, 1), or fewer candidates than slots.
    """
    _check_share("theta", theta, below_one=True)
    relevance, vectors = _prepared(scores, directions, slots)
    rows = np.arange(len(relevance))
    free = np.isfinite(relevance)
    worth = theta / (1.0 - theta) * np.where(free, relevance, 0.0)  # 2 log q
    # Squared length outside the span (B, C). Exactly 1 or 0 at first, so that rounding does not
    # choose among candidates of equal worth.
    residue = (np.square(vectors).sum(axis=2) > 0.5).astype(np.float64)
    factors = np.zeros((*relevance.shape, slots))  # rows of the Cholesky factor (B, C, K)
    picked = np.empty((len(relevance), slots), np.int64)
    for slot in range(slots):
        outside = free & (residue > SPANNED)
        gain = np.where(outside, worth + np.log(np.where(outside, residue, 1.0)), -np.inf)
        spanned = ~outside.any(axis=1, keepdims=True)
        gain = np.where(spanned, np.where(free, relevance, -np.inf), gain)
        best = picked[:, slot] = gain.argmax(axis=1)
        free[rows, best] = False
        cosine = np.einsum("bcd,bd->bc", vectors, vectors[rows, best])
        known = np.einsum("bck,bk->bc", factors[..., :slot], factors[rows, best, :slot])
        root = np.sqrt(np.where(spanned[:, 0], np.inf, residue[rows, best]))
        step = (cosine - known) / root[:, None]
        factors[..., slot] = step
        residue = np.maximum(residue - np.square(step), 0.0)
    return picked


def calibrated(
    scores: npt.ArrayLike,
    topics: npt.ArrayLike,
    target: npt.ArrayLike,
    slots: int,
    *,
    trade_off: float = 0.5,
    smoothing: float = CALIBRATION_SMOOTHING,
) -> PositionArray:
    """Return lists (B, K) whose topics follow those the user likes (Steck 2018).

    Each slot takes the candidate that maximises
    ``(1 - trade_off) * sum of s - trade_off * KL(p || (1 - a) q + a p)`` of the list so far, s the
    score scaled to [0, 1] over the row, p the target, q the mean topic distribution of the
    list, a the smoothing, KL in nats. A user without a target (zeros) gets the order of scores.

    Args:
        scores: relevance (B, C), any scale; ``-inf`` marks candidates that must not be taken.
        topics: topic distributions (B, C, Z) or, the same for all rows, (C, Z); each sums to 1,
            or to 0 where the topics are not known.
        target: topic distribution each user likes (B, Z), each summing to 1 or to 0.
        slots: K, at most the candidates of every row.
        trade_off: in [0, 1]; 0 is the order of the scores.
        smoothing: a in (0, 1).

    Returns:
        Positions in the row (B, K), in the order the slots were filled.

    Raises:
        UsageError: a trade-off or smoothing out of range, or fewer candidates than slots.
    """
    _check_share("trade_off", trade_off, below_one=False)
    if not 0.0 < smoothing < 1.0:
        raise UsageError(f"smoothing is {smoothing}; it must lie between 0 and 1.")
    relevance, shares = _prepared(scores, topics, slots)
    liked = np.asarray(target, np.float64)[:, None, :]  # (B, 1, Z)
    rows = np.arange(len(relevance))
    free = np.isfinite(relevance)
    gains = (1.0 - trade_off) * np.where(free, relevance, 0.0)
    log_liked = np.log(np.where(liked > 0, liked, 1.0))
    so_far = np.zeros((len(relevance), 1, shares.shape[2]))
    picked = np.empty((len(relevance), slots), np.int64)
    for slot in range(slots):
        mixed = (1.0 - smoothing) * (so_far + shares) / (slot + 1) + smoothing * liked
        ratio = log_liked - np.log(np.where(liked > 0, mixed, 1.0))
        gain = gains - trade_off * (liked * ratio).sum(axis=2)
        best = picked[:, slot] = np.where(free, gain, -np.inf).argmax(axis=1)
        free[rows, best] = False
        so_far = so_far + shares[rows, best][:, None, :]
    return picked


def _prepared(
    scores: npt.ArrayLike, tables: npt.ArrayLike, slots: int
) -> tuple[FloatArray, FloatArray]:
    """Return scaled scores (B, C) and per-row tables (B, C, n)."""
    relevance = min_max(scores)
    fewest = int(np.isfinite(relevance).sum(axis=1).min(initial=relevance.shape[1]))
    if not 1 <= slots <= fewest:
        raise UsageError(
            f"{slots} slots were asked of a row with {fewest} candidates; "
            f"ask for 1 to {fewest} slots or give more candidates."
        )
    values = np.asarray(tables, np.float64)
    return relevance, np.broadcast_to(values, (*relevance.shape, values.shape[-1]))


def _check_share(name: str, value: float, *, below_one: bool) -> None:
    """Refuse a number outside [0, 1], or outside [0, 1)."""
    if not (0.0 <= value < 1.0 or (value == 1.0 and not below_one)):
        raise UsageError(f"{name} is {value}; it must be in [0, 1{')' if below_one else ']'}.")
