"""What every part of a simulation is: a frozen set of named numbers that survives JSON."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from slategym.errors import UsageError, nearest


def number(
    default: float | None, low: float, high: float, meaning: str, *, optional: bool = False
) -> Any:  # noqa: ANN401
    """Return the dataclass field of a number in [low, high].

    Args:
        default: value if none is given.
        low: smallest allowed value.
        high: largest allowed value.
        meaning: one line for listings: what it is, and its unit.
        optional: None is allowed too.
    """
    about = {"low": low, "high": high, "meaning": meaning, "optional": optional}
    return field(default=default, metadata=about)


def choice(default: str, allowed: tuple[str, ...], meaning: str) -> Any:  # noqa: ANN401
    """Return the dataclass field of one of some words."""
    return field(default=default, metadata={"allowed": allowed, "meaning": meaning})


@dataclass(frozen=True)
class Part:
    """A part: its fields are its parameters, checked when it is made.

    Raises:
        UsageError: a parameter is of the wrong kind or out of range (the message names it).
    """

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = _checked(
                f"{type(self).__name__}.{entry.name}", getattr(self, entry.name), entry.metadata
            )
            object.__setattr__(self, entry.name, value)

    def to_json(self) -> dict[str, Any]:
        """Return the parameters as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the part whose `to_json` gave ``value``; absent keys take their default.

        Raises:
            UsageError: an unknown key (the message gives the nearest known one), or a value
                out of range.
        """
        if not isinstance(value, Mapping):
            raise UsageError(f"{cls.__name__} must be a mapping of parameters; got {value!r}.")
        check_keys(cls.__name__, value, (entry.name for entry in fields(cls)))
        return cls(**value)


def check_keys(owner: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse the first of ``given`` that is not ``known``, naming the nearest.

    Raises:
        UsageError: an unknown key.
    """
    names = sorted(known)
    for key in given:
        if key not in names:
            raise UsageError(
                f"{owner} has no parameter {key!r}.{nearest(str(key), names)} "
                f"Known: {', '.join(names)}."
            )


def _checked(where: str, value: object, about: Mapping[str, Any]) -> object:
    """Return a parameter in its own type, or refuse it."""
    if "allowed" in about:
        if value not in about["allowed"]:
            allowed = ", ".join(repr(word) for word in about["allowed"])
            raise UsageError(
                f"{where} is {value!r}; allowed: {allowed}.{nearest(str(value), about['allowed'])}"
            )
        return value
    if value is None and about["optional"]:
        return None
    try:
        plain = math.nan if isinstance(value, (bool, str)) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        plain = math.nan
    if not about["low"] <= plain <= about["high"]:
        raise UsageError(
            f"{where} is {value!r}; it must be a number in [{about['low']:g}, {about['high']:g}]."
        )
    return plain
