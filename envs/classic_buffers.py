"""Memory for observations that is used again once nobody looks at it any more."""

import sys

import numpy as np

from slategym.envs.arrays import AnyArray, FloatArray, LongArray

_KEPT = 4
"""Buffers a pool keeps; a caller that holds more observations gets ordinary arrays."""
_SMALL = 65_536
"""Entries below which a new array costs less than looking for an old one."""


def _references(array: AnyArray) -> int:
    return sys.getrefcount(array)


class Pool:
    """Hands out float32 buffers of one size that nobody else refers to.

    A large new array costs a page fault every 4 KB, more than it takes to simulate the users
    who fill it. A buffer is handed out again only when the pool holds the last reference to it:
    a view of an array refers to the array that owns its memory, so a caller who keeps any part
    of an observation keeps its buffer too. What was handed out is therefore never written to.

    Args:
        blocks: entries of each block of a buffer, per user.
        batch: B.
    """

    def __init__(self, blocks: list[int], batch: int) -> None:
        self._batch = batch
        self._ends = (batch * np.cumsum([0, *blocks])).tolist()
        self._buffers: list[FloatArray] = []
        self._written: dict[int, LongArray] = {}
        # How many references an array has that only a list and this call chain know.
        probe = [np.empty(1, dtype=np.float32)]
        self._alone = next(_references(buffer) for buffer in probe)

    @property
    def size(self) -> int:
        """Entries of a buffer."""
        return int(self._ends[-1])

    def take(self) -> FloatArray:
        """Return a buffer with arbitrary content."""
        size = self._ends[-1]
        if size < _SMALL:
            return np.empty(size, dtype=np.float32)
        for buffer in self._buffers:
            if _references(buffer) == self._alone:
                return buffer
        buffer = np.empty(size, dtype=np.float32)
        if len(self._buffers) < _KEPT:
            self._buffers.append(buffer)
        return buffer

    def take_zero(self) -> FloatArray:
        """Return a buffer that is zero, but for rows a caller wrote to and `written` left out."""
        buffer = self.take()
        rows = self._written.get(id(buffer))
        if rows is None:
            buffer[:] = 0.0
        else:
            for block in self.blocks(buffer):
                block[rows] = 0.0
        return buffer

    def written(self, buffer: FloatArray, rows: LongArray) -> None:
        """Say which rows of a buffer of `take_zero` were written to; the others stay zero."""
        if any(buffer is kept for kept in self._buffers):
            self._written[id(buffer)] = rows

    def blocks(self, buffer: FloatArray) -> list[FloatArray]:
        """Return the blocks of a buffer, (B, entries) each, as views."""
        batch, ends = self._batch, self._ends
        return [
            buffer[start:end].reshape(batch, -1)
            for start, end in zip(ends[:-1], ends[1:], strict=True)
            if end > start
        ]
