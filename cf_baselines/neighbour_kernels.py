"""Compiled loops of the neighbour models: likeness, the nearest, and votes.

Letters: Q rows asked about, M things in between, T targets, k neighbours, B users, I items,
H history.
"""

import numba
import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.interactions import FloatArray

Ints = npt.NDArray[np.int32]
COSINE, JACCARD = 0, 1
# Below this share of targets met it is quicker to sort those met than to look at all.
FEW_MET = 16


@numba.njit(cache=True)
def kth_largest(values: FloatArray, count: int, k: int) -> float:
    """Return the k-th largest of the first ``count`` values, which are reordered (quickselect)."""
    low, high, place = 0, count - 1, k - 1
    while low < high:
        pivot = values[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while values[left] > pivot:
                left += 1
            while values[right] < pivot:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left += 1
                right -= 1
        if place <= right:
            high = right
        elif place >= left:
            low = left
        else:
            break
    return values[place]


@numba.njit(cache=True)
def _add_up(
    start: int,
    end: int,
    indices: Ints,
    data: FloatArray,
    mid_indptr: Ints,
    mid_indices: Ints,
    mid_data: FloatArray,
    dots: FloatArray,
    shared: Ints,
    met: Ints,
) -> int:
    """Add up what one row shares with each target; return how many targets it meets."""
    count = 0
    for at in range(start, end):
        weight = data[at]
        middle = indices[at]
        for place in range(mid_indptr[middle], mid_indptr[middle + 1]):
            target = mid_indices[place]
            if shared[target] == 0:
                met[count] = target
                count += 1
            shared[target] += 1
            dots[target] += weight * mid_data[place]
    return count


@numba.njit(cache=True)
def nearest_rows(
    indptr: Ints,
    indices: Ints,
    data: FloatArray,
    mid_indptr: Ints,
    mid_indices: Ints,
    mid_data: FloatArray,
    scale: FloatArray,
    shift: FloatArray,
    target_scale: FloatArray,
    target_shift: FloatArray,
    target_size: Ints,
    selves: Ints,
    k: int,
    kind: int,
    shrinkage: float,
) -> tuple[Ints, FloatArray, Ints]:
    """Return the k most alike targets of each row, with a likeness above 0.

    With d the dot product of a row and a target, likeness is, of kind `COSINE`,
    (d - shift t_shift) / (scale t_scale + shrinkage), and of kind `JACCARD`,
    d / (scale + t_scale - d + shrinkage). Of equals the target of lower number is kept.

    Args:
        indptr: Starts of the rows (Q, M), a compressed table.
        indices: Its columns.
        data: Its entries.
        mid_indptr: Starts of the way on (M, T), a compressed table.
        mid_indices: Its columns.
        mid_data: Its entries.
        scale: (Q,) of the rows.
        shift: (Q,) of the rows.
        target_scale: (T,).
        target_shift: (T,).
        target_size: (T,) entries of each target. One that has exactly those of the row says
            nothing that the row does not, and is left out; -1 to keep it.
        selves: (Q,) a target to leave out, -1 for none.
        k: Neighbours kept.
        kind: `COSINE` or `JACCARD`.
        shrinkage: At least 0.

    Returns:
        Targets (Q, k) ascending, their likeness (Q, k), and how many there are (Q,).
    """
    n_rows, n_targets = len(indptr) - 1, len(target_scale)
    targets = np.empty((n_rows, k), np.int32)
    likeness = np.zeros((n_rows, k), np.float32)
    kept = np.zeros(n_rows, np.int32)
    dots = np.zeros(n_targets, np.float32)
    shared = np.zeros(n_targets, np.int32)
    met = np.empty(n_targets, np.int32)
    values = np.empty(n_targets, np.float32)
    for row in range(n_rows):
        start, end = indptr[row], indptr[row + 1]
        count = _add_up(
            start, end, indices, data, mid_indptr, mid_indices, mid_data, dots, shared, met
        )
        if count * FEW_MET < n_targets:
            met[:count].sort()
        else:
            count = 0
            for target in range(n_targets):
                if shared[target] > 0:
                    met[count] = target
                    count += 1
        found = 0
        for n in range(count):
            target = met[n]
            dot, both = dots[target], shared[target]
            dots[target], shared[target] = 0.0, 0
            twin = both == end - start and both == target_size[target]
            if target == selves[row] or twin:
                continue
            if kind == COSINE:
                over = dot - shift[row] * target_shift[target]
                under = scale[row] * target_scale[target] + shrinkage
            else:
                over, under = dot, scale[row] + target_scale[target] - dot + shrinkage
            if over > 0 and under > 0:
                met[found] = target
                values[found] = over / under
                found += 1
        kept[row] = _keep(met, values, found, k, targets[row], likeness[row])
    return targets, likeness, kept


@numba.njit(cache=True)
def _keep(
    met: Ints, values: FloatArray, found: int, k: int, targets: Ints, likeness: FloatArray
) -> int:
    """Write the k largest of the values found, in the order of their targets."""
    if found <= k:
        targets[:found] = met[:found]
        likeness[:found] = values[:found]
        return found
    scratch = values[:found].copy()
    edge = kth_largest(scratch, found, k)
    above = 0
    for n in range(found):
        above += values[n] > edge
    equal = k - above
    place = 0
    for n in range(found):
        if values[n] > edge or (values[n] == edge and equal > 0):
            equal -= values[n] == edge
            targets[place] = met[n]
            likeness[place] = values[n]
            place += 1
    return place


@numba.njit(cache=True)
def spread(
    indptr: Ints,
    indices: Ints,
    data: FloatArray,
    table_indptr: Ints,
    table_indices: Ints,
    table_data: FloatArray,
    columns: int,
) -> FloatArray:
    """Return the product of two compressed tables as a dense one, (rows, columns)."""
    rows = len(indptr) - 1
    out = np.zeros((rows, columns), np.float32)
    for row in range(rows):
        for at in range(indptr[row], indptr[row + 1]):
            weight = data[at]
            middle = indices[at]
            for place in range(table_indptr[middle], table_indptr[middle + 1]):
                out[row, table_indices[place]] += weight * table_data[place]
    return out


@numba.njit(cache=True)
def vote(likeness: FloatArray, values: FloatArray, count: int, k: int, least: int) -> float:
    """Return the mean of ``count`` values weighted by likeness above 0, of the k most alike.

    Of equal likeness the earlier count. 0 if there are less than ``least``.
    """
    found = 0
    for n in range(count):
        if likeness[n] > 0:
            likeness[found], values[found] = likeness[n], values[n]
            found += 1
    if found < least or found == 0:
        return 0.0
    edge = 0.0
    equal = 0
    if found > k:
        edge = kth_largest(likeness[:found].copy(), found, k)
        above = 0
        for n in range(found):
            above += likeness[n] > edge
        equal = k - above
    top, total = 0.0, 0.0
    for n in range(found):
        if likeness[n] == edge:
            equal -= 1
            if equal < 0:
                continue
        elif likeness[n] < edge:
            continue
        top += likeness[n] * values[n]
        total += likeness[n]
    return top / total


@numba.njit(cache=True)
def item_votes(
    history: Ints,
    residuals: FloatArray,
    items: Ints,
    likeness: FloatArray,
    k: int,
    least: int,
) -> FloatArray:
    """Return the votes (B, K) of the history (B, H), -1 for no entry, on items (B, K).

    Args:
        history: (B, H) items rated.
        residuals: (B, H) what of their values is not baseline.
        items: (B, K).
        likeness: (I, I) of items.
        k: Most alike items that vote.
        least: Votes needed, else 0.
    """
    out = np.zeros(items.shape, np.float32)
    alike = np.empty(history.shape[1], np.float32)
    values = np.empty(history.shape[1], np.float32)
    for user in range(len(items)):
        for place in range(items.shape[1]):
            count = 0
            item = items[user, place]
            for at in range(history.shape[1]):
                other = history[user, at]
                if other >= 0 and other != item:
                    alike[count] = likeness[item, other]
                    values[count] = residuals[user, at]
                    count += 1
            out[user, place] = vote(alike, values, count, k, least)
    return out


@numba.njit(cache=True)
def user_votes(
    alike: FloatArray,
    items: Ints,
    indptr: Ints,
    raters: Ints,
    residuals: FloatArray,
    k: int,
    least: int,
) -> FloatArray:
    """Return the votes (B, K) of those who rated items (B, K).

    Args:
        alike: (B, U) likeness to each user.
        items: (B, K).
        indptr: Starts of the items in a compressed table of who rated them.
        raters: Its users.
        residuals: What of their values is not baseline.
        k: Most alike users that vote.
        least: Votes needed, else 0.
    """
    out = np.zeros(items.shape, np.float32)
    most = 0
    for item in range(len(indptr) - 1):
        most = max(most, indptr[item + 1] - indptr[item])
    weights, values = np.empty(most, np.float32), np.empty(most, np.float32)
    for user in range(len(items)):
        for place in range(items.shape[1]):
            start, end = indptr[items[user, place]], indptr[items[user, place] + 1]
            for at in range(start, end):
                weights[at - start] = alike[user, raters[at]]
                values[at - start] = residuals[at]
            out[user, place] = vote(weights, values, end - start, k, least)
    return out


@numba.njit(cache=True)
def slim_columns(
    gram: FloatArray, l1: float, l2: float, rounds: int, tolerance: float, first: int, last: int
) -> FloatArray:
    """Return columns of SLIM's table by coordinate descent on the Gram matrix, (last - first, I).

    Each column w minimises  |x_j - X w|^2 / 2 + l1 |w|_1 + l2 |w|^2 / 2  with w >= 0, w_j = 0.

    Args:
        gram: (I, I) X^T X.
        l1: At least 0.
        l2: Above 0.
        rounds: Passes over the coordinates, at most.
        tolerance: Stop when no coordinate moves by more.
        first: First column.
        last: One beyond the last.
    """
    size = len(gram)
    out = np.zeros((last - first, size), np.float32)
    for column in range(first, last):
        weights = out[column - first]
        left = gram[column].copy()  # x_k . (x_j - X w) for each k
        active = np.empty(size, np.int32)
        # Only what correlates by more than l1 can ever leave 0, as all entries are >= 0.
        count = 0
        for k in range(size):
            if k != column and left[k] > l1:
                active[count] = k
                count += 1
        for _ in range(rounds):
            moved = 0.0
            for n in range(count):
                k = active[n]
                own = gram[k, k]
                before = weights[k]
                after = max(0.0, (left[k] + own * before - l1) / (own + l2))
                change = np.float32(after - before)
                if change != 0.0:
                    weights[k] = before + change
                    moved = max(moved, float(abs(change)))
                    for other in range(size):
                        left[other] -= change * gram[k, other]
            if moved < tolerance:
                break
    return out
