"""Ways to hold rows of a log out, user by user; those over the whole log are in `interactions`.

Letters: N rows of the log.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.interactions import Interactions, RowArray, Split
from slategym.errors import DataError, UsageError


def split_users_by_time(log: Interactions, fraction: float = 0.2) -> Split:
    """Return a split where the newest rows of each user are the test.

    A user's rows are sorted by time, those of one time by item row; the last ceil(fraction * n)
    of n are the test, and of the rest the last ceil(fraction * rest) validation.

    Raises:
        DataError: the log has no times.
        UsageError: the fraction is not in (0, 1).
    """
    if not log.times.any():
        raise DataError(f"{log.name} has no times to split by; use split_users_at_random.")
    return _by_user(log, np.lexsort((log.items, log.times, log.users)), fraction)


def split_users_at_random(log: Interactions, fraction: float = 0.2, seed: int = 0) -> Split:
    """Return a split like `split_users_by_time` with each user's rows in a random order."""
    luck = np.random.default_rng(seed).permutation(len(log))
    return _by_user(log, np.lexsort((luck, log.users)), fraction)


def leave_one_out(log: Interactions, *, seed: int | None = None) -> Split:
    """Return a split with one row of each user in the test and one in validation.

    The newest row is the test, the one before validation; with a seed, random rows. A user of
    one row keeps it for training, one of two has no validation row.
    """
    second = log.items if seed is None else np.random.default_rng(seed).permutation(len(log))
    first = log.times if seed is None else np.zeros(len(log))
    order = np.lexsort((second, first, log.users))
    return _cut(log, order, lambda n: np.minimum(1, n - 1))


def _by_user(log: Interactions, order: RowArray, fraction: float) -> Split:
    if not 0 < fraction < 1:
        raise UsageError(f"fraction={fraction}: the test share of each user must be in (0, 1).")
    return _cut(log, order, lambda n: np.ceil(n * fraction).astype(np.int64))


def _cut(
    log: Interactions, order: RowArray, test_of: Callable[[RowArray], npt.NDArray[np.int64]]
) -> Split:
    """Return the split where each user's last rows in this order are held out."""
    sizes = log.user_counts()
    test = np.where(sizes > 0, test_of(sizes), 0)
    held = np.where(sizes > test, test_of(sizes - test), 0)
    users = log.users[order]
    starts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    left = sizes[users] - (np.arange(len(order)) - starts[users])  # 1 for the last row of a user
    in_test = left <= test[users]
    in_validation = ~in_test & (left <= (test + held)[users])
    return Split(
        np.sort(order[~in_test & ~in_validation]),
        np.sort(order[in_validation]),
        np.sort(order[in_test]),
    )
