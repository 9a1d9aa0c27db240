"""Checks of the rows and histories that a model is asked about.

Letters: B batch of users, U users, I items, H history, K items to score.
"""

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.interactions import FloatArray, Interactions, RowArray
from slategym.errors import DataError, UsageError

Rows = npt.NDArray[np.intp]


def user_rows(model: str, users: npt.ArrayLike, known: int) -> Rows:
    """Return users (B,) as rows in [-1, known).

    Raises:
        UsageError: another shape, or a row out of range.
    """
    rows = np.asarray(users, dtype=np.intp)
    if rows.ndim != 1 or (rows.size and not -1 <= rows.min() <= rows.max() < known):
        raise UsageError(
            f"{model}: users must be a list of rows in [0, {known}), or -1 for an unknown one; "
            f"got {rows.ravel().tolist()[:5]}."
        )
    return rows


def item_rows(model: str, items: npt.ArrayLike, known: int, batch: int | None = None) -> Rows:
    """Return items (B, K) as rows in [0, known).

    Raises:
        UsageError: another shape, or a row out of range.
    """
    rows = np.asarray(items, dtype=np.intp)
    if rows.ndim != 2 or (batch is not None and len(rows) != batch):
        raise UsageError(
            f"{model}: items must have shape (B, K), one row a user, not {rows.shape}."
        )
    if rows.size and not 0 <= rows.min() <= rows.max() < known:
        raise UsageError(
            f"{model}: items must be in [0, {known}); they span [{rows.min()}, {rows.max()}]."
        )
    return rows


def history_rows(
    model: str, items: npt.ArrayLike, values: npt.ArrayLike, times: npt.ArrayLike | None, known: int
) -> tuple[Rows, FloatArray, RowArray]:
    """Return items, values and times (B, H) of histories; values are 0 where there is no entry.

    Raises:
        UsageError: shapes differ, an item is out of range, or a value is not finite.
    """
    history = np.asarray(items, dtype=np.intp)
    given = np.asarray(values, dtype=np.float32)
    when = np.zeros(history.shape, np.int64) if times is None else np.asarray(times, np.int64)
    if history.ndim != 2 or given.shape != history.shape or when.shape != history.shape:
        raise UsageError(
            f"{model}: a history needs items, values and times of one shape (B, H), not "
            f"{history.shape}, {given.shape} and {when.shape}."
        )
    if history.size and not -1 <= history.min() <= history.max() < known:
        raise UsageError(
            f"{model}: history items must be in [0, {known}) or -1 for no entry; they span "
            f"[{history.min()}, {history.max()}]."
        )
    there = history >= 0
    if not np.isfinite(given[there]).all():
        raise UsageError(f"{model}: a history has values that are not finite; drop them.")
    return history, np.where(there, given, 0).astype(np.float32), when


def content_rows(log: Interactions, content: npt.ArrayLike) -> FloatArray:
    """Return content (I, D) of a log's items as float32.

    Raises:
        DataError: another shape, or not finite.
    """
    vectors = np.asarray(content, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(log.item_ids) or not np.isfinite(vectors).all():
        raise DataError(
            f"{log.name}: content has shape {vectors.shape} and must be finite, one row for each "
            f"of the {len(log.item_ids)} items."
        )
    return vectors


def profile_rows(log: Interactions, profiles: npt.ArrayLike) -> FloatArray:
    """Return what is known of a log's users besides the log, (U, D), float32.

    Raises:
        DataError: another number of rows, or an entry that is not finite.
    """
    rows = np.asarray(profiles, dtype=np.float32)
    count = len(log.user_ids)
    if rows.ndim != 2 or len(rows) != count or not np.isfinite(rows).all():
        raise DataError(
            f"{log.name}: user content must be finite with shape ({count}, D), one row for each "
            f"user; it has shape {rows.shape}."
        )
    return rows
