"""One space for text, pictures and sounds, learned from a catalogue's own items.

Letters: I items, Dm numbers per vector of modality m, D numbers in the shared space.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from slategym.encoders.base import FloatArray
from slategym.encoders.catalog import MODALITIES, Modality
from slategym.encoders.pipeline import ItemVectors
from slategym.errors import DataError, UsageError, unknown_name
from slategym.files import atomic_folder, read_json, write_json

Float64Array = npt.NDArray[np.float64]

SCHEMA_VERSION = 1
ARRAYS_FILE, FACTS_FILE = "alignment.safetensors", "alignment.json"
MIN_ITEMS = 8
_TINY = 1e-12
# A modality's principal directions kept before correlations are sought: beyond them is noise.
_MAX_DIRECTIONS = 512


@dataclass(frozen=True, eq=False)
class Head:
    """How vectors of one modality enter the shared space.

    ``z = x W + relu(x W1 + b1) W2`` with x the standardised vector; the second term is there
    after contrastive training only.

    Attributes:
        fingerprint: The encoder whose vectors it is for.
        mean: (Dm,) subtracted first.
        scale: (Dm,) multiplied next; 0 for a number that never varies.
        weight: (Dm, D).
        hidden: (Dm, H) W1, or None.
        hidden_bias: (H,) b1, or None.
        out: (H, D) W2, or None.
    """

    fingerprint: str
    mean: FloatArray
    scale: FloatArray
    weight: FloatArray
    hidden: FloatArray | None = None
    hidden_bias: FloatArray | None = None
    out: FloatArray | None = None

    def apply(self, vectors: npt.ArrayLike) -> FloatArray:
        """Return vectors (N, Dm) in the shared space, (N, D), each of length 1.

        Raises:
            DataError: the vectors are not of this modality's length.
        """
        rows = np.asarray(vectors, np.float32)
        if rows.ndim != 2 or rows.shape[1] != len(self.mean):
            raise DataError(
                f"vectors of shape {rows.shape} cannot be aligned: they must be "
                f"(N, {len(self.mean)}), as {self.fingerprint} makes them."
            )
        x = (rows - self.mean) * self.scale
        z = x @ self.weight
        if self.hidden is not None and self.hidden_bias is not None and self.out is not None:
            z = z + np.maximum(x @ self.hidden + self.hidden_bias, 0) @ self.out
        return unit(z)


@dataclass(frozen=True, eq=False)
class Alignment:
    """A space that several modalities share.

    Attributes:
        heads: Modality to its head.
        report: What the fit came to: method, settings, measures on the items held out.
    """

    heads: Mapping[Modality, Head]
    report: Mapping[str, float | int | str]

    @property
    def dim(self) -> int:
        """D, numbers per vector in the shared space."""
        return int(next(iter(self.heads.values())).weight.shape[1])

    def project(self, modality: Modality, vectors: npt.ArrayLike) -> FloatArray:
        """Return vectors (N, Dm) of one modality in the shared space, (N, D), length 1.

        Raises:
            UsageError: the alignment does not know the modality.
            DataError: the vectors have another length than those it was fitted on.
        """
        if modality not in self.heads:
            raise unknown_name("modality of this alignment", modality, self.heads)
        return self.heads[modality].apply(vectors)

    def project_items(self, vectors: ItemVectors) -> FloatArray:
        """Return items in the shared space, (I, D): the direction of the mean over modalities.

        An item without any modality the alignment knows is a zero row.

        Raises:
            DataError: a modality was encoded by another encoder than the alignment's.
        """
        check_encoders(vectors, self.heads)
        total = np.zeros((len(vectors), self.dim), np.float32)
        for modality, head in self.heads.items():
            if modality in vectors.vectors:
                there = vectors.present[modality]
                total[there] += head.apply(vectors.vectors[modality][there])
        return unit(total)

    def truncated(self, dim: int) -> "Alignment":
        """Return the alignment cut to its first ``dim`` directions, the most shared ones.

        Raises:
            UsageError: ``dim`` is not between 1 and D.
        """
        if not 1 <= dim <= self.dim:
            raise UsageError(f"an alignment of {self.dim} directions cannot be cut to {dim}.")
        heads = {
            modality: replace(
                head,
                weight=head.weight[:, :dim],
                out=None if head.out is None else head.out[:, :dim],
            )
            for modality, head in self.heads.items()
        }
        return Alignment(heads, {**self.report, "dim": dim})

    def save(self, folder: Path) -> None:
        """Write the alignment into a folder of its own: arrays as safetensors, facts as JSON."""
        from safetensors.numpy import save_file

        arrays = {
            f"{modality}.{name}": np.ascontiguousarray(value)
            for modality, head in self.heads.items()
            for name in _ARRAYS
            if (value := getattr(head, name)) is not None
        }
        facts = {
            "schema_version": SCHEMA_VERSION,
            "fingerprints": {modality: head.fingerprint for modality, head in self.heads.items()},
            "report": dict(self.report),
        }
        with atomic_folder(folder) as target:
            save_file(arrays, target / ARRAYS_FILE)
            write_json(target / FACTS_FILE, facts)

    @classmethod
    def load(cls, folder: Path) -> "Alignment":
        """Return the alignment saved in a folder.

        Raises:
            DataError: a file is missing or damaged, or of another version.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        facts = read_json(folder / FACTS_FILE)
        if not isinstance(facts, dict) or facts.get("schema_version") != SCHEMA_VERSION:
            raise DataError(f"{folder / FACTS_FILE} is not an alignment of version 1.")
        try:
            arrays = load_file(folder / ARRAYS_FILE)
            heads = {
                modality: Head(
                    facts["fingerprints"][modality],
                    **{name: arrays.get(f"{modality}.{name}") for name in _ARRAYS},
                )
                for modality in MODALITIES
                if modality in facts["fingerprints"]
            }
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise DataError(
                f"{folder / ARRAYS_FILE} is missing or damaged ({error}); align again."
            ) from None
        if not heads or not all(f"{m}.weight" in arrays and f"{m}.mean" in arrays for m in heads):
            raise DataError(f"{folder} lacks arrays that {FACTS_FILE} names; align again.")
        return cls(heads, facts["report"])


_ARRAYS = ("mean", "scale", "weight", "hidden", "hidden_bias", "out")


def unit(rows: npt.ArrayLike) -> FloatArray:
    """Return rows (N, D) scaled to length 1; a zero row stays zero."""
    given = np.asarray(rows, np.float32)
    lengths = np.linalg.norm(given, axis=1, keepdims=True)
    return np.asarray(given / np.where(lengths > _TINY, lengths, 1.0), np.float32)


class Fingerprinted(Protocol):
    """What was fitted on the vectors of one encoder."""

    @property
    def fingerprint(self) -> str:
        """Of that encoder."""


def check_encoders(vectors: ItemVectors, heads: Mapping[Modality, Fingerprinted]) -> None:
    """Refuse vectors made by other encoders than the heads were fitted on.

    Raises:
        DataError: they differ for a modality.
    """
    for modality, head in heads.items():
        given = vectors.fingerprints.get(modality, head.fingerprint)
        if given != head.fingerprint:
            raise DataError(
                f"the {modality} vectors were made by {given}, but the alignment is for "
                f"{head.fingerprint}; encode with that encoder or align again."
            )


def fit_cca(
    vectors: ItemVectors,
    *,
    dim: int = 128,
    strength: float = 1.0,
    power: float = 1.0,
    rows: npt.ArrayLike | None = None,
) -> Alignment:
    """Return the space of regularised canonical correlations over all modalities.

    Several sets (Kettenring 1971, SUMCOR; two are Hotelling's CCA): with C the covariance of
    the standardised, concatenated vectors and B its diagonal blocks, the directions solve
    ``C w = (1 + rho) (B + r I) w``, where r is ``strength`` times the mean variance. Blocks
    between two modalities count the items that have both. A direction is weighted by
    ``rho ** power``: what the modalities share most decides who is near whom.

    Args:
        vectors: Items with at least two modalities.
        dim: Most directions to keep; fewer are kept where fewer are shared.
        strength: Ridge penalty, > 0, in units of a modality's mean variance.
        power: Exponent of the correlations, >= 0.
        rows: Items to fit on, by position or mask (I,); all by default.

    Raises:
        UsageError: a setting out of its range.
        DataError: fewer than two modalities, or than `MIN_ITEMS` items that have two.
    """
    if dim < 1 or not strength > 0 or power < 0:
        raise UsageError(
            "an alignment needs dim >= 1, strength > 0 and power >= 0, not "
            f"dim={dim}, strength={strength:g}, power={power:g}."
        )
    chosen = np.arange(len(vectors))[slice(None) if rows is None else np.asarray(rows)]
    bases = {
        modality: _basis(vectors.vectors[modality][chosen], vectors.present[modality][chosen])
        for modality in MODALITIES
        if modality in vectors.vectors and vectors.present[modality][chosen].any()
    }
    present = np.array([vectors.present[modality][chosen] for modality in bases])
    both = int((present.sum(axis=0) >= 2).sum()) if bases else 0
    if len(bases) < 2 or both < MIN_ITEMS:
        raise DataError(
            f"an alignment needs at least {MIN_ITEMS} items with two modalities; {both} of "
            f"{len(chosen)} have ({', '.join(bases) or 'no modality at all'})."
        )
    weights, correlations = _directions([basis[3] for basis in bases.values()], present, strength)
    kept = min(dim, int((correlations > _TINY).sum()))
    factor = correlations[:kept] ** power
    heads = {
        modality: Head(
            vectors.fingerprints[modality],
            mean.astype(np.float32),
            scale.astype(np.float32),
            (principal @ part[:, :kept] * factor).astype(np.float32),
        )
        for (modality, (mean, scale, principal, _)), part in zip(
            bases.items(), weights, strict=True
        )
    }
    settings: dict[str, float | int | str] = {
        "method": "cca", "dim": kept, "strength": strength, "power": power, "items": both,
    }  # fmt: skip
    return Alignment(heads, settings)


def _basis(
    vectors: FloatArray, present: npt.NDArray[np.bool_]
) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array]:
    """Return mean, scale, principal directions (Dm, P) and coordinates (I, P) of a modality.

    Numbers are centred, not scaled one by one: the encoder knew which of them matter. The whole
    is scaled to one unit of variance per direction in the mean.
    """
    rows = vectors[present].astype(np.float64)
    mean = rows.mean(axis=0)
    centred = rows - mean
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    kept = max(1, min(_MAX_DIRECTIONS, int((values > 1e-6 * values.max(initial=0)).sum())))
    level = np.sqrt((values**2).sum() / max(len(rows), 1) / kept)
    scale = np.full(len(mean), 1 / max(level, _TINY))
    principal = directions[:kept].T
    coordinates = np.zeros((len(vectors), kept))
    coordinates[present] = centred @ principal * scale[0]
    return mean, scale, principal, coordinates


def _directions(
    sets: list[Float64Array], present: npt.NDArray[np.bool_], strength: float
) -> tuple[list[Float64Array], Float64Array]:
    """Return the weights of each set (P, d), and the correlations (d,), falling."""
    ends = np.cumsum([0, *(part.shape[1] for part in sets)])
    whole = np.zeros((ends[-1], ends[-1]))
    roots = []
    for row, left in enumerate(sets):
        variance = left.T @ left / present[row].sum() + strength * np.eye(left.shape[1])
        values, basis = np.linalg.eigh(variance)
        roots.append((basis / np.sqrt(values)) @ basis.T)
    for row, left in enumerate(sets):
        for column in range(row):
            right = sets[column]
            shared = max(int((present[row] & present[column]).sum()), 1)
            block = roots[row] @ (left.T @ right / shared) @ roots[column]
            whole[ends[row] : ends[row + 1], ends[column] : ends[column + 1]] = block
            whole[ends[column] : ends[column + 1], ends[row] : ends[row + 1]] = block.T
    values, basis = np.linalg.eigh(whole)
    order = np.argsort(-values)[: min(part.shape[1] for part in sets)]
    correlations = np.maximum(values[order] / (len(sets) - 1), 0.0)
    parts = [
        root @ basis[start:end, order]
        for root, start, end in zip(roots, ends[:-1], ends[1:], strict=True)
    ]
    return parts, np.asarray(correlations)


def recall_at(queries: npt.ArrayLike, items: npt.ArrayLike, k: int) -> float:
    """Return how often item n is among the ``k`` nearest of query n, by dot product.

    Args:
        queries: (N, D), query n asks for item n.
        items: (N, D).
        k: How many are looked at.
    """
    scores = np.asarray(queries) @ np.asarray(items).T
    better = (scores > np.diag(scores)[:, None]).sum(axis=1)
    return float((better < k).mean())
