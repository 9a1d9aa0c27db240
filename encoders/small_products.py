"""Products of small matrices in float32, written as LLVM instructions, for use in compiled loops.

A library's product costs more to call than products of 30 x 30 take.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

ROWS = 4  # of the result, per tile
COLUMNS = 16  # two registers of eight numbers

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_FLOAT = ir.FloatType()
_FLOATS = ir.VectorType(_FLOAT, 8)


@intrinsic
def product_tile(  # type: ignore[no-untyped-def]  # noqa: ANN201 - numba reads the names of the arguments
    typingctx: Any,  # noqa: ANN401, ARG001
    left: Any,  # noqa: ANN401, ARG001
    left_stride: Any,  # noqa: ANN401, ARG001
    right: Any,  # noqa: ANN401, ARG001
    right_stride: Any,  # noqa: ANN401, ARG001
    depth: Any,  # noqa: ANN401, ARG001
    out: Any,  # noqa: ANN401, ARG001
    out_stride: Any,  # noqa: ANN401, ARG001
):
    """Write left (4, depth) @ right (depth, 16) to out (4, 16).

    Matrices are given by their addresses and the bytes from one row to the next; depth is at
    least 1. Rounding depends on nothing but the numbers.
    """
    address, size = types.uintp, types.intp
    signature = types.void(address, size, address, size, size, address, size)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:  # noqa: ANN401
        _emit(builder, *arguments)
        return context.get_dummy_value()

    return signature, generate


def _emit(
    b: Any,  # noqa: ANN401
    left: Any,  # noqa: ANN401
    left_stride: Any,  # noqa: ANN401
    right: Any,  # noqa: ANN401
    right_stride: Any,  # noqa: ANN401
    depth: Any,  # noqa: ANN401
    out: Any,  # noqa: ANN401
    out_stride: Any,  # noqa: ANN401
) -> None:
    """Emit the loop over the depth, with the sums in registers, and their writing."""
    kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
    fused = cgutils.get_or_insert_function(b.module, kind, "llvm.fma.v8f32")
    before, loop, after = b.block, b.append_basic_block("depth"), b.append_basic_block("done")
    b.branch(loop)
    b.position_at_end(loop)
    step = b.phi(_I64)
    totals = [[b.phi(_FLOATS) for _ in range(2)] for _ in range(ROWS)]
    line = b.add(right, b.mul(right_stride, step))
    factors = [_load(b, b.add(line, _I64(32 * half)), _FLOATS) for half in range(2)]
    column = b.add(left, b.mul(step, _I64(4)))
    following = b.add(step, _I64(1))
    step.add_incoming(_I64(0), before)
    step.add_incoming(following, loop)
    sums: list[list[Any]] = []
    for row in range(ROWS):
        value = _load(b, b.add(column, b.mul(left_stride, _I64(row))), _FLOAT)
        spread = _splat(b, value)
        sums.append([])
        for half in range(2):
            total = totals[row][half]
            grown = b.call(fused, [spread, factors[half], total])
            total.add_incoming(ir.Constant(_FLOATS, [0.0] * 8), before)
            total.add_incoming(grown, loop)
            sums[row].append(grown)
    b.cbranch(b.icmp_signed("<", following, depth), loop, after)
    b.position_at_end(after)
    for row in range(ROWS):
        for half in range(2):
            place = b.add(b.add(out, b.mul(out_stride, _I64(row))), _I64(32 * half))
            b.store(sums[row][half], b.inttoptr(place, _FLOATS.as_pointer())).align = 4


def _load(b: Any, address: Any, kind: Any) -> Any:  # noqa: ANN401
    loaded = b.load(b.inttoptr(address, kind.as_pointer()))
    loaded.align = 4
    return loaded


def _splat(b: Any, value: Any) -> Any:  # noqa: ANN401
    nothing = ir.Constant(_FLOATS, ir.Undefined)
    first = b.insert_element(nothing, value, _I32(0))
    return b.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_I32, 8), [0] * 8))
