"""TensorFlow V2 checkpoints read from their bytes, without TensorFlow.

The index file is a LevelDB table (footer, index block, data blocks of prefix-compressed keys)
whose values are BundleEntry protocol buffers: type, shape, offset and size of one tensor in the
data file (tensorflow/core/protobuf/tensor_bundle.proto).
"""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.errors import DataError

_MAGIC = bytes.fromhex("57fb808b247547db")
_FOOTER = 48
_DTYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 3: np.dtype("<i4"), 9: np.dtype("<i8")}


def read_checkpoint(index: bytes, data: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return every float32, int32 and int64 tensor of a one-shard checkpoint by name.

    Raises:
        DataError: the bytes are not such a checkpoint.
    """
    if index[-len(_MAGIC) :] != _MAGIC:
        raise DataError("the checkpoint index is not a TensorFlow V2 index: it is damaged.")
    try:
        return dict(_tensors(index, data))
    except (IndexError, ValueError, KeyError, struct.error) as error:
        raise DataError(f"the TensorFlow checkpoint is damaged ({error}).") from None


def _tensors(index: bytes, data: bytes) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    footer = index[-_FOOTER:]
    _, at = _varint(footer, 0)
    _, at = _varint(footer, at)
    offset, at = _varint(footer, at)
    size, _ = _varint(footer, at)
    for _, handle in _block(index, offset, size):
        start, at = _varint(handle, 0)
        length, _ = _varint(handle, at)
        for key, value in _block(index, start, length):
            if key:  # the entry without a key is the header of the bundle
                yield key.decode(), _tensor(_fields(value), data)


def _tensor(fields: list[tuple[int, int | bytes]], data: bytes) -> npt.NDArray[Any]:
    entry = dict(fields)
    shape = [
        int(dict(_fields(dim)).get(1, 0))
        for number, dim in _fields(_bytes(entry.get(2, b"")))
        if number == 2 and isinstance(dim, bytes)
    ]
    start, size = int(entry.get(4, 0)), int(entry.get(5, 0))
    return np.frombuffer(data[start : start + size], _DTYPES[int(entry[1])]).reshape(shape)


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a message was expected")
    return value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the variable-length integer at a position, and the position after it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of one table block."""
    if data[offset + size] != 0:
        raise ValueError("a compressed block")
    block = data[offset : offset + size]
    restarts = struct.unpack("<I", block[-4:])[0]
    end, at, key = len(block) - 4 - 4 * restarts, 0, b""
    while at < end:
        shared, at = _varint(block, at)
        fresh, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + fresh]
        at += fresh
        yield key, block[at : at + length]
        at += length


def _fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """Return the fields of a protocol buffer message as (number, value)."""
    at, found = 0, list[tuple[int, int | bytes]]()
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            number, at = _varint(data, at)
            found.append((tag >> 3, number))
            continue
        length, at = (_varint(data, at)) if kind == 2 else ({5: 4, 1: 8}[kind], at)
        found.append((tag >> 3, data[at : at + length]))
        at += length
    return found
