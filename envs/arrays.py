"""The array types of the simulation, and the alphabet of their shapes.

B batch of users, I items, U users, C candidates, K slate, D vector, F factors, H history,
T time, Z topics.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]
KeyArray = npt.NDArray[np.uint64]
BoolArray = npt.NDArray[np.bool_]
AnyArray = npt.NDArray[Any]
Record = Any
"""A row of a structured array, whose fields compiled code reads as attributes."""


def frozen(array: AnyArray) -> AnyArray:
    """Return a C-contiguous, read-only array of the same content, copied only if it must be."""
    result = np.ascontiguousarray(array).view()
    result.flags.writeable = False
    return result
