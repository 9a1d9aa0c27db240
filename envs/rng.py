"""Counter-based randomness: every draw is f(seed, stream, episode, step, purpose, index).

There is no generator to carry along. A draw depends on nothing but its six counters, so a
user's luck is the same whatever the batch size, the order of users or the process, and a
resumed run needs no random state.

The function (`DRAW_VERSION` 1), with ``mix`` the finaliser of splitmix64 (Steele, Lea and
Flood 2014, figure 17; the constants are Stafford's variant 13) and all arithmetic modulo 2^64::

    mix(z)  = z ^= z >> 30; z *= BF58476D1CE4E5B9; z ^= z >> 27; z *= 94D049BB133111EB; z ^ z >> 31
    key     = mix(mix(mix(seed + G) ^ (stream + 1) * G) ^ (episode + 1) * G)
    at      = mix(key ^ (step + 1) * G)
    bits    = mix(at + (purpose * 2^40 + index + 1) * G)            G = 9E3779B97F4A7C15

so the draws of one step are a splitmix64 sequence whose start is a hash of the other counters.

`uniform`, `normal`, `gumbel` and `exponential` are written with additions, multiplications,
divisions and square roots only (`natural_log` too), which IEEE 754 rounds in one way: the
compiled functions and their ``*_of`` NumPy statements give the same bits on every machine.
"""

import math
from collections.abc import Callable

import numba
import numpy as np

from slategym.envs.arrays import DoubleArray, KeyArray, LongArray

DRAW_VERSION = 1

# What a draw is for. A number is never reused for another purpose.
USER, TASTE, CANDIDATE, CHOICE, WATCH, RATING = 0, 1, 2, 3, 4, 5
WALK, SHOCK, LIKE, SHARE, CART, BUY, MOOD, CHURN, GAP = 6, 7, 8, 9, 10, 11, 12, 13, 14
BIRTH, BURST, INTENT, SEARCH, WALLET, RETRIEVE, EXAMINE, START = 15, 16, 17, 18, 19, 20, 21, 22
# 40 and above: the classics, see `slategym.envs.classic_physics`.

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S12, _S32, _S40 = (np.uint64(s) for s in (30, 27, 31, 12, 32, 40))
_ONE = np.uint64(1)
_UNIT = 2.0**-52

# natural_log: fdlibm's e_log.c (Sun Microsystems 1993): ln 2 in two parts, minimax polynomial.
_LN2_HI, _LN2_LO = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_LOG = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)
_SQRT_2 = 1.4142135623730951
_S52, _MANTISSA, _EXPONENT_0 = np.uint64(52), np.uint64(2**52 - 1), np.uint64(1023 << 52)
_INTEGER = np.uint64(0x433 << 52)  # the bits of 2^52

# normal quantile: algorithm AS 241, PPND16 (Wichura 1988); relative error below 1e-15.
_CENTRE_NUM = (
    3.3871328727963666080e0,
    1.3314166789178437745e2,
    1.9715909503065514427e3,
    1.3731693765509461125e4,
    4.5921953931549871457e4,
    6.7265770927008700853e4,
    3.3430575583588128105e4,
    2.5090809287301226727e3,
)
_CENTRE_DEN = (
    1.0,
    4.2313330701600911252e1,
    6.8718700749205790830e2,
    5.3941960214247511077e3,
    2.1213794301586595867e4,
    3.9307895800092710610e4,
    2.8729085735721942674e4,
    5.2264952788528545610e3,
)
_MIDDLE_NUM = (
    1.42343711074968357734e0,
    4.63033784615654529590e0,
    5.76949722146069140550e0,
    3.64784832476320460504e0,
    1.27045825245236838258e0,
    2.41780725177450611770e-1,
    2.27238449892691845833e-2,
    7.74545014278341407640e-4,
)
_MIDDLE_DEN = (
    1.0,
    2.05319162663775882187e0,
    1.67638483018380384940e0,
    6.89767334985100004550e-1,
    1.48103976427480074590e-1,
    1.51986665636164571966e-2,
    5.47593808499534494600e-4,
    1.05075007164441684324e-9,
)
_TAIL_NUM = (
    6.65790464350110377720e0,
    5.46378491116411436990e0,
    1.78482653991729133580e0,
    2.96560571828504891230e-1,
    2.65321895265761230930e-2,
    1.24266094738807843860e-3,
    2.71155556874348757815e-5,
    2.01033439929228813265e-7,
)
_TAIL_DEN = (
    1.0,
    5.99832206555887937690e-1,
    1.36929880922735805310e-1,
    1.48753612908506148525e-2,
    7.86869131145613259100e-4,
    1.84631831751005468180e-5,
    1.42151175831644588870e-7,
    2.04426310338993978564e-15,
)


def mix_of(z: KeyArray) -> KeyArray:
    """Return the splitmix64 finaliser of unsigned 64-bit numbers."""
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


def episode_key_of(seed: KeyArray, stream: KeyArray, episode: KeyArray) -> KeyArray:
    """Return the key of an episode of a user stream."""
    start = mix_of(seed + _GOLDEN)
    row = mix_of(start ^ ((stream + _ONE) * _GOLDEN))
    return mix_of(row ^ ((episode + _ONE) * _GOLDEN))


def step_key_of(key: KeyArray, step: KeyArray) -> KeyArray:
    """Return the key of one step of an episode."""
    return mix_of(key ^ ((step + _ONE) * _GOLDEN))


def bits_of(at: KeyArray, purpose: KeyArray, index: KeyArray) -> KeyArray:
    """Return 64 random bits; ``at`` is a step key, ``index`` is below 2^40."""
    return mix_of(at + ((purpose << _S40) + index + _ONE) * _GOLDEN)


def below_of(number: KeyArray, count: int) -> LongArray:
    """Return integers in [0, count) from the upper 32 bits; see `below`."""
    return (((number >> _S32) * np.uint64(count)) >> _S32).astype(np.int64)


def uniform_of(bits: KeyArray) -> DoubleArray:
    """Return numbers in the open interval (0, 1), from the upper 52 bits."""
    return ((bits >> _S12) + 0.5) * _UNIT  # type: ignore[return-value]  # float64 is meant


def natural_log_of(x: DoubleArray) -> DoubleArray:
    """Return ln x for positive normal numbers, within one unit in the last place."""
    raw = np.ascontiguousarray(x, dtype=np.float64).view(np.uint64)
    power = (raw >> _S52).astype(np.int64) - 1023
    m = ((raw & _MANTISSA) | _EXPONENT_0).view(np.float64)
    large = m > _SQRT_2
    m = np.where(large, 0.5 * m, m)
    return np.asarray(_log_series(m - 1.0, (power + large).astype(np.float64)))


def gumbel_of(bits: KeyArray) -> DoubleArray:
    """Return standard Gumbel numbers, -ln(-ln u)."""
    return -natural_log_of(-natural_log_of(uniform_of(bits)))


def exponential_of(bits: KeyArray) -> DoubleArray:
    """Return exponential numbers of mean one, -ln u."""
    return -natural_log_of(uniform_of(bits))


def normal_of(bits: KeyArray) -> DoubleArray:
    """Return standard normal numbers, the quantile function at u (Wichura 1988, PPND16)."""
    u = uniform_of(bits)
    q = u - 0.5
    centre = 0.180625 - q * q
    r = np.sqrt(-natural_log_of(np.where(q < 0, u, 1.0 - u)))
    tail = np.where(
        r <= 5.0,
        _ratio(_MIDDLE_NUM, _MIDDLE_DEN, r - 1.6),
        _ratio(_TAIL_NUM, _TAIL_DEN, r - 5.0),
    )
    inner = q * _ratio(_CENTRE_NUM, _CENTRE_DEN, centre)
    return np.where(np.abs(q) <= 0.425, inner, np.where(q < 0, -tail, tail))


def _log_series(f: DoubleArray, k: DoubleArray) -> DoubleArray:
    """Return ln(2^k (1 + f)) for 1 + f in [sqrt(1/2), sqrt(2)], as in fdlibm."""
    s = f / (2.0 + f)
    z = s * s
    c = _LOG
    tail = c[0] + z * (c[1] + z * (c[2] + z * (c[3] + z * (c[4] + z * (c[5] + z * c[6])))))
    half = 0.5 * f * f
    return k * _LN2_HI - ((half - (s * (half + z * tail) + k * _LN2_LO)) - f)


def _ratio(above: tuple[float, ...], below: tuple[float, ...], x: DoubleArray) -> DoubleArray:
    """Return the quotient of two polynomials of degree 7, lowest coefficient first."""
    a, b = above, below
    up = ((((((a[7] * x + a[6]) * x + a[5]) * x + a[4]) * x + a[3]) * x + a[2]) * x + a[1]) * x
    lo = ((((((b[7] * x + b[6]) * x + b[5]) * x + b[4]) * x + b[3]) * x + b[2]) * x + b[1]) * x
    return (up + a[0]) / (lo + b[0])


# The same statements, compiled for one number.
mix: Callable[[np.uint64], np.uint64] = numba.njit(forceinline=True)(mix_of)
_free = numba.njit(forceinline=True, error_model="numpy")  # no check for zero in divisions
_series: Callable[[float, float], float] = _free(_log_series)
_quotient: Callable[[tuple[float, ...], tuple[float, ...], float], float] = numba.njit(_ratio)


@numba.njit(forceinline=True)
def episode_key(seed: np.uint64, stream: np.uint64, episode: np.uint64) -> np.uint64:
    """Return the key of an episode of a user stream; see `episode_key_of`."""
    row = mix(mix(seed + _GOLDEN) ^ ((stream + _ONE) * _GOLDEN))
    return mix(row ^ ((episode + _ONE) * _GOLDEN))


@numba.njit(forceinline=True)
def step_key(key: np.uint64, step: np.uint64) -> np.uint64:
    """Return the key of one step of an episode; see `step_key_of`."""
    return mix(key ^ ((step + _ONE) * _GOLDEN))


@numba.njit(forceinline=True)
def bits(at: np.uint64, purpose: int, index: int) -> np.uint64:
    """Return 64 random bits; see `bits_of`."""
    return mix(at + ((np.uint64(purpose) << _S40) + np.uint64(index) + _ONE) * _GOLDEN)


@numba.njit(forceinline=True)
def below(number: np.uint64, count: int) -> int:
    """Return an integer in [0, count) from the upper 32 bits, for counts below 2^32.

    The multiply-shift of Lemire (2019) without rejection: a bias of at most count / 2^32.
    """
    return np.int64(((number >> _S32) * np.uint64(count)) >> _S32)  # type: ignore[return-value]


@_free
def uniform(number: np.uint64) -> float:
    """Return a number in the open interval (0, 1), from the upper 52 bits; see `uniform_of`."""
    # The low bits of 2^52 + n are n: no instruction turns an unsigned number into a float.
    whole = np.uint64((number >> _S12) | _INTEGER).view(np.float64) - 2.0**52
    return (whole + 0.5) * _UNIT


@_free
def natural_log(x: float) -> float:
    """Return ln x for a positive normal number; see `natural_log_of`. Free of branches."""
    raw = np.float64(x).view(np.uint64)
    power = np.uint64((raw >> _S52) | _INTEGER).view(np.float64) - (2.0**52 + 1023.0)
    m = np.uint64((raw & _MANTISSA) | _EXPONENT_0).view(np.float64)
    large = m > _SQRT_2
    return _series((0.5 * m if large else m) - 1.0, power + 1.0 if large else power)


@_free
def gumbel(number: np.uint64) -> float:
    """Return a standard Gumbel number; see `gumbel_of`."""
    return -natural_log(-natural_log(uniform(number)))


@numba.njit(forceinline=True)
def exponential(number: np.uint64) -> float:
    """Return an exponential number of mean one; see `exponential_of`."""
    return -natural_log(uniform(number))


@numba.njit
def normal(number: np.uint64) -> float:
    """Return a standard normal number; see `normal_of`."""
    u = uniform(number)
    q = u - 0.5
    if abs(q) <= 0.425:
        return q * _quotient(_CENTRE_NUM, _CENTRE_DEN, 0.180625 - q * q)
    r = math.sqrt(-natural_log(u if q < 0 else 1.0 - u))
    if r <= 5.0:
        tail = _quotient(_MIDDLE_NUM, _MIDDLE_DEN, r - 1.6)
    else:
        tail = _quotient(_TAIL_NUM, _TAIL_DEN, r - 5.0)
    return -tail if q < 0 else tail
