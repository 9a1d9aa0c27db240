"""Who gets seen and who gets served: exposure of creators and groups, gaps between user groups.

Letters: B lists, K slots, I items, G groups (creators, genres, countries), U users, P policies.
"""

import numpy as np
import numpy.typing as npt

from slategym.errors import DataError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]
BoolArray = npt.NDArray[np.bool_]


def attention(slots: int) -> FloatArray:
    """Return the attention each slot gets (K,): ``1 / log2(rank + 1)``, 1 at the top.

    The position bias of Singh and Joachims 2018, "Fairness of exposure in rankings";
    where clicks say something else, pass what they say.
    """
    return 1.0 / np.log2(np.arange(2, slots + 2))


def group_exposure(
    lists: IntArray, groups: IntArray, n_groups: int, weights: npt.ArrayLike | None = None
) -> FloatArray:
    """Return the share of all exposure each group gets (G,), summing to 1; zeros without exposure.

    Args:
        lists: item rows (B, K), -1 for an empty slot.
        groups: group of each item (I,), in 0 .. G - 1, or -1 for items of no group.
        n_groups: G.
        weights: attention of each slot (K,), e.g. `attention`; ``None`` counts all slots alike.
    """
    slot = np.ones(lists.shape[1]) if weights is None else np.asarray(weights, np.float64)
    owner = np.where(lists >= 0, groups[lists], -1)
    seen = owner >= 0
    value = np.broadcast_to(slot, lists.shape)
    total = np.bincount(owner[seen], weights=value[seen], minlength=n_groups).astype(np.float64)
    return total / total.sum() if total.sum() > 0 else total


def catalogue_shares(groups: IntArray, n_groups: int) -> FloatArray:
    """Return the share of the catalogue each group has (G,): what equal treatment of items gives.

    Args:
        groups: group of each item (I,), -1 for items of no group.
        n_groups: G.
    """
    counts = np.bincount(groups[groups >= 0], minlength=n_groups).astype(np.float64)
    return counts / max(float(counts.sum()), 1.0)


def exposure_gap(shares: npt.ArrayLike, deserved: npt.ArrayLike) -> FloatArray:
    """Return how much exposure would have to move to be fair (...), in [0, 1]: total variation.

    ``sum_g |share_g - deserved_g| / 2``. Deserved is a choice: `catalogue_shares` treats all items
    alike, shares of relevance give the equity of attention of Biega et al. 2018.

    Args:
        shares: share of exposure (..., G).
        deserved: share that would be fair (G,).
    """
    difference = np.asarray(shares, np.float64) - np.asarray(deserved, np.float64)
    return np.asarray(np.abs(difference).sum(axis=-1) / 2.0)


def exposure_ratio(shares: npt.ArrayLike, deserved: npt.ArrayLike) -> float:
    """Return the exposure per deserved unit of the worst group over that of the best, in [0, 1].

    1 is fair (disparate treatment of Singh and Joachims 2018 as a ratio); groups that
    deserve nothing are left out. NaN with fewer than two groups.
    """
    given, due = np.asarray(shares, np.float64), np.asarray(deserved, np.float64)
    rates = given[due > 0] / due[due > 0]
    return float(rates.min() / rates.max()) if len(rates) > 1 and rates.max() > 0 else np.nan


def group_means(values: npt.ArrayLike, groups: IntArray, n_groups: int) -> FloatArray:
    """Return the mean of users' values in each group (G,); NaN for a group without users.

    Args:
        values: one a user, NaN where not known (U,): return, diversity, miscalibration, ...
        groups: group of each user (U,), in 0 .. G - 1, or -1 for no group.
        n_groups: G.

    Raises:
        DataError: another number of groups than values.
    """
    numbers = np.asarray(values, np.float64)
    if numbers.shape != groups.shape:
        raise DataError(f"values has shape {numbers.shape} and groups {groups.shape}.")
    known = np.isfinite(numbers) & (groups >= 0)
    sums = np.bincount(groups[known], weights=numbers[known], minlength=n_groups)
    counts = np.bincount(groups[known], minlength=n_groups)
    return np.divide(sums, counts, out=np.full(n_groups, np.nan), where=counts > 0)


def group_gap(values: npt.ArrayLike, groups: IntArray, n_groups: int) -> float:
    """Return the best served group's mean less the worst served one's, at least 0; NaN below two.

    Args:
        values: one a user (U,).
        groups: group of each user (U,), -1 for no group.
        n_groups: G.
    """
    means = group_means(values, groups, n_groups)
    known = means[np.isfinite(means)]
    return float(np.ptp(known)) if len(known) > 1 else np.nan


def pareto_front(points: npt.ArrayLike) -> BoolArray:
    """Return which policies no other beats on every axis (P,), higher being better on all.

    A policy is off the front if another is at least as good on each axis and better on one.

    Args:
        points: one row a policy (P, axes), e.g. return and diversity.
    """
    values = np.asarray(points, np.float64)
    at_least = (values[:, None, :] >= values[None, :, :]).all(axis=2)  # row beats column
    better = (values[:, None, :] > values[None, :, :]).any(axis=2)
    return np.asarray(~(at_least & better).any(axis=0))
