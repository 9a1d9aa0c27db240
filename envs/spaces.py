"""The observation and action spaces of a variant over a world."""

import numpy as np
from gymnasium import spaces

from slategym.envs.arrays import FloatArray
from slategym.envs.physics import EXPOSURE_DECAY
from slategym.envs.variant import Variant
from slategym.envs.world import World


def action_space(variant: Variant) -> spaces.Discrete | spaces.MultiDiscrete:
    """Return K positions in [0, C): `Discrete` for slates of one, else `MultiDiscrete`."""
    if variant.slate_size == 1:
        return spaces.Discrete(variant.num_candidates)
    return spaces.MultiDiscrete([variant.num_candidates] * variant.slate_size)


def observation_space(world: World, variant: Variant) -> spaces.Dict:
    """Return the space of one user's observation; every bound is finite and attained or safe.

    With ``observation="features"`` all entries are flat vectors (reshape ``history`` to (H, D),
    ``history_feedback`` to (H, 3), ``candidates`` to (C, D)), for Stable-Baselines3 warns of
    matrices. With ``observation="ids"``, ``history`` is (H,) with I as padding, ``candidates``
    is (C,), and ``history_feedback`` is (H, 3).
    """
    length, count = world.user_history.shape[1], variant.num_candidates
    ids = variant.observation == "ids"
    if ids:
        history: spaces.Space[object] = spaces.Box(0, world.n_items, (length,), np.int32)
        candidates: spaces.Space[object] = spaces.Box(0, world.n_items - 1, (count,), np.int32)
    else:
        low, high = _bounds(world.item_vectors)
        history = spaces.Box(np.tile(low, length), np.tile(high, length), dtype=np.float32)
        candidates = spaces.Box(np.tile(low, count), np.tile(high, count), dtype=np.float32)
    low, high = _bounds(world.user_profile)
    top = _context_top(world, variant)
    return spaces.Dict(
        {
            "user": spaces.Box(low, high, dtype=np.float32),
            "history": history,
            "history_feedback": spaces.Box(
                0.0, 1.0, (length, 3) if ids else (length * 3,), np.float32
            ),
            "candidates": candidates,
            "context": spaces.Box(np.zeros_like(top), top, dtype=np.float32),
        }
    )


def _bounds(table: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the least and greatest value of each column, widened so that zero is inside.

    A constant column gets room on both sides, for an empty interval is no bound.
    """
    low = np.minimum(table.min(axis=0), 0.0)
    high = np.maximum(table.max(axis=0), 0.0)
    flat = low == high
    return (low - flat).astype(np.float32), (high + flat).astype(np.float32)


def _context_top(world: World, variant: Variant) -> FloatArray:
    """Return the greatest value of each entry of the context."""
    longest = float(world.item_duration.max())
    top = np.ones(6 + 2 * world.n_topics)
    top[3] = variant.horizon / 20
    top[4] = max(variant.horizon * longest / 100, 1e-3)
    # A topic's exposure is at most 1 + d + d^2 + ... ; the margin covers rounding to float32.
    top[6:] = 1.001 / (1 - EXPOSURE_DECAY)
    return np.asarray(top * 1.0001, dtype=np.float32)
