"""The batched face: many users, one step, no loop in Python."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from slategym.envs.arrays import AnyArray, BoolArray, FloatArray
from slategym.envs.protocol import AnyVariant, Simulation, Step
from slategym.envs.registry import as_variant
from slategym.envs.world import World
from slategym.errors import UsageError, nearest

RENDER_MODES = ("ansi", "rgb_array")

StepResult = tuple[dict[str, AnyArray], FloatArray, BoolArray, BoolArray, dict[str, Any]]


class SlateVectorEnv(VectorEnv):
    """B users, each shown a slate of K of C candidates per step.

    Observation: `Dict` of ``user`` (Du,), ``history``, ``history_feedback``, ``candidates`` and
    ``context``; see `slategym.envs.spaces.observation_space` (worlds) and
    `slategym.envs.classic_variant.ClassicVariant` for what each holds.

    Action: `MultiDiscrete([C] * K)` positions (K = 1: `Discrete(C)`), best first; with
    ``action="discrete"`` one number for a whole slate, with ``action="proto"`` a vector whose
    nearest items are shown; see `slategym.envs.actions`.

    Reward: a weighted sum; ``info["reward_terms"]`` holds its terms.

    Ends: terminated when the user leaves for good, truncated at the horizon. Autoreset is
    SAME_STEP: ``info["final_obs"]`` holds the last observation of rows that ended (other rows
    are zero; mask ``info["_final_obs"]``).

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
        users: which users episodes are drawn from: "all", "train", "held_out" or "cold".
        privileged: add ``info["privileged"]`` with what only an oracle may know.
        render_mode: None, "ansi" or "rgb_array".
        **changes: any parameter of the variant, such as ``slate_size`` or ``boredom``.

    Raises:
        UsageError: an unknown keyword (the message gives the nearest), or a bad value.
        DataError: the world folder is not sound.
    """

    metadata = {
        "render_modes": list(RENDER_MODES),
        "render_fps": 2,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        *,
        variant: AnyVariant | str | dict[str, Any] = "slategym/World-v0",
        world: World | str | Path | None = None,
        users: str = "all",
        privileged: bool = False,
        render_mode: str | None = None,
        **changes: Any,  # noqa: ANN401
    ) -> None:
        self.variant = as_variant(variant).override(**changes)
        check_render_mode(render_mode)
        if num_envs < 1:
            raise UsageError(f"num_envs is {num_envs!r}; it must be at least 1.")
        self.num_envs = int(num_envs)
        self.privileged = privileged
        self.render_mode = render_mode
        self.simulation: Simulation = self.variant.simulation(self.num_envs, world, users)
        self.single_observation_space = self.simulation.observation_space
        self.single_action_space = self.simulation.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._turn = getattr(self.simulation, "turn", self._in_parts)
        self._started = False

    @property
    def world(self) -> World:
        """The world the users live in.

        Raises:
            UsageError: the variant is a classic, which has none.
        """
        world = getattr(self.simulation, "world", None)
        if world is None:
            raise UsageError(f"variant {self.variant.id!r} is a classic: it has no world.")
        return cast("World", world)

    @property
    def item_vectors(self) -> FloatArray:
        """The public item table (I, D), which a policy on ids may look up."""
        return cast("Any", self.simulation).item_vectors

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
        return self.simulation.observe(), self._privileged({})

    def step(self, actions: AnyArray) -> StepResult:
        """Show a slate to every user; rows that end begin their next episode at once."""
        if not self._started:
            raise UsageError("step was called before reset; call reset(seed=...) first.")
        return cast("StepResult", self._turn(actions, self.privileged))

    def _in_parts(self, actions: AnyArray, privileged: bool) -> StepResult:
        """Step, begin new episodes and observe, one after the other."""
        result: Step = self.simulation.step(actions)
        done = result.terminated | result.truncated
        info = self._privileged(dict(result.info))
        if done.any():
            info["final_info"] = dict(info)
            info["final_obs"] = self.simulation.observe(done)
            info["_final_obs"], info["_final_info"] = done, done.copy()
            self.simulation.next_episode(done)
            if privileged:
                info["privileged"] = self.simulation.privileged()
        observation = self.simulation.observe()
        return observation, result.reward, result.terminated, result.truncated, info

    def render(self) -> tuple[Any, ...] | None:
        """Return per row the slate last shown and what was done with it, as text or picture."""
        if self.render_mode is None:
            return None
        return tuple(render_row(self.simulation, self.render_mode, b) for b in range(self.num_envs))

    def get_state(self) -> dict[str, AnyArray]:
        """Return an exact snapshot: arrays by name."""
        return self.simulation.get_state()

    def set_state(self, state: Mapping[str, AnyArray]) -> None:
        """Go back to a snapshot of `get_state`; the next step is the same bits as it was then."""
        self.simulation.set_state(state)
        self._started = True

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

    def _privileged(self, info: dict[str, Any]) -> dict[str, Any]:
        """Return the info with what only an oracle may know, if that was asked for."""
        if self.privileged:
            info["privileged"] = self.simulation.privileged()
        return info


def render_row(simulation: Simulation, mode: str, row: int) -> Any:  # noqa: ANN401
    """Return the last slate of a row: text (``ansi``) or a picture (H, W, 3) uint8."""
    if mode == "ansi":
        return simulation.ansi(row)
    from slategym.envs.render_picture import draw_slate

    return draw_slate(cast("Any", simulation).slate_view(row))


def check_render_mode(mode: str | None) -> None:
    """Refuse an unknown render mode."""
    if mode is not None and mode not in RENDER_MODES:
        allowed = ", ".join(repr(word) for word in RENDER_MODES)
        raise UsageError(
            f"render_mode is {mode!r}; allowed: None, {allowed}.{nearest(str(mode), RENDER_MODES)}"
        )


def _seed_or_entropy(seed: int | None) -> int:
    """Return a seed as an unsigned 64-bit number; None draws one from the system's entropy."""
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
    if seed < 0:
        raise UsageError(f"seed is {seed}; it must be a non-negative integer.")
    return int(seed) % 2**64
