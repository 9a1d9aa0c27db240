"""What every part of a simulation is: a frozen set of named numbers that survives JSON."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Self, TypeVar

from slategym.errors import UsageError, nearest, unknown_name

SINGLE_SLOTS = ("candidates", "response", "choice", "reward")
"""Slots that hold exactly one part."""
SLOTS = ("candidates", "response", "choice", "feedback", "change", "leaving", "reward")
"""What a part is for; feedback, change and leaving hold any number of different parts."""


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

    A class of your own sets `name` and `slot`, states its formula over batched arrays (see
    `slategym.envs.own_parts`), and is made known by `register_part`.

    Raises:
        UsageError: a parameter is of the wrong kind or out of range (the message names it).
    """

    name: ClassVar[str] = ""
    """What it is called in JSON and listings."""
    slot: ClassVar[str] = ""
    """One of `SLOTS`."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = _checked(
                f"{type(self).__name__}.{entry.name}", getattr(self, entry.name), entry.metadata
            )
            object.__setattr__(self, entry.name, value)

    def to_json(self) -> dict[str, Any]:
        """Return the name under ``part``, and the parameters, as plain JSON values."""
        return {"part": self.name, **asdict(self)}

    def rules(self) -> dict[str, Any]:
        """Return the numbers that the compiled step goes by: the parameters, by name."""
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
        given = {key: entry for key, entry in value.items() if key != "part"}
        check_keys(f"part {cls.name!r}", given, (entry.name for entry in fields(cls)))
        return cls(**given)


PART_TYPES: dict[str, type[Part]] = {}
"""Part name -> class."""

_PartType = TypeVar("_PartType", bound=type[Part])


def register_part(cls: _PartType) -> _PartType:
    """Make a part known by its name, so that a variant that holds it survives JSON.

    Raises:
        UsageError: the class has no name or no slot, or its name is taken.
    """
    if not cls.name or cls.slot not in SLOTS:
        raise UsageError(f"part {cls.__name__} needs a name and a slot; slots: {', '.join(SLOTS)}.")
    known = PART_TYPES.get(cls.name)
    if known is not None and known.__qualname__ != cls.__qualname__:
        raise UsageError(f"part name {cls.name!r} is taken by {known.__name__}.")
    PART_TYPES[cls.name] = cls
    return cls


def as_part(value: "Part | str | Mapping[str, Any]") -> Part:
    """Return a part from itself, its name, or its JSON form.

    Raises:
        UsageError: no such part (the message gives the nearest), or a bad parameter.
    """
    if isinstance(value, Part):
        return value
    plain: object = {"part": value} if isinstance(value, str) else value
    if not isinstance(plain, Mapping) or "part" not in plain:
        raise UsageError(f"a part is a name or a mapping with the key 'part'; got {value!r}.")
    if plain["part"] not in PART_TYPES:
        raise unknown_name("part", str(plain["part"]), PART_TYPES)
    return PART_TYPES[plain["part"]].from_json(plain)


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
