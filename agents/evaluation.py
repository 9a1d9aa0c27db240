"""One episode per user of a batch, as a point of a learning curve."""

import numpy as np
from gymnasium.vector import VectorEnv

from slategym.agents.constraint import Signal
from slategym.agents.policy import Policy, with_privileged


def evaluate(
    policy: Policy, venv: VectorEnv, seed: int, signal: Signal | None = None
) -> dict[str, float]:
    """Return mean return, length and clicks of the first episode of each row.

    Args:
        policy: chooses the slates.
        venv: a batched slate environment with ``ids`` observations.
        seed: decides users and luck; the same seed gives every policy the same.
        signal: its mean over all slates shown is added under "signal".
    """
    observation, info = venv.reset(seed=seed)
    rng = np.random.default_rng(seed)
    alive = np.ones(venv.num_envs, bool)
    total, length, clicks, signals = np.zeros((4, venv.num_envs))
    while alive.any():
        action = policy.act(with_privileged(policy, observation, info), rng)
        observation, reward, terminated, truncated, info = venv.step(action)
        total += alive * reward
        length += alive
        clicks += alive * info["response"]["click"].sum(1)
        signals += 0.0 if signal is None else alive * signal(info)
        alive &= ~(terminated | truncated)
    found = {
        "return": float(total.mean()),
        "length": float(length.mean()),
        "clicks": float(clicks.mean()),
    }
    return found if signal is None else found | {"signal": float(signals.sum() / length.sum())}
