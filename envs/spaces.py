"""The observation and action spaces of a variant over a world."""

from typing import Any

import numpy as np
from gymnasium import spaces

from slategym.envs.arrays import FloatArray
from slategym.envs.physics import CONTEXT_TOP, EXPOSURE_DECAY
from slategym.envs.state import PRICE, Items, Views
from slategym.envs.variant import Variant
from slategym.envs.world import World

CONTEXT_SCALARS = 6
"""Entries that open the context, before consumed and shown topic exposure."""

# Choices that take one item at most; a choice of one's own may take the whole slate.
_TAKES_ONE = ("logit", "proportional", "exp_cascade", "prop_cascade")


def extra_context(variant: Variant) -> int:
    """Return E, the entries that close the context: 4 about sessions, 1 about money spent."""
    returning, purchase = variant.find("returning"), variant.find("purchase")
    return (4 if returning else 0) + (1 if purchase else 0)


def trait_names(variant: Variant) -> tuple[str, ...]:
    """Return what ``candidate_traits`` holds of each candidate, in order."""
    named = {"satisfaction": "clickbait", "ageing": "freshness", "purchase": "log_price"}
    return tuple(trait for part, trait in named.items() if variant.find(part) is not None)


def observation_space(
    variant: Variant, world: World, items: Items, views: Views, user: int
) -> spaces.Dict:
    """Return the space of one user's observation; every bound is finite.

    ``user`` (Du,) is the profile or the user's state; ``history`` the last H items taken, newest
    last; ``history_feedback`` holds per place [present, watch fraction or past value in [0, 1],
    recency weight in (0, 1]]; ``candidates`` the C items to choose from (absent if they are the
    whole catalogue); ``candidate_traits``, where the parts ask for it, per candidate clickbait in
    [0, 1], freshness in [0, 1] and ln(price / median price); ``query`` (D,), with part "needs",
    what the visit began with a search for. ``context`` is [step / horizon, last click, last watch
    fraction, clicks / 20, minutes / 100, 0], the decayed topic exposure of consumed items (Z) and
    of slates (Z), then, with part "returning", [session / 10, days away / 7, day / days, minutes
    used / 100], and with part "purchase", [spent / 10 median prices].

    With ``observation="features"`` all entries are flat vectors (reshape ``history`` to (H, D),
    ``history_feedback`` to (H, 3), ``candidates`` to (C, D)), for Stable-Baselines3 warns of
    matrices. With ``observation="ids"``, ``history`` is (H,) with I as padding, ``candidates``
    is (C,), and ``history_feedback`` is (H, 3). With ``observation="latent"``, item vectors are
    the hidden model's [bias, factors], and ``user`` is [bias, taste, satiation].

    Args:
        variant: the task.
        world: the world.
        items: what a step reads of the catalogue.
        views: what observations are made of.
        user: Du.
    """
    length, count = world.user_history.shape[1], variant.num_candidates
    ids, table = variant.observation == "ids", views.vectors
    listed, width = variant["candidates"].name != "catalogue", views.vectors.shape[1]
    entries: dict[str, spaces.Space[Any]] = {"user": _user_box(variant, views, user)}
    entries["history"] = (
        spaces.Box(0, world.n_items, (length,), np.int32) if ids else _box(table, length * width)
    )
    feedback = (length, 3) if ids else (length * 3,)
    entries["history_feedback"] = spaces.Box(0.0, 1.0, feedback, np.float32)
    if listed:
        entries["candidates"] = (
            spaces.Box(0, world.n_items - 1, (count,), np.int32)
            if ids
            else _box(table, count * width)
        )
    traits = len(trait_names(variant))
    if traits and listed:
        top = float(np.ceil(max(1.0, np.abs(np.log(items.rows[:, PRICE])).max(initial=0.0))))
        shape = (count, traits) if ids else (count * traits,)
        entries["candidate_traits"] = spaces.Box(-top, top, shape, np.float32)
    size = CONTEXT_SCALARS + 2 * world.n_topics + extra_context(variant)
    longest = float(world.item_duration.max())
    entries["context"] = spaces.Box(0.0, _context_top(variant, longest), (size,), np.float32)
    if variant.find("needs") is not None:
        entries["query"] = _box(views.topics, views.topics.shape[1])
    return spaces.Dict(entries)


def _user_box(variant: Variant, views: Views, width: int) -> spaces.Box:
    """Return the space of the user's entry."""
    if variant.observation == "latent":
        # Tastes are normal around the fitted ones, and satiation is a decayed sum: 1000 is far.
        return spaces.Box(-1000.0, 1000.0, (width,), np.float32)
    wide = max(np.abs(views.profile).max(initial=0.0), np.abs(views.language).max(initial=0.0))
    return _box(np.array([wide], np.float32), width)


def _box(table: FloatArray, size: int) -> spaces.Box:
    """Return the space of a flat vector under one bound for all columns of a table.

    One bound, so that a printed space is a line and not a wall of numbers.
    """
    bound = float(np.ceil(max(float(np.abs(table).max(initial=0.0)), 1.0)))
    return spaces.Box(-bound, bound, (size,), np.float32)


def _context_top(variant: Variant, longest: float) -> float:
    """Return an upper bound of every context entry; ``longest`` is in minutes."""
    # A topic's exposure is at most 1 + d + d^2 + ... per item; the margin covers rounding.
    several = 1 if variant["choice"].name in _TAKES_ONE else variant.slate_size
    exposure = several * 1.001 / (1 - EXPOSURE_DECAY)
    steps = several * variant.horizon
    most = max(1.0, steps / 20, steps * longest / 100, exposure)
    most = max(most, CONTEXT_TOP) if extra_context(variant) else most
    return float(np.ceil(most * 1.0001))
