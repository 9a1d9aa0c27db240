"""From a catalogue to the vectors of its items, encoding only what was not encoded before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slategym.encoders.base import Encoder, FloatArray, make_encoder
from slategym.encoders.cache import VectorCache, content_key
from slategym.encoders.catalog import MODALITIES, Catalog, Modality
from slategym.encoders.file_index import FileIndex
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


@dataclass(frozen=True)
class Problem:
    """Why one item could not be encoded.

    Attributes:
        item_id: The item.
        modality: What of it.
        message: One sentence.
    """

    item_id: str
    modality: Modality
    message: str


def encode_catalog(
    catalog: Catalog,
    *,
    encoders: Mapping[str, str | Encoder] | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
    problems: list[Problem] | None = None,
) -> ItemVectors:
    """Return the vectors of every modality that at least one item has.

    Args:
        catalog: The items.
        encoders: Modality to the name of an encoder, or an encoder; those left out take the
            default (minilm, efficientnet-lite0, musicnn), ``""`` leaves the modality out.
        cache: Folder of kept vectors; the default is in slategym's cache folder.
        progress: Told of every batch.
        problems: With a list, an item that cannot be read is added to it, gets zeros and is not
            present, and the others are encoded; without one it is an error.

    Raises:
        MissingModelError: a default needs weights that are not there and cannot be fetched.
        DataError: no item has any modality, or a file cannot be read.
        UsageError: an unknown modality or encoder.
    """
    chosen = chosen_encoders(catalog, encoders or {})
    folder = cache if cache is not None else cache_dir() / "encodings"
    vectors: dict[Modality, FloatArray] = {}
    present: dict[Modality, npt.NDArray[np.bool_]] = {}
    for modality, encoder in chosen.items():
        kept = VectorCache(folder, encoder.fingerprint)
        made = encode_modality(catalog, encoder, kept, progress or Silent(), problems)
        vectors[modality], present[modality] = made
    names = {modality: encoder.fingerprint for modality, encoder in chosen.items()}
    return ItemVectors(vectors, present, names)


def chosen_encoders(
    catalog: Catalog, given: Mapping[str, str | Encoder]
) -> dict[Modality, Encoder]:
    """Return the encoder of each modality that is there and was not left out."""
    there = [modality for modality in MODALITIES if catalog.has(modality).any()]
    found = make_encoders(given, there)
    if not found:
        raise DataError(
            f"catalogue {catalog.name!r} has nothing to encode: no item has a text, picture or "
            "sound that an encoder was chosen for."
        )
    return found


def make_encoders(
    given: Mapping[str, str | Encoder], modalities: Sequence[Modality] = MODALITIES
) -> dict[Modality, Encoder]:
    """Return the encoder of each of these modalities that was not left out.

    Args:
        given: As for `encode_catalog`.
        modalities: Those wanted.

    Raises:
        UsageError: an unknown modality or encoder, or an encoder of another modality.
    """
    for name in given:
        if name not in MODALITIES:
            raise unknown_name("modality", name, MODALITIES)
    found: dict[Modality, Encoder] = {}
    for modality in modalities:
        choice = given.get(modality, DEFAULT_ENCODERS[modality])
        if choice == "":
            continue
        encoder = make_encoder(choice, modality=modality) if isinstance(choice, str) else choice
        if encoder.modality != modality:
            raise UsageError(
                f"the encoder given for {modality} encodes {encoder.modality}: "
                f"give one for {modality}."
            )
        found[modality] = encoder
    return found


def encode_modality(
    catalog: Catalog,
    encoder: Encoder,
    cache: VectorCache,
    progress: Progress,
    problems: list[Problem] | None = None,
    keys: list[bytes] | None = None,
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return the vectors of one modality, (I, D), and which items have one, (I,).

    What the cache lacks is encoded and kept.

    Args:
        catalog: The items.
        encoder: Of the modality.
        cache: Of the encoder.
        progress: Told of every batch.
        problems: As for `encode_catalog`.
        keys: (I,) what `safe_keys` gives, if it is known already.
    """
    modality = encoder.modality
    if keys is None:
        keys = safe_keys(catalog, modality, FileIndex(cache.folder), problems)
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
                good, part = _encode_batch(catalog, encoder, batch, problems)
                if good:
                    named = [keys[row] for row in good]
                    cache.add(named, part, _cut(encoder, catalog.subset(good)))
                    # In the precision of the cache, so that a second call gives the same.
                    kept = part.astype(cache.dtype).astype(np.float32)
                    found.update(zip(named, kept, strict=True))
                progress.advance(f"encode {modality}", len(batch))
    width = len(next(iter(found.values()), ())) or encoder.dim
    vectors = np.zeros((len(catalog), width), np.float32)
    present = np.array([key in found for key in keys], np.bool_)
    for row in np.flatnonzero(present):
        vectors[row] = found[keys[row]]
    return vectors, present


def safe_keys(
    catalog: Catalog, modality: Modality, files: FileIndex, problems: list[Problem] | None
) -> list[bytes]:
    """Return the content key of each item, (I,); one that cannot be read is a problem and none."""
    contents = catalog.content(modality)
    known = files.known(content for content in contents if isinstance(content, Path))
    keys = []
    for item_id, content in zip(catalog.item_ids, contents, strict=True):
        if isinstance(content, Path) and content in known:
            keys.append(bytes.fromhex(known[content]))
            continue
        try:
            keys.append(content_key(content, files))
        except DataError as error:
            if problems is None:
                raise
            problems.append(Problem(item_id, modality, str(error)))
            keys.append(b"")
    return keys


def _encode_batch(
    catalog: Catalog, encoder: Encoder, rows: list[int], problems: list[Problem] | None
) -> tuple[list[int], FloatArray]:
    """Return the rows that could be encoded and their vectors."""
    try:
        return rows, encoder.encode(catalog.subset(rows))
    except DataError:
        if problems is None:
            raise
    good, parts = [], []
    for row in rows:
        try:
            parts.append(encoder.encode(catalog.subset([row])))
            good.append(row)
        except DataError as error:
            problems.append(Problem(catalog.item_ids[row], encoder.modality, str(error)))
    return good, np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)


def _cut(encoder: Encoder, catalog: Catalog) -> npt.NDArray[np.bool_]:
    """Return of which items the encoder takes in only the beginning, (I,)."""
    tell = getattr(encoder, "cut", None)
    return tell(catalog) if tell is not None else np.zeros(len(catalog), np.bool_)
