"""One episode per user of a batch, as a point of a learning curve."""

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from slategym.agents.policy import Policy


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
        action = policy.act(_seen(policy, observation, info), rng)
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


def _seen(policy: Policy, observation: dict[str, Any], info: dict[str, Any]) -> dict[str, Any]:
    """Return the observation, with the privileged click logit for a policy that declares it."""
    if not getattr(policy, "privileged", False):
        return observation
    return observation | {"privileged_click_logit": info["privileged"]["click_logit"]}
