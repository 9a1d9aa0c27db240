"""The same users and items on a platform that knows less: a thin log, cold items, missing content.

A scenario takes public rows or modalities away and makes the public side of a world anew, with
the functions that built it. The simulator's own side, the users and what they want, stays as it
is, bit for bit, so that what an agent loses is what the platform lost.

Letters: N rows of the log, U users, I items, D content dimensions.
"""

import hashlib
import json
import math
import shutil
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slategym.encoders.catalog import MODALITIES
from slategym.envs.arrays import BoolArray, IntArray, LongArray
from slategym.envs.scenario_make import thinned_world
from slategym.envs.world import World
from slategym.envs.world_log import PUBLIC
from slategym.errors import DataError, UsageError, unknown_name
from slategym.files import cache_dir

MOST_COLD = 0.9
_KEPT_IN_MEMORY = 8
# Purposes of the draws: a share of rows, items or users is the same whatever the others are.
_ROWS, _ITEMS, _USERS = 1, 2, 3


@dataclass(frozen=True)
class Scenario:
    """What a platform lacks. The default lacks nothing.

    Raises:
        UsageError: a share out of range, an unknown modality, or a seed that is none.
    """

    sparse: float = 1.0
    """Share of each user's public rows that is kept, in (0, 1]; at least one row a user."""
    cold_items: float = 0.0
    """Share of the items that lose all their public rows, in [0, 0.9]."""
    cold_users: float = 0.0
    """Share of the users that lose all their public rows, in [0, 0.9]."""
    modalities: tuple[str, ...] | None = None
    """Which of text, image and audio exist; None: all that do; (): none."""
    seed: int = 0
    """Chooses rows, items and users. A smaller share is a subset of a larger one."""

    def __post_init__(self) -> None:
        sparse = _share("sparse", self.sparse, 1.0)
        if sparse == 0:
            raise UsageError("sparse is 0; it is the share of public rows kept, in (0, 1].")
        object.__setattr__(self, "sparse", sparse)
        for name in ("cold_items", "cold_users"):
            object.__setattr__(self, name, _share(name, getattr(self, name), MOST_COLD))
        if isinstance(self.seed, bool) or not isinstance(self.seed, int | np.integer):
            raise UsageError(f"the seed of a scenario is {self.seed!r}; it must be a whole number.")
        if self.seed < 0:
            raise UsageError(f"the seed of a scenario is {self.seed}; it must be at least 0.")
        object.__setattr__(self, "seed", int(self.seed))
        if self.modalities is not None:
            object.__setattr__(self, "modalities", _known_modalities(self.modalities))

    @property
    def is_whole(self) -> bool:
        """Whether nothing is taken away."""
        thin = self.sparse < 1 or self.cold_items > 0 or self.cold_users > 0
        return not thin and self.modalities is None

    @property
    def label(self) -> str:
        """The scenario in a few words."""
        words = []
        if self.sparse < 1:
            words.append(f"sparse {self.sparse:g}")
        if self.cold_items or self.cold_users:
            words.append(f"cold items {self.cold_items:g} users {self.cold_users:g}")
        if self.modalities is not None:
            words.append("+".join(self.modalities) or "no content")
        return ", ".join(words) or "whole"

    def to_json(self) -> dict[str, Any]:
        """Return the scenario as plain JSON values."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    def kept_rows(self, world: World) -> LongArray:
        """Return the rows of the log, ascending, that stay public."""
        log, split = world.log, np.asarray(world.log_split)
        public = np.flatnonzero(split == PUBLIC)
        items = _chosen(world.n_items, self.cold_items, (self.seed, _ITEMS))
        users = _chosen(world.n_users, self.cold_users, (self.seed, _USERS))
        rank = _ranks(log.users[public], (self.seed, _ROWS))
        count = log.user_counts(public)[log.users[public]]
        most = np.maximum(np.ceil(self.sparse * count - 1e-9), 1)
        warm = ~items[log.items[public]] & ~users[log.users[public]]
        return np.asarray(public[(rank < most) & warm], dtype=np.int64)

    def apply(self, world: World) -> World:
        """Return the world under this scenario; see `apply_scenario`."""
        if self.is_whole:
            return world
        self._check(world)
        key = self._key(world)
        if key in _MADE:
            _MADE.move_to_end(key)
            return _MADE[key]
        made = _from_disk(key)
        if made is None:
            made = thinned_world(
                world,
                self.kept_rows(world),
                self.modalities,
                name=f"{world.info.name} ({self.label})",
                facts=self.to_json() | {"of": world.hash},
            )
            made = _to_disk(made, key)
        _MADE[key] = made
        while len(_MADE) > _KEPT_IN_MEMORY:
            _MADE.popitem(last=False)
        return made

    def _check(self, world: World) -> None:
        """Refuse a world that keeps no log, or lacks a modality that is asked for."""
        if not world.has_log:
            raise DataError(
                f"world {world.info.name!r} keeps no log to make a scenario from, for an older "
                "slategym built it; build it again from its catalogue and log."
            )
        there = [name for name in MODALITIES if getattr(world, f"item_{name}") is not None]
        for name in self.modalities or ():
            if name not in there:
                raise UsageError(
                    f"modalities names {name!r}, which no item of world {world.info.name!r} has; "
                    f"it has {', '.join(there) or 'none'}."
                )

    def _key(self, world: World) -> str:
        """Return what names the result in the cache."""
        from slategym.envs.build import BUILD_VERSION

        facts = [world.hash, self.to_json(), BUILD_VERSION]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


_MADE: "OrderedDict[str, World]" = OrderedDict()


def apply_scenario(
    world: World,
    *,
    sparse: float = 1.0,
    cold_items: float = 0.0,
    cold_users: float = 0.0,
    modalities: Sequence[str] | None = None,
    seed: int = 0,
) -> World:
    """Return the world whose public side was made from less; itself if nothing is taken away.

    Public factors, item table, popularity and histories are made anew from the rows that stay
    public, with the builder's own functions. The simulator's side is that of ``world``, bit for
    bit. Rows taken away are in split 3 of the log. ``info.metrics`` measures the new public model
    on the same test rows. The result is kept on disk in the cache folder, and in memory.

    Args:
        world: one that keeps its log.
        sparse: share of each user's public rows kept, in (0, 1]; the rows kept at 0.1 are among
            those kept at 0.3.
        cold_items: share of the items without any public row, in [0, 0.9]: their public factors
            come from their content alone.
        cold_users: share of the users without any public row, in [0, 0.9].
        modalities: the content that exists, of "text", "image" and "audio"; () for none: then
            topics, popularity and collaborative factors are all that is known of an item.
        seed: of what is taken away.

    Raises:
        UsageError: a share out of range, an unknown modality, or one the world lacks.
        DataError: the world keeps no log, or too little is left of it to fit.
    """
    chosen = None if modalities is None else _listed(modalities)
    return Scenario(sparse, cold_items, cold_users, chosen, seed).apply(world)


def scenario_from_keywords(
    *,
    sparse: float | None = None,
    cold_start: float | Sequence[float] | None = None,
    modalities: str | Sequence[str] | None = None,
    seed: int = 0,
) -> Scenario:
    """Return the scenario that an environment's keywords ask for.

    Args:
        sparse: share of the public log kept; None: all.
        cold_start: share of items and of users without history, a number for both or a pair
            (items, users); None: none.
        modalities: names, or one text such as "text" or "text,image"; "" or () for no content;
            None: all there is.
        seed: of what is taken away.

    Raises:
        UsageError: a share out of range, a pair that is none, an unknown modality.
    """
    cold: tuple[float, ...] = (0.0, 0.0)
    if cold_start is not None:
        several = isinstance(cold_start, Sequence | np.ndarray) and not isinstance(cold_start, str)
        cold = tuple(cold_start) if several else (cold_start, cold_start)  # type: ignore[arg-type, assignment]
    if len(cold) != 2:
        raise UsageError(
            f"cold_start is {cold_start!r}; give one share for items and users, or a pair "
            "(items, users)."
        )
    return Scenario(
        sparse=1.0 if sparse is None else sparse,
        cold_items=cold[0],
        cold_users=cold[1],
        modalities=None if modalities is None else _listed(modalities),
        seed=seed,
    )


def _share(name: str, value: object, most: float) -> float:
    """Return a share in [0, most], or refuse it."""
    number = value if isinstance(value, int | float | np.number) else math.nan
    if isinstance(value, bool) or not 0 <= number <= most:
        low = "(0" if name == "sparse" else "[0"
        raise UsageError(f"{name} is {value!r}; it is a share and must be in {low}, {most:g}].")
    return float(number)


def _listed(modalities: object) -> tuple[str, ...]:
    """Return modalities named by a sequence, or by a text with commas."""
    if isinstance(modalities, str):
        return tuple(part.strip() for part in modalities.split(",") if part.strip())
    if not isinstance(modalities, Sequence | set | frozenset):
        raise UsageError(
            f"modalities is {modalities!r}; give names out of {', '.join(MODALITIES)}."
        )
    return tuple(modalities)


def _known_modalities(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return known modalities in their usual order, each once."""
    for name in names:
        if name not in MODALITIES:
            raise unknown_name("modality", str(name), MODALITIES)
    return tuple(name for name in MODALITIES if name in names)


def _chosen(count: int, share: float, seed: tuple[int, int]) -> BoolArray:
    """Return a mask (count,) of that share; with the same seed, a smaller one is a subset."""
    mask = np.zeros(count, dtype=np.bool_)
    mask[np.random.default_rng(seed).permutation(count)[: round(share * count)]] = True
    return mask


def _ranks(users: IntArray, seed: tuple[int, int]) -> LongArray:
    """Return a random rank of each row among those of its user, (N,), from 0."""
    order = np.lexsort((np.random.default_rng(seed).random(len(users)), users))
    first = np.searchsorted(users[order], users[order], side="left")
    rank = np.empty(len(users), dtype=np.int64)
    rank[order] = np.arange(len(users)) - first
    return rank


def _folder(key: str) -> Path:
    """Return where a result is kept."""
    return cache_dir() / "scenarios" / key[:32]


def _from_disk(key: str) -> World | None:
    """Return a kept result, or None if there is none or it is damaged."""
    try:
        return World.open(_folder(key))
    except DataError:
        return None


def _to_disk(world: World, key: str) -> World:
    """Keep a result and return it mapped from the disk, or as it is where it cannot be kept."""
    folder = _folder(key)
    try:
        if folder.exists():  # damaged, or it would have been opened
            shutil.rmtree(folder)
        world.save(folder)
    except OSError:
        return world
    return World.open(folder)
