"""Users and items that training never meets, on which it is judged on the way.

The world's own held-out users stay untouched for `bench`: those of here are set aside from its
training users, and are the same for every seed of a run.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from slategym.envs.part import number, register_part
from slategym.envs.parts_change import Change
from slategym.envs.world import World
from slategym.errors import DataError, UsageError

if TYPE_CHECKING:
    from slategym.envs.reference_scene import Scene

TRAIN, OTHER = "train", "held_out"
# Which users and items are held out does not depend on a run's seed.
_SEED = 20_261_125
_USERS, _ITEMS = 1, 2


def set_aside(world: World, share: float) -> tuple[World, World]:
    """Return a world for training and one for validation: they differ in who its users are.

    In each, split "train" are its own users; nobody else is drawn in an environment over them.

    Args:
        world: the world.
        share: of its training users that validation takes, in (0, 1).

    Raises:
        DataError: too few training users for both.
    """
    rows = world.user_rows(TRAIN)
    count = round(share * len(rows))
    if not 0 < count < len(rows):
        raise DataError(
            f"world {world.info.name!r} has {len(rows)} training users; validation_users = "
            f"{share:g} of them are {count}, and both groups need at least one."
        )
    order = np.random.default_rng([_SEED, _USERS]).permutation(len(rows))
    return _of(world, rows[order[count:]]), _of(world, rows[order[:count]])


def _of(world: World, rows: NDArray[np.integer]) -> World:
    """Return the world with these users in split "train" and all others out of it."""
    mine = np.isin(np.arange(world.n_users), rows)
    return replace(world, users=world.users.assign(split=np.where(mine, TRAIN, OTHER)))


@lru_cache(maxsize=8)
def held_items(items: int, share: float) -> NDArray[np.bool_]:
    """Return which of I items are held out ``(I,)``.

    Args:
        items: I.
        share: of them.
    """
    order = np.random.default_rng([_SEED, _ITEMS]).permutation(items)
    held = np.asarray(order < round(share * items))
    held.flags.writeable = False
    return held


@register_part
@dataclass(frozen=True)
class HeldItems(Change):
    """Lets only the items that are not held out be shown, or only those that are."""

    name = "held_items"
    held_share: float = number(0.2, 0.0, 0.9, "share of the catalogue that is held out")
    held_shown: float = number(0.0, 0.0, 1.0, "1: only held-out items are shown; 0: only others")

    def available(self, scene: "Scene", items: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return (B, N) whether each of ``items`` may be shown."""
        held = held_items(scene.world.n_items, self.held_share)
        return np.asarray(held[items] == (self.held_shown > 0))


def check_items(items: int, share: float, candidates: int) -> None:
    """Refuse a share that leaves too few items to be candidates, in training or held out.

    Args:
        items: I.
        share: held out.
        candidates: C.

    Raises:
        UsageError: there are fewer than C on one side.
    """
    held = int(held_items(items, share).sum())
    if min(held, items - held) < candidates:
        raise UsageError(
            f"validation_items = {share:g} holds out {held} of {items} items; {candidates} "
            "candidates need as many on both sides: change the share or env.num_candidates."
        )
