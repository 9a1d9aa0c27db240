"""What the classic simulations draw, and the exponential function they share.

Every function is written with additions, multiplications, divisions and bit operations only,
which IEEE 754 rounds in one way: trajectories have the same bits on every machine.
"""

import math
from collections.abc import Callable

import numba
import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import DoubleArray, KeyArray, LongArray

# What a draw is for; numbers from 64 on belong to the classics. One is never reused.
INTEREST, CLUSTER, SHOWN, NOTHING = 64, 65, 66, 67
USER_TYPE, AFFINITY, DOCUMENT = 69, 70, 71
EXPOSURE, CLICKBAIT, ENGAGEMENT = 72, 73, 74

# The episode of candidates that stay for ever. Its counter, plus one, is zero: no episode's is.
NO_EPISODE = np.uint64(2**64 - 1)

_mix = rng.mix
_S9, _S32, _S40, _S52 = (np.uint64(s) for s in (9, 32, 40, 52))
_ONE, _GOLDEN = np.uint64(1), rng._GOLDEN  # noqa: SLF001
_LOWER = np.uint64(2**32 - 1)

# exp: Cody and Waite (1980): x = k ln 2 + r, |r| <= ln(2) / 2, ln 2 in two parts (fdlibm's).
_LOG2_E = 1.4426950408889634
_LN2_HI, _LN2_LO = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_ROUND = 6755399441055744.0  # 1.5 * 2^52: adding and subtracting it rounds to an integer
_LEAST, _MOST = -708.0, 709.0
_TAYLOR = tuple(1.0 / math.factorial(n) for n in range(14))  # beyond: below 1e-17 of the sum

_INTEGER = np.uint64(0x433 << 52)  # the bits of 2^52

_inline: Callable[..., Callable[..., float]] = numba.njit(forceinline=True, error_model="numpy")
# The formulas are stated once, there.
log = rng.natural_log
_ratio = _inline(rng._ratio)  # noqa: SLF001
_CENTRE_NUM, _CENTRE_DEN = rng._CENTRE_NUM, rng._CENTRE_DEN  # noqa: SLF001
_MIDDLE_NUM, _MIDDLE_DEN = rng._MIDDLE_NUM, rng._MIDDLE_DEN  # noqa: SLF001


@_inline
def exp(x: float) -> float:
    """Return e^x within 2 units in the last place; 0 below -708, and at most e^709."""
    t = min(max(x, _LEAST), _MOST)
    shifted = t * _LOG2_E + _ROUND
    k = shifted - _ROUND
    r = (t - k * _LN2_HI) - k * _LN2_LO
    c = _TAYLOR
    p = ((((c[13] * r + c[12]) * r + c[11]) * r + c[10]) * r + c[9]) * r + c[8]
    p = ((((((p * r + c[7]) * r + c[6]) * r + c[5]) * r + c[4]) * r + c[3]) * r + c[2]) * r + 1.0
    p = p * r + 1.0
    # The low bits of `shifted` are k (modulo 2^52): moved up, they are added to the exponent.
    scaled = np.uint64(
        np.float64(p).view(np.uint64) + (np.float64(shifted).view(np.uint64) << _S52)
    )
    return scaled.view(np.float64) if x >= _LEAST else 0.0


@_inline
def sigmoid(x: float) -> float:
    """Return 1 / (1 + e^-x)."""
    return 1.0 / (1.0 + exp(-x))


@_inline
def counter(at: np.uint64, purpose: int, index: int) -> np.uint64:
    """Return the number whose mix is `slategym.envs.rng.bits`."""
    return at + ((np.uint64(purpose) << _S40) + np.uint64(index) + _ONE) * _GOLDEN


@_inline
def mix_all(numbers: KeyArray) -> None:
    """Turn counters into random bits, in place; a loop of vector instructions."""
    for i in range(len(numbers)):
        numbers[i] = _mix(numbers[i])


@_inline
def upper(number: np.uint64) -> np.uint64:
    """Return the upper 32 bits."""
    return number >> _S32


@_inline
def lower(number: np.uint64) -> np.uint64:
    """Return the lower 32 bits."""
    return number & _LOWER


@_inline
def below_from(bits32: np.uint64, count: int) -> np.uint64:
    """Return a whole number in [0, count) from 32 bits (Lemire 2019, without rejection)."""
    return (bits32 * np.uint64(count)) >> _S32


@_inline
def _whole(number: np.uint64) -> float:
    """Return a whole number below 2^52 as a float: the low bits of 2^52 + n."""
    return np.uint64(number | _INTEGER).view(np.float64) - 2.0**52


@_inline
def single_from(bits32: np.uint64) -> float:
    """Return a number in the open interval (0, 1) that a float32 holds exactly (23 bits)."""
    return (_whole(bits32 >> _S9) + 0.5) * 2.0**-23


@_inline
def uniform_from(bits32: np.uint64) -> float:
    """Return a number in the open interval (0, 1) from 32 bits."""
    return (_whole(bits32) + 0.5) * 2.0**-32


@_inline
def central_normal(u: float) -> float:
    """Return the normal quantile for |u - 0.5| <= 0.425, free of branches; wrong elsewhere."""
    q = u - 0.5
    return q * _ratio(_CENTRE_NUM, _CENTRE_DEN, 0.180625 - q * q)


@_inline
def is_central(u: float) -> bool:
    """Return whether `central_normal` holds."""
    return abs(u - 0.5) <= 0.425


@_inline
def tail_normal(u: float) -> float:
    """Return the normal quantile where `is_central` is false and u is in [1e-10, 1 - 1e-10].

    32 random bits reach no further, so that the formula's far tail is not needed.
    """
    r = math.sqrt(-log(min(u, 1.0 - u)))
    tail = _ratio(_MIDDLE_NUM, _MIDDLE_DEN, r - 1.6)
    return -tail if u < 0.5 else tail


@_inline
def normals(u: DoubleArray, z: DoubleArray, spare: DoubleArray, index: LongArray) -> None:
    """Write the normal quantiles of uniform numbers (Wichura 1988, PPND16, as `rng.normal`).

    The centre is taken of all of them in one loop without branches, which the compiler turns
    into vector instructions; the 15 % in the tails are gathered, and done again likewise.

    Args:
        u: (N,) `uniform_from` numbers.
        z: (N,) written.
        spare: (N,) scratch.
        index: (N + 1,) scratch.
    """
    for i in range(len(u)):
        z[i] = central_normal(u[i])
    tails = 0
    for i in range(len(u)):
        index[tails] = i
        tails += not is_central(u[i])
    for i in range(tails):
        spare[i] = u[index[i]]
    for i in range(tails):
        spare[i] = tail_normal(spare[i])
    for i in range(tails):
        z[index[i]] = spare[i]


@_inline
def normal(u: float) -> float:
    """Return the normal quantile of one uniform number, with the bits of `normals`."""
    return central_normal(u) if is_central(u) else tail_normal(u)
