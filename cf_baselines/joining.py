"""Logs put together by the ids of their users and items, and the rows of a log by user.

Letters: N rows, U users, I items, B batch of users, H history.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.interactions import FloatArray, Interactions, RowArray
from slategym.errors import DataError

Rows = npt.NDArray[np.intp]


def last_of_each_pair(log: Interactions) -> Interactions:
    """Return the log with the last row by time of each user and item, in the rows' order.

    Of rows of one time the later row counts. A log without repeats comes back as it is.
    """
    keys = log.users.astype(np.int64) * len(log.item_ids) + log.items
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    if not (ordered[1:] == ordered[:-1]).any():
        return log
    order = np.lexsort((np.arange(len(keys)), log.times, keys))
    last = np.ones(len(keys), dtype=np.bool_)
    last[:-1] = keys[order][1:] != keys[order][:-1]
    return log.take(np.sort(order[last]))


def join_logs(first: Interactions, second: Interactions) -> Interactions:
    """Return both logs as one, joined by ids; new users and items come after known ones.

    Of rows of one user and item the last by time is kept, of one time that of ``second``. Only
    users and items with a row in ``second`` are added.

    Raises:
        DataError: one log is implicit and the other is not.
    """
    if first.implicit != second.implicit and len(second):
        kinds = ["values", "no values (it is implicit)"]
        raise DataError(
            f"{second.name} has {kinds[second.implicit]}, {first.name} has "
            f"{kinds[first.implicit]}; a log can only be joined with one of its kind."
        )
    user_ids, users = _join_ids(first.user_ids, second.user_ids, second.users)
    item_ids, items = _join_ids(first.item_ids, second.item_ids, second.items)
    joined = replace(
        first,
        user_ids=user_ids,
        item_ids=item_ids,
        users=np.concatenate([first.users, users]),
        items=np.concatenate([first.items, items]),
        values=np.concatenate([first.values, second.values]),
        times=np.concatenate([first.times, second.times]),
    )
    return last_of_each_pair(joined)


def _join_ids(
    known: tuple[str, ...], given: tuple[str, ...], rows: npt.NDArray[Any]
) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    """Return known and new ids, and the rows (N,) of the given ids among them."""
    if given == known:
        return known, rows.astype(np.int32)
    at = {id_: row for row, id_ in enumerate(known)}
    places = np.full(len(given), -1, dtype=np.int32)
    for row in np.unique(rows).tolist():
        places[row] = at.setdefault(given[row], len(at))
    return tuple(at), places[rows]


@dataclass(frozen=True)
class HistoryIndex:
    """The rows of a log by user, each user's oldest first.

    Attributes:
        order: (N,) row numbers of the log.
        starts: (U + 1,) where each user's rows start in ``order``.
        items: (N,) item of each, in that order.
    """

    order: RowArray
    starts: RowArray
    items: npt.NDArray[np.int32]

    @staticmethod
    def of(log: Interactions) -> "HistoryIndex":
        """Return the index of a log; rows of one time are ordered by item row."""
        order = np.lexsort((log.items, log.times, log.users))
        starts = np.concatenate([[0], np.cumsum(log.user_counts())])
        return HistoryIndex(order, starts.astype(np.int64), log.items[order])

    def _places(self, users: Rows) -> tuple[Rows, npt.NDArray[np.bool_]]:
        """Return places in ``order`` (B, H), and where there is one."""
        known = np.maximum(users, 0)
        sizes = np.where(users >= 0, self.starts[known + 1] - self.starts[known], 0)
        steps = np.arange(int(sizes.max(initial=0)))
        there = steps < sizes[:, None]
        return np.where(there, self.starts[known][:, None] + steps, 0), there

    def items_of(self, users: Rows) -> Rows:
        """Return the items (B, H) of users (B,), oldest first, -1 where none."""
        places, there = self._places(users)
        return np.where(there, self.items[places], -1).astype(np.intp)

    def histories(self, log: Interactions, users: Rows) -> tuple[Rows, FloatArray, RowArray]:
        """Return items, values and times (B, H) of users (B,), oldest first, -1 where none."""
        places, there = self._places(users)
        rows = self.order[places]
        items = np.where(there, log.items[rows], -1).astype(np.intp)
        values = np.where(there, log.values[rows], 0).astype(np.float32)
        return items, values, np.where(there, log.times[rows], 0).astype(np.int64)
