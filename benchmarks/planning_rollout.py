"""A planner that tries slates in copies of the user before it shows one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.agents.policy import Observation, Policy, Slate, with_privileged
from slategym.benchmarks.planning_play import FloatArray, Played, Tally, make_task
from slategym.envs.variant import Variant
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World

IntArray = npt.NDArray[np.integer[Any]]
BoolArray = npt.NDArray[np.bool_]

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
        depth: int = 40,
        caution: float = 2.0,
    ) -> None:
        self.world, self.variant, self.bases = world, variant, tuple(bases)
        self.futures, self.depth, self.caution = futures, depth, caution
        self._copies: SlateVectorEnv | None = None

    def act(
        self,
        env: SlateVectorEnv,
        observation: Observation,
        info: dict[str, Any],
        step: int,
        alive: BoolArray,
    ) -> Slate:
        """Return slates (B, K) for the users of ``env``, whose state is copied and not changed.

        Args:
            env: where the users are.
            observation: what it last told of them.
            info: likewise, with what is hidden.
            step: steps taken, from which imagined luck and the bases' own randomness follow.
            alive: (B,) users worth thinking about; the others get the first proposal.
        """
        made = [
            base.act(with_privileged(base, observation, info), np.random.default_rng((0, step)))
            for base in self.bases
        ]
        proposals = np.stack([np.asarray(slate) for slate in made], axis=1)  # (B, M, K)
        rows = np.flatnonzero(alive)
        values = self._values(env, rows, proposals[rows], step)  # (A, M, R)
        gain = values - values[:, :1]
        error = gain.std(axis=2) / np.sqrt(max(self.futures - 1, 1))
        sure = gain.mean(axis=2) - self.caution * error
        slates = proposals[:, 0].copy()
        slates[rows] = proposals[rows, sure.argmax(axis=1)]  # the first proposal stands at 0
        return slates

    def _values(
        self, env: SlateVectorEnv, rows: IntArray, proposals: IntArray, step: int
    ) -> FloatArray:
        """Return the imagined return (A, M, R) of each proposal (A, M, K) in each future."""
        users, count, size = proposals.shape
        needed = users * count * self.futures
        copies = self._room(needed)
        each = np.repeat(rows, count * self.futures)
        # The room is as large as it was when more were alive: the rest repeats the first row.
        each = np.concatenate([each, np.full(copies.num_envs - needed, each[0])])
        state = {name: array[each] for name, array in env.get_state().items()}
        future = (np.arange(len(each)) % self.futures).astype(np.uint64)
        offset = np.uint64(_IMAGINED) * (np.uint64(1 + step * self.futures) + future)
        state["stream"] = state["stream"] + offset
        copies.set_state(state)
        action = np.zeros((len(each), size), np.int64) + np.arange(size)
        action[:needed] = np.repeat(proposals.reshape(-1, size), self.futures, axis=0)
        total = self._imagine(copies, action, step)[:needed]
        return total.reshape(users, count, self.futures)

    def _imagine(self, copies: SlateVectorEnv, action: IntArray, step: int) -> FloatArray:
        """Return the sum of rewards of each copy when the first base goes on after ``action``."""
        alive, total = np.ones(len(action), np.bool_), np.zeros(len(action))
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
        return total

    def _room(self, rows: int) -> SlateVectorEnv:
        """Return an env of at least that many copies, made anew when half of it stands empty."""
        if self._copies is None or not rows <= self._copies.num_envs < 2 * rows:
            self._copies = make_task(self.world, self.variant, rows)
        return self._copies


def play_ahead(planner: RolloutPlanner, *, users: int, seed: int) -> Played:
    """Return the first episode of user streams (seed, 0) .. (seed, users - 1) under a planner.

    The users and their luck are those that `slategym.benchmarks.planning_play.play` meets.
    """
    env = make_task(planner.world, planner.variant, users)
    observation, info = env.reset(seed=seed)
    tally = Tally(users)
    while tally.alive.any():
        action = planner.act(env, observation, info, tally.steps, tally.alive)
        observation, reward, terminated, truncated, info = env.step(
            action.reshape(env.action_space.shape or ())
        )
        tally.add(reward, terminated | truncated, info)
    return tally.played()
