"""The batched face: many users, one step, no loop in Python."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from slategym.envs.arrays import AnyArray, BoolArray, FloatArray, LongArray
from slategym.envs.parts import REWARD_TERMS
from slategym.envs.registry import as_variant, as_world
from slategym.envs.render import ansi
from slategym.envs.simulation import Simulation
from slategym.envs.spaces import action_space, observation_space
from slategym.envs.state import Response
from slategym.envs.variant import Variant
from slategym.envs.world import World
from slategym.errors import UsageError, nearest

SPLITS = ("all", "train", "held_out")


class SlateVectorEnv(VectorEnv):
    """B users, each shown a slate of K of C candidates per step.

    Observation: `Dict` of ``user`` (Dp,), ``history``, ``history_feedback``, ``candidates`` and
    ``context`` (6 + 2Z,); see `slategym.envs.spaces.observation_space` for the two encodings.
    ``history_feedback`` holds per place [present, watch fraction or past value in [0, 1],
    recency weight in (0, 1]]. ``context`` is [step / horizon, last click, last watch fraction,
    clicks / 20, minutes / 100, 0], then the decayed topic exposure of consumed items (Z) and of
    slates (Z).

    Action: `MultiDiscrete([C] * K)` positions (K = 1: `Discrete(C)`); a repeated position is an
    empty slot.

    Reward: see `slategym.envs.parts.Reward`; ``info["reward_terms"]`` holds its terms.

    Ends: terminated when the user leaves, truncated at the horizon. Autoreset is SAME_STEP:
    ``info["final_obs"]`` holds the last observation of rows that ended (other rows are zero;
    mask ``info["_final_obs"]``).

    Luck: after ``reset(seed=s)`` row i is user stream (s, i), whatever B is. ``seed`` may be a
    list: row i is then stream (seed[i], 0). ``options={"streams": [...]}`` names the streams.

    Example:
        >>> import gymnasium, slategym.envs
        >>> envs = gymnasium.make_vec("slategym/World-v0", num_envs=3, observation="ids")
        >>> observation, info = envs.reset(seed=0)
        >>> observation["candidates"].shape
        (3, 20)
        >>> observation, reward, ended, cut, info = envs.step(envs.action_space.sample())
        >>> info["response"]["click"].shape
        (3, 5)

    Args:
        num_envs: B.
        variant: a variant, a registered id, or a variant's JSON form.
        world: a `World`, a folder, "tiny", "module:function", or None for the variant's own.
        users: which users episodes are drawn from: "all", "train" or "held_out".
        privileged: add ``info["privileged"]`` with what only an oracle may know.
        render_mode: None or "ansi".
        **changes: any parameter of the variant, such as ``slate_size`` or ``boredom``.

    Raises:
        UsageError: an unknown keyword (the message gives the nearest), or a bad value.
        DataError: the world folder is not sound.
    """

    metadata = {
        "render_modes": ["ansi"],
        "render_fps": 4,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        *,
        variant: Variant | str | dict[str, Any] = "slategym/World-v0",
        world: World | str | Path | None = None,
        users: str = "all",
        privileged: bool = False,
        render_mode: str | None = None,
        **changes: Any,  # noqa: ANN401
    ) -> None:
        self.variant = as_variant(variant).override(**changes)
        self.world = as_world(self.variant.world if world is None else world)
        _check_words(users, render_mode, self.metadata["render_modes"])
        if num_envs < 1:
            raise UsageError(f"num_envs is {num_envs!r}; it must be at least 1.")
        self.num_envs = int(num_envs)
        self.privileged = privileged
        self.render_mode = render_mode
        self.simulation = Simulation(self.world, self.variant, self.num_envs, users)
        self.single_observation_space = observation_space(self.world, self.variant)
        self.single_action_space = action_space(self.variant)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._started = False
        self.last_response: Response | None = None

    @property
    def item_vectors(self) -> FloatArray:
        """The public item table (I, D), which a policy on ids may look up."""
        return self.world.item_vectors

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[dict[str, AnyArray], dict[str, Any]]:
        """Start an episode in every row.

        Args:
            seed: s: row i is user stream (s, i); a sequence: row i is stream (seed[i], 0);
                None: the next episode of each row's stream (at first, of a random seed).
            options: ``{"streams": (B,) integers}`` with an integer seed: row i is user stream
                (seed, streams[i]).
        """
        streams = (options or {}).get("streams")
        if seed is None and self._started and streams is None:
            self.simulation.next_episode(np.ones(self.num_envs, dtype=np.bool_))
        else:
            self._seed_rows(seed, streams)
        self._started = True
        self.last_response = None
        return self.simulation.observe(), self._info()

    def step(
        self, actions: AnyArray
    ) -> tuple[dict[str, AnyArray], FloatArray, BoolArray, BoolArray, dict[str, Any]]:
        """Show a slate to every user; rows that end begin their next episode at once."""
        response = self.advance(actions)
        done = response.terminated | response.truncated
        info = self._info(response)
        if done.any():
            info["final_obs"] = self.simulation.observe(done)
            info["_final_obs"] = done
            info["final_info"] = {key: info[key] for key in _STEP_KEYS}
            info["_final_info"] = done.copy()
            if self.privileged:
                info["final_info"]["privileged"] = info["privileged"]
            self.simulation.next_episode(done)
            if self.privileged:
                info["privileged"] = self.simulation.privileged()
        observation = self.simulation.observe()
        return observation, response.reward, response.terminated, response.truncated, info

    def advance(self, actions: AnyArray) -> Response:
        """Take the step itself, without beginning new episodes."""
        if not self._started:
            raise UsageError("step was called before reset; call reset(seed=...) first.")
        response = self.simulation.step(self._checked(actions))
        self.last_response = response
        return response

    def render(self) -> tuple[str, ...] | None:
        """Return one text per row: the slate last shown and what was clicked."""
        if self.render_mode is None:
            return None
        return tuple(ansi(self.world, self.last_response, row) for row in range(self.num_envs))

    def get_state(self) -> dict[str, AnyArray]:
        """Return an exact snapshot: arrays by name."""
        return self.simulation.get_state()

    def set_state(self, state: Mapping[str, AnyArray]) -> None:
        """Go back to a snapshot of `get_state`; the next step is the same bits as it was then."""
        self.simulation.set_state(state)
        self._started = True
        self.last_response = None

    def observe(self) -> dict[str, AnyArray]:
        """Return the present observation again (after `set_state`)."""
        return self.simulation.observe()

    def _seed_rows(self, seed: int | Sequence[int | None] | None, streams: object) -> None:
        rows = np.arange(self.num_envs, dtype=np.uint64)
        if streams is not None:
            rows = np.asarray(streams).astype(np.uint64)
            if rows.shape != (self.num_envs,):
                raise UsageError(
                    f"options['streams'] has shape {rows.shape}; it must be ({self.num_envs},)."
                )
        if seed is not None and not isinstance(seed, (int, np.integer)):
            if len(seed) != self.num_envs:
                raise UsageError(f"{len(seed)} seeds were given for {self.num_envs} environments.")
            seeds = np.array([_seed_or_entropy(one) for one in seed], dtype=np.uint64)
            self.simulation.begin(seeds, np.zeros_like(rows) if streams is None else rows)
            return
        self.simulation.begin(np.full(self.num_envs, _seed_or_entropy(seed), np.uint64), rows)

    def _checked(self, actions: AnyArray) -> LongArray:
        """Return the actions as (B, K) int64, or refuse them."""
        shape = (self.num_envs, self.variant.slate_size)
        array = np.asarray(actions)
        count = self.variant.num_candidates
        if array.shape != shape and not (shape[1] == 1 and array.shape == shape[:1]):
            raise UsageError(f"actions have shape {array.shape}; they must be {shape}.")
        if array.dtype.kind not in "iu":
            raise UsageError(f"actions are {array.dtype}; they must be integer positions.")
        if array.min() < 0 or array.max() >= count:
            raise UsageError(
                f"actions reach from {array.min()} to {array.max()}; positions must be in "
                f"[0, {count})."
            )
        return np.ascontiguousarray(array.reshape(shape), dtype=np.int64)

    def _info(self, response: Response | None = None) -> dict[str, Any]:
        """Return the info of a step, or of a reset."""
        info: dict[str, Any] = {}
        if response is not None:
            info = step_info(response)
        if self.privileged:
            info["privileged"] = self.simulation.privileged()
        return info


_STEP_KEYS = ("response", "slate", "user", "reward_terms")


def step_info(response: Response) -> dict[str, Any]:
    """Return what a step's info tells of the response, as batched arrays."""
    return {
        "response": {
            "click": response.click,
            "watch": response.watch,
            "minutes": response.minutes,
            "rating": response.rating,
        },
        "slate": response.slate,
        "user": response.user,
        "reward_terms": {
            term: response.terms[row] for row, term in enumerate(REWARD_TERMS)
        },
    }  # fmt: skip


def _seed_or_entropy(seed: int | None) -> int:
    """Return a seed as an unsigned 64-bit number; None draws one from the system's entropy."""
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
    if seed < 0:
        raise UsageError(f"seed is {seed}; it must be a non-negative integer.")
    return int(seed) % 2**64


def _check_words(users: str, render_mode: str | None, modes: Sequence[str]) -> None:
    """Refuse an unknown split or render mode."""
    if users not in SPLITS:
        raise UsageError(
            f"users is {users!r}; allowed: 'all', 'train', 'held_out'.{nearest(str(users), SPLITS)}"
        )
    if render_mode is not None and render_mode not in modes:
        raise UsageError(f"render_mode is {render_mode!r}; allowed: None, 'ansi'.")
