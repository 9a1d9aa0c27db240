"""Compiled loops of Bayesian personalised ranking: steps over triples, and users given the items.

Letters: T triples (user, liked item, other item), U users, I items, F factors, C factors from
content, G = F + C, D content dimensions, N sampled items, B batch of users.
"""

import math

import numba
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
Index = npt.NDArray[np.int32]

NEWTON_STEPS = 12
HALVINGS = 8
SETTLED = 1e-7  # a gain of the objective by less ends the search


@numba.njit(cache=True, fastmath=True, nogil=True)
def ranking_steps(
    users: Index,
    liked: Index,
    other: Index,
    user_vectors: F32,
    item_vectors: F32,
    bias: F32,
    content: F32,
    to_factors: F32,
    to_bias: F32,
    rate: float,
    penalty: float,
) -> None:
    """Take a gradient step for each triple in turn, in place (Rendle et al. 2009, figure 4).

    Args:
        users: (T,).
        liked: (T,) an item the user liked.
        other: (T,) one the user did not.
        user_vectors: (U, G).
        item_vectors: (I, F) the items' own part.
        bias: (I,) of the items.
        content: (I, D).
        to_factors: (D, C) from content to the other C factors.
        to_bias: (D,) from content to a bias.
        rate: Length of a step, > 0.
        penalty: On the squares of all that a step moves, >= 0.
    """
    own, mapped = item_vectors.shape[1], to_factors.shape[1]
    step, decay = np.float32(rate), np.float32(penalty)
    apart = np.zeros(content.shape[1], np.float32)
    drawn = np.zeros(mapped, np.float32)
    for t in range(len(users)):
        mine, good, bad = user_vectors[users[t]], liked[t], other[t]
        score = bias[good] - bias[bad]
        for f in range(own):
            score += mine[f] * (item_vectors[good, f] - item_vectors[bad, f])
        drawn[:] = 0
        for d in range(len(apart)):
            apart[d] = content[good, d] - content[bad, d]
            score += apart[d] * to_bias[d]
            for c in range(mapped):
                drawn[c] += apart[d] * to_factors[d, c]
        for c in range(mapped):
            score += mine[own + c] * drawn[c]
        pull = np.float32(1.0 / (1.0 + math.exp(score)))
        bias[good] += step * (pull - decay * bias[good])
        bias[bad] -= step * (pull + decay * bias[bad])
        for d in range(len(apart)):
            to_bias[d] += step * (pull * apart[d] - decay * to_bias[d])
            for c in range(mapped):
                slope = pull * apart[d] * mine[own + c]
                to_factors[d, c] += step * (slope - decay * to_factors[d, c])
        for f in range(own):
            x, y, z = mine[f], item_vectors[good, f], item_vectors[bad, f]
            mine[f] += step * (pull * (y - z) - decay * x)
            item_vectors[good, f] += step * (pull * x - decay * y)
            item_vectors[bad, f] -= step * (pull * x + decay * z)
        for c in range(mapped):
            mine[own + c] += step * (pull * drawn[c] - decay * mine[own + c])


@numba.njit(cache=True, nogil=True)
def _pairs(ahead: F32, behind: F32, weights: F32) -> float:
    """Return the mean of log(1 + exp(b - a)) over pairs (H, N); ``weights`` gets its slopes."""
    total = 0.0
    for h in range(len(ahead)):
        for n in range(len(behind)):
            gap = behind[n] - ahead[h]
            size = math.exp(-abs(gap))
            total += max(gap, 0.0) + math.log1p(size)
            weights[h, n] = (1.0 if gap > 0 else size) / (1.0 + size)
    return total / (len(ahead) * len(behind))


@numba.njit(cache=True, nogil=True)
def _newton_step(good: F32, bad: F32, weights: F32, penalty: float, vector: F32) -> F32:
    """Return the Newton step of a user's vector (G,)."""
    count, size = np.float32(weights.size), len(vector)
    ahead, behind = weights.sum(axis=1) / count, weights.sum(axis=0) / count
    slope = ahead @ good - behind @ bad - np.float32(penalty) * vector
    curve = weights * (np.float32(1) - weights) / count  # (H, N)
    by_good, by_bad = curve.sum(axis=1), curve.sum(axis=0)
    mixed = good.T @ (curve @ bad)
    table = (good.T * by_good) @ good + (bad.T * by_bad) @ bad - mixed - mixed.T
    for f in range(size):
        table[f, f] += np.float32(penalty)
    return np.linalg.solve(table, slope)


@numba.njit(cache=True, nogil=True)
def settle_users(
    indptr: Index,
    indices: Index,
    items: F32,
    bias: F32,
    sample: Index,
    penalty: float,
    out: F32,
) -> None:
    """Set ``out`` (B, G) to the users' likeliest vectors given those of the items.

    They minimise the mean of log(1 + exp(s_j - s_i)) over the likes i and the sampled items j,
    plus penalty / 2 |x|^2, with s the scores x.v + b; by Newton's method with halved steps.

    Args:
        indptr: (B + 1,) likes of the users, compressed by row.
        indices: Their items.
        items: (I, G).
        bias: (I,).
        sample: (N,) items that stand for those not liked; a user's likes among them count too.
        penalty: > 0.
        out: (B, G); zeros for a user without likes.
    """
    bad, low = items[sample], bias[sample]
    for b in range(len(out)):
        out[b] = 0
        mine = indices[indptr[b] : indptr[b + 1]]
        if not len(mine):
            continue
        good, high = items[mine], bias[mine]
        vector = out[b].copy()
        weights = np.empty((len(mine), len(sample)), np.float32)
        loss = _pairs(high, low, weights)
        for _ in range(NEWTON_STEPS):
            step = _newton_step(good, bad, weights, penalty, vector)
            before = loss
            for _ in range(HALVINGS):
                new = vector + step
                loss = _pairs(good @ new + high, bad @ new + low, weights)
                loss += 0.5 * penalty * float((new * new).sum())
                if loss <= before:
                    break
                step *= np.float32(0.5)
            if loss > before:  # nothing is gained by float32 any more
                break
            vector = new
            if before - loss < SETTLED:
                break
        out[b] = vector


@numba.njit(cache=True, nogil=True)
def pulls(ahead: F32, behind: F32) -> tuple[F32, F32]:
    """Return how much each like (H,) and each sampled item (N,) pulls at a user's vector."""
    weights = np.empty((len(ahead), len(behind)), np.float32)
    _pairs(ahead, behind, weights)
    count = np.float32(weights.size)
    return weights.sum(axis=1) / count, weights.sum(axis=0) / count
