"""One session replayed from its slates alone: what was shown, what came of it, the user's state."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.parts_change import Satisfaction
from slategym.envs.parts_leaving import Patience
from slategym.envs.protocol import AnyVariant, Simulation
from slategym.envs.world import World
from slategym.errors import DataError

IntArray = npt.NDArray[np.integer]
# What is told of a user after each slate: name of the hidden state -> how it is called.
_STATES = {
    "patience": "patience",
    "satisfaction": "satisfaction",
    "satiation": "largest satiation",
    "bored": "boring topics",
    "money": "money left",
    "time_budget": "time left",
    "interest": "largest interest",
}
# Of a state with a number for each topic, how one number is made.
_WHOLE: dict[str, Callable[[Any], Any]] = {
    "bored": np.sum,
    "interest": np.max,
    "satiation": np.max,
}


@dataclass(frozen=True)
class Replay:
    """A session as its user lived it.

    Attributes:
        slates: for each slate the items shown, `slategym.envs.render_view.Card` as JSON; picture
            bytes are left out.
        items: their item rows; empty without a world.
        rewards: of each slate (T,).
        states: what is hidden of the user after each slate, by name (T,).
        visits: how many slates had been seen at the end of each visit but the last.
        ending: "left", "horizon", or "" if the slates ended first.
    """

    slates: list[list[dict[str, Any]]]
    items: list[list[int]]
    rewards: list[float]
    states: dict[str, list[float]]
    visits: list[int]
    ending: str

    def to_json(self, shown: int) -> dict[str, Any]:
        """Return it as JSON, the first ``shown`` slates alone in full."""
        return {
            "slates": self.slates[:shown],
            "items": self.items[:shown],
            "rewards": self.rewards,
            "states": self.states,
            "visits": self.visits,
            "ending": self.ending,
        }


def replay(
    variant: AnyVariant,
    world: World | None,
    slates: IntArray,
    *,
    seed: int,
    stream: int,
    users: str = "all",
) -> Replay:
    """Return the session of user stream (seed, stream) who is shown these slates.

    The environment's draws depend on the stream and the step only, so this is the session that
    was played, with what no policy saw of it.

    Args:
        variant: what was played, with slates as actions.
        world: what it was played over; None for a classic.
        slates: item rows, or positions among the candidates of a classic (T, K); a row of -1
            and all after it are not shown.
        seed: of the stream.
        stream: of the user.
        users: which users of the world streams draw from.

    Raises:
        DataError: a slate holds an item that is not a candidate: it was played otherwise.
    """
    simulation: Any = variant.simulation(1, world, users)
    simulation.begin(np.array([seed], np.uint64), np.array([stream], np.uint64))
    told = Replay([], [], [], {}, [], "")
    for slate in slates:
        if (slate < 0).all():
            break
        step = simulation.step(_action(simulation, variant, slate, stream))
        view = simulation.slate_view(0)
        told.slates.append([_card(card) for card in view.cards if card is not None])
        told.items.append([] if world is None else [int(i) for i in slate if i >= 0])
        told.rewards.append(round(float(step.reward[0]), 4))
        for name, value in _state(simulation, variant).items():
            told.states.setdefault(name, []).append(round(value, 4))
        if step.terminated[0] or step.truncated[0]:
            return Replay(
                told.slates, told.items, told.rewards, told.states, told.visits,
                "left" if step.terminated[0] else "horizon",
            )  # fmt: skip
        if "session" in step.info and step.info["session"]["over"][0]:
            told.visits.append(len(told.slates))
    return told


def _action(simulation: Simulation, variant: AnyVariant, slate: IntArray, stream: int) -> Any:  # noqa: ANN401
    """Return a slate as positions among the candidates (1, K)."""
    if isinstance(variant, ClassicVariant):
        return slate[None] if slate.size > 1 else slate
    candidates = simulation.state.candidates[0]  # type: ignore[attr-defined]
    if not candidates.size:  # the whole catalogue
        return slate[None] if slate.size > 1 else slate
    places: dict[int, list[int]] = {}
    for where, item in enumerate(candidates.tolist()):
        places.setdefault(item, []).append(where)
    found = []
    for item in slate.tolist():
        if not places.get(item):
            raise DataError(
                f"item {item} was shown to user stream {stream}, but is no candidate now: the "
                "world or the variant is another one; run it again into a new folder."
            )
        found.append(places[item].pop(0))  # of several empty places, each once
    return np.array([found]) if len(found) > 1 else np.array(found)


def _state(simulation: Any, variant: AnyVariant) -> dict[str, float]:  # noqa: ANN401
    """Return what is hidden of the user now, by name."""
    hidden = dict(simulation.privileged())
    find = getattr(variant, "find", lambda _: None)
    satisfaction, patience = find("satisfaction"), find("patience")
    if isinstance(satisfaction, Satisfaction):
        hidden["satisfaction"] = satisfaction.level(hidden["exposure"])
    if not isinstance(patience, Patience) and not isinstance(variant, ClassicVariant):
        hidden.pop("patience", None)
    told = {}
    for name, label in _STATES.items():
        if name in hidden and np.size(hidden[name]):
            row = np.atleast_1d(hidden[name][0])
            whole = _WHOLE[name](row) if name in _WHOLE else row.mean()
            told[label] = max(float(whole), 0.0) if name == "patience" else float(whole)
    return told


def _card(card: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a place of a slate as JSON."""
    return {
        "title": card.title,
        "facts": list(card.facts),
        "taken": card.taken,
        "outcome": card.outcome,
        "picture": card.picture is not None,
    }
