"""A planner that tries slates in copies of the user before it shows one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.agents.policy import Observation, Policy, Slate, with_privileged
from slategym.benchmarks.planning_play import FloatArray, Played, make_task
from slategym.envs.variant import Variant
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World

# Streams of imagined futures lie apart from those of users.
_IMAGINED = 1 << 40


class RolloutPlanner:
    """The rollout algorithm (Bertsekas, Tsitsiklis and Wu 1997, section 2) over base policies.

    Each step every base policy proposes a slate. Each proposal is tried in ``futures`` copies of
    the user: it is shown, and then the first base policy goes on for ``depth`` steps. The
    proposal with the best mean return is shown; another than the first only if it is better by
    ``caution`` standard errors of the paired difference. All proposals meet the same imagined
    luck, drawn apart from the luck that the user will really have: the planner knows the model
    and the hidden state, and not what will be drawn. (What all users of a seed share, the
    calendar of `Ageing` and `Bursts`, it does know.)

    Args:
        world: the world.
        variant: the task.
        bases: policies for this variant, the first of which continues every proposal.
        futures: copies per proposal.
        depth: steps looked ahead, the first included.
        caution: standard errors.
    """

    def __init__(
        self,
        world: World,
        variant: Variant,
        bases: Sequence[Policy],
        *,
        futures: int = 8,
        depth: int = 12,
        caution: float = 1.0,
    ) -> None:
        self.world, self.variant, self.bases = world, variant, tuple(bases)
        self.futures, self.depth, self.caution = futures, depth, caution
        self._copies: SlateVectorEnv | None = None

    def act(
        self,
        env: SlateVectorEnv,
        observation: Observation,
        info: dict[str, Any],
        rng: np.random.Generator,
        step: int,
    ) -> Slate:
        """Return slates (B, K) for the users of ``env``, whose state is copied and not changed."""
        proposals = np.stack(
            [
                np.asarray(base.act(with_privileged(base, observation, info), rng))
                for base in self.bases
            ],
            axis=1,
        )  # (B, M, K)
        values = self._values(env, proposals, step)  # (B, M, R)
        gain = values - values[:, :1]
        error = gain.std(axis=2) / np.sqrt(max(self.futures - 1, 1))
        sure = gain.mean(axis=2) - self.caution * error
        chosen = sure.argmax(axis=1)  # the first proposal stands at 0
        return np.asarray(proposals[np.arange(len(chosen)), chosen])

    def _values(
        self, env: SlateVectorEnv, proposals: npt.NDArray[np.int64], step: int
    ) -> FloatArray:
        """Return the imagined return (B, M, R) of each proposal in each future."""
        batch, count, size = proposals.shape
        copies = self._room(batch * count * self.futures)
        each = np.repeat(np.arange(batch), count * self.futures)
        state = {name: array[each] for name, array in env.get_state().items()}
        future = np.tile(np.arange(self.futures), batch * count).astype(np.uint64)
        offset = np.uint64(_IMAGINED) * (np.uint64(1 + step * self.futures) + future)
        state["stream"] = state["stream"] + offset
        copies.set_state(state)
        action = np.repeat(proposals.reshape(-1, size), self.futures, axis=0)
        alive = np.ones(len(each), np.bool_)
        total = np.zeros(len(each))
        base = self.bases[0]
        for ahead in range(self.depth):
            shaped = action.reshape(copies.action_space.shape or ())
            observation, reward, terminated, truncated, info = copies.step(shaped)
            total += alive * reward
            alive &= ~(terminated | truncated)
            if ahead + 1 == self.depth or not alive.any():
                break
            rng = np.random.default_rng((step, ahead))
            action = np.asarray(base.act(with_privileged(base, observation, info), rng))
        return total.reshape(batch, count, self.futures)

    def _room(self, rows: int) -> SlateVectorEnv:
        """Return an env of that many copies, made once."""
        if self._copies is None or self._copies.num_envs != rows:
            self._copies = make_task(self.world, self.variant, rows)
        return self._copies


def play_ahead(planner: RolloutPlanner, *, users: int, seed: int) -> Played:
    """Return the first episode of user streams (seed, 0) .. (seed, users - 1) under a planner.

    The users and their luck are those that `slategym.benchmarks.planning_play.play` meets.
    """
    env = make_task(planner.world, planner.variant, users)
    observation, info = env.reset(seed=seed)
    alive = np.ones(users, np.bool_)
    returns, length, sessions = np.zeros((3, users))
    step = 0
    while alive.any():
        rng = np.random.default_rng((seed, step))
        action = planner.act(env, observation, info, rng, step)
        observation, reward, terminated, truncated, info = env.step(
            action.reshape(env.action_space.shape or ())
        )
        returns += alive * reward
        length += alive
        if "session" in info:
            sessions += alive * info["session"]["over"]
        alive &= ~(terminated | truncated)
        step += 1
    return Played(returns, length, sessions)
