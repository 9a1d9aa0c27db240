"""The observation and action spaces of a variant over a world."""

import numpy as np
from gymnasium import spaces

from slategym.envs.arrays import FloatArray
from slategym.envs.physics import EXPOSURE_DECAY
from slategym.envs.variant import Variant
from slategym.envs.world import World

CONTEXT_SCALARS = 6  # that open the context, before consumed and shown topic exposure


def action_space(variant: Variant) -> spaces.Discrete | spaces.MultiDiscrete:
    """Return K positions in [0, C): `Discrete` for slates of one, else `MultiDiscrete`."""
    if variant.slate_size == 1:
        return spaces.Discrete(variant.num_candidates)
    return spaces.MultiDiscrete([variant.num_candidates] * variant.slate_size)


def observation_space(world: World, variant: Variant) -> spaces.Dict:
    """Return the space of one user's observation; every bound is finite.

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
        history = _box(world.item_vectors, length)
        candidates = _box(world.item_vectors, count)
    return spaces.Dict(
        {
            "user": _box(world.user_profile, 1),
            "history": history,
            "history_feedback": spaces.Box(
                0.0, 1.0, (length, 3) if ids else (length * 3,), np.float32
            ),
            "candidates": candidates,
            "context": spaces.Box(
                0.0, _context_top(world, variant), (CONTEXT_SCALARS + 2 * world.n_topics,)
            ),
        }
    )


def _box(table: FloatArray, rows: int) -> spaces.Box:
    """Return the space of ``rows`` rows of a table, flat, under one bound for all columns.

    One bound, so that a printed space is a line and not a wall of numbers.
    """
    bound = float(np.ceil(max(float(np.abs(table).max(initial=0.0)), 1.0)))
    return spaces.Box(-bound, bound, (rows * table.shape[1],), np.float32)


def _context_top(world: World, variant: Variant) -> float:
    """Return a bound on every entry of the context."""
    longest = float(world.item_duration.max())
    # A topic's exposure is at most 1 + d + d^2 + ... ; the margin covers rounding to float32.
    exposure = 1.001 / (1 - EXPOSURE_DECAY)
    most = max(1.0, variant.horizon / 20, variant.horizon * longest / 100, exposure)
    return float(np.ceil(most * 1.0001))
