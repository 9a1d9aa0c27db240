"""A loop-free bridge from a batched Gymnasium environment to Stable-Baselines3."""

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnv

from slategym.agents.constraint import Constraint
from slategym.errors import DataError, UsageError

Arrays = dict[str, NDArray[Any]]


class SB3VecEnv(VecEnv):
    """A Gymnasium `VectorEnv` (autoreset SAME_STEP) seen as a Stable-Baselines3 `VecEnv`.

    Python work per step grows with the rows that finished, not with the batch: all other rows
    share one empty info dict. What the environment tells about the step stays batched in
    `last_info`; that is how auxiliary targets travel. Episode return and length are counted
    here, so no `VecMonitor` (which loops over rows) is needed.

    Attributes:
        venv: the wrapped environment.
        last_info: the info of the last step, arrays with leading axis B.
        reward_scale: multiplies the rewards handed on; episode returns stay as they are.
        constraint: sees every step and adds its own part to the rewards handed on; None: nothing.
        brief: whether to leave out the last observation of rows that ended by themselves; nothing
            is bootstrapped from it. Agents of this project set it, those of others need all.
    """

    def __init__(self, venv: VectorEnv) -> None:
        mode = venv.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise UsageError(
                f"the environment resets with {mode}; Stable-Baselines3 needs "
                "AutoresetMode.SAME_STEP: make it with the vector face of a slategym variant."
            )
        self.venv = venv
        self.last_info: dict[str, Any] = {}
        self.reward_scale = 1.0
        self.constraint: Constraint | None = None
        self.brief = False
        self._steps = 0
        super().__init__(venv.num_envs, venv.single_observation_space, venv.single_action_space)
        self._nothing: dict[str, Any] = {}
        self._actions: NDArray[Any] = np.zeros(0)
        self._start = time.monotonic()
        self._return: NDArray[np.float64] = np.zeros(self.num_envs)
        self._length: NDArray[np.int64] = np.zeros(self.num_envs, np.int64)
        self._finished: list[NDArray[np.float64]] = []

    def reset(self) -> Any:  # noqa: ANN401
        """Return the first observations; all rows follow the one seed given to `seed`."""
        observation, self.last_info = self.venv.reset(seed=self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        self._return[:] = 0.0
        self._length[:] = 0
        return observation

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions ``(B, K)`` for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, NDArray[Any], NDArray[np.bool_], list[dict[str, Any]]]:
        """Return observation, reward ``(B,)``, done ``(B,)`` and one info dict per row."""
        observation, reward, terminated, truncated, info = self.venv.step(self._actions)
        self.last_info = info
        self._steps += 1
        if not np.isfinite(reward).all():
            raise DataError(
                f"the environment gave {int((~np.isfinite(reward)).sum())} rewards that are not "
                f"finite in step {self._steps} of {self.num_envs} rows; check its reward parts."
            )
        done = terminated | truncated
        self._return += reward
        self._length += 1
        infos = [self._nothing] * self.num_envs
        if done.any():
            self._fill(infos, np.flatnonzero(done), truncated & ~terminated, info["final_obs"])
        if self.constraint is not None:
            reward = self.constraint.reward(reward, info)
        # SB3 adds bootstrap values into the rewards in place; the product is its own copy.
        return observation, np.asarray(reward * self.reward_scale, np.float32), done, infos

    def _fill(
        self,
        infos: list[dict[str, Any]],
        rows: NDArray[np.intp],
        cut: NDArray[np.bool_],
        final: Any,  # noqa: ANN401
    ) -> None:
        """Give the rows that finished their own info and start their counters anew."""
        now = round(time.monotonic() - self._start, 6)
        told = (self._return[rows].tolist(), self._length[rows].tolist(), cut[rows].tolist())
        for row, earned, length, short in zip(rows.tolist(), *told, strict=True):
            episode = {"r": earned, "l": length, "t": now}
            infos[row] = {"TimeLimit.truncated": short, "episode": episode}
        wanted = rows[cut[rows]] if self.brief else rows
        # Whole columns become lists at once: an index per row and entry costs five times that.
        if isinstance(final, dict):
            columns = zip(*(list(value[wanted]) for value in final.values()), strict=True)
            last: list[Any] = [dict(zip(final, parts, strict=True)) for parts in columns]
        else:
            last = list(final[wanted])
        for row, seen in zip(wanted.tolist(), last, strict=True):
            infos[row]["terminal_observation"] = seen
        self._finished.append(np.stack([self._return[rows], self._length[rows]]))
        self._return[rows] = 0.0
        self._length[rows] = 0

    def take_finished(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return returns and lengths of the episodes finished since the last call."""
        both = np.concatenate(self._finished, axis=1) if self._finished else np.zeros((2, 0))
        self._finished = []
        return both[0], both[1]

    def get_state(self) -> Arrays:
        """Return an exact snapshot: the environment's own, and the running episode counters."""
        state = {f"venv.{key}": value for key, value in self.venv.get_state().items()}
        return state | {"return": self._return.copy(), "length": self._length.copy()}

    def set_state(self, state: Arrays) -> None:
        """Go back to a snapshot of `get_state`."""
        inner = {k.removeprefix("venv."): v for k, v in state.items() if k.startswith("venv.")}
        self.venv.set_state(inner)
        self._return = np.array(state["return"], np.float64)
        self._length = np.array(state["length"], np.int64)
        self._finished = []

    def close(self) -> None:
        """Close the wrapped environment."""
        self.venv.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:  # noqa: ANN401
        """Return the one attribute of the batch, repeated per row."""
        return [getattr(self.venv, attr_name)] * self._count(indices)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:  # noqa: ANN401, ARG002
        """Set an attribute of the batch."""
        setattr(self.venv, attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,  # noqa: ANN401
        indices: Any = None,  # noqa: ANN401
        **method_kwargs: Any,  # noqa: ANN401
    ) -> list[Any]:
        """Call a method of the batch once and return its result, repeated per row."""
        result = getattr(self.venv, method_name)(*method_args, **method_kwargs)
        return [result] * self._count(indices)

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:  # noqa: ANN401, ARG002
        """Return False per row: single-env wrappers do not exist in a batch."""
        return [False] * self._count(indices)

    def _count(self, indices: Iterable[int] | int | None) -> int:
        return len(list(self._get_indices(indices)))


def as_sb3(venv: VectorEnv) -> SB3VecEnv:
    """Return a batched environment as Stable-Baselines3 wants it, without a loop over rows.

    Args:
        venv: a batched environment with ``metadata["autoreset_mode"]`` SAME_STEP.

    Raises:
        UsageError: the environment resets in another way.
    """
    return SB3VecEnv(venv)
