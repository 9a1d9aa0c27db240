"""Matrix products in 8-bit integers for processors with AVX2, written as LLVM instructions.

An activation is an unsigned byte with a scale and a zero point per row, a weight a signed 7-bit
number with a scale per output. `vpmaddubsw` multiplies 32 pairs at once into 16-bit sums; four
such sums are added with saturation before they are widened to 32 bits. A sum of eight products
of a level and a 7-bit weight hardly ever leaves 16 bits, for the weights of trained networks are
much like noise. Against the usual widening after every product this saves a third of the work.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

FloatArray = npt.NDArray[np.float32]

ROWS = 3  # of the activations, per tile
COLUMNS = 16  # outputs per tile: two registers of eight 32-bit sums
DEPTH = 16  # inputs per step: four products of four
_CHUNK = 48  # rows whose activations stay in the second-level cache
_TOP = 63  # largest weight
# Fewer levels than a byte has keep the 16-bit sums from saturating: on 60 film plots the cosine
# with float32 was 0.977 with 255 levels, 0.9966 with 160, 0.9954 with 127.
_LEVELS = np.float32(160)


@dataclass(frozen=True, eq=False)
class Packed:
    """The weights and biases of a linear layer from K inputs to O outputs.

    Attributes:
        weights: (O * K,) in tiles, the order in which they are read.
        scales: (O,) what one step of a weight is.
        sums: (O,) sum of the weights of each output.
        biases: (O,).
        inputs: K.
    """

    weights: npt.NDArray[np.int8]
    scales: FloatArray
    sums: FloatArray
    biases: FloatArray
    inputs: int


def packable(outputs: int, inputs: int) -> bool:
    """Return whether a layer of this shape can be packed."""
    return outputs % COLUMNS == 0 and inputs % DEPTH == 0


def pack(weights: FloatArray, biases: FloatArray) -> Packed:
    """Return a linear layer in 8 bits from its weights (O, K) and biases (O,)."""
    outputs, inputs = weights.shape
    scales = (np.maximum(np.abs(weights).max(axis=1), 1e-12) / _TOP).astype(np.float32)
    rounded = np.rint(weights / scales[:, None]).astype(np.int8)
    # Panel of 16 outputs, then four inputs at a time, then eight outputs, twice.
    tiles = rounded.reshape(outputs // COLUMNS, 2, 8, inputs // 4, 4).transpose(0, 3, 1, 2, 4)
    return Packed(
        np.ascontiguousarray(tiles).ravel(),
        scales,
        rounded.astype(np.int64).sum(axis=1).astype(np.float32),
        np.ascontiguousarray(biases, np.float32),
        inputs,
    )


def linear(x: "Quantised", layer: Packed, out: FloatArray) -> None:
    """Write the outputs (N, O) of a layer for quantised inputs (N, K), N at least `ROWS`."""
    assert x.values.shape == (len(out), layer.inputs)
    assert out.shape[1] == len(layer.biases)
    assert len(out) >= ROWS
    multiply(
        x.values, x.scales, x.zeros, layer.weights, layer.scales, layer.sums, layer.biases, out
    )


@dataclass(frozen=True, eq=False)
class Quantised:
    """Rows of activations: value = (byte - zero) * scale.

    Attributes:
        values: (N, K) bytes.
        scales: (N,).
        zeros: (N,) the byte that means 0, a whole number.
    """

    values: npt.NDArray[np.uint8]
    scales: FloatArray
    zeros: FloatArray

    @classmethod
    def empty(cls, rows: int, width: int) -> "Quantised":
        """Return room for so many rows."""
        return cls(
            np.empty((rows, width), np.uint8),
            np.empty(rows, np.float32),
            np.empty(rows, np.float32),
        )


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def quantise(
    x: FloatArray, values: npt.NDArray[np.uint8], scales: FloatArray, zeros: FloatArray
) -> None:
    """Write rows (N, K) as bytes, from the least (at most 0) to the greatest of each row."""
    rows, width = x.shape
    for row in range(rows):
        low, high = np.float32(0), np.float32(0)
        for column in range(width):
            low = min(low, x[row, column])
            high = max(high, x[row, column])
        scale = max((high - low) / _LEVELS, np.float32(1e-12))
        steps = np.float32(1) / scale
        zero = np.float32(np.int32(-low * steps + np.float32(0.5)))
        scales[row], zeros[row] = scale, zero
        for column in range(width):
            level = x[row, column] * steps + zero + np.float32(0.5)
            values[row, column] = np.uint8(np.int32(min(level, _LEVELS + np.float32(0.49))))


@njit(nogil=True, cache=True)
def multiply(
    values: npt.NDArray[np.uint8],
    scales: FloatArray,
    zeros: FloatArray,
    weights: npt.NDArray[np.int8],
    steps: FloatArray,
    sums: FloatArray,
    biases: FloatArray,
    out: FloatArray,
) -> None:
    """Write ``scale * (values - zero) @ weights.T * step + bias``, (N, O); N at least `ROWS`."""
    rows, inputs = values.shape
    outputs = biases.shape[0]
    for first in range(0, rows, _CHUNK):
        last = min(rows, first + _CHUNK)
        for panel in range(outputs // COLUMNS):
            tile = weights.ctypes.data + np.uintp(panel * COLUMNS * inputs)
            ahead = np.uintp(panel * COLUMNS * 4)
            for wanted in range(first, last, ROWS):
                row = min(wanted, rows - ROWS)  # the last tile goes over some rows again
                _tile(
                    values.ctypes.data + np.uintp(row * inputs),
                    inputs,
                    tile,
                    inputs // DEPTH,
                    out.ctypes.data + np.uintp((row * outputs + panel * COLUMNS) * 4),
                    outputs * 4,
                    scales.ctypes.data + np.uintp(row * 4),
                    zeros.ctypes.data + np.uintp(row * 4),
                    steps.ctypes.data + ahead,
                    sums.ctypes.data + ahead,
                    biases.ctypes.data + ahead,
                )


_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_BYTES, _SHORTS = ir.VectorType(_I8, 32), ir.VectorType(_I16, 16)
_WORDS, _FLOATS = ir.VectorType(_I32, 8), ir.VectorType(ir.FloatType(), 8)


@intrinsic
def _tile(  # type: ignore[no-untyped-def]  # noqa: ANN202 - numba reads the names of the arguments
    typingctx: Any,  # noqa: ANN401, ARG001
    values: Any,  # noqa: ANN401, ARG001
    stride: Any,  # noqa: ANN401, ARG001
    weights: Any,  # noqa: ANN401, ARG001
    blocks: Any,  # noqa: ANN401, ARG001
    out: Any,  # noqa: ANN401, ARG001
    out_stride: Any,  # noqa: ANN401, ARG001
    scales: Any,  # noqa: ANN401, ARG001
    zeros: Any,  # noqa: ANN401, ARG001
    steps: Any,  # noqa: ANN401, ARG001
    sums: Any,  # noqa: ANN401, ARG001
    biases: Any,  # noqa: ANN401, ARG001
):
    """Compute `ROWS` x `COLUMNS` outputs at the given addresses; strides are in bytes."""
    address, size = types.uintp, types.intp
    signature = types.void(address, size, address, size, address, size, *(address,) * 5)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:  # noqa: ANN401
        values, stride, weights, blocks, out, out_stride, *factors = arguments
        sums = _add_products(builder, values, stride, weights, blocks)
        _store(builder, sums, out, out_stride, factors)
        return context.get_dummy_value()

    return signature, generate


def _add_products(b: Any, values: Any, stride: Any, weights: Any, blocks: Any) -> list[list[Any]]:  # noqa: ANN401
    """Emit the loop over inputs; return the 32-bit sums, `ROWS` x 2 registers."""
    products = _function(b, _SHORTS, _BYTES, "llvm.x86.avx2.pmadd.ub.sw")
    widen = _function(b, _WORDS, _SHORTS, "llvm.x86.avx2.pmadd.wd")
    add = _function(b, _SHORTS, _SHORTS, "llvm.sadd.sat.v16i16")
    before, loop, after = b.block, b.append_basic_block("inputs"), b.append_basic_block("done")
    b.branch(loop)
    b.position_at_end(loop)
    step = b.phi(_I64)
    totals = [[b.phi(_WORDS) for _ in range(2)] for _ in range(ROWS)]
    byte = b.add(values, b.mul(step, _I64(DEPTH)))
    rows = [b.add(byte, b.mul(stride, _I64(row))) for row in range(ROWS)]
    tile = b.add(weights, b.mul(step, _I64(DEPTH * COLUMNS)))
    parts: list[list[Any]] = [[None, None] for _ in range(ROWS)]
    for four in range(DEPTH // 4):
        factors = [_load(b, tile, four * 64 + half * 32, _BYTES) for half in range(2)]
        for row in range(ROWS):
            four_values = _load(b, rows[row], 4 * four, _I32)
            spread = b.bitcast(_splat(b, four_values, _WORDS), _BYTES)
            for half in range(2):
                new = b.call(products, [spread, factors[half]])
                old = parts[row][half]
                parts[row][half] = new if old is None else b.call(add, [old, new])
    ones = ir.Constant(_SHORTS, [1] * 16)
    following = b.add(step, _I64(1))
    step.add_incoming(_I64(0), before)
    step.add_incoming(following, loop)
    sums: list[list[Any]] = []
    for row in range(ROWS):
        sums.append([])
        for half in range(2):
            grown = b.add(totals[row][half], b.call(widen, [parts[row][half], ones]))
            totals[row][half].add_incoming(ir.Constant(_WORDS, [0] * 8), before)
            totals[row][half].add_incoming(grown, loop)
            sums[row].append(grown)
    b.cbranch(b.icmp_signed("<", following, blocks), loop, after)
    b.position_at_end(after)
    return sums


def _store(b: Any, totals: list[list[Any]], out: Any, out_stride: Any, factors: list[Any]) -> None:  # noqa: ANN401
    """Emit the way back from integers to numbers, and their writing."""
    scales, zeros, steps, sums, biases = factors
    for half in range(2):
        step, whole, bias = (_load(b, at, 32 * half, _FLOATS) for at in (steps, sums, biases))
        for row in range(ROWS):
            scale, zero = (
                _splat(b, _load(b, at, 4 * row, ir.FloatType()), _FLOATS) for at in (scales, zeros)
            )
            centred = b.fsub(b.sitofp(totals[row][half], _FLOATS), b.fmul(zero, whole))
            result = b.fadd(b.fmul(b.fmul(centred, step), scale), bias)
            place = b.add(b.add(out, b.mul(out_stride, _I64(row))), _I64(32 * half))
            b.store(result, b.inttoptr(place, _FLOATS.as_pointer())).align = 4


def _function(b: Any, result: Any, argument: Any, name: str) -> Any:  # noqa: ANN401
    kind = ir.FunctionType(result, [argument, argument])
    return cgutils.get_or_insert_function(b.module, kind, name)


def _load(b: Any, address: Any, ahead: int, kind: Any) -> Any:  # noqa: ANN401
    """Emit a load that needs no alignment."""
    loaded = b.load(b.inttoptr(b.add(address, _I64(ahead)), kind.as_pointer()))
    loaded.align = 1
    return loaded


def _splat(b: Any, value: Any, kind: Any) -> Any:  # noqa: ANN401
    """Emit a register with the same value in all places."""
    nothing = ir.Constant(kind, ir.Undefined)
    first = b.insert_element(nothing, value, _I32(0))
    return b.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_I32, 8), [0] * 8))
