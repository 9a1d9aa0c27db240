"""How a world lies on disk: ``world.json``, Parquet tables, ``tensors.safetensors``.

Opening a world runs no pickle: tables are Parquet, arrays are mapped from the safetensors
file, and every file is checked against the sha256 in the manifest first.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slategym.envs.arrays import AnyArray
from slategym.envs.world import SCHEMA_VERSION, World, WorldInfo, manifest_hash
from slategym.errors import DataError, nearest
from slategym.files import atomic_folder, file_hash, read_json, write_json

MANIFEST = "world.json"
FILES = ("items.parquet", "users.parquet", "thumbnails.parquet", "tensors.safetensors")
_DTYPES = {"F32": "<f4", "I32": "<i4", "I64": "<i8", "U8": "|u1"}


class StoredThumbnails(Mapping[int, bytes]):
    """Item row -> JPEG bytes, read from ``thumbnails.parquet`` when first asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._table: dict[int, bytes] | None = None

    def _rows(self) -> dict[int, bytes]:
        if self._table is None:
            table = pd.read_parquet(self._path)
            pairs = zip(table["item"], table["jpeg"], strict=True)
            self._table = {int(item): bytes(jpeg) for item, jpeg in pairs}
        return self._table

    def __getitem__(self, item: int) -> bytes:
        return self._rows()[item]

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows())

    def __len__(self) -> int:
        return len(self._rows())


def save_world(world: World, folder: Path) -> Path:
    """Write ``world`` as ``folder``, which appears whole or not at all.

    Raises:
        DataError: ``folder`` exists and is not a world; it is not replaced.
    """
    if folder.exists() and not (folder / MANIFEST).is_file() and _has_content(folder):
        raise DataError(
            f"{folder} exists and is not a world folder (no {MANIFEST}); "
            "it will not be overwritten. Choose another folder."
        )
    from safetensors.numpy import save_file

    pictures = sorted(world.thumbnails.items())
    thumbnails = pd.DataFrame(
        {
            "item": np.array([row for row, _ in pictures], dtype=np.int32),
            "jpeg": pd.Series([jpeg for _, jpeg in pictures], dtype=object),
        }
    )
    with atomic_folder(folder) as target:
        world.items.to_parquet(target / "items.parquet", index=False)
        world.users.to_parquet(target / "users.parquet", index=False)
        _write_thumbnails(thumbnails, target / "thumbnails.parquet")
        save_file(dict(world.arrays), target / "tensors.safetensors")
        manifest = {
            "format": "slategym world",
            "info": world.info.to_json(),
            "content": world.content,
            "files": {name: file_hash(target / name) for name in FILES},
            "hash": world.hash,
        }
        write_json(target / MANIFEST, manifest)
    return folder


def open_world(folder: Path) -> World:
    """Open a world folder after checking every file against the manifest.

    Raises:
        DataError: the folder is missing, is not a world, was written by a newer schema, or
            one of its files is missing or changed (the message names it).
    """
    manifest = read_manifest(folder)
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path} is missing from the world; restore it or rebuild the world.")
        if file_hash(path) != expected:
            raise DataError(
                f"{path} was changed or damaged: its sha256 is not the one in {MANIFEST}; "
                "restore it or rebuild the world."
            )
    world = World(
        info=WorldInfo.from_json(manifest["info"]),
        items=pd.read_parquet(folder / "items.parquet"),
        users=pd.read_parquet(folder / "users.parquet"),
        thumbnails=StoredThumbnails(folder / "thumbnails.parquet"),
        **map_tensors(folder / "tensors.safetensors"),
    )
    # The files were just verified, so the recorded content need not be hashed once more.
    world.__dict__["content"] = dict(manifest["content"])
    return world


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the checked content of ``world.json``.

    Raises:
        DataError: see `open_world`.
    """
    if not folder.is_dir():
        near = [path.parent.name for path in folder.parent.glob(f"*/{MANIFEST}")]
        raise DataError(
            f"world folder {folder} does not exist.{nearest(folder.name, near)} "
            "`slategym build` writes one."
        )
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(f"{folder} is not a world: it holds no {MANIFEST}.")
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != "slategym world":
        raise DataError(f"{path} is not the manifest of a slategym world.")
    version = manifest.get("info", {}).get("schema_version")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise DataError(
            f"{path} has schema version {version}; this slategym reads up to {SCHEMA_VERSION}. "
            "Upgrade slategym."
        )
    recorded = manifest.get("hash")
    try:
        info = WorldInfo.from_json(manifest["info"])
        intact = manifest_hash(info, manifest["content"]) == recorded
        intact = intact and set(manifest["files"]) == set(FILES)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError):
        intact = False
    if not intact:
        raise DataError(
            f"{path} was changed or damaged: its content does not fit its own hash; "
            "restore it or rebuild the world."
        )
    return manifest


def map_tensors(path: Path) -> dict[str, AnyArray]:
    """Return every array of a safetensors file, memory-mapped and read-only.

    The format is eight bytes of header length, a JSON header, then raw little-endian data.

    Raises:
        DataError: the header cannot be read.
    """
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length))
        whole = np.memmap(path, dtype=np.uint8, mode="r")
        arrays = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            start, end = (8 + length + offset for offset in entry["data_offsets"])
            flat = whole[start:end].view(_DTYPES[entry["dtype"]])
            arrays[name] = flat.reshape(entry["shape"]).view(np.ndarray)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not a readable safetensors file ({error}).") from None
    return arrays


def _write_thumbnails(table: pd.DataFrame, path: Path) -> None:
    """Write thumbnails with a fixed schema, so that a table without rows has one too."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("item", pa.int32()), ("jpeg", pa.binary())])
    pq.write_table(pa.Table.from_pandas(table, schema=schema, preserve_index=False), path)


def _has_content(folder: Path) -> bool:
    """Return True if ``folder`` is a file or a folder with anything in it."""
    return not folder.is_dir() or any(folder.iterdir())
