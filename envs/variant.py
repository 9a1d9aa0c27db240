"""A variant: a named composition of parts over a world. It is data and survives JSON."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from slategym.envs.part import Part, check_keys
from slategym.envs.parts import (
    CandidateSource,
    ChoiceModel,
    Departure,
    Dynamics,
    Feedback,
    ResponseModel,
    Reward,
)
from slategym.errors import UsageError, nearest

OBSERVATIONS = ("features", "ids")
PARTS: dict[str, type[Part]] = {
    "candidates": CandidateSource,
    "response": ResponseModel,
    "choice": ChoiceModel,
    "feedback": Feedback,
    "dynamics": Dynamics,
    "departure": Departure,
    "reward": Reward,
}
_OWNER = {
    entry.name: part for part, cls in PARTS.items() for entry in fields(cls)
}  # parameter -> part
_ID = re.compile(r"^[A-Za-z][\w-]*/[A-Za-z][\w-]*-v\d+$")
_COUNTS = {"slate_size": (1, 100), "num_candidates": (1, 100_000), "horizon": (1, 1_000_000)}
OVERRIDES = (*_COUNTS, "observation", *_OWNER)


@dataclass(frozen=True)
class Variant:
    """A task: which world, what is shown, and the parts the users are made of.

    Example:
        >>> from slategym.envs.variant import Variant
        >>> hard = Variant(id="me/Bored-v0", departure=Departure(boredom=1.0))
        >>> Variant.from_json(hard.to_json()) == hard
        True

    Raises:
        UsageError: a malformed id, an unknown observation, or a number out of range.
    """

    id: str
    """``namespace/Name-vN``. A changed number is a new version."""
    description: str = ""
    """One line for listings."""
    world: str | None = None
    """A world folder, "tiny", "module:function" returning a World, or None: "tiny"."""
    slate_size: int = 5
    """K, items shown per step."""
    num_candidates: int = 20
    """C, items to choose the slate from."""
    horizon: int = 60
    """Steps after which an episode is truncated."""
    observation: str = "features"
    """ "features" (vectors inline) or "ids" (the policy holds the item table)."""
    candidates: CandidateSource = field(default_factory=CandidateSource)
    response: ResponseModel = field(default_factory=ResponseModel)
    choice: ChoiceModel = field(default_factory=ChoiceModel)
    feedback: Feedback = field(default_factory=Feedback)
    dynamics: Dynamics = field(default_factory=Dynamics)
    departure: Departure = field(default_factory=Departure)
    reward: Reward = field(default_factory=Reward)

    def __post_init__(self) -> None:
        if not _ID.match(str(self.id)):
            raise UsageError(
                f"variant id {self.id!r} is malformed; it must be namespace/Name-vN, "
                "such as 'mylab/Bored-v0'."
            )
        for name, (low, high) in _COUNTS.items():
            object.__setattr__(self, name, _count(name, getattr(self, name), low, high))
        if self.observation not in OBSERVATIONS:
            raise UsageError(
                f"observation is {self.observation!r}; allowed: 'features', 'ids'."
                f"{nearest(str(self.observation), OBSERVATIONS)}"
            )
        if self.slate_size > self.num_candidates:
            raise UsageError(
                f"slate_size {self.slate_size} is larger than num_candidates "
                f"{self.num_candidates}; a slate holds distinct candidates."
            )
        for name, cls in PARTS.items():
            if not isinstance(getattr(self, name), cls):
                raise UsageError(f"variant {self.id}: {name} must be a {cls.__name__}.")

    def to_json(self) -> dict[str, Any]:
        """Return the variant as plain JSON values."""
        plain = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return plain | {name: getattr(self, name).to_json() for name in PARTS}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Variant":
        """Return the variant whose `to_json` gave ``value``; absent keys take their default.

        Raises:
            UsageError: an unknown key (the message gives the nearest known one), a missing id,
                or a value out of range.
        """
        if "id" not in value:
            raise UsageError(f"a variant needs an 'id'; got {dict(value)!r}.")
        check_keys(f"variant {value['id']}", value, (entry.name for entry in fields(cls)))
        parts = {name: part.from_json(value[name]) for name, part in PARTS.items() if name in value}
        return cls(**{**value, **parts})

    def override(self, **changes: Any) -> "Variant":  # noqa: ANN401
        """Return the variant with some parameters changed, each named without its part.

        Example:
            >>> Variant(id="me/A-v0").override(boredom=1.0, horizon=30).departure.boredom
            1.0

        Raises:
            UsageError: an unknown name (the message gives the nearest), or a bad value.
        """
        check_keys(f"variant {self.id}", changes, OVERRIDES)
        own = {name: value for name, value in changes.items() if name not in _OWNER}
        parts: dict[str, dict[str, Any]] = {}
        for name in changes.keys() - own.keys():
            parts.setdefault(_OWNER[name], {})[name] = changes[name]
        made = {part: replace(getattr(self, part), **given) for part, given in parts.items()}
        return replace(self, **own, **made)

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter that can be overridden, flat, with its value."""
        flat = {name: getattr(self, name) for name in OVERRIDES if name not in _OWNER}
        for part in PARTS:
            flat |= getattr(self, part).to_json()
        return flat


def _count(name: str, value: object, low: int, high: int) -> int:
    """Return a whole number in [low, high], or refuse it."""
    try:
        plain = -1 if isinstance(value, (bool, str)) else int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        plain = -1
    if plain != value or not low <= plain <= high:
        raise UsageError(f"{name} is {value!r}; it must be a whole number in [{low}, {high}].")
    return plain
