"""Vectors kept on disk by what was encoded and how, in shards that are only ever added.

A folder per encoder fingerprint holds shards, one per encoded batch. A shard is a safetensors
file of keys (n, 32), the sha256 of each item's content, and vectors (n, D). Its name is the
sha256 of its bytes, so a damaged one is known by its name, dropped, and its items are encoded
again. There is no index to get out of step: two processes may write at once, and a killed run
loses at most the batch it was working on.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from slategym.encoders.base import FloatArray
from slategym.encoders.catalog import Catalog, Modality
from slategym.errors import DataError
from slategym.files import file_hash, write_atomic

_SUFFIX = ".safetensors"


def content_keys(catalog: Catalog, modality: Modality) -> list[bytes]:
    """Return the sha256 of each item's text or of the bytes of its file, ``b""`` for none, (I,).

    Raises:
        DataError: a file cannot be read.
    """
    keys = []
    for there, content in zip(catalog.has(modality), catalog.content(modality), strict=True):
        if not there or content is None:
            keys.append(b"")
        elif isinstance(content, Path):
            try:
                keys.append(bytes.fromhex(file_hash(content)))
            except OSError as error:
                raise DataError(f"{content} cannot be read ({error.strerror}).") from None
        else:
            keys.append(hashlib.sha256(content.encode()).digest())
    return keys


@dataclass(frozen=True)
class VectorCache:
    """The vectors of one encoder on disk.

    Attributes:
        folder: Where all encoders' vectors are.
        fingerprint: Which encoder; names the folder of its shards.
        dtype: What vectors are stored as; float16 halves the space and rounds at 3 digits.
    """

    folder: Path
    fingerprint: str
    dtype: Literal["float32", "float16"] = "float32"

    @property
    def shards(self) -> Path:
        """The folder of this encoder's shards."""
        kind = "" if self.dtype == "float32" else f"-{self.dtype}"
        return self.folder / f"{self.fingerprint}{kind}"

    def read(self, wanted: Iterable[bytes]) -> dict[bytes, FloatArray]:
        """Return the vectors (D,) float32 that are kept of those wanted, by key."""
        left = set(wanted)
        found: dict[bytes, FloatArray] = {}
        for path in sorted(self.shards.glob(f"*{_SUFFIX}")):
            if not left:
                break
            shard = _read_shard(path)
            if shard is None:
                continue
            for key, vector in zip(*shard, strict=True):
                name = key.tobytes()
                if name in left:
                    found[name] = vector.astype(np.float32)
                    left.discard(name)
        return found

    def add(self, keys: Sequence[bytes], vectors: FloatArray) -> None:
        """Keep the vectors (n, D) of n keys, as one shard."""
        from safetensors.numpy import save

        stacked = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), 32)
        content = save({"keys": stacked, "vectors": vectors.astype(self.dtype)})

        def write(target: Path) -> None:
            target.write_bytes(content)

        name = hashlib.sha256(content).hexdigest()
        write_atomic(self.shards / f"{name}{_SUFFIX}", write)


def _read_shard(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.floating]] | None:
    """Return the keys and vectors of a shard; a damaged one is removed, and gives None."""
    from safetensors.numpy import load

    try:
        content = path.read_bytes()
    except FileNotFoundError:  # another process found it damaged first
        return None
    if hashlib.sha256(content).hexdigest() != path.name.removesuffix(_SUFFIX):
        path.unlink(missing_ok=True)
        return None
    shard = load(content)
    return shard["keys"], shard["vectors"]
