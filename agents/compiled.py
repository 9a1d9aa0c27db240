"""When loops compiled by numba stand in for operations of torch, and how they are compiled."""

from typing import Any

import numba
import torch
from numpy.typing import NDArray

# From so many candidates in a batch on, compiled loops are worth their call (and, once per
# machine, a second or two of compiling, as those of `slategym.envs.kernels`).
COMPILED_FROM = 1024

# Kept in numba's disk cache. Sums may be reordered, which lets inner loops use wide registers;
# not-a-number and infinity keep their meaning, so that a diverged run is seen.
loops = numba.njit(cache=True, fastmath={"reassoc", "contract", "nsz"})


def worthwhile(count: int, tensor: torch.Tensor) -> bool:
    """Return whether compiled loops should do the work; they cannot be traced for an export.

    Args:
        count: candidates in the batch.
        tensor: one of those to be read.
    """
    if count < COMPILED_FROM or tensor.device.type != "cpu":
        return False
    return not torch.jit.is_tracing()


def memory(tensor: torch.Tensor) -> NDArray[Any]:
    """Return the memory of a tensor as an array."""
    return tensor.detach().numpy()
