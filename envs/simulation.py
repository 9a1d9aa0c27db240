"""A batch of users in a world, compiled: begin episodes, show slates, observe."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from slategym.envs import state
from slategym.envs.actions import make_actions
from slategym.envs.arrays import AnyArray, BoolArray, FloatArray, IntArray, KeyArray
from slategym.envs.buffers import Pool
from slategym.envs.kernels import run
from slategym.envs.parts_reward import REWARD_TERMS
from slategym.envs.protocol import Step, restore
from slategym.envs.render import context_of, slate_view
from slategym.envs.render_view import SlateView, as_text
from slategym.envs.rules import rules_of
from slategym.envs.spaces import CONTEXT_SCALARS, extra_context, observation_space, trait_names
from slategym.envs.state import Observation, Response, Views
from slategym.envs.tables import items_of, people_of, views_of
from slategym.envs.users import Named, layout_of, new_users
from slategym.envs.variant import Variant
from slategym.envs.world import World
from slategym.errors import UsageError

# The terms that every variant reports, whatever its parts.
_ALWAYS = ("click", "watch", "minutes", "rating", "leave", "diversity")
_SIGNALS = {"click": state.CLICK, "watch": state.WATCH, "minutes": state.MINUTES_OF}
_SIGNALS |= {"rating": state.RATED}
_MORE = {"like": state.LIKE, "skip": state.SKIP, "share": state.SHARE}
_MORE |= {"cart": state.CART, "purchase": state.PURCHASE}
_DRIFT = {"gradual": (0.15, 0.0), "sudden": (0.0, 0.03), "both": (0.1, 0.02)}


class WorldSimulation:
    """B users of a world at once, as `slategym.envs.protocol.Simulation` promises."""

    def __init__(self, world: World, variant: Variant, batch: int, users: str = "all") -> None:
        self.world = world
        self.variant = effective(world, variant)
        self.batch = batch
        self.items = items_of(world, self.variant)
        self.people = people_of(world, self.variant, users)
        self.views = views_of(world, self.variant)
        factors, history = world.user_factors.shape[1], world.user_history.shape[1]
        layout = layout_of(self.variant, factors, world.n_topics, history)
        self.rules = rules_of(world, self.variant, layout)
        self.users = new_users(batch, layout)
        self.state = Named(self.users, layout)
        self._last: Step | None = None
        self._user_size = _user_size(world, self.variant, self.views)
        self.observation_space: spaces.Dict = observation_space(
            self.variant, world, self.items, self.views, self._user_size
        )
        count = self.variant.num_candidates
        self._actions = make_actions(
            variant.action, batch, variant.slate_size, count, world.item_vectors, variant.search
        )
        self.action_space = self._actions.space
        self._all = np.ones(batch, dtype=np.bool_)
        self._terms = _reported(self.variant)
        self._signals = _signals(self.variant)
        self._shapes = self._observation_shapes()
        self._pool = Pool(sum(math.prod(shape) for shape in self._shapes))

    @property
    def item_vectors(self) -> FloatArray:
        """The public item table (I, D)."""
        return self.world.item_vectors

    def begin(self, seed: KeyArray, stream: KeyArray) -> None:
        """Start episode 0 of user stream (seed, stream) in every row."""
        self.state.seed[:] = seed
        self.state.stream[:] = stream
        self.state.episode[:] = 0
        self._last = None
        run("begin", self.rules, self.items, self.people, self.users, self._all)

    def next_episode(self, rows: BoolArray) -> None:
        """Start the next episode of the same user streams in ``rows`` (B,)."""
        self.state.episode[rows] += np.uint64(1)
        run("begin", self.rules, self.items, self.people, self.users, rows)

    def step(self, actions: AnyArray) -> Step:
        """Show slates; see `slategym.envs.actions` for what an action is."""
        slates = self._actions.slates(actions, self.state.candidates)
        response = new_response(self.batch, self.variant, _signal_rows(self._signals))
        run("step", self.rules, self.items, self.people, self.users, slates, response)
        info = self._info(response)
        self._last = Step(response.reward, response.ended[0], response.ended[1], info)
        return self._last

    def observe(self, rows: BoolArray | None = None) -> dict[str, AnyArray]:
        """Return the observation of the rows (the others are zero), by key."""
        out = self._new_observation(zero=rows is not None)
        chosen = self._all if rows is None else rows
        latent = self.variant.observation == "latent"
        run(
            "observe", self.rules, self.items, self.people, self.users, self.views, chosen, out,
            latent,
        )  # fmt: skip
        return self._by_key(out)

    def privileged(self) -> dict[str, AnyArray]:
        """Return what only an oracle may know.

        ``click_logit``, ``utility`` (natural-log odds with everything that acts now) and
        ``worth`` (mean reward of this step if taken) of each candidate (B, C); and copies of the
        hidden state: ``satiation``, ``patience``, and what the variant's parts keep.
        """
        shape = (self.batch, self.variant.num_candidates)
        logit, utility, worth = (np.empty(shape, np.float32) for _ in range(3))
        run("value", self.rules, self.items, self.people, self.users, logit, utility, worth)
        told: dict[str, AnyArray] = {"click_logit": logit, "utility": utility, "worth": worth}
        told |= {"satiation": self.state.satiation.copy(), "patience": self.state.patience.copy()}
        hidden = {"satisfaction": ("exposure",), "boredom": ("bored",), "mood": ("mood",)}
        hidden |= {"needs": ("need",), "purchase": ("money",), "creators": ("vigour",)}
        for part, names in hidden.items():
            if self.variant.find(part) is not None:
                told |= {name: getattr(self.state, name).copy() for name in names}
        return told

    def get_state(self) -> dict[str, AnyArray]:
        """Return a copy of everything that changes; `set_state` goes on from there exactly."""
        return {name: array.copy() for name, array in self.state.asdict().items()}

    def set_state(self, snapshot: Mapping[str, AnyArray]) -> None:
        """Go back to a snapshot of `get_state`.

        Raises:
            UsageError: the snapshot is of another batch size, world or variant.
        """
        restore(self.state.asdict(), snapshot)
        self._last = None

    def ansi(self, row: int) -> str:
        """Return the last slate of a row as text."""
        return as_text(self.slate_view(row))

    def slate_view(self, row: int) -> SlateView:
        """Return the last slate of a row as what a text or a picture is made from."""
        told = context_of(self.world, self.variant, self.state, self._last, row)
        return slate_view(self.world, self._last, row, slots=self.variant.slate_size, **told)

    def _info(self, response: Response) -> dict[str, Any]:
        """Return what a step's info tells of the response, as batched arrays."""
        told = {name: response.signals[row] for name, row in self._signals.items()}
        info: dict[str, Any] = {
            "response": told,
            "slate": response.slate,
            "user": response.about[0],
            "reward_terms": {term: response.terms[row] for term, row in self._terms.items()},
        }
        if self.variant.find("returning") is not None:
            info["session"] = {
                "index": response.about[1],
                "over": response.visit[0],
                "days_away": response.visit[1],
            }
        return info

    def _new_observation(self, *, zero: bool) -> Observation:
        """Return arrays for one observation: zero, or with arbitrary content."""
        shapes = self._shapes
        flat = np.zeros(self._pool.size, np.float32) if zero else self._pool.take()
        blocks, start = [], 0
        for shape in shapes:
            end = start + math.prod(shape)
            blocks.append(flat[start:end].reshape(shape))
            start = end
        made = Observation(*blocks)  # type: ignore[arg-type]  # whole numbers: below
        return made._replace(
            history_ids=made.history_ids.view(np.int32),
            candidate_ids=made.candidate_ids.view(np.int32),
        )

    def _observation_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shape of each array of an `Observation`; a number takes four bytes in all."""
        batch, variant = self.batch, self.variant
        ids, width = variant.observation == "ids", self.views.vectors.shape[1]
        history, count = self.users.history.shape[1], self.users.candidates.shape[1]
        n, v = (batch, 0) if ids else (0, batch)
        asked = variant.find("needs") is not None
        shapes: dict[str, tuple[int, ...]] = {
            "user": (batch, self._user_size),
            "history_ids": (n, history),
            "history_vectors": (v, history, width),
            "history_feedback": (batch, history, 3),
            "candidate_ids": (n, count),
            "candidate_vectors": (v, count, width),
            "traits": (batch, count, len(trait_names(variant)) if count else 0),
            "context": (batch, CONTEXT_SCALARS + 2 * self.world.n_topics + extra_context(variant)),
            "query": (batch, self.views.topics.shape[1] if asked else 0),
        }
        return tuple(shapes[name] for name in Observation._fields)

    def _by_key(self, out: Observation) -> dict[str, AnyArray]:
        """Return the observation by key; with vectors inline, every entry is one flat vector."""
        ids, batch = self.variant.observation == "ids", self.batch
        found: dict[str, AnyArray] = {"user": out.user, "context": out.context}
        if ids:
            found["history"], found["history_feedback"] = out.history_ids, out.history_feedback
            found["candidates"], found["candidate_traits"] = out.candidate_ids, out.traits
        else:
            found["history"] = out.history_vectors.reshape(batch, -1)
            found["history_feedback"] = out.history_feedback.reshape(batch, -1)
            found["candidates"] = out.candidate_vectors.reshape(batch, -1)
            found["candidate_traits"] = out.traits.reshape(batch, -1)
        found["query"] = out.query
        return {key: found[key] for key in self.observation_space.spaces}


def effective(world: World, variant: Variant) -> Variant:
    """Return the variant with its scenario of drift as a part, and C = I for a whole catalogue.

    Raises:
        UsageError: more candidates are asked for than the world has items.
    """
    if variant.drift != "none":
        walk, shock = _DRIFT[variant.drift]
        from slategym.envs.parts_change import TasteShift

        variant = variant.override(parts=[TasteShift(taste_walk=walk, shock_rate=shock)])
    if variant["candidates"].name == "catalogue":
        return variant.override(num_candidates=world.n_items)
    if variant.num_candidates > world.n_items:
        raise UsageError(
            f"num_candidates {variant.num_candidates} is larger than the {world.n_items} "
            f"items of world {world.info.name!r}."
        )
    return variant


def new_response(batch: int, variant: Variant, signals: int) -> Response:
    """Return fresh arrays for one step."""
    slate: IntArray = np.empty((batch, variant.slate_size), dtype=np.int32)
    return Response(
        slate=slate,
        signals=np.zeros((signals, batch, variant.slate_size), np.float32),
        about=np.empty((2, batch), dtype=np.int32),
        visit=np.zeros((2, batch), np.float32),
        terms=np.zeros((len(REWARD_TERMS), batch), np.float32),
        reward=np.empty(batch, np.float32),
        ended=np.zeros((2, batch), dtype=np.bool_),
    )


def _signals(variant: Variant) -> dict[str, int]:
    """Return the signals a variant reports and their rows."""
    found = dict(_SIGNALS)
    for part, names in {"purchase": ("cart", "purchase")}.items():
        if variant.find(part) is not None:
            found |= {name: _MORE[name] for name in names}
    return found | {
        name: row for name, row in _MORE.items() if name != "purchase" and variant.find(name)
    }


def _signal_rows(signals: dict[str, int]) -> int:
    """Return how many rows of signals the step reads: those every variant has, or all."""
    return 1 + (max(_SIGNALS.values()) if len(signals) == len(_SIGNALS) else state.PURCHASE)


def _user_size(world: World, variant: Variant, views: Views) -> int:
    """Return Du, the width of the user's entry."""
    if variant.observation == "latent":
        tired = world.n_topics if variant.find("satiation") is not None else 0
        return 1 + world.user_factors.shape[1] + tired
    return views.profile.shape[1]


def _reported(variant: Variant) -> dict[str, int]:
    """Return the reward terms to report and their rows: the usual ones, and those that are paid."""
    weight = variant.parameters
    return {
        term: row
        for row, term in enumerate(REWARD_TERMS)
        if term in _ALWAYS or weight.get(f"{term}_weight", 0.0) != 0.0
    }
