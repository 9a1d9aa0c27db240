"""Vectors kept on disk by what was encoded and how, in shards that are only ever added.

A folder per encoder fingerprint holds shards, one per encoded batch. A shard is a safetensors
file of keys (n, 32), the sha256 of each item's content, vectors (n, D), and whether content was
cut (n,). Its name is the sha256 of its bytes, so a damaged one is known by its name, dropped, and
its items are encoded again. There is no index to get out of step: two processes may write at
once, and a killed run loses at most the batch it was working on.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from slategym.encoders.base import FloatArray
from slategym.encoders.catalog import Catalog, Modality
from slategym.encoders.file_index import FileIndex
from slategym.errors import DataError
from slategym.files import file_hash, write_atomic

_SUFFIX = ".safetensors"


def content_key(content: str | Path | None, files: FileIndex | None = None) -> bytes:
    """Return the sha256 of a text or of the bytes of a file, ``b""`` for none.

    Args:
        content: What an encoder would read.
        files: Where hashes of files that have not changed are remembered.

    Raises:
        DataError: a file cannot be read, or a text is not Unicode.
    """
    if content is None or not str(content).strip():
        return b""
    if isinstance(content, Path):
        try:
            return bytes.fromhex(files.hash(content) if files else file_hash(content))
        except OSError as error:
            raise DataError(f"{content} cannot be read ({error.strerror}).") from None
    try:
        return hashlib.sha256(content.encode()).digest()
    except UnicodeEncodeError as error:
        raise DataError(
            f"the text {content[:40]!a} holds half of a surrogate pair at character "
            f"{error.start + 1}, which is not Unicode: remove it."
        ) from None


def content_keys(
    catalog: Catalog, modality: Modality, files: FileIndex | None = None
) -> list[bytes]:
    """Return the key of each item's content, ``b""`` for none, (I,).

    Raises:
        DataError: a file cannot be read, or a text is not Unicode.
    """
    return [content_key(content, files) for content in catalog.content(modality)]


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
    # Shards that were read and found whole, and where in them each key is.
    _known: set[str] = field(default_factory=set, compare=False, repr=False)
    _places: dict[bytes, tuple[str, int, bool]] = field(
        default_factory=dict, compare=False, repr=False
    )

    @property
    def shards(self) -> Path:
        """The folder of this encoder's shards."""
        kind = "" if self.dtype == "float32" else f"-{self.dtype}"
        return self.folder / f"{self.fingerprint}{kind}"

    def read(self, wanted: Iterable[bytes]) -> dict[bytes, FloatArray]:
        """Return the vectors (D,) float32 that are kept of those wanted, by key."""
        self._look()
        by_shard: dict[str, list[tuple[bytes, int]]] = {}
        for key in set(wanted):
            if key in self._places:
                place, row, _ = self._places[key]
                by_shard.setdefault(place, []).append((key, row))
        found: dict[bytes, FloatArray] = {}
        for name in sorted(by_shard):
            shard = _read_shard(self.shards / name)
            if shard is not None:
                for key, row in by_shard[name]:
                    found[key] = shard["vectors"][row].astype(np.float32)
        return found

    def was_cut(self, keys: Iterable[bytes]) -> int:
        """Return of how many of these keys the content was cut to fit the encoder."""
        return sum(self._places[key][2] for key in keys if key in self._places)

    def add(
        self,
        keys: Sequence[bytes],
        vectors: FloatArray,
        cut: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Keep the vectors (n, D) of n keys, as one shard; ``cut`` says whose content was cut."""
        from safetensors.numpy import save

        stacked = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), 32)
        cut = np.zeros(len(keys), np.bool_) if cut is None else cut
        arrays = {"keys": stacked, "vectors": vectors.astype(self.dtype)}
        content = save({**arrays, "cut": cut.astype(np.uint8)})

        def write(target: Path) -> None:
            target.write_bytes(content)

        name = f"{hashlib.sha256(content).hexdigest()}{_SUFFIX}"
        write_atomic(self.shards / name, write)
        self._note(name, {**arrays, "cut": cut})

    def _look(self) -> None:
        """Read shards that other runs and processes have added; damaged ones are removed."""
        for path in sorted(self.shards.glob(f"*{_SUFFIX}")):
            if path.name not in self._known:
                shard = _read_shard(path)
                if shard is not None:
                    self._note(path.name, shard)

    def _note(self, name: str, shard: dict[str, npt.NDArray[np.generic]]) -> None:
        self._known.add(name)
        cut = shard.get("cut", np.zeros(len(shard["keys"]), np.uint8))
        for row, key in enumerate(shard["keys"]):
            self._places[key.tobytes()] = (name, row, bool(cut[row]))


def _read_shard(path: Path) -> dict[str, npt.NDArray[np.generic]] | None:
    """Return the arrays of a shard; a damaged one is removed, and gives None."""
    from safetensors.numpy import load

    try:
        content = path.read_bytes()
    except FileNotFoundError:  # another process found it damaged first
        return None
    if not _whole(path, content):
        path.unlink(missing_ok=True)
        return None
    return dict(load(content))


def _whole(path: Path, content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == path.name.removesuffix(_SUFFIX)


@dataclass(frozen=True)
class Kept:
    """What the cache holds of one encoder.

    Attributes:
        fingerprint: Which encoder.
        shards: Files.
        vectors: Rows in them; a content encoded by two processes at once counts twice.
        bytes: Size on disk.
        added: Seconds since the epoch when a shard was last added.
        damaged: Names of shards that are not what they were.
    """

    fingerprint: str
    shards: int
    vectors: int
    bytes: int
    added: float
    damaged: tuple[str, ...] = ()


def kept(folder: Path, *, verify: bool = False) -> list[Kept]:
    """Return what is kept of each encoder, by name; with ``verify`` every shard is read whole."""
    found = []
    for shards in sorted(path for path in folder.glob("*") if path.is_dir()):
        files = sorted(shards.glob(f"*{_SUFFIX}"))
        if not files:
            continue
        broken = [f.name for f in files if verify and not _whole(f, f.read_bytes())]
        stats = [file.stat() for file in files]
        found.append(
            Kept(
                shards.name,
                len(files),
                sum(_rows(file) for file in files if file.name not in broken),
                sum(stat.st_size for stat in stats),
                max(stat.st_mtime for stat in stats),
                tuple(broken),
            )
        )
    return found


def _rows(path: Path) -> int:
    """Return the vectors in a shard, from its header; 0 for a damaged one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as shard:
            return int(shard.get_slice("keys").get_shape()[0])
    except (OSError, SafetensorError):
        return 0


def prune(folder: Path, *, older_than_days: float, fingerprint: str | None = None) -> list[Kept]:
    """Remove what is kept of encoders nothing was added to for so many days; return it.

    Args:
        folder: The cache.
        older_than_days: Days since the last shard was added; 0 removes all.
        fingerprint: Only the encoder of this name, or whose name begins so.
    """
    import shutil
    import time

    limit = time.time() - older_than_days * 86_400
    gone = [
        each
        for each in kept(folder)
        if each.added <= limit and each.fingerprint.startswith(fingerprint or "")
    ]
    for each in gone:
        shutil.rmtree(folder / each.fingerprint, ignore_errors=True)
    return gone
