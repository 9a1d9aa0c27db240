"""What a log of recommendations is: its columns, its metadata, and the arrays it is read into.

Letters: N impressions (one slate shown to one user), K slots, C candidates.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from slategym.envs.protocol import AnyVariant
from slategym.errors import DataError

FloatArray = NDArray[np.float64]
LongArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
AnyArray = NDArray[Any]

SCHEMA_VERSION = 1
METADATA_KEY = b"slategym_log"
RESPONSE, OBSERVATION = "response_", "observation_"

Propensities = Literal["logged", "estimated", "absent"]
"""Where the probabilities of a log come from; "estimated" is said wherever they are used."""

COLUMNS: dict[str, tuple[str, str]] = {
    "episode_id": ("int64", "number of the episode; its impressions stand together, in order"),
    "user_id": ("int64", "row of the user in the population, or a number of your own"),
    "step": ("int32", "number of the impression in its episode, from 0"),
    "slot": ("int16", "place in the slate, 0 first"),
    "item_id": ("int64", "row of the item in the catalogue, or a number of your own"),
    "position": ("int32", "place of the item among the candidates"),
    "candidates": ("list<int64>", "items it was chosen from; given in slot 0, null in the others"),
    "reward": ("float64", "of the whole impression, the same in all its rows"),
    "reward_slot": ("float64", "the share of this slot; the shares of a slate sum to its reward"),
    "terminated": ("bool", "the episode ended with this impression by itself"),
    "truncated": ("bool", "the episode was cut off after this impression"),
    "behavior_logp_slot": ("float64", "ln P(this item here | the slots before), when it was shown"),
    "behavior_logp_position": ("float64", "ln P(this item here), whatever the other slots show"),
    "behavior_logp_slate": ("float64", "ln P(the ordered slate), the sum over its slots"),
    "policy_id": ("string", "what chose the slate"),
}
"""Column -> (type, meaning). Beside them: ``response_<signal>`` (float32), one per signal that the
environment reports, and ``observation_<key>`` (lists), what the policy saw, in slot 0 only."""
OPTIONAL = ("behavior_logp_position",)
PROPENSITIES = ("behavior_logp_slot", "behavior_logp_position", "behavior_logp_slate")


@dataclass(frozen=True)
class LogInfo:
    """What is known of a log beside its rows; plain JSON, kept in the file's metadata."""

    env_hash: str
    """`env_hash` of the environment; "" for a log from elsewhere."""
    slate_size: int
    """K."""
    num_candidates: int
    """C; shorter lists of candidates are padded with -1 in memory."""
    policies: tuple[str, ...]
    """What chose the slates, by name."""
    propensities: Propensities = "logged"
    """Where the probabilities come from."""
    seed: int | None = None
    """First half of the names of the user streams, and of the policy's own draws."""
    variant: dict[str, Any] | None = None
    """The environment as JSON; None for a log from elsewhere."""
    world: str | None = None
    """Hash of the world; None for a log without one."""
    split: str = "all"
    """Which users of the world."""
    source: str = ""
    """Where a log from elsewhere came from."""
    users: tuple[str, ...] | None = None
    """Names of the users, if their numbers are not rows of a world."""
    items: tuple[str, ...] | None = None
    """Names of the items, likewise."""
    behavior: dict[str, Any] = field(default_factory=dict)
    """What an estimated behaviour policy was fitted on, and how well it fits."""
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        return plain

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the info that `to_json` wrote.

        Raises:
            DataError: keys are missing or unknown.
        """
        known = {entry.name for entry in fields(cls)}
        if set(value) != known:
            odd = ", ".join(sorted(set(value) ^ known))
            raise DataError(f"the metadata of the log has missing or unknown keys: {odd}.")
        plain = dict(value)
        for name in ("policies", "users", "items"):
            plain[name] = None if plain[name] is None else tuple(plain[name])
        return cls(**plain)


@dataclass(frozen=True, eq=False)
class Log:
    """Impressions in order of episode and step."""

    info: LogInfo
    episode: LongArray  # (N,) number of the episode
    user: LongArray  # (N,)
    step: LongArray  # (N,)
    items: LongArray  # (N, K)
    positions: LongArray  # (N, K) places among the candidates
    candidates: LongArray  # (N, C), -1 where a list is shorter
    reward: FloatArray  # (N,)
    reward_slot: FloatArray  # (N, K)
    terminated: BoolArray  # (N,)
    truncated: BoolArray  # (N,)
    logp_slot: FloatArray  # (N, K); NaN where there are no propensities
    logp_position: FloatArray  # (N, K); NaN where they were not recorded
    logp_slate: FloatArray  # (N,)
    policy: LongArray  # (N,) index into info.policies
    responses: Mapping[str, AnyArray] = field(default_factory=dict)  # (N, K) each
    observation: Mapping[str, AnyArray] = field(default_factory=dict)  # (N, ...) each

    def __len__(self) -> int:
        """Return N, the number of impressions."""
        return len(self.step)

    @property
    def first(self) -> BoolArray:
        """Whether an impression opens an episode (N,)."""
        return np.concatenate([[True], self.episode[1:] != self.episode[:-1]])[: len(self)]

    @property
    def observed(self) -> dict[str, AnyArray]:
        """What a policy saw (N, ...), candidates among it, as `Policy.act` takes it.

        Raises:
            DataError: the log keeps no observations.
        """
        if not self.observation:
            raise DataError(
                "the log keeps no observations, so no policy can be asked what it would have "
                "shown; write it with `slategym log`, or add observation_* columns."
            )
        # A classic's candidates are vectors, kept among the observations.
        return {"candidates": self.candidates.astype(np.int32), **self.observation}

    def rows(self, chosen: AnyArray) -> "Log":
        """Return some impressions, in the order given.

        Args:
            chosen: indices or a mask (N,).
        """
        arrays = {
            entry.name: getattr(self, entry.name)[chosen]
            for entry in fields(self)
            if entry.name not in ("info", "responses", "observation")
        }
        return replace(
            self,
            **arrays,
            responses={name: array[chosen] for name, array in self.responses.items()},
            observation={name: array[chosen] for name, array in self.observation.items()},
        )


def env_hash(variant: AnyVariant, world: str | None) -> str:
    """Return 16 hexadecimal digits that name an environment: its numbers and its world.

    Two logs of the same hash may be put together; where a world lies and what a listing says of
    the variant do not count.

    Args:
        variant: the task, in the sizes it was run with.
        world: hash of the world; None for a classic.
    """
    told = {k: v for k, v in variant.to_json().items() if k not in ("world", "description")}
    text = json.dumps({"variant": told, "world": world}, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
