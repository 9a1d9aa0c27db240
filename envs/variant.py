"""A variant: a named composition of parts over a world. It is data and survives JSON."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from slategym.envs.part import SINGLE_SLOTS, SLOTS, Part, as_part, check_keys
from slategym.envs.parts import (
    Budget,
    InterestDrift,
    LogitChoice,
    Patience,
    Rating,
    Reward,
    Satiation,
    TasteResponse,
    UniformCandidates,
    Watch,
)
from slategym.envs.protocol import Simulation
from slategym.envs.world import World
from slategym.errors import UsageError, nearest

FAMILY = "world"
STANDARD_PARTS: tuple[Part, ...] = (
    UniformCandidates(),
    TasteResponse(),
    LogitChoice(),
    Watch(),
    Rating(),
    InterestDrift(),
    Satiation(),
    Patience(),
    Budget(),
    Reward(),
)
"""The parts of ``slategym/World-v0``."""

_DEFAULT = {"candidates": UniformCandidates, "response": TasteResponse}
_DEFAULT |= {"choice": LogitChoice, "reward": Reward}
_ID = re.compile(r"^[A-Za-z][\w-]*/[A-Za-z][\w-]*-v\d+$")
_COUNTS = {"slate_size": (1, 100), "num_candidates": (1, 100_000), "horizon": (1, 1_000_000)}
_WORDS = {
    "observation": ("features", "ids", "latent"),
    "user_state": ("profile", "language"),
    "action": ("slate", "discrete", "proto"),
    "search": ("exact", "approximate"),
    "drift": ("none", "gradual", "sudden", "both"),
}
_OWN = (*_COUNTS, *_WORDS, "sparse", "cold_start", "modalities")


@dataclass(frozen=True)
class Variant:
    """A task: which world, what is shown, and the parts the users are made of.

    Example:
        >>> from slategym.envs.parts import Patience
        >>> from slategym.envs.variant import Variant
        >>> hurried = Variant.standard("me/Hurried-v0", Patience(patience=2.0), slate_size=3)
        >>> Variant.from_json(hurried.to_json()) == hurried
        True

    Raises:
        UsageError: a malformed id, an unknown word, a number out of range, two parts for one
            purpose, or two parts that share the name of a parameter.
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
    """C, items to choose the slate from; I if the candidates are the catalogue."""
    horizon: int = 60
    """Steps after which an episode is truncated."""
    observation: str = "features"
    """"features" (vectors inline), "ids" (the policy holds the item table), or "latent"
    (features, with the hidden taste and state in place of the profile)."""
    user_state: str = "profile"
    """What ``user`` is: "profile" (encoded profile text) or "language" (profile text and history
    in the space of the text encoder)."""
    action: str = "slate"
    """"slate", "discrete" (one number for a whole slate), or "proto" (a vector whose nearest
    items are shown)."""
    search: str = "exact"
    """How the nearest items of a proto-item are found: "exact" or "approximate"."""
    sparse: float = 1.0
    """Scenario: share of the public log that is kept."""
    cold_start: tuple[float, float] = (0.0, 0.0)
    """Scenario: share of items, and of users, without history; one number means both."""
    modalities: tuple[str, ...] | None = None
    """Scenario: which of "text", "image", "audio" exist; None: all the world has."""
    drift: str = "none"
    """Scenario: tastes change "gradual"ly, "sudden"ly or "both", over what the parts do."""
    parts: tuple[Part, ...] = STANDARD_PARTS
    """One part for each of candidates, response, choice and reward (by default those of
    `STANDARD_PARTS`), and any number of others; exactly these."""

    def __post_init__(self) -> None:
        check_id(self.id)
        for name, (low, high) in _COUNTS.items():
            object.__setattr__(self, name, whole_number(name, getattr(self, name), low, high))
        for name, allowed in _WORDS.items():
            _check_word(name, getattr(self, name), allowed)
        object.__setattr__(self, "sparse", _share("sparse", self.sparse))
        object.__setattr__(self, "cold_start", _shares(self.cold_start))
        if self.modalities is not None:
            object.__setattr__(self, "modalities", tuple(self.modalities))
        object.__setattr__(self, "parts", _ordered(self.id, self.parts))
        if self.slate_size > self.num_candidates and self["candidates"].name != "catalogue":
            raise UsageError(
                f"slate_size {self.slate_size} is larger than num_candidates "
                f"{self.num_candidates}; a slate holds distinct candidates."
            )

    @classmethod
    def standard(cls, variant_id: str, *parts: Part, **own: Any) -> "Variant":  # noqa: ANN401
        """Return `STANDARD_PARTS` with ``parts`` in place of theirs or beside them."""
        return cls(id=variant_id, parts=merged(STANDARD_PARTS, parts), **own)

    @property
    def family(self) -> str:
        """Which simulation runs it."""
        return FAMILY

    def __getitem__(self, slot: str) -> Part:
        """Return the part of a slot that holds exactly one."""
        return next(part for part in self.parts if part.slot == slot)

    def find(self, name: str) -> Part | None:
        """Return the part of that name, or None."""
        return next((part for part in self.parts if part.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """Return the variant as plain JSON values."""
        plain = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        plain["cold_start"] = list(self.cold_start)
        plain["modalities"] = None if self.modalities is None else list(self.modalities)
        return plain | {"family": FAMILY, "parts": [part.to_json() for part in self.parts]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Variant":
        """Return the variant whose `to_json` gave ``value``; absent keys take their default.

        Raises:
            UsageError: an unknown key (the message gives the nearest known one), a missing id,
                or a value out of range.
        """
        if "id" not in value:
            raise UsageError(f"a variant needs an 'id'; got {dict(value)!r}.")
        plain = {key: entry for key, entry in value.items() if key != "family"}
        check_keys(f"variant {value['id']}", plain, (entry.name for entry in fields(cls)))
        if "parts" in plain:
            plain["parts"] = tuple(as_part(entry) for entry in _listed(plain["parts"]))
        return cls(**plain)

    def override(self, **changes: Any) -> "Variant":  # noqa: ANN401
        """Return the variant with some parameters changed, each named without its part.

        Beside parameters: a slot by its name (``choice="prop_cascade"``), ``parts=[...]`` to add
        or replace parts, and ``without=["boredom"]`` to leave some out.

        Example:
            >>> Variant(id="me/A-v0").override(boredom=1.0, horizon=30).find("patience").boredom
            1.0

        Raises:
            UsageError: an unknown name (the message gives the nearest), or a bad value.
        """
        added = [as_part(part) for part in _listed(changes.pop("parts", ()))]
        added += [as_part(changes.pop(slot)) for slot in SINGLE_SLOTS if slot in changes]
        without = tuple(_listed(changes.pop("without", ())))
        check_keys(f"variant {self.id}", without, (part.name for part in self.parts))
        kept = tuple(part for part in self.parts if part.name not in without)
        parts = merged(kept, added)
        owner = {entry.name: part for part in parts for entry in fields(part)}
        known = (*_OWN, *SINGLE_SLOTS, "parts", "without", *owner)
        check_keys(f"variant {self.id}", changes, known)
        own = {name: value for name, value in changes.items() if name in _OWN}
        changed: dict[str, dict[str, Any]] = {}
        for name in changes.keys() - own.keys():
            changed.setdefault(owner[name].name, {})[name] = changes[name]
        made = tuple(replace(part, **changed.get(part.name, {})) for part in parts)
        return replace(self, **own, parts=made)

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter that can be overridden, flat, with its value."""
        flat: dict[str, Any] = {name: getattr(self, name) for name in _OWN}
        flat |= {slot: self[slot].name for slot in SINGLE_SLOTS}
        for part in self.parts:
            flat |= {key: value for key, value in part.to_json().items() if key != "part"}
        return flat

    def simulation(
        self, batch: int, world: World | str | Path | None = None, users: str = "all"
    ) -> Simulation:
        """Return ``batch`` users of the world (by default the variant's own) in this task."""
        from slategym.envs.worlds import simulate

        return simulate(self, batch, self.world if world is None else world, users)


def merged(parts: Iterable[Part], others: Iterable[Part]) -> tuple[Part, ...]:
    """Return ``parts`` with each of ``others`` in place of the one for its purpose, or added."""
    result = list(parts)
    for part in others:
        same = [
            place
            for place, old in enumerate(result)
            if old.name == part.name or (old.slot == part.slot and part.slot in SINGLE_SLOTS)
        ]
        if same:
            result[same[0]] = part
        else:
            result.append(part)
    return tuple(result)


def check_id(variant_id: object) -> None:
    """Refuse an id that is not ``namespace/Name-vN``."""
    if not _ID.match(str(variant_id)):
        raise UsageError(
            f"variant id {variant_id!r} is malformed; it must be namespace/Name-vN, "
            "such as 'mylab/Bored-v0'."
        )


def whole_number(name: str, value: object, low: int, high: int) -> int:
    """Return a whole number in [low, high], or refuse it."""
    try:
        plain = -1 if isinstance(value, (bool, str)) else int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        plain = -1
    if plain != value or not low <= plain <= high:
        raise UsageError(f"{name} is {value!r}; it must be a whole number in [{low}, {high}].")
    return plain


def _ordered(variant_id: str, given: Iterable[Part]) -> tuple[Part, ...]:
    """Return the parts by slot, the missing ones of single slots added; refuse contradictions."""
    parts = list(given)
    for part in parts:
        _check_part(variant_id, part)
    for slot in SINGLE_SLOTS:
        named = [part.name for part in parts if part.slot == slot]
        if len(named) > 1:
            raise UsageError(f"variant {variant_id} has {len(named)} parts for {slot}: {named}.")
        if not named:
            parts.append(_DEFAULT[slot]())
    names = [part.name for part in parts]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"variant {variant_id} has part {name!r} twice.")
    _check_names(variant_id, parts)
    _check_company(variant_id, names)
    return tuple(sorted(parts, key=lambda part: SLOTS.index(part.slot)))


def _check_names(variant_id: str, parts: Iterable[Part]) -> None:
    """Refuse two parts that share the name of a parameter."""
    owners: dict[str, str] = {}
    for part in parts:
        for entry in fields(part):
            if entry.name in owners or entry.name in _OWN:
                other = owners.get(entry.name, "the variant")
                raise UsageError(
                    f"variant {variant_id}: parameter {entry.name!r} of part {part.name!r} is a "
                    f"parameter of {other!r} too; rename it."
                )
            owners[entry.name] = part.name


def _check_part(variant_id: str, part: object) -> None:
    """Refuse what is not a part."""
    if not isinstance(part, Part) or part.slot not in SLOTS:
        raise UsageError(f"variant {variant_id}: {part!r} is not a part with a known slot.")


_COMPANY = {"boredom": "satiation", "bursts": "ageing", "skip": "watch"}
"""Part -> the part it builds on."""


def _check_company(variant_id: str, names: list[str]) -> None:
    """Refuse a part without the one it builds on."""
    for name, needed in _COMPANY.items():
        if name in names and needed not in names:
            raise UsageError(f"variant {variant_id}: part {name!r} needs part {needed!r}.")


def _listed(value: object) -> list[Any]:
    """Return a list as it is, and anything else as a list of one."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _check_word(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        words = ", ".join(repr(word) for word in allowed)
        raise UsageError(f"{name} is {value!r}; allowed: {words}.{nearest(str(value), allowed)}")


def _share(name: str, value: object) -> float:
    plain = (
        float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else -1.0
    )
    if not 0.0 <= plain <= 1.0:
        raise UsageError(f"{name} is {value!r}; it must be a number in [0, 1].")
    return plain


def _shares(value: object) -> tuple[float, float]:
    """Return shares of items and of users, from a pair or from one number for both."""
    pair = value if isinstance(value, (list, tuple)) else (value, value)
    if len(pair) != 2:
        raise UsageError(f"cold_start is {value!r}; it is a share, or a pair (items, users).")
    return _share("cold_start", pair[0]), _share("cold_start", pair[1])
