"""Settings of a model from names and values, refusing what the model does not have."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from slategym.errors import UsageError, nearest


def make_settings(kind: type[Any], model: str, options: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Return an instance of the dataclass ``kind``, each value of the type of its default.

    Args:
        kind: A frozen dataclass; every field has a default.
        model: What to call the model in a message.
        options: Name to value.

    Raises:
        UsageError: a name is not a field, or a value is not of its field's type.
    """
    known = {field.name: field for field in fields(kind)}
    for name, value in options.items():
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise UsageError(
                f"{model} has no setting {name!r}.{nearest(name, known)} Known: {allowed}."
            )
        _check(model, known[name], value)
    return kind(**options)


def in_range(model: str, ok: bool, said: str, allowed: str) -> None:
    """Refuse a setting that is out of range.

    Args:
        model: The model's name.
        ok: Whether it is in range.
        said: What was given, ``"penalty=0"``.
        allowed: What must hold, ``"the penalty must be positive"``.

    Raises:
        UsageError: if not ``ok``.
    """
    if not ok:
        raise UsageError(f"{model}: {said}: {allowed}.")


def _check(model: str, field: Field[Any], value: Any) -> None:  # noqa: ANN401
    """Refuse a value of another type than the field's default; None needs a default of None."""
    default = field.default
    if default is MISSING or default is None:
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    right = {
        bool: isinstance(value, bool),
        int: number and float(value).is_integer(),
        float: number and math.isfinite(value),
    }.get(type(default), isinstance(value, type(default)))
    if not right:
        raise UsageError(
            f"{model}: {field.name}={value!r} must be a {type(default).__name__} like {default!r}."
        )
