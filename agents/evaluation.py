"""One episode per user of a batch, as a point of a learning curve."""

import numpy as np
from gymnasium.vector import VectorEnv

from slategym.agents.policy import Policy, with_privileged


def evaluate(policy: Policy, venv: VectorEnv, seed: int) -> dict[str, float]:
    """Return mean return, length and clicks of the first episode of each row.

    Args:
        policy: chooses the slates.
        venv: a batched slate environment with ``ids`` observations.
        seed: decides users and luck; the same seed gives every policy the same.
    """
    observation, info = venv.reset(seed=seed)
    rng = np.random.default_rng(seed)
    alive = np.ones(venv.num_envs, bool)
    total, length, clicks = np.zeros((3, venv.num_envs))
    while alive.any():
        action = policy.act(with_privileged(policy, observation, info), rng)
        observation, reward, terminated, truncated, info = venv.step(action)
        total += alive * reward
        length += alive
        clicks += alive * info["response"]["click"].sum(1)
        alive &= ~(terminated | truncated)
    return {
        "return": float(total.mean()),
        "length": float(length.mean()),
        "clicks": float(clicks.mean()),
    }
