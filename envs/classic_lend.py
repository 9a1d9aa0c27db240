"""Arrays in compiled code without reference counts, which cost more than the formulas."""

from collections.abc import Callable
from typing import Any, TypeVar

from numba.core import cgutils
from numba.core.types.containers import BaseTuple
from numba.core.types.npytypes import Array
from numba.extending import intrinsic

_T = TypeVar("_T")


def _lend(context: Any, builder: Any, kind: Any, value: Any) -> Any:  # noqa: ANN401
    """Return a value whose arrays, also those in tuples, forget who owns their memory."""
    if isinstance(kind, Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        array.parent = cgutils.get_null_value(array.parent.type)
        return array._getvalue()  # noqa: SLF001  numba's own name for it
    if isinstance(kind, BaseTuple):
        entries = cgutils.unpack_tuple(builder, value)
        lent = [
            _lend(context, builder, inner, entry)
            for inner, entry in zip(kind.types, entries, strict=True)
        ]
        return context.make_tuple(builder, kind, lent)
    return value


@intrinsic
def _lent(_: Any, value: Any) -> tuple[Any, Callable[..., Any]]:  # noqa: ANN401
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return _lend(context, builder, signature.args[0], arguments[0])

    return value(value), codegen


lent: Callable[[_T], _T] = _lent
"""Return the same array, or (named) tuple of arrays, without reference counts.

The memory is freed after the last line that names the OWNER: scratch that a loop uses is
therefore lent inside the loop.

For compiled code only, in a function whose caller keeps the arrays: numba counts references
of every array it passes to a function or slices, with an atomic instruction each time.
"""
