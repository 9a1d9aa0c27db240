"""A classic task as data: one of RecSim's three families with its constants."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from slategym.envs.classic_constants import CONSTANTS, Constants, EvolutionConstants
from slategym.envs.part import check_keys
from slategym.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from slategym.envs.classic_simulation import ClassicSimulation

FAMILIES = tuple(CONSTANTS)
"""``interest_evolution``, ``interest_exploration``, ``long_term_satisfaction``."""
_ID = re.compile(r"^[A-Za-z][\w-]*/[A-Za-z][\w-]*-v\d+$")


@dataclass(frozen=True)
class ClassicVariant:
    """A task of a classic family; `slategym.envs.classic_simulation` runs it.

    Observation (float32; ``features`` mode is flat): ``user`` the 20 interests (evolution), else
    one zero; ``history`` (H, D) the documents clicked last, newest last; ``history_feedback``
    (H, 3) [present, value in [0, 1], recency weight in (0, 1]]; ``candidates`` (C, D);
    ``context`` [progress, last click, last value, clicks per step, value per step], then the
    mean features of consumed and of shown documents (Z each). D and Z by family: one-hot
    cluster (20 and 20); quality and one-hot topic (1 + topics and topics); clickbait (1 and 1).
    Each entry can be computed from what RecSim hands out; ``docs/classics.md`` says how.

    Example:
        >>> from slategym.envs.classic_variant import ClassicVariant
        >>> from slategym.envs.classic_constants import SatisfactionConstants
        >>> hard = ClassicVariant("me/Hard-v0", constants=SatisfactionConstants(sensitivity=0.1))
        >>> ClassicVariant.from_json(hard.to_json()) == hard
        True

    Raises:
        UsageError: a malformed id.
    """

    id: str
    """``namespace/Name-vN``. A changed number is a new version."""
    description: str = ""
    """One line for listings."""
    constants: Constants = field(default_factory=EvolutionConstants)
    """The numbers of the task; their class says the family."""

    def __post_init__(self) -> None:
        if not _ID.match(str(self.id)):
            raise UsageError(
                f"variant id {self.id!r} is malformed; it must be namespace/Name-vN, "
                "such as 'mylab/Hard-v0'."
            )
        if type(self.constants) not in CONSTANTS.values():
            raise UsageError(
                f"variant {self.id}: constants are {self.constants!r}; they must be one of "
                f"{', '.join(kind.__name__ for kind in CONSTANTS.values())}."
            )

    @property
    def family(self) -> str:
        """Which of `FAMILIES` the task belongs to."""
        return self.constants.family

    @property
    def slate_size(self) -> int:
        """K, documents shown per step."""
        return self.constants.slate_size

    @property
    def num_candidates(self) -> int:
        """C, documents the slate is chosen from."""
        return self.constants.num_candidates

    @property
    def horizon(self) -> int:
        """Steps after which an episode is truncated."""
        return self.constants.horizon

    @property
    def observation(self) -> str:
        """How documents are observed: "features" or "ids"."""
        return self.constants.observation

    @property
    def parameters(self) -> dict[str, Any]:
        """Every constant that can be overridden, flat, with its value."""
        return asdict(self.constants)

    def to_json(self) -> dict[str, Any]:
        """Return the variant as plain JSON values."""
        head = {"id": self.id, "family": self.family, "description": self.description}
        return head | {name: _plain(value) for name, value in self.parameters.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "ClassicVariant":
        """Return the variant whose `to_json` gave ``value``; absent keys take their default.

        Raises:
            UsageError: a missing id, an unknown family or key (the message gives the nearest
                known one), or a value out of range.
        """
        if "id" not in value:
            raise UsageError(f"a variant needs an 'id'; got {dict(value)!r}.")
        family = str(value.get("family"))
        if family not in CONSTANTS:
            raise unknown_name("family", family, CONSTANTS)
        kind = CONSTANTS[family]
        head = ("id", "family", "description")
        names = [entry.name for entry in fields(kind)]
        check_keys(f"variant {value['id']}", value, (*head, *names))
        constants = kind(**{name: value[name] for name in names if name in value})
        return cls(str(value["id"]), str(value.get("description", "")), constants)

    def override(self, **changes: Any) -> "ClassicVariant":  # noqa: ANN401
        """Return the variant with some constants changed.

        Example:
            >>> ClassicVariant("me/A-v0").override(slate_size=2).slate_size
            2

        Raises:
            UsageError: an unknown name (the message gives the nearest), or a bad value.
        """
        if not changes:
            return self
        check_keys(f"variant {self.id}", changes, self.parameters)
        return replace(self, constants=replace(self.constants, **changes))

    def simulation(
        self, batch: int, world: object = None, users: str = "all"
    ) -> "ClassicSimulation":
        """Return ``batch`` simulated users of this task.

        Args:
            batch: B.
            world: None; a classic has none.
            users: "all"; a classic draws its users from a distribution.

        Raises:
            UsageError: a world or a part of the users is asked for.
        """
        # Here, because the simulation imports the compiled loops and listings need no compiler.
        from slategym.envs.classic_simulation import ClassicSimulation

        if world is not None:
            raise UsageError(
                f"variant {self.id} is a classic and lives in no world; leave out world={world!r}."
            )
        if users != "all":
            raise UsageError(
                f"variant {self.id} draws its users from a distribution; users is {users!r} and "
                "must be 'all'."
            )
        return ClassicSimulation(self, batch)


def _plain(value: object) -> object:
    """Return nested tuples as nested lists."""
    return [_plain(entry) for entry in value] if isinstance(value, tuple) else value
