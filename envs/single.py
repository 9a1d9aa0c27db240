"""The single face: a batch of one under the ordinary Gymnasium contract."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from slategym.envs.arrays import AnyArray
from slategym.envs.protocol import AnyVariant
from slategym.envs.vector import RENDER_MODES, SlateVectorEnv, render_row
from slategym.envs.world import World

OneResult = tuple[dict[str, AnyArray], float, bool, bool, dict[str, Any]]
"""What a step of one user returns."""


class SlateEnv(gymnasium.Env):
    """One user at a time: row 0 of a `SlateVectorEnv` of one, with the same luck.

    It does not begin a new episode by itself: call `reset` after the end. Keywords, spaces and
    info are those of `SlateVectorEnv`, without the leading axis B.

    Example:
        >>> import gymnasium, slategym.envs
        >>> env = gymnasium.make("slategym/World-v0", horizon=10)
        >>> observation, info = env.reset(seed=0)
        >>> observation, reward, terminated, truncated, info = env.step([0, 1, 2, 3, 4])
        >>> info["slate"].shape
        (5,)
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 2}

    def __init__(
        self,
        *,
        variant: AnyVariant | str | dict[str, Any] = "slategym/World-v0",
        world: World | str | Path | None = None,
        users: str = "all",
        privileged: bool = False,
        render_mode: str | None = None,
        **changes: Any,  # noqa: ANN401
    ) -> None:
        self.batch = SlateVectorEnv(
            1,
            variant=variant,
            world=world,
            users=users,
            privileged=privileged,
            render_mode=render_mode,
            **changes,
        )
        self.variant = self.batch.variant
        self.simulation = self.batch.simulation
        self.render_mode = render_mode
        self.observation_space = self.batch.single_observation_space
        self.action_space = self.batch.single_action_space
        self._turn = getattr(self.simulation, "turn_one", self._in_parts)
        self._over = True

    @property
    def world(self) -> World:
        """The world the user lives in; a classic has none and says so."""
        return self.batch.world

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, AnyArray], dict[str, Any]]:
        """Start an episode: of user stream (seed, 0), or the next one of the present stream."""
        super().reset(seed=seed)
        observation, info = self.batch.reset(seed=seed, options=options)
        self._over = False
        return _row(observation), _row(info)

    def step(self, action: AnyArray | int) -> OneResult:
        """Show one slate.

        Raises:
            gymnasium.error.ResetNeeded: the episode is over, or never began.
            UsageError: the action is not K positions in [0, C).
        """
        if self._over:
            raise gymnasium.error.ResetNeeded(
                "the episode is over or never began; call reset() before step()."
            )
        observation, reward, ended, cut, info = self._turn(action, self.batch.privileged)
        self._over = ended or cut
        return observation, reward, ended, cut, info

    def _in_parts(self, action: AnyArray | int, privileged: bool) -> OneResult:
        """Step and observe, one after the other."""
        simulation = self.simulation
        reward, terminated, truncated, info = simulation.step(np.asarray(action)[None])
        told = _row(info)
        if privileged:
            told["privileged"] = _row(simulation.privileged())
        observation = _row(simulation.observe())
        return observation, float(reward[0]), bool(terminated[0]), bool(truncated[0]), told

    def render(self) -> Any:  # noqa: ANN401
        """Return the slate last shown: text ("ansi"), or a picture (H, W, 3) ("rgb_array")."""
        if self.render_mode is None:
            return None
        return render_row(self.simulation, self.render_mode, 0)

    def get_state(self) -> dict[str, AnyArray]:
        """Return an exact snapshot: arrays by name, ``over`` telling whether the episode ended."""
        return {**self.batch.get_state(), "over": np.array([self._over])}

    def set_state(self, state: Mapping[str, AnyArray]) -> None:
        """Go back to a snapshot of `get_state`."""
        self.batch.set_state(state)
        self._over = bool(state["over"][0])


def _row(value: Any) -> Any:  # noqa: ANN401
    """Return row 0 of every array of a nested dict."""
    if isinstance(value, dict):
        return {key: _row(entry) for key, entry in value.items()}
    return value[0]
