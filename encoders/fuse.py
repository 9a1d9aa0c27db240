"""One table from the vectors of several modalities: standardised, balanced, whitened."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slategym.encoders.base import FloatArray
from slategym.encoders.catalog import Modality
from slategym.encoders.pipeline import ItemVectors
from slategym.errors import DataError, UsageError

Float64Array = npt.NDArray[np.float64]

_FLAT = 1e-6  # a column or direction with less than this share of the largest deviation is noise


@dataclass(frozen=True, eq=False)
class Block:
    """How one modality enters the table.

    Attributes:
        fingerprint: The encoder whose vectors it is for.
        mean: (Dm,) mean over the items that have the modality.
        scale: (Dm,) factor after centring; 0 for columns that do not vary.
        weight: Total variance of the block over the items that have it.
    """

    fingerprint: str
    mean: Float64Array
    scale: Float64Array
    weight: float


@dataclass(frozen=True, eq=False)
class FusedTable:
    """Items as vectors of D whitened columns, and how to make such a vector of a new item.

    Attributes:
        table: (I, D) float32; columns have mean 0 and deviation 1. Columns beyond what the
            items span are zero.
        blocks: Modality to its block, in the order of concatenation.
        centre: (sum of Dm,) mean of the concatenated rows.
        components: (sum of Dm, D), from centred rows to columns.
        spread: (D,) deviation of each column before whitening; the first columns hold what
            sets items apart most.
        explained: Share of the variance of the concatenated rows that the table keeps.
    """

    table: FloatArray
    blocks: Mapping[Modality, Block]
    centre: Float64Array
    components: Float64Array
    spread: Float64Array
    explained: float

    def transform(self, vectors: ItemVectors) -> FloatArray:
        """Return the rows of other items under the same map, (J, D) float32.

        A modality the table does not know is ignored; an item without any is a zero row.

        Raises:
            DataError: a modality was encoded by another encoder than the table's.
        """
        for modality, block in self.blocks.items():
            given = vectors.fingerprints.get(modality, block.fingerprint)
            if given != block.fingerprint:
                raise DataError(
                    f"the {modality} vectors were made by {given}, but the table by "
                    f"{block.fingerprint}; encode them with the same encoder."
                )
        rows, empty = _concatenate(vectors, self.blocks)
        projected = (rows - self.centre) @ self.components
        projected[empty] = 0.0
        return projected.astype(np.float32)


def fuse(
    vectors: ItemVectors, dim: int, *, weights: Mapping[Modality, float] | None = None
) -> FusedTable:
    """Return the table of D = ``dim`` whitened columns over all modalities.

    Each modality is centred and scaled by column over the items that have it, so that every
    block has the same total variance (times its weight). Where an item lacks a modality its
    block is zero, the mean, and its other blocks grow by ``sqrt(all weight / weight there)``,
    so that it lies as far from the centre as others do. The rows are then projected on their
    ``dim`` principal directions and scaled to deviation 1 (PCA whitening, Jolliffe 2002, ch. 3).

    Raises:
        UsageError: ``dim`` is below 1, or a weight is not positive.
        DataError: there are fewer than two items with vectors.
    """
    if dim < 1:
        raise UsageError(f"a fused table needs at least 1 column, not {dim}.")
    given = dict(weights or {})
    if any(not weight > 0 for weight in given.values()):
        raise UsageError(f"weights of modalities must be positive, not {given}.")
    blocks = {
        modality: _fit_block(vectors, modality, given.get(modality, 1.0))
        for modality, present in vectors.present.items()
        if present.any()
    }
    if not blocks:
        raise DataError("a fused table needs at least two items that have a vector.")
    rows, empty = _concatenate(vectors, blocks)
    if (~empty).sum() < 2:
        raise DataError("a fused table needs at least two items that have a vector.")
    centre = rows[~empty].mean(axis=0)
    centred = rows - centre
    centred[empty] = 0.0
    values, directions = _principal(centred[~empty], dim)
    whiten = np.zeros_like(values)
    kept = values > _FLAT * values.max(initial=0.0)
    whiten[kept] = 1 / np.sqrt(values[kept])
    components = np.zeros((rows.shape[1], dim))
    components[:, : len(values)] = directions * whiten
    spread = np.zeros(dim)
    spread[: len(values)] = np.where(kept, np.sqrt(values), 0.0)
    total = float((centred[~empty] ** 2).sum() / (~empty).sum())
    share = float(values[kept].sum()) / total if total > 0 else 0.0
    table = (centred @ components).astype(np.float32)
    return FusedTable(table, blocks, centre, components, spread, min(share, 1.0))


def _fit_block(vectors: ItemVectors, modality: Modality, weight: float) -> Block:
    rows = vectors.vectors[modality][vectors.present[modality]].astype(np.float64)
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    varies = deviation > _FLAT * max(float(deviation.max(initial=0.0)), 1e-30)
    scale = np.zeros_like(deviation)
    scale[varies] = np.sqrt(weight / max(int(varies.sum()), 1)) / deviation[varies]
    return Block(vectors.fingerprints[modality], mean, scale, weight)


def _concatenate(
    vectors: ItemVectors, blocks: Mapping[Modality, Block]
) -> tuple[Float64Array, npt.NDArray[np.bool_]]:
    """Return the balanced rows (I, sum of Dm), and which items have no modality at all."""
    parts = []
    there = np.zeros(len(vectors))
    for modality, block in blocks.items():
        present = vectors.present.get(modality, np.zeros(len(vectors), np.bool_))
        part = np.zeros((len(vectors), len(block.mean)))
        if modality in vectors.vectors:
            own = vectors.vectors[modality][present].astype(np.float64)
            part[present] = (own - block.mean) * block.scale
        parts.append(part)
        there += block.weight * present
    whole = sum(block.weight for block in blocks.values())
    grow = np.sqrt(whole / np.maximum(there, 1e-30))
    empty = there == 0
    grow[empty] = 0.0
    return np.concatenate(parts, axis=1) * grow[:, None], empty


def _principal(rows: Float64Array, dim: int) -> tuple[Float64Array, Float64Array]:
    """Return the largest variances (d,) of centred rows and their directions (., d), d <= dim.

    The sign of a direction is such that its largest entry is positive.
    """
    from scipy.linalg import eigh

    count, width = rows.shape
    small = min(count, width)
    taken = min(dim, small)
    span = (small - taken, small - 1)
    if count >= width:
        values, directions = eigh(rows.T @ rows / count, subset_by_index=span)
    else:
        # Fewer items than numbers per item: the same directions from the (I, I) Gram matrix.
        values, sides = eigh(rows @ rows.T / count, subset_by_index=span)
        directions = rows.T @ sides
        lengths = np.linalg.norm(directions, axis=0)
        directions /= np.where(lengths > 0, lengths, 1.0)
    values, directions = np.maximum(values[::-1], 0.0), directions[:, ::-1]
    largest = np.abs(directions).argmax(axis=0)
    signs = np.sign(directions[largest, np.arange(taken)])
    return values, directions * np.where(signs == 0, 1.0, signs)
