"""Which evaluation of a run was the best, and whether it is time to stop."""

from collections.abc import Mapping, Sequence
from typing import Any

Line = Mapping[str, Any]


def merit(point: Line, floor: float | None = None) -> tuple[bool, float]:
    """Return what evaluations are ordered by: whether a floor is met, then the return.

    Below the floor, the one that comes closest to it is the best.

    Args:
        point: of the learning curve; the return on validation users counts where there are some.
        floor: of the constraint, if there is one.
    """
    earned = float(point.get("validation_return", point["return"]))
    if floor is None:
        return True, earned
    signal = float(point.get("validation_signal", point["signal"]))
    return (True, earned) if signal >= floor else (False, signal)


def best_of(points: Sequence[Line], floor: float | None = None) -> int:
    """Return which of the evaluations is the best, the first of equals."""
    order = [merit(point, floor) for point in points]
    return order.index(max(order))


def is_over(points: Sequence[Line], patience: int, floor: float | None = None) -> bool:
    """Return whether the last ``patience`` evaluations brought nothing better; 0 = never."""
    return 0 < patience <= len(points) - 1 - best_of(points, floor) if points else False
