"""What describes users and items in the rating sampler: ids, histories both ways, content.

Letters: R rows of a side (users or items), E features, D content dimensions.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from slategym.cf_baselines.interactions import Interactions
from slategym.errors import DataError

Array = npt.NDArray[np.float64]
MAX_CONTENT = 64  # dimensions; wider content is cut to its principal components


@dataclass(frozen=True)
class Side:
    """The features of one side in groups; every group has a prior of its own.

    Attributes:
        rows: (R, E) features, compressed by row.
        indptr: (E + 1,) the same by column, for the compiled loops.
        indices: Rows of the entries.
        data: The entries.
        groups: Slices of features: ids, history, then content if there is any.
    """

    rows: sparse.csr_matrix
    indptr: npt.NDArray[np.int32]
    indices: npt.NDArray[np.int32]
    data: Array
    groups: tuple[slice, ...]

    @property
    def columns(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], Array]:
        """The features by column as the compiled loops take them."""
        return self.indptr, self.indices, self.data


def build_sides(
    pairs: Interactions, item_content: Array | None, user_content: Array | None
) -> tuple[Side, Side]:
    """Return the features of users and of items.

    Args:
        pairs: The ratings to learn from; a history holds all items rated, whatever the value.
        item_content: (I, D) as `standard_content` makes it, or None.
        user_content: (U, D) the same of users.
    """
    user_of, item_of = pairs.users.astype(np.int64), pairs.items.astype(np.int64)
    counts = (len(pairs.user_ids), len(pairs.item_ids))
    return (
        _side(user_of, item_of, counts, user_content),
        _side(item_of, user_of, counts[::-1], item_content),
    )


def _side(
    row_of: npt.NDArray[np.int64],
    other_of: npt.NDArray[np.int64],
    shape: tuple[int, int],
    content: Array | None,
) -> Side:
    """Return the features of the side that ``row_of`` (N,) numbers."""
    seen = 1.0 / np.sqrt(np.bincount(row_of, minlength=shape[0]))[row_of]
    history = sparse.csr_array((seen, (row_of, other_of)), shape)
    parts = [sparse.eye_array(shape[0]), history]
    if content is not None:
        parts.append(sparse.csr_array(content))
    rows = sparse.csr_matrix(sparse.hstack(parts))
    columns = sparse.csc_matrix(rows)
    columns.sort_indices()
    edges = np.cumsum([0, *(part.shape[1] for part in parts)])
    return Side(
        rows,
        columns.indptr.astype(np.int32),
        columns.indices.astype(np.int32),
        columns.data.astype(np.float64),
        tuple(slice(int(a), int(b)) for a, b in itertools.pairwise(edges)),
    )


def standard_content(content: npt.ArrayLike, count: int, what: str) -> Array:
    """Return content (R, D), centred over rows that have any, mean square length 1.

    Rows of zeros have no content and stay zero. More than `MAX_CONTENT` dimensions are cut to
    the strongest principal components.

    Raises:
        DataError: another number of rows, or an entry that is not finite.
    """
    given = np.asarray(content, dtype=np.float64)
    if given.ndim != 2 or len(given) != count or not np.isfinite(given).all():
        raise DataError(
            f"{what} content must be finite with shape ({count}, D), one row for each {what}; "
            f"it has shape {given.shape}."
        )
    there = given.any(axis=1)
    if not there.any():
        return np.zeros((count, 1))
    out = np.zeros_like(given)
    out[there] = given[there] - given[there].mean(axis=0)
    if out.shape[1] > MAX_CONTENT:
        left, size, _ = np.linalg.svd(out, full_matrices=False)
        out = left[:, :MAX_CONTENT] * size[:MAX_CONTENT]
    length = np.sqrt((out[there] ** 2).sum(axis=1).mean())
    return np.asarray(out / max(float(length), 1e-12))
