"""TensorBoard's event files, written without its package: curves of single numbers."""

import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

SUFFIX = ".slategym"
_STARTED = 1  # SessionLog.START in TensorBoard's event.proto
_LARGEST = 3.4e38  # of single precision
_VERSION = "brain.Event:2"


def _table() -> Iterator[int]:
    """Yield the 256 remainders of CRC-32C, Castagnoli's polynomial reversed."""
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        yield value


_REMAINDERS = tuple(_table())


class EventFile:
    """One event file; what is told is on its way to disk when `scalars` returns.

    A folder whose files were removed before (`remove_events`) shows every step once, also to a
    TensorBoard that was watching: the new file tells it to forget what came before.

    Args:
        folder: is made; TensorBoard's ``--logdir``.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = _free(folder)
        self._stream = self.path.open("xb")
        self._write(_text(3, _VERSION), step=None)
        self._write(_bytes(7, _number(1, _STARTED)), step=0)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point at ``step`` to each curve."""
        if values:
            summary = b"".join(_bytes(1, _point(tag, value)) for tag, value in values.items())
            self._write(_bytes(5, summary), step=step)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, body: bytes, step: int | None) -> None:
        """Write one record: length and event, each with its checksum (TFRecord)."""
        event = b"\x09" + struct.pack("<d", time.time())
        event += (b"" if step is None else _number(2, step)) + body
        length = struct.pack("<Q", len(event))
        self._stream.write(length + _checksum(length) + event + _checksum(event))
        self._stream.flush()


def remove_events(folder: Path) -> None:
    """Remove the event files that `EventFile` wrote into a folder, and no others."""
    for path in folder.glob(f"events.out.tfevents.*{SUFFIX}"):
        path.unlink()


def _free(folder: Path) -> Path:
    """Return a path that does not exist; later ones sort after earlier ones."""
    now = int(time.time())
    while (path := folder / f"events.out.tfevents.{now:010d}{SUFFIX}").exists():
        now += 1
    return path


def _point(tag: str, value: float) -> bytes:
    return _text(1, tag) + b"\x15" + struct.pack("<f", max(min(value, _LARGEST), -_LARGEST))


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    """Return a whole number >= 0, seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _checksum(data: bytes) -> bytes:
    """Return the masked CRC-32C of TFRecord files."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _REMAINDERS[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
