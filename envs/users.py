"""The state of B users by name: views into the packed arrays that the compiled step works on."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from slategym.envs import state
from slategym.envs.arrays import AnyArray
from slategym.envs.state import OWNED, Users
from slategym.envs.variant import Variant

_KEYS = {"seed": state.SEED, "stream": state.STREAM, "episode": state.EPISODE}
_COUNTS = {
    "step": state.STEP, "user": state.USER, "session": state.SESSION, "start": state.START,
    "query": state.QUERY,
}  # fmt: skip
_NUMBERS = {
    "bias": state.TASTE_BIAS, "patience": state.PATIENCE, "last_click": state.LAST_CLICK,
    "last_watch": state.LAST_WATCH, "clicks": state.CLICKS, "minutes": state.MINUTES,
    "used": state.USED, "day": state.DAY, "gap": state.GAP, "exposure": state.EXPOSURE,
    "money": state.MONEY, "spent": state.SPENT,
}  # fmt: skip
VECTORS = (
    "taste", "satiation", "consumed", "shown", "history_value", "bored", "mood", "need", "vigour",
)  # fmt: skip
"""Vectors that lie behind the scalars of `Users.numbers`, in order; the rule ``at_<name>`` is
where each begins."""


@dataclass(frozen=True)
class Layout:
    """Where each vector of a user lies; a part that is absent has no columns."""

    widths: dict[str, int]
    """Columns of each of `VECTORS`."""
    owned: int
    """Purchases remembered: 8 or 0."""
    history: int
    """H."""
    candidates: int
    """C, or 0 if they are the whole catalogue."""

    @property
    def offsets(self) -> dict[str, int]:
        """The first column of each vector."""
        ends = np.cumsum([state.VECTORS_AT, *(self.widths[name] for name in VECTORS)])
        return dict(zip(VECTORS, ends[:-1].tolist(), strict=True))

    @property
    def numbers(self) -> int:
        """Columns of `Users.numbers`."""
        return state.VECTORS_AT + sum(self.widths.values())


def layout_of(variant: Variant, factors: int, topics: int, history: int) -> Layout:
    """Return where the state of a user of this variant lies."""

    def of(part: str, width: int) -> int:
        return width if variant.find(part) is not None else 0

    widths = {
        "taste": factors,
        "satiation": of("satiation", topics),
        "consumed": topics,
        "shown": topics,
        "history_value": history,
        "bored": of("boredom", topics),
        "mood": of("mood", topics),
        "need": of("needs", topics),
        "vigour": of("creators", int(variant.parameters.get("creators", 0))),
    }
    listed = variant["candidates"].name != "catalogue"
    return Layout(widths, of("needs", OWNED), history, variant.num_candidates if listed else 0)


def new_users(batch: int, layout: Layout) -> Users:
    """Return ``batch`` users with every number zero."""
    return Users(
        keys=np.zeros((batch, 3), np.uint64),
        counts=np.zeros((batch, state.OWNED_AT + layout.owned), np.int32),
        numbers=np.zeros((batch, layout.numbers), np.float32),
        history=np.zeros((batch, layout.history), np.int32),
        candidates=np.zeros((batch, layout.candidates), np.int32),
    )


class Named:
    """The state of B users by name; every attribute is a view with leading axis B."""

    seed: AnyArray
    stream: AnyArray
    episode: AnyArray
    """Counts from 0."""
    step: AnyArray
    """Steps taken in this episode."""
    user: AnyArray
    """Row of the population."""
    session: AnyArray
    """Sessions ended in this episode."""
    start: AnyArray
    """Calendar step at which the episode began."""
    query: AnyArray
    """Topic searched for at the start of the visit, or -1."""
    owned: AnyArray
    """(B, 8) item rows bought, newest last, -1 padded."""
    taste: AnyArray
    """(B, F) hidden."""
    satiation: AnyArray
    """(B, Z) hidden."""
    consumed: AnyArray
    """(B, Z) decayed topics of consumed items."""
    shown: AnyArray
    """(B, Z) decayed mean topics of slates."""
    bored: AnyArray
    """(B, Z) hidden, 1 where a topic is boring."""
    mood: AnyArray
    """(B, Z) hidden."""
    need: AnyArray
    """(B, Z) hidden."""
    vigour: AnyArray
    """(B, M) hidden, of creators; 0 is gone."""
    history: AnyArray
    """(B, H) item rows, newest last, -1 padded on the left."""
    history_value: AnyArray
    """(B, H) in [0, 1]."""
    candidates: AnyArray
    """(B, C) item rows that may be shown next."""
    bias: AnyArray
    patience: AnyArray
    last_click: AnyArray
    last_watch: AnyArray
    clicks: AnyArray
    minutes: AnyArray
    used: AnyArray
    """Minutes used of this session."""
    day: AnyArray
    """Days since the episode began."""
    gap: AnyArray
    """Days away before this session."""
    exposure: AnyArray
    """Net positive exposure, hidden."""
    money: AnyArray
    """Left to spend, in median prices, hidden."""
    spent: AnyArray
    """In this episode, in median prices."""

    def __init__(self, users: Users, layout: Layout) -> None:
        self.names: tuple[str, ...] = (
            *_KEYS, *_COUNTS, "owned", *_NUMBERS, *VECTORS, "history", "candidates",
        )  # fmt: skip
        for name, column in _KEYS.items():
            setattr(self, name, users.keys[:, column])
        for name, column in _COUNTS.items():
            setattr(self, name, users.counts[:, column])
        for name, column in _NUMBERS.items():
            setattr(self, name, users.numbers[:, column])
        for name, start in layout.offsets.items():
            setattr(self, name, users.numbers[:, start : start + layout.widths[name]])
        self.owned = users.counts[:, state.OWNED_AT :]
        self.history, self.candidates = users.history, users.candidates

    def asdict(self) -> dict[str, Any]:
        """Return every view by name."""
        return {name: getattr(self, name) for name in self.names}
