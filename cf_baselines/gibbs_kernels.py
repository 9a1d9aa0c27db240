"""Compiled loops of the Gibbs sampler for ratings, of scoring and of taking in new users.

Letters: N ratings, R rows of a side (users or items), E features of a side, F factors,
G = F + 1 with the bias first, S posterior samples, L levels of value, T points of a table.
"""

import math

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]
Index = npt.NDArray[np.int32]

ROOT_HALF = math.sqrt(0.5)
DENSITY = 1.0 / math.sqrt(2.0 * math.pi)


@numba.njit(cache=True, fastmath=True, nogil=True)
def _draw_column(
    side: tuple[Index, Index, Array],
    prior: tuple[Array, Array, Array],
    alpha: float,
    squares: Array,
    products: Array,
    v: Array,
    q: Array,
    moved: Array,
) -> None:
    """Draw one factor's weight of every feature of a side, in turn, given all else.

    ``squares`` (R,) holds the sums of squared multipliers over a row's ratings, ``products``
    (R,) those of residual times multiplier, kept up to date; ``q`` and ``moved`` take the change.
    """
    indptr, rows, x = side
    mean, precision, noise = prior
    for feature in range(len(v)):
        curve, pull = 0.0, 0.0
        for k in range(indptr[feature], indptr[feature + 1]):
            curve += x[k] * x[k] * squares[rows[k]]
            pull += x[k] * products[rows[k]]
        total = alpha * curve + precision[feature]
        centre = alpha * (pull + v[feature] * curve) + precision[feature] * mean[feature]
        step = centre / total + noise[feature] / math.sqrt(total) - v[feature]
        v[feature] += step
        for k in range(indptr[feature], indptr[feature + 1]):
            row, part = rows[k], step * x[k]
            products[row] -= part * squares[row]
            q[row] += part
            moved[row] += part


@numba.njit(cache=True, fastmath=True, nogil=True)
def draw_factor(
    residual: Array,
    users: Index,
    items: Index,
    user_side: tuple[Index, Index, Array],
    item_side: tuple[Index, Index, Array],
    user_prior: tuple[Array, Array, Array],
    item_prior: tuple[Array, Array, Array],
    alpha: float,
    user_v: Array,
    item_v: Array,
    user_q: Array,
    item_q: Array,
    by_user: Array,
    by_item: Array,
) -> None:
    """Draw one factor's weights of all features, first the users', then the items'.

    Args:
        residual: (N,) value minus prediction, kept up to date.
        users: (N,) user of each rating.
        items: (N,) item of each rating.
        user_side: Features of users in compressed columns: indptr (E + 1,), rows, entries.
        item_side: The same of items.
        user_prior: Mean, precision and a standard normal draw for each feature, (E,) each.
        item_prior: The same of items.
        alpha: Precision of a rating.
        user_v: (E,) the users' weights.
        item_v: (E,) the items' weights.
        user_q: (U,) features times weights, kept up to date.
        item_q: (I,) the same of items.
        by_user: (U,) what an item's value is multiplied by: ``user_q``, or ones for biases.
        by_item: (I,) what a user's value is multiplied by: ``item_q``, or ones.
    """
    squares, products = np.zeros(len(user_q)), np.zeros(len(user_q))
    for n in range(len(residual)):
        other = by_item[items[n]]
        squares[users[n]] += other * other
        products[users[n]] += residual[n] * other
    moved = np.zeros(len(user_q))
    _draw_column(user_side, user_prior, alpha, squares, products, user_v, user_q, moved)
    squares, products = np.zeros(len(item_q)), np.zeros(len(item_q))
    for n in range(len(residual)):
        user, item = users[n], items[n]
        residual[n] -= moved[user] * by_item[item]
        other = by_user[user]
        squares[item] += other * other
        products[item] += residual[n] * other
    moved = np.zeros(len(item_q))
    _draw_column(item_side, item_prior, alpha, squares, products, item_v, item_q, moved)
    for n in range(len(residual)):
        residual[n] -= moved[items[n]] * by_user[users[n]]


@numba.njit(cache=True, fastmath=True, nogil=True)
def _expected(table: F32, low: float, step: float, predictor: float) -> float:
    """Return the table's value at a linear predictor, between its points by a straight line."""
    place = (predictor - low) / step
    last = len(table) - 1
    if place <= 0.0:
        return table[0]
    if place >= last:
        return table[last]
    left = int(place)
    return table[left] + (place - left) * (table[left + 1] - table[left])


@numba.njit(cache=True, fastmath=True, nogil=True)
def score_rows(
    users: F32, items: F32, tables: F32, low: float, step: float, chosen: Index, out: F32
) -> None:
    """Set ``out`` (B, K) to the expected value of ``chosen`` (B, K) items, mean over samples.

    Args:
        users: (B, S, G) bias, then factors.
        items: (I, S, G) the same.
        tables: (S, T) expected value at linear predictors ``low``, ``low + step``, ...; with
            T = 0 the predictor itself is the value.
        low: First point of the tables.
        step: Between two points.
        chosen: (B, K) rows of ``items``.
        out: (B, K).
    """
    samples, size = users.shape[1], users.shape[2]
    for b in range(len(chosen)):
        for k in range(chosen.shape[1]):
            total = 0.0
            for s in range(samples):
                mine, its = users[b, s], items[chosen[b, k], s]
                dot = np.float32(0.0)
                for f in range(1, size):
                    dot += mine[f] * its[f]
                predictor = mine[0] + its[0] + dot
                if tables.shape[1]:
                    total += _expected(tables[s], low, step, predictor)
                else:
                    total += predictor
            out[b, k] = total / samples


@numba.njit(cache=True)
def _hidden(predictor: float, low: float, high: float) -> float:
    """Return E[z] of a normal around ``predictor`` with deviation 1, known to lie in (low, high).

    predictor + (pdf(a) - pdf(b)) / (cdf(b) - cdf(a)) with a, b the bounds less the predictor.
    """
    a, b = low - predictor, high - predictor
    share = 0.5 * (math.erf(b * ROOT_HALF) - math.erf(a * ROOT_HALF))
    if share < 1e-10:  # far in a tail: the nearer bound
        return low if a > 0 else high
    difference = math.exp(-0.5 * a * a) - math.exp(-0.5 * b * b)
    return predictor + DENSITY * difference / share


@numba.njit(cache=True, nogil=True)
def fold_rows(
    history: Index,
    levels: Index,
    values: Array,
    base: F32,
    items: F32,
    cuts: Array,
    alphas: Array,
    prior_mean: F32,
    prior_precision: F32,
    rounds: int,
    out: F32,
) -> None:
    """Set ``out`` (B, S, G) to users' rows given their histories, for each posterior sample.

    A user's row is ``base`` plus an own part with a Gaussian prior. With a Gaussian likelihood
    its posterior mean is exact; with ordered levels the posterior mode is found by expectation
    maximisation over the hidden values (Albert and Chib 1993, section 4).

    Args:
        history: (B, H) items, -1 for no entry.
        levels: (B, H) which level each value is, if there are ``cuts``.
        values: (B, H) the values less the mean, if there are none.
        base: (B, S, G) what features say of the user.
        items: (I, S, G) bias, then factors of items.
        cuts: (S, L + 1) bounds of the levels, from -inf to inf; (S, 0) for Gaussian values.
        alphas: (S,) precision of a value.
        prior_mean: (S, G).
        prior_precision: (S, G).
        rounds: Of expectation maximisation.
        out: (B, S, G).
    """
    samples, size = items.shape[1], items.shape[2]
    ordered = cuts.shape[1] > 0
    for b in range(len(history)):
        found = history[b][history[b] >= 0]
        level, value = levels[b][history[b] >= 0], values[b][history[b] >= 0]
        h = np.ones((len(found), size))
        fixed = np.empty(len(found))
        for s in range(samples):
            for n in range(len(found)):
                fixed[n] = items[found[n], s, 0] + base[b, s, 0]
                for f in range(1, size):
                    h[n, f] = items[found[n], s, f]
                    fixed[n] += base[b, s, f] * h[n, f]
            alpha = alphas[s]
            precision = alpha * (h.T @ h)
            own = prior_mean[s].astype(np.float64)
            pull = own * prior_precision[s]
            for f in range(size):
                precision[f, f] += prior_precision[s, f]
            inverse = np.linalg.inv(precision)
            for _ in range(rounds if ordered else 1):
                right = pull.copy()
                for n in range(len(found)):
                    if ordered:
                        predictor = fixed[n]
                        for f in range(size):
                            predictor += h[n, f] * own[f]
                        low, high = cuts[s, level[n]], cuts[s, level[n] + 1]
                        target = _hidden(predictor, low, high) - fixed[n]
                    else:
                        target = value[n] - fixed[n]
                    for f in range(size):
                        right[f] += alpha * target * h[n, f]
                own = inverse @ right
            for f in range(size):
                out[b, s, f] = base[b, s, f] + own[f]
