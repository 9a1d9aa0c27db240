"""Memory for observations that is used again once nobody looks at it any more."""

import sys

import numpy as np

from slategym.envs.arrays import AnyArray, FloatArray

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
        size: entries of a buffer.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._owners: list[FloatArray] = []
        # How many references an array has that only a list and this call chain know.
        probe = [np.empty(1, dtype=np.float32)]
        self._alone = next(_references(owner) for owner in probe)

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

    def _aligned(self, owner: FloatArray) -> FloatArray:
        """Return the part of an array that starts with a huge page."""
        start = (-owner.ctypes.data // owner.itemsize) % _HUGE_PAGE
        return owner[start : start + self.size]
