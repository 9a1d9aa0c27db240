"""Memory for observations that is used again once nobody looks at it any more."""

import sys
from itertools import pairwise

import numpy as np

from slategym.envs.arrays import AnyArray, FloatArray, LongArray

_KEPT = 4
"""Buffers a pool keeps; a caller that holds more observations gets ordinary arrays."""
_HUGE_PAGE = 2**21 // 4
"""Entries of a page of 2 MB. The many pages of 4 KB would not fit the processor's page table."""
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
        self._owners: list[FloatArray] = []
        self._written: dict[int, LongArray] = {}
        # How many references an array has that only a list and this call chain know.
        probe = [np.empty(1, dtype=np.float32)]
        self._alone = next(_references(owner) for owner in probe)

    @property
    def size(self) -> int:
        """Entries of a buffer."""
        return int(self._ends[-1])

    def take(self) -> FloatArray:
        """Return a buffer with arbitrary content."""
        if self.size < _SMALL:
            return np.empty(self.size, dtype=np.float32)
        for owner in self._owners:
            if _references(owner) == self._alone:
                return self._aligned(owner)
        # numpy asks the system for huge pages where an array is larger than 4 MB.
        owner = np.empty(self.size + 3 * _HUGE_PAGE, dtype=np.float32)
        if len(self._owners) < _KEPT:
            self._owners.append(owner)
        return self._aligned(owner)

    def take_zero(self) -> FloatArray:
        """Return a buffer that is zero, but for rows a caller wrote to and `written` left out."""
        buffer = self.take()
        rows = self._written.get(id(buffer.base))
        if rows is None:
            buffer[:] = 0.0
        else:
            for block in self.blocks(buffer):
                block[rows] = 0.0
        return buffer

    def written(self, buffer: FloatArray, rows: LongArray) -> None:
        """Say which rows of a buffer of `take_zero` were written to; the others stay zero."""
        if any(buffer.base is owner for owner in self._owners):
            self._written[id(buffer.base)] = rows

    def _aligned(self, owner: FloatArray) -> FloatArray:
        """Return the part of an array that starts with a huge page."""
        start = (-owner.ctypes.data // owner.itemsize) % _HUGE_PAGE
        return owner[start : start + self.size]

    def blocks(self, buffer: FloatArray) -> list[FloatArray]:
        """Return the blocks of a buffer, (B, entries) each, as views."""
        batch, ends = self._batch, self._ends
        return [
            buffer[start:end].reshape(batch, -1) for start, end in pairwise(ends) if end > start
        ]
