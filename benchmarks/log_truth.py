"""What policies are truly worth in the simulator: the truth that estimates from logs are held to.

Letters: B users, P policies, G discounts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slategym.agents.policy import for_variant
from slategym.agents.stochastic import StochasticPolicy
from slategym.benchmarks.log_schema import FloatArray, LongArray
from slategym.envs.protocol import AnyVariant
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World

BLOCK = 256
_TRUTH_STREAM = 0x7257


@dataclass(frozen=True)
class StepTruth:
    """What policies earn with one slate, in the situations that a behaviour policy brings about.

    Attributes:
        reward: sum of rewards of each user's impressions under each policy ``(P, B)``.
        impressions: of each user ``(B,)``, as many as the behaviour policy made.
    """

    reward: FloatArray
    impressions: FloatArray

    @property
    def value(self) -> FloatArray:
        """Return the mean reward of an impression ``(P,)``."""
        return np.asarray(self.reward.sum(1) / self.impressions.sum())

    @property
    def error(self) -> FloatArray:
        """Return the standard error of `value` ``(P,)``, users being the units (delta method)."""
        gap = self.reward - self.value[:, None] * self.impressions
        return np.asarray(np.sqrt((gap**2).sum(1)) / self.impressions.sum())


def step_truth(
    behaviour: StochasticPolicy,
    policies: Sequence[StochasticPolicy],
    variant: AnyVariant,
    world: World | None,
    *,
    users: int,
    seed: int,
    split: str = "train",
) -> StepTruth:
    """Return what each policy would have earned in place of the behaviour policy, slate by slate.

    At every impression the simulation is copied, each policy shows one slate in a copy, and the
    behaviour policy goes on: the estimand of the estimators that look at single impressions. All
    policies meet the same user with the same luck.

    Args:
        behaviour: brings the situations about.
        policies: P policies to judge; none, like the behaviour, may be privileged.
        variant: the task.
        world: the world; None for a classic.
        users: B.
        seed: of the users; other than that of the log that is judged.
        split: which users of the world.
    """
    task, split = _task(variant, world, split)
    wanted: list[Any] = [for_variant(policy, task) for policy in (behaviour, *policies)]
    reward, impressions = np.zeros((len(policies), users)), np.zeros(users)
    for start in range(0, users, BLOCK):
        streams = np.arange(start, min(start + BLOCK, users))
        env = SlateVectorEnv(len(streams), variant=task, world=world, users=split)
        reward[:, streams], impressions[streams] = _one_slate(wanted, env, streams, seed)
        env.close()
    return StepTruth(reward, impressions)


def _task(variant: AnyVariant, world: World | None, split: str) -> tuple[AnyVariant, str]:
    """Return the task as policies see it, and which users there are; a classic has no split."""
    return (variant, "all") if world is None else (variant.override(observation="ids"), split)


def _one_slate(
    policies: Sequence[Any], env: SlateVectorEnv, streams: LongArray, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Return sums of rewards ``(P, B)`` and impressions ``(B,)``; the first policy serves."""
    observation, _ = env.reset(seed=seed, options={"streams": streams})
    reward, impressions = np.zeros((len(policies) - 1, len(streams))), np.zeros(len(streams))
    alive, step = np.ones(len(streams), dtype=np.bool_), 0
    while alive.any():
        actions = []
        for n, policy in enumerate(policies):
            rng = np.random.default_rng((_TRUTH_STREAM, seed, int(streams[0]), step, n))
            slates = np.asarray(policy.act(observation, rng))
            actions.append(slates.reshape(env.action_space.shape))
        state = env.get_state()
        for n, action in enumerate(actions[1:]):
            reward[n] += np.where(alive, env.step(action)[1], 0.0)
            env.set_state(state)
        observation, _, terminated, truncated, _ = env.step(actions[0])
        impressions += alive
        alive &= ~(terminated | truncated)
        step += 1
    return reward, impressions


def true_returns(
    policies: Sequence[StochasticPolicy],
    variant: AnyVariant,
    world: World | None,
    *,
    users: int,
    seed: int,
    gammas: Sequence[float] = (1.0,),
    split: str = "train",
) -> FloatArray:
    """Return the discounted return of every user under every policy ``(G, P, B)``.

    All policies meet the same users with the same luck.

    Args:
        policies: P; none may be privileged.
        variant: the task.
        world: the world; None for a classic.
        users: B.
        seed: of the users.
        gammas: G discounts a step.
        split: which users of the world.
    """
    task, split = _task(variant, world, split)
    found = np.zeros((len(gammas), len(policies), users))
    for start in range(0, users, BLOCK):
        streams = np.arange(start, min(start + BLOCK, users))
        for n, policy in enumerate(policies):
            env = SlateVectorEnv(len(streams), variant=task, world=world, users=split)
            found[:, n, streams] = _returns(for_variant(policy, task), env, streams, seed, gammas)
            env.close()
    return found


def _returns(
    policy: Any,  # noqa: ANN401 - a StochasticPolicy
    env: SlateVectorEnv,
    streams: LongArray,
    seed: int,
    gammas: Sequence[float],
) -> FloatArray:
    """Return the discounted returns of the first episode of each row ``(G, B)``."""
    observation, _ = env.reset(seed=seed, options={"streams": streams})
    alive, step = np.ones(len(streams), dtype=np.bool_), 0
    total, discounts = np.zeros((len(gammas), len(streams))), np.asarray(gammas)[:, None]
    while alive.any():
        rng = np.random.default_rng((_TRUTH_STREAM, seed, int(streams[0]), step))
        slates = np.asarray(policy.act(observation, rng))
        action = slates.reshape(env.action_space.shape)
        observation, reward, terminated, truncated, _ = env.step(action)
        total += np.where(alive, discounts**step * reward, 0.0)
        alive &= ~(terminated | truncated)
        step += 1
    return total
