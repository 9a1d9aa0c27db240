"""A catalogue of any size, read piece by piece into shards of vectors; what fails is said."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.encoders.base import Encoder, FloatArray
from slategym.encoders.cache import VectorCache
from slategym.encoders.catalog import MODALITIES, Catalog, Modality
from slategym.encoders.catalog_stream import CHUNK, catalog_chunks
from slategym.encoders.file_index import FileIndex
from slategym.encoders.pipeline import (
    ItemVectors,
    Problem,
    encode_modality,
    make_encoders,
    safe_keys,
)
from slategym.errors import DataError, UsageError
from slategym.files import atomic_folder, cache_dir, read_json, write_atomic, write_json
from slategym.progress import Progress, Silent

MANIFEST = "encoded.json"
_IDS = "items.json"
_NAMED = 1000  # problems and duplicates that are listed; all are counted


@dataclass
class Summary:
    """What became of a catalogue.

    Attributes:
        items: Items in the vectors.
        present: Modality to the number of items with vectors of it.
        missing: Modality to the number of items that have none in the catalogue.
        cut: Modality to the number of contents of which only the beginning was read.
        duplicates: Items whose every content was seen before, under another id.
        failed: Rows left out, and contents that could not be read.
        fingerprints: Modality to the encoder.
        problems: Item, modality and sentence of what failed; at most 1,000.
        same: Pairs of ids, an item and the first of the same content; at most 1,000.
        columns: Which columns were read, as text.
    """

    items: int = 0
    present: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    failed: int = 0
    fingerprints: dict[str, str] = field(default_factory=dict)
    problems: list[tuple[str, str, str]] = field(default_factory=list)
    same: list[tuple[str, str]] = field(default_factory=list)
    columns: str = ""


def encode_stream(
    path: str | Path,
    out: Path,
    *,
    encoders: Mapping[str, str | Encoder] | None = None,
    columns: Mapping[str, str] | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
    chunk: int = CHUNK,
) -> Summary:
    """Encode a catalogue file into a folder, never holding more than ``chunk`` items.

    Rows without an id or with one seen before are left out, files and texts that cannot be read
    count as missing; both are in the summary, and the rest is encoded.

    Args:
        path: CSV, TSV or Parquet, as for `load_catalog`.
        out: Folder for the shards; what an earlier run wrote there is replaced when all is written.
        encoders: As for `encode_catalog`.
        columns: Role to column, as for `load_catalog`.
        cache: Folder of kept vectors; the default is in slategym's cache folder.
        progress: Told of every batch.
        chunk: Items held at once.

    Raises:
        DataError: the file is no table, has no usable row, or nothing to encode; or ``out`` holds
            something else.
        UsageError: an unknown role, modality or encoder.
    """
    made = make_encoders(encoders or {})
    if not made:
        raise UsageError("every modality was left out: name an encoder for at least one.")
    if out.is_dir() and any(out.iterdir()) and not (out / MANIFEST).exists():
        raise DataError(f"{out} holds files and is not a folder of vectors; name a new one.")
    folder = cache if cache is not None else cache_dir() / "encodings"
    with atomic_folder(out) as target:
        return _encode_all(path, target, made, folder, columns, progress or Silent(), chunk)


def _encode_all(
    path: str | Path,
    out: Path,
    made: Mapping[Modality, Encoder],
    folder: Path,
    columns: Mapping[str, str] | None,
    progress: Progress,
    chunk: int,
) -> Summary:
    """Write shards, ids and manifest to a new folder; see `encode_stream`."""
    caches = {modality: VectorCache(folder, enc.fingerprint) for modality, enc in made.items()}
    summary = Summary(fingerprints={m: enc.fingerprint for m, enc in made.items()})
    ids: list[str] = []
    seen: dict[bytes, str] = {}
    files = FileIndex(folder)
    shard = 0
    for catalog, failed, report in catalog_chunks(path, columns, chunk, made):
        summary.columns = summary.columns or report
        _add_problems(summary, failed)
        if not len(catalog):
            continue
        keys = _keys(catalog, made, files, summary)
        _count_same(summary, catalog, keys, seen)
        arrays = _encode_chunk(catalog, made, caches, keys, summary, progress)
        _write_shard(out / f"vectors-{shard:05d}.safetensors", arrays)
        shard += 1
        ids += catalog.item_ids
    if not any(summary.present.values()):
        reason = f"; the first problem: {summary.problems[0][2]}" if summary.problems else ""
        raise DataError(f"{path} has nothing that could be encoded ({len(ids)} items){reason}")
    summary.items = len(ids)
    write_json(out / _IDS, ids)
    write_json(out / MANIFEST, asdict(summary) | {"shards": shard})
    return summary


def open_encoded(folder: Path) -> tuple[tuple[str, ...], ItemVectors]:
    """Return the item ids and vectors that `encode_stream` wrote.

    Raises:
        DataError: the folder holds none, or is not whole.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    manifest, ids = read_json(folder / MANIFEST), read_json(folder / _IDS)
    try:
        parts = [
            load_file(folder / f"vectors-{shard:05d}.safetensors")
            for shard in range(manifest["shards"])
        ]
    except (OSError, SafetensorError) as error:
        raise DataError(f"{folder} is not whole ({error}): encode the catalogue again.") from None
    wanted: list[Modality] = [m for m in MODALITIES if manifest["present"].get(m)]
    vectors: dict[Modality, FloatArray] = {}
    present: dict[Modality, npt.NDArray[np.bool_]] = {}
    for modality in wanted:
        width = max(part[modality].shape[1] for part in parts)
        vectors[modality] = np.concatenate([_wide(part[modality], width) for part in parts])
        present[modality] = np.concatenate([part[f"has_{modality}"] for part in parts]).astype(bool)
    return tuple(ids), ItemVectors(vectors, present, manifest["fingerprints"])


def _wide(vectors: FloatArray, width: int) -> FloatArray:
    """Return vectors (n, D), or zeros where a shard has no item with the modality."""
    return vectors if vectors.shape[1] else np.zeros((len(vectors), width), np.float32)


def _keys(
    catalog: Catalog, made: Mapping[Modality, Encoder], files: FileIndex, summary: Summary
) -> dict[Modality, list[bytes]]:
    """Return modality to content keys, (I,) each."""
    problems: list[Problem] = []
    keys = {modality: safe_keys(catalog, modality, files, problems) for modality in made}
    _add_problems(summary, problems)
    return keys


def _count_same(
    summary: Summary,
    catalog: Catalog,
    keys: Mapping[Modality, list[bytes]],
    seen: dict[bytes, str],
) -> None:
    """Count items whose every content was seen before."""
    for item_id, *parts in zip(catalog.item_ids, *keys.values(), strict=True):
        whole = b"|".join(parts)
        if not whole.strip(b"|"):
            continue
        first = seen.setdefault(whole, item_id)
        if first != item_id:
            summary.duplicates += 1
            if len(summary.same) < _NAMED:
                summary.same.append((item_id, first))


def _encode_chunk(
    catalog: Catalog,
    made: Mapping[Modality, Encoder],
    caches: Mapping[Modality, VectorCache],
    keys: Mapping[Modality, list[bytes]],
    summary: Summary,
    progress: Progress,
) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of one shard, and add to the summary."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for modality, encoder in made.items():
        there = catalog.has(modality)
        summary.missing[modality] = summary.missing.get(modality, 0) + int((~there).sum())
        summary.present.setdefault(modality, 0)
        summary.cut.setdefault(modality, 0)
        if not any(keys[modality]):
            arrays[modality] = np.zeros((len(catalog), 0), np.float32)
            arrays[f"has_{modality}"] = np.zeros(len(catalog), np.uint8)
            continue
        problems: list[Problem] = []
        kept = caches[modality]
        vectors, present = encode_modality(
            catalog, encoder, kept, progress, problems, keys[modality]
        )
        _add_problems(summary, problems)
        summary.present[modality] += int(present.sum())
        summary.cut[modality] += kept.was_cut(keys[modality])
        arrays[modality], arrays[f"has_{modality}"] = vectors, present.astype(np.uint8)
    return arrays


def _add_problems(summary: Summary, problems: list[Problem]) -> None:
    summary.failed += len(problems)
    room = _NAMED - len(summary.problems)
    summary.problems += [(p.item_id, p.modality, p.message) for p in problems[:room]]


def _write_shard(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    from safetensors.numpy import save_file

    write_atomic(path, lambda target: save_file(arrays, target))
