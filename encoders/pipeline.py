"""From a catalogue to the vectors of its items, encoding only what was not encoded before."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slategym.encoders.base import Encoder, FloatArray, make_encoder
from slategym.encoders.cache import VectorCache, content_keys
from slategym.encoders.catalog import MODALITIES, Catalog, Modality
from slategym.errors import DataError, UsageError, unknown_name
from slategym.files import cache_dir
from slategym.progress import Progress, Silent, stage

DEFAULT_ENCODERS: Mapping[Modality, str] = {
    "text": "minilm",
    "image": "efficientnet-lite0",
    "audio": "musicnn",
}
# Items per batch written to the cache: a few seconds of work each.
_BATCH: Mapping[Modality, int] = {"text": 256, "image": 64, "audio": 32}


@dataclass(frozen=True, eq=False)
class ItemVectors:
    """What encoders made of a catalogue.

    Attributes:
        vectors: Modality to (I, Dm) float32; rows of items without it are zero.
        present: Modality to (I,), which items have it.
        fingerprints: Modality to the fingerprint of its encoder.
    """

    vectors: dict[Modality, FloatArray]
    present: dict[Modality, npt.NDArray[np.bool_]]
    fingerprints: dict[Modality, str]

    def __len__(self) -> int:
        return len(next(iter(self.vectors.values()), ()))


def encode_catalog(
    catalog: Catalog,
    *,
    encoders: Mapping[str, str | Encoder] | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> ItemVectors:
    """Return the vectors of every modality that at least one item has.

    Args:
        catalog: The items.
        encoders: Modality to the name of an encoder, or an encoder; those left out take the
            default (minilm, efficientnet-lite0, musicnn), ``""`` leaves the modality out.
        cache: Folder of kept vectors; the default is in slategym's cache folder.
        progress: Told of every batch.

    Raises:
        MissingModelError: a default needs weights that are not there and cannot be fetched.
        DataError: no item has any modality, or a file cannot be read.
        UsageError: an unknown modality or encoder.
    """
    progress = progress or Silent()
    chosen = _chosen(catalog, encoders or {})
    folder = cache if cache is not None else cache_dir() / "encodings"
    vectors = {
        modality: _encode(catalog, encoder, VectorCache(folder, encoder.fingerprint), progress)
        for modality, encoder in chosen.items()
    }
    return ItemVectors(
        vectors,
        {modality: catalog.has(modality) for modality in chosen},
        {modality: encoder.fingerprint for modality, encoder in chosen.items()},
    )


def _chosen(catalog: Catalog, given: Mapping[str, str | Encoder]) -> dict[Modality, Encoder]:
    """Return the encoder of each modality that is there and was not left out."""
    for name in given:
        if name not in MODALITIES:
            raise unknown_name("modality", name, MODALITIES)
    found: dict[Modality, Encoder] = {}
    for modality in MODALITIES:
        choice = given.get(modality, DEFAULT_ENCODERS[modality])
        if not catalog.has(modality).any() or choice == "":
            continue
        encoder = make_encoder(choice, modality=modality) if isinstance(choice, str) else choice
        if encoder.modality != modality:
            raise UsageError(
                f"the encoder given for {modality} encodes {encoder.modality}: "
                f"give one for {modality}."
            )
        found[modality] = encoder
    if not found:
        raise DataError(
            f"catalogue {catalog.name!r} has nothing to encode: no item has a text, picture or "
            "sound that an encoder was chosen for."
        )
    return found


def _encode(
    catalog: Catalog, encoder: Encoder, cache: VectorCache, progress: Progress
) -> FloatArray:
    """Return the vectors of one modality, (I, D); what the cache lacks is encoded and kept."""
    modality = encoder.modality
    keys = content_keys(catalog, modality)
    found = cache.read(set(keys) - {b""})
    # One row per content that is new: items that share a text or picture are encoded once.
    first = {key: row for row, key in reversed(list(enumerate(keys))) if key and key not in found}
    rows = sorted(first.values())
    if modality == "text":
        rows.sort(key=lambda row: len(catalog.text[row]))
    if rows:
        with stage(progress, f"encode {modality}", len(rows)):
            for start in range(0, len(rows), _BATCH[modality]):
                batch = rows[start : start + _BATCH[modality]]
                part = encoder.encode(catalog.subset(batch))
                named = [keys[row] for row in batch]
                cache.add(named, part)
                # Read back in the precision of the cache, so that a second call gives the same.
                kept = part.astype(cache.dtype).astype(np.float32)
                found.update(zip(named, kept, strict=True))
                progress.advance(f"encode {modality}", len(batch))
    width = len(next(iter(found.values())))
    vectors = np.zeros((len(catalog), width), np.float32)
    for row, key in enumerate(keys):
        if key:
            vectors[row] = found[key]
    return vectors
