"""A batch of users in a world: begin episodes, show slates, observe."""

from collections.abc import Mapping

import numpy as np

from slategym.envs.arrays import AnyArray, BoolArray, FloatArray, KeyArray, LongArray, frozen
from slategym.envs.kernels import run
from slategym.envs.parts import REWARD_TERMS
from slategym.envs.state import (
    Observation,
    Response,
    Rules,
    Tables,
    new_observation,
    new_response,
    new_state,
)
from slategym.envs.variant import Variant
from slategym.envs.world import World
from slategym.errors import UsageError

RECENCY_DECAY = 0.9  # weight of a history place relative to the next newer one


def tables_of(world: World, variant: Variant, users: str) -> Tables:
    """Return the arrays of a world that a step reads."""
    popularity, length = world.item_popularity, world.user_history.shape[1]
    uniform = variant.candidates.candidate_source == "uniform"
    weight = np.zeros(0) if uniform else variant.candidates.weights(popularity)
    age = np.arange(length - 1, -1, -1)
    return Tables(
        item_factors=world.item_factors,
        item_bias=world.item_bias,
        item_topics=world.item_topics,
        item_duration=world.item_duration,
        item_vectors=world.item_vectors,
        user_factors=world.user_factors,
        user_std=world.user_std,
        user_bias=world.user_bias,
        user_history=world.user_history,
        user_history_value=world.user_history_value,
        user_profile=world.user_profile,
        cumulative=frozen(variant.candidates.cumulative(popularity)),
        weight=frozen(weight),
        pool=frozen(world.user_rows(users)),
        recency=frozen((RECENCY_DECAY**age).astype(np.float32)),
    )


def rules_of(world: World, variant: Variant) -> Rules:
    """Return every number a step needs, as floats."""
    info = world.info
    chosen = variant.parameters
    if chosen["no_click_logit"] is None:
        chosen["no_click_logit"] = info.no_click_logit
    chosen |= {
        "mean": info.mean,
        "click_slope": info.click_slope,
        "click_intercept": info.click_intercept,
        "value_low": info.value_low,
        "value_high": info.value_high,
    }
    floats = {name: float(chosen[name]) for name in Rules._fields if name != "horizon"}
    return Rules(**floats, horizon=int(variant.horizon))


class Simulation:
    """B users at once. Every array it hands out is new and is never written to again."""

    def __init__(self, world: World, variant: Variant, batch: int, users: str = "all") -> None:
        if variant.num_candidates > world.n_items:
            raise UsageError(
                f"num_candidates {variant.num_candidates} is larger than the {world.n_items} "
                f"items of world {world.info.name!r}."
            )
        self.world = world
        self.variant = variant
        self.batch = batch
        self.tables = tables_of(world, variant, users)
        self.rules = rules_of(world, variant)
        self.state = new_state(batch, self.tables, variant.num_candidates)
        self._all = np.ones(batch, dtype=np.bool_)

    def begin(self, seed: KeyArray, stream: KeyArray) -> None:
        """Start episode 0 of user stream (seed, stream) in every row."""
        self.state.seed[:] = seed
        self.state.stream[:] = stream
        self.state.episode[:] = 0
        self._begin(self._all)

    def next_episode(self, rows: BoolArray) -> None:
        """Start the next episode of the same user streams in ``rows`` (B,)."""
        self.state.episode[rows] += np.uint64(1)
        self._begin(rows)

    def _begin(self, rows: BoolArray) -> None:
        run("begin", self.tables, self.rules, self.state, rows)

    def step(self, actions: LongArray) -> Response:
        """Show slates: ``actions`` (B, K) holds candidate positions in [0, C)."""
        response = new_response(self.batch, self.variant.slate_size, len(REWARD_TERMS))
        run("step", self.tables, self.rules, self.state, actions, response)
        return response

    def observe(self, rows: BoolArray | None = None) -> dict[str, AnyArray]:
        """Return the observation of the rows (the others are zero), by key."""
        ids = self.variant.observation == "ids"
        out = new_observation(self.batch, self.tables, self.variant.num_candidates, ids)
        chosen = self._all if rows is None else rows
        run("observe", self.tables, self.rules, self.state, chosen, out)
        return _by_key(out, ids)

    def privileged(self) -> dict[str, FloatArray]:
        """Return what only an oracle may know: click logits (B, C), satiation, patience."""
        logits = np.empty((self.batch, self.variant.num_candidates), dtype=np.float32)
        run("logits", self.tables, self.rules, self.state, logits)
        return {
            "click_logit": logits,
            "satiation": self.state.satiation.copy(),
            "patience": self.state.patience.copy(),
        }

    def get_state(self) -> dict[str, AnyArray]:
        """Return a copy of everything that changes; `set_state` goes on from there exactly."""
        return {name: array.copy() for name, array in self.state._asdict().items()}

    def set_state(self, snapshot: Mapping[str, AnyArray]) -> None:
        """Go back to a snapshot of `get_state`.

        Raises:
            UsageError: the snapshot is of another batch size, world or variant.
        """
        for name, array in self.state._asdict().items():
            given = snapshot.get(name)
            if given is None or given.shape != array.shape or given.dtype != array.dtype:
                raise UsageError(
                    f"state array {name!r} does not fit this environment (expected "
                    f"{array.dtype} {array.shape}); restore it into one made with the same "
                    "world, variant and num_envs."
                )
        for name, array in self.state._asdict().items():
            array[...] = snapshot[name]


def _by_key(out: Observation, ids: bool) -> dict[str, AnyArray]:
    """Return the observation by key; with vectors inline, every entry is one flat vector."""
    if ids:
        return {
            "user": out.user,
            "history": out.history_ids,
            "history_feedback": out.history_feedback,
            "candidates": out.candidate_ids,
            "context": out.context,
        }
    batch = len(out.user)
    return {
        "user": out.user,
        "history": out.history_vectors.reshape(batch, -1),
        "history_feedback": out.history_feedback.reshape(batch, -1),
        "candidates": out.candidate_vectors.reshape(batch, -1),
        "context": out.context,
    }
