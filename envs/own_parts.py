"""Parts of one's own: a small class with a hook or two, run by the NumPy step.

Subclass the class of a slot, name it, and state what the step asks of that slot over all B users
at once. Everything is read from a `slategym.envs.reference_scene.Scene`; N is K where a slate is
looked at, and C where an oracle asks about the candidates.

============ ==================== ==========================================================
slot         subclass             states
============ ==================== ==========================================================
candidates   `Candidates`         ``propose(scene, attempts) -> (B, N)``, or the whole
                                  ``draw(scene) -> (B, C)``, item rows
response     `Response`           ``attract(scene) -> (B, N)``, natural-log odds
choice       `Choice`             ``choose(scene) -> (B, K)`` bool
feedback     `Feedback`           ``give(scene) -> (B, K)``; ``expected(scene) -> (B, N)``
change       `Change`             ``utility(scene) -> (B, N)``;
                                  ``available(scene, items) -> (B, N)`` bool
leaving      `Leaving`            ``ends(scene) -> (B,)`` bool
reward       `Reward`             ``settle(scene) -> {term: (B,)}``
============ ==================== ==========================================================

Any of them may keep state, see `slategym.envs.parts_hooks.HookedPart`: ``arrays(scene)`` says
which, ``begin``, ``visit``, ``after`` and ``away`` change it, and it is in every snapshot. A
feedback's signal is in ``info["response"]`` under the part's name; with a parameter named
``<name>_weight`` it is a term of the reward.

Draw with ``scene.uniform(self.name, scene.items)`` and its kin and never with a generator: then a
user's luck is the same in any batch and under any policy, and a snapshot goes on exactly.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from slategym.envs.arrays import AnyArray
from slategym.envs.part import Part
from slategym.envs.parts import BUILT_IN
from slategym.envs.parts_candidates import Candidates
from slategym.envs.parts_change import Change
from slategym.envs.parts_choice import Choice, Response
from slategym.envs.parts_feedback import Feedback
from slategym.envs.parts_hooks import HookedPart
from slategym.envs.parts_leaving import Leaving
from slategym.envs.parts_reward import REWARD_TERMS, Reward
from slategym.envs.reference import ReferenceSimulation
from slategym.envs.variant import Variant
from slategym.envs.world import World
from slategym.errors import UsageError

BASES: dict[str, type[HookedPart]] = {
    "candidates": Candidates,
    "response": Response,
    "choice": Choice,
    "feedback": Feedback,
    "change": Change,
    "leaving": Leaving,
    "reward": Reward,
}
"""Slot -> the class that a part of one's own for it subclasses."""

_NEEDED = {"response": "attract", "choice": "choose", "feedback": "give"}
# The state of these is kept, observed and asked for under the names of the parts themselves.
_KNOWN_BY_NAME = ("feedback", "change", "leaving")


class OwnPartsSimulation(ReferenceSimulation):
    """`ReferenceSimulation` of a variant some of whose parts are one's own, tried out first.

    Raises:
        UsageError: a part does not subclass the class of its slot, lacks the hook that its slot
            needs, or a hook returns another shape than it must (the message names part and hook).
    """

    def __init__(self, world: World, variant: Variant, batch: int, users: str = "all") -> None:
        own = [part for part in variant.parts if type(part) not in BUILT_IN]
        for part in own:
            check_part(part)
        super().__init__(world, variant, batch, users)
        fresh = self.get_state()
        for name, array in fresh.items():
            if array.shape[:1] != (batch,):
                raise UsageError(
                    f"state array {name!r} has shape {array.shape}; the arrays of a part begin "
                    f"with one entry per user, here {batch}."
                )
        self.begin(np.zeros(batch, np.uint64), np.arange(batch, dtype=np.uint64))
        for problem in self._trial({id(part) for part in own}):
            raise UsageError(problem)
        self.set_state(fresh)

    def _trial(self, own: set[int]) -> Iterator[str]:
        """Yield what the hooks of one's own parts return in a shape they must not have."""
        scene, size, count = self._scene(), self.variant.slate_size, self.variant.num_candidates
        batch, listed = self.batch, self.state.candidates.shape[1]

        def problem(part: HookedPart, hook: str, found: Any, *shape: int) -> Iterator[str]:  # noqa: ANN401
            if id(part) in own and np.shape(found) != shape:
                yield (
                    f"part {part.name!r}: {hook} returned shape {np.shape(found)}; it must be "
                    f"{shape} (users first; see slategym.envs.own_parts)."
                )

        scene.show(_first(self.state.candidates, batch, size, count))
        scene.look()
        response, choice = self._only(Response), self._only(Choice)
        scene.taste = response.attract(scene)
        yield from problem(response, "attract", scene.taste, batch, size)
        for change in self._all(Change):
            yield from problem(change, "utility", change.utility(scene), batch, size)
            allowed = change.available(scene, scene.items)
            yield from problem(change, "available", allowed, batch, size)
        self._attract(scene)
        scene.click = choice.choose(scene)
        yield from problem(choice, "choose", scene.click, batch, size)
        for feedback in self._all(Feedback):
            scene.signals[feedback.name] = feedback.give(scene)
            yield from problem(feedback, "give", scene.signals[feedback.name], batch, size)
        scene.consumed = np.zeros(self.state.consumed.shape)
        for leaving in self._all(Leaving):
            yield from problem(leaving, "ends", leaving.ends(scene), batch)
        for term, paid in self._only(Reward).settle(scene).items():
            yield from problem(self._only(Reward), f"settle[{term!r}]", paid, batch)
        source = self._only(Candidates)
        yield from problem(source, "draw", source.draw(self._scene()), batch, listed)


def check_part(part: Part) -> None:
    """Refuse a part of one's own that cannot be run.

    Raises:
        UsageError: see `OwnPartsSimulation`.
    """
    base, cls = BASES[part.slot], type(part)
    if not isinstance(part, base):
        raise UsageError(
            f"part {part.name!r} is for slot {part.slot!r} but {cls.__name__} is no "
            f"{base.__name__}; subclass slategym.envs.{base.__module__.split('.')[-1]}."
            f"{base.__name__}."
        )
    parents = [known.__name__ for known in BUILT_IN if isinstance(part, known)]
    if parents and part.slot in _KNOWN_BY_NAME:
        raise UsageError(
            f"part {part.name!r} subclasses {parents[0]}, which the step knows by its own name; "
            f"subclass {base.__name__} instead."
        )
    needed = _NEEDED.get(part.slot)
    if needed is not None and getattr(cls, needed) is getattr(base, needed):
        raise UsageError(
            f"part {part.name!r} must state {needed}(self, scene), see {base.__name__}."
        )
    if part.slot == "feedback" and part.name in REWARD_TERMS:
        raise UsageError(
            f"part name {part.name!r} is the name of a signal that slategym gives; rename it."
        )


def _first(listed: AnyArray, batch: int, size: int, count: int) -> AnyArray:
    """Return (B, K) the first candidates, or the first items of the whole catalogue."""
    if listed.shape[1]:
        return listed[:, :size].copy()
    return np.tile(np.arange(min(size, count), dtype=np.int32), (batch, 1))
