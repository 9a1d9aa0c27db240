"""One episode of many users under a policy that may see everything, and only their returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.agents.policy import Policy, for_variant, with_privileged
from slategym.envs.variant import Variant
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Played:
    """What one episode of each of B users came to.

    Attributes:
        returns: undiscounted sum of rewards (B,).
        length: slates seen (B,).
        sessions: sessions ended (B,), 0 where the variant has no sessions.
    """

    returns: FloatArray
    length: FloatArray
    sessions: FloatArray


class Tally:
    """Sums over the first episode of each of B users."""

    def __init__(self, users: int) -> None:
        self.alive = np.ones(users, np.bool_)
        self.steps = 0
        self._returns, self._length, self._sessions = np.zeros((3, users))

    def add(
        self, reward: npt.NDArray[Any], ended: npt.NDArray[np.bool_], info: dict[str, Any]
    ) -> None:
        """Take in one step."""
        self._returns += self.alive * reward
        self._length += self.alive
        if "session" in info:
            self._sessions += self.alive * info["session"]["over"]
        self.alive &= ~ended
        self.steps += 1

    def played(self) -> Played:
        """Return what was summed."""
        return Played(self._returns, self._length, self._sessions)


def make_task(world: World, variant: Variant, users: int) -> SlateVectorEnv:
    """Return the batched env that a privileged policy plays in: ``ids``, all users."""
    return SlateVectorEnv(users, variant=variant, world=world, observation="ids", privileged=True)


def play(
    policy: Policy,
    world: World,
    variant: Variant,
    *,
    users: int,
    seed: int,
    streams: Sequence[int] | npt.NDArray[np.integer[Any]] | None = None,
) -> Played:
    """Return the first episode of each user stream under a policy.

    Two policies meet the same users with the same luck. The policy's own randomness is a
    generator seeded by (seed, step).

    Args:
        policy: chooses slates; it sees the hidden state if it declares ``privileged``.
        world: the world.
        variant: the task.
        users: B.
        seed: first half of a user stream's name.
        streams: (B,) second half; None: 0 .. B - 1.
    """
    env = make_task(world, variant, users)
    chosen = for_variant(policy, env.simulation.variant)  # type: ignore[attr-defined]
    options = None if streams is None else {"streams": np.asarray(streams)}
    observation, info = env.reset(seed=seed, options=options)
    tally = Tally(users)
    while tally.alive.any():
        rng = np.random.default_rng((seed, tally.steps))
        action = np.asarray(chosen.act(with_privileged(chosen, observation, info), rng))
        action = action.reshape(env.action_space.shape or ())
        observation, reward, terminated, truncated, info = env.step(action)
        tally.add(reward, terminated | truncated, info)
    return tally.played()
