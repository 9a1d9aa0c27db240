"""What the posterior of the rating model says of single users: people drawn, values explained.

Letters: B users, H history, K items, S samples, G = factors + 1 with the bias first, L levels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from slategym.cf_baselines.explanations import Case, Part
from slategym.cf_baselines.gibbs import Samples
from slategym.cf_baselines.interactions import FloatArray
from slategym.cf_baselines.ordinal import TABLE_LOW, TABLE_STEP

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Levels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class DrawnUsers:
    """People drawn from the posterior, and the items as they see them.

    Attributes:
        people: (B,) the user of the log that each was drawn around.
        users: (B, G) bias, then taste.
        items: (I, G) bias, then factors.
        table: (T,) expected value at linear predictors from ``TABLE_LOW`` on; (0,) if the
            predictor itself is the value.
    """

    people: Rows
    users: FloatArray
    items: FloatArray
    table: FloatArray

    def values(self, users: npt.ArrayLike, items: npt.ArrayLike) -> FloatArray:
        """Return expected values (B, K), in the log's units, of items (B, K) for users (B,)."""
        mine, its = self.users[np.asarray(users)], self.items[np.asarray(items)]
        predictor = (
            mine[:, None, 0] + its[..., 0] + np.einsum("bf,bkf->bk", mine[:, 1:], its[..., 1:])
        )
        return _values(self.table, predictor).astype(np.float32)


def draw_rows(
    kept: Samples,
    sample: int,
    rows: FloatArray,
    base: FloatArray,
    items: Rows,
    levels: Levels,
    values: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """Return users' rows (B, G) drawn anew, given one sample of all else.

    One Gibbs step from the sampled row: hidden values given the row, then the row given them.

    Args:
        kept: The samples.
        sample: Which one.
        rows: (B, G) the sampled rows.
        base: (B, G) what features say of each user.
        items: (B, H) histories, -1 for no entry.
        levels: (B, H) level of each value.
        values: (B, H) in the log's units.
        rng: For the draws.
    """
    out = np.empty_like(rows)
    for b, history in enumerate(items):
        there = history >= 0
        design = kept.items[history[there], sample].astype(np.float64)
        fixed, design = _design(design, base[b])
        own = rows[b].astype(np.float64) - base[b]
        bounds = kept.bounds[sample]
        if len(bounds):
            predictor = fixed + design @ own
            low, high = _shares(bounds, levels[b, there], predictor)
            share = np.clip(low + (high - low) * rng.random(len(low)), 1e-12, 1 - 1e-12)
            target = predictor + ndtri(share) - fixed
        else:
            target = values[b, there] - fixed
        precision = kept.alphas[sample] * design.T @ design + np.diag(kept.id_precision[sample])
        pull = kept.id_precision[sample] * kept.id_mean[sample]
        centre = np.linalg.solve(precision, pull + kept.alphas[sample] * design.T @ target)
        root = np.linalg.cholesky(precision)
        spread = np.linalg.solve(root.T, rng.standard_normal(len(root)))
        out[b] = base[b] + centre + spread
    return out


def level_shares(kept: Samples, users: FloatArray, items: Rows) -> FloatArray:
    """Return the probability of each level, (B, K, L), the mean over samples.

    Args:
        kept: The samples, of ordered levels.
        users: (B, S, G) the users' rows.
        items: (B, K) rows of items.
    """
    out = np.zeros((*items.shape, kept.bounds.shape[1] - 1))
    for s, bounds in enumerate(kept.bounds):
        mine, its = users[:, s].astype(np.float64), kept.items[items, s].astype(np.float64)
        taste = np.einsum("bf,bkf->bk", mine[:, 1:], its[..., 1:])
        predictor = mine[:, :1] + its[..., 0] + taste
        out += np.diff(ndtr(bounds - predictor[..., None]), axis=-1)
    return np.asarray(out / len(kept.bounds), dtype=np.float32)


def value_shares(
    kept: Samples,
    average: FloatArray,
    row: FloatArray,
    base: FloatArray,
    case: Case,
    levels: Levels,
    explicit: bool,
) -> list[Part]:
    """Return the parts of one expected value, in the log's units.

    In each sample the linear predictor is a sum over biases, the histories' weights and the own
    part, which is linear in the (hidden) values that the user gave. The step from the predictor
    of an average user and item to this one is shared out in proportion to the parts (the
    Aumann-Shapley value of a function of a sum).

    Args:
        kept: The samples.
        average: (S, G) the average user's row.
        row: (S, G) the user's.
        base: (S, G) what features say of the user.
        case: Whose score of what.
        levels: (H,) level of each value.
        explicit: Whether values were learned from.
    """
    items, values = case.items, case.values
    its = kept.items[case.item].astype(np.float64)
    item_average = kept.items[..., 0].mean(axis=0)
    start = average[:, 0] + item_average
    taste = (row[:, 1:] * its[:, 1:]).sum(axis=1)
    end = row[:, 0] + its[:, 0] + taste
    samples = range(len(its))
    first = np.array([_values(kept.tables[s], start[s]) for s in samples], dtype=np.float64)
    last = np.array([_values(kept.tables[s], end[s]) for s in samples], dtype=np.float64)
    gap = end - start
    slope = np.where(np.abs(gap) > 1e-9, (last - first) / np.where(gap == 0, 1.0, gap), 0.0)
    share = np.zeros(len(items))
    for s in samples:
        design = kept.items[items, s].astype(np.float64)
        chosen = kept.history[items, s, 1:] @ its[s, 1:] / np.sqrt(max(1, len(items)))
        share += slope[s] * chosen
        if explicit and len(items):
            share += slope[s] * _by_value(kept, s, row[s], base[s], design, levels, values, its[s])
    share /= len(its)
    return [
        Part("average", float(first.mean())),
        Part("item", float((slope * (its[:, 0] - item_average)).mean())),
        Part("user", float((slope * (row[:, 0] - average[:, 0])).mean())),
        *(Part("history", float(part), int(at)) for part, at in zip(share, items, strict=True)),
    ]


def _by_value(
    kept: Samples,
    s: int,
    row: FloatArray,
    base: FloatArray,
    design: Array,
    levels: Levels,
    values: FloatArray,
    its: Array,
) -> Array:
    """Return what each value given (H,) adds to the predictor through the own part."""
    fixed, design = _design(design, base)
    own = row.astype(np.float64) - base
    bounds = kept.bounds[s]
    if len(bounds):
        predictor = fixed + design @ own
        low, high = _shares(bounds, levels, predictor)
        density = np.exp(-0.5 * np.minimum((bounds - predictor[:, None]) ** 2, 700.0))
        at = np.arange(len(levels))
        drop = (density[at, levels] - density[at, levels + 1]) / np.sqrt(2 * np.pi)
        target = predictor + drop / np.maximum(high - low, 1e-12) - fixed
    else:
        target = values - fixed
    precision = kept.alphas[s] * design.T @ design + np.diag(kept.id_precision[s])
    reach = np.linalg.solve(precision, np.concatenate([[0.0], its[1:]]))
    return np.asarray(kept.alphas[s] * (design @ reach) * target)


def _design(items: Array, base: FloatArray) -> tuple[Array, Array]:
    """Return the predictor without the own part (H,), and what multiplies the own part (H, G)."""
    fixed = items[:, 0] + base[0] + items[:, 1:] @ base[1:]
    design = items.copy()
    design[:, 0] = 1.0
    return fixed, design


def _shares(bounds: Array, levels: Levels, predictor: Array) -> tuple[Array, Array]:
    return ndtr(bounds[levels] - predictor), ndtr(bounds[levels + 1] - predictor)


def _values(table: FloatArray, predictor: npt.ArrayLike) -> Array:
    """Return expected values at linear predictors of any shape."""
    if not len(table):
        return np.asarray(predictor, dtype=np.float64)
    points = TABLE_LOW + TABLE_STEP * np.arange(len(table))
    return np.asarray(np.interp(np.asarray(predictor, np.float64), points, table))
