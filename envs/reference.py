"""The whole step over batched arrays, as a page: the parts' own formulas, nothing compiled.

It is what the compiled step must agree with (`slategym.envs.simulation`), and what runs a part of
one's own (`slategym.envs.own_parts`).
"""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import numpy as np
from gymnasium import spaces

from slategym.envs.actions import make_actions
from slategym.envs.arrays import AnyArray, BoolArray, DoubleArray, FloatArray, KeyArray
from slategym.envs.parts import BUILT_IN
from slategym.envs.parts_candidates import Candidates
from slategym.envs.parts_change import Change
from slategym.envs.parts_choice import Choice, Response
from slategym.envs.parts_feedback import Feedback
from slategym.envs.parts_hooks import HookedPart
from slategym.envs.parts_leaving import Leaving, Returning
from slategym.envs.parts_reward import REWARD_TERMS, Reward
from slategym.envs.protocol import Step, restore
from slategym.envs.reference_observe import observe
from slategym.envs.reference_scene import Scene, setting_of
from slategym.envs.reference_users import draw_users, expose, remember
from slategym.envs.render import context_of, slate_view
from slategym.envs.render_view import SlateView, as_text
from slategym.envs.simulation import effective
from slategym.envs.spaces import observation_space
from slategym.envs.tables import items_of, views_of
from slategym.envs.users import Named, layout_of, new_users
from slategym.envs.variant import Variant
from slategym.envs.world import World

_Kind = TypeVar("_Kind", bound=HookedPart)


class ReferenceSimulation:
    """B users of a world at once, as `slategym.envs.protocol.Simulation` promises, in NumPy."""

    def __init__(self, world: World, variant: Variant, batch: int, users: str = "all") -> None:
        self.world = world
        self.variant = effective(world, variant)
        self.batch = batch
        self.setting = setting_of(world, self.variant, users)
        factors, history = world.user_factors.shape[1], world.user_history.shape[1]
        layout = layout_of(self.variant, factors, world.n_topics, history)
        self.state = Named(new_users(batch, layout), layout)
        self.views = views_of(world, self.variant)
        self.parts = tuple(cast("HookedPart", p) for p in sorted(self.variant.parts, key=_place))
        self.own: dict[str, dict[str, AnyArray]] = {}
        empty = self._scene()
        self.own |= {part.name: kept for part in self.parts if (kept := part.arrays(empty))}
        items = items_of(world, self.variant)
        self.observation_space: spaces.Dict = observation_space(
            self.variant, world, items, self.views, self._user_size(factors)
        )
        self._actions = make_actions(
            variant.action, batch, variant.slate_size, self.variant.num_candidates,
            world.item_vectors, variant.search,
        )  # fmt: skip
        self.action_space = self._actions.space
        self._last: Step | None = None

    @property
    def item_vectors(self) -> FloatArray:
        """The public item table (I, D)."""
        return self.world.item_vectors

    def begin(self, seed: KeyArray, stream: KeyArray) -> None:
        """Start episode 0 of user stream (seed, stream) in every row."""
        self.state.seed[:], self.state.stream[:], self.state.episode[:] = seed, stream, 0
        self._last = None
        self._begin(np.ones(self.batch, dtype=np.bool_))

    def next_episode(self, rows: BoolArray) -> None:
        """Start the next episode of the same user streams in ``rows`` (B,)."""
        self.state.episode[rows] += np.uint64(1)
        self._begin(rows)

    def step(self, actions: AnyArray) -> Step:
        """Show slates; see `slategym.envs.actions` for what an action is."""
        positions = self._actions.slates(actions, self.state.candidates)
        state, scene = self.state, self._scene()
        told = {"user": state.user.copy(), "session": state.session.copy()}
        # 1. What is shown, and how it attracts.
        scene.show(self._slate(scene, positions))
        self._attract(scene)
        # 2. What the user takes, and gives back.
        scene.click = self._only(Choice).choose(scene) & scene.filled
        for feedback in self._all(Feedback):
            scene.signals[feedback.name] = feedback.give(scene) * scene.click
        # 3. How users and the catalogue change.
        remember(scene)
        for part in self.parts:
            part.after(scene)
        expose(scene)
        state.step[:] += 1
        # 4. Who leaves, for good or for some days.
        scene.over = np.any([part.ends(scene) for part in self._all(Leaving)] or [scene.over], 0)
        terminated, truncated = self._leave(scene)
        # 5. What the step was worth.
        terms = self._settle(scene)
        # 6. Who is back, and what may be shown next.
        self._come_back(scene)
        state.candidates[:] = self._only(Candidates).draw(self._scene())
        reward = np.sum([term.astype(np.float64) for term in terms.values()], axis=0)
        info = self._info(scene, told, terms)
        self._last = Step(reward.astype(np.float32), terminated, truncated, info)
        return self._last

    def observe(self, rows: BoolArray | None = None) -> dict[str, AnyArray]:
        """Return the observation of the rows (the others are zero), by key."""
        told = observe(self._scene(), self.views)
        if rows is not None:
            for entry in told.values():
                entry[~rows] = 0
        return {key: told[key] for key in self.observation_space.spaces}

    def privileged(self) -> dict[str, AnyArray]:
        """Return what only an oracle may know.

        As in `slategym.envs.simulation.WorldSimulation.privileged`; ``worth`` knows of feedback
        of one's own what its ``expected`` says. State of one's own is told as ``part.array``.
        """
        scene, listed = self._scene(), self.state.candidates
        if listed.shape[1] == 0:
            listed = np.tile(np.arange(self.world.n_items, dtype=np.int32), (self.batch, 1))
        scene.show(listed)
        self._attract(scene)
        scene.click = np.ones(listed.shape, dtype=np.bool_)
        for part in self._all(Feedback):
            scene.signals[part.name] = part.expected(scene)
        worth = self._only(Reward).worth(scene)
        for name, weight in self._own_weights().items():
            worth = worth + weight * scene.signal(name)
        told = {"click_logit": scene.click_logit, "utility": scene.utility, "worth": worth}
        return {name: array.astype(np.float32) for name, array in told.items()} | self._hidden()

    def get_state(self) -> dict[str, AnyArray]:
        """Return a copy of everything that changes; `set_state` goes on from there exactly."""
        return {name: array.copy() for name, array in self._state().items()}

    def set_state(self, snapshot: Mapping[str, AnyArray]) -> None:
        """Go back to a snapshot of `get_state`.

        Raises:
            UsageError: the snapshot is of another batch size, world or variant.
        """
        restore(self._state(), snapshot)
        self._last = None

    def ansi(self, row: int) -> str:
        """Return the last slate of a row as text."""
        return as_text(self.slate_view(row))

    def slate_view(self, row: int) -> SlateView:
        """Return the last slate of a row as what a text or a picture is made from."""
        told = context_of(self.world, self.variant, self.state, self._last, row)
        return slate_view(self.world, self._last, row, slots=self.variant.slate_size, **told)

    # --- the steps of the page -----------------------------------------------------------------

    def _begin(self, rows: BoolArray) -> None:
        """Start an episode in ``rows``: its key is that of `state.episode`, which is set."""
        self.state.step[rows] = 0
        draw_users(self._scene(beginning=True), rows)
        for kept in self.own.values():
            for array in kept.values():
                array[rows] = 0
        scene = self._scene(beginning=True)
        for part in self.parts:
            part.begin(scene, rows)
            part.visit(scene, rows)
        self.state.candidates[rows] = self._only(Candidates).draw(self._scene())[rows]

    def _slate(self, scene: Scene, positions: AnyArray) -> AnyArray:
        """Return item rows (B, K): empty (-1) where given again or not to be had."""
        listed = self.state.candidates
        items = np.take_along_axis(listed, positions, axis=1) if listed.shape[1] else positions
        same = items[:, :, None] == items[:, None, :]
        # A place repeats an item if an earlier place has it: below the diagonal.
        again = np.tril(same, -1).any(axis=2)
        return np.where(again | ~scene.available(items), -1, items).astype(np.int32)

    def _attract(self, scene: Scene) -> None:
        """Set taste and utility of what is shown."""
        scene.look()
        scene.taste = self._only(Response).attract(scene)
        added = [part.utility(scene) for part in self._all(Change)]
        scene.utility = np.sum([scene.taste, *added], axis=0)

    def _leave(self, scene: Scene) -> tuple[BoolArray, BoolArray]:
        """Return (B,) terminated, and truncated, for sessions that are over."""
        returning, late = self.variant.find("returning"), self.state.step >= self.variant.horizon
        if not isinstance(returning, Returning):
            return scene.over.copy(), late & ~scene.over
        back = returning.leave(scene, scene.over)
        late = late | (back & returning.expired(self.state.day))
        return scene.never.copy(), late & ~scene.never

    def _come_back(self, scene: Scene) -> None:
        """Begin the next session of who returned within the days of the episode."""
        returning = self.variant.find("returning")
        if not isinstance(returning, Returning):
            return
        rows = scene.back & ~returning.expired(self.state.day)
        if not rows.any():
            return
        self.state.consumed[rows] = self.state.shown[rows] = self.state.used[rows] = 0.0
        coming = self._scene(beginning=True)
        for part in self.parts:
            part.away(coming, np.where(rows, scene.gap, 0.0))
            part.visit(coming, rows)

    def _settle(self, scene: Scene) -> dict[str, FloatArray]:
        """Return the weighted terms of the reward (B,), those of one's own feedback too."""
        terms: dict[str, DoubleArray] = dict(self._only(Reward).settle(scene))
        for name, weight in self._own_weights().items():
            terms[name] = weight * scene.signal(name).sum(axis=1)
        return {name: term.astype(np.float32) for name, term in terms.items()}

    def _info(
        self, scene: Scene, told: dict[str, AnyArray], terms: dict[str, FloatArray]
    ) -> dict[str, Any]:
        """Return what a step's info tells, as batched arrays."""
        names = dict.fromkeys(("click", "watch", "minutes", "rating", *scene.signals))
        signals = scene.signals | {"click": scene.click}
        info: dict[str, Any] = {
            "response": {
                name: signals.get(name, scene.signal(name)).astype(np.float32) for name in names
            },
            "slate": scene.slate,
            "user": told["user"],
            "reward_terms": terms,
        }
        if self.variant.find("returning") is not None:
            info["session"] = {
                "index": told["session"],
                "over": scene.over.astype(np.float32),
                "days_away": scene.gap.astype(np.float32),
            }
        return info

    # --- what there is -------------------------------------------------------------------------

    def _scene(self, *, beginning: bool = False) -> Scene:
        return Scene(self.setting, self.state, self.own, beginning=beginning)

    def _all(self, kind: type[_Kind]) -> list[_Kind]:
        return [part for part in self.parts if isinstance(part, kind)]

    def _only(self, kind: type[_Kind]) -> _Kind:
        return self._all(kind)[0]

    def _own_weights(self) -> dict[str, float]:
        """Return the weight of each feedback that the reward part does not know by name."""
        known, given = {f"{term}_weight" for term in REWARD_TERMS}, self.setting.parameters
        return {
            part.name: float(given[f"{part.name}_weight"])
            for part in self._all(Feedback)
            if f"{part.name}_weight" in given and f"{part.name}_weight" not in known
        }

    def _state(self) -> dict[str, AnyArray]:
        """Return every array that changes, by name, live."""
        own = {f"{part}.{name}": a for part, kept in self.own.items() for name, a in kept.items()}
        return self.state.asdict() | own

    def _hidden(self) -> dict[str, AnyArray]:
        """Return copies of the hidden state that the variant's parts keep."""
        hidden = {"satisfaction": "exposure", "boredom": "bored", "mood": "mood"}
        hidden |= {"needs": "need", "purchase": "money", "creators": "vigour"}
        names = ["satiation", "patience"]
        names += [name for part, name in hidden.items() if self.variant.find(part) is not None]
        own = {name: array for name, array in self._state().items() if "." in name}
        named = {name: getattr(self.state, name) for name in names} | own
        return {name: array.copy() for name, array in named.items()}

    def _user_size(self, factors: int) -> int:
        """Return Du, the width of the user's entry."""
        if self.variant.observation == "latent":
            return 1 + factors + self.state.satiation.shape[1]
        return self.views.profile.shape[1]


def _place(part: Any) -> int:  # noqa: ANN401
    """Return where a part stands in a step: in the order of `BUILT_IN`, then one's own."""
    return BUILT_IN.index(type(part)) if type(part) in BUILT_IN else len(BUILT_IN)
