"""Worlds by name or folder, and the simulation of a variant over one."""

import importlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from slategym.envs.protocol import AnyVariant, Simulation
from slategym.envs.tiny import tiny_world
from slategym.envs.world import World
from slategym.errors import UsageError

if TYPE_CHECKING:
    from slategym.envs.variant import Variant


def as_world(value: World | str | Path | None) -> World:
    """Return a world from itself, a folder, "tiny" or None (the tiny synthetic one), or a call.

    Args:
        value: "module:function" names a function without arguments that returns a World.

    Raises:
        UsageError: "module:function" does not give a World.
        DataError: the folder is not a sound world.
    """
    if isinstance(value, World):
        return value
    if value is None or value == "tiny":
        return tiny_world()
    text = str(value)
    module, colon, function = text.partition(":")
    if colon and module.replace(".", "").isidentifier() and function.isidentifier():
        return _called(module, function)
    return _opened(str(Path(text).resolve()), _stamp(Path(text)))


def simulate(
    variant: "Variant", batch: int, world: World | str | Path | None, users: str
) -> Simulation:
    """Return ``batch`` users of a world in a task: compiled, or in NumPy for parts of your own."""
    from slategym.envs.parts import BUILT_IN
    from slategym.envs.simulation import WorldSimulation

    opened = world_of(variant, world)
    if all(type(part) in BUILT_IN for part in variant.parts):
        return WorldSimulation(opened, variant, batch, users)
    from slategym.envs.own_parts import OwnPartsSimulation

    return OwnPartsSimulation(opened, variant, batch, users)


def world_of(variant: AnyVariant, world: World | str | Path | None) -> World:
    """Return the world as the platform of a variant's scenario knows it."""
    from slategym.envs.variant import Variant

    opened = as_world(world)
    if not isinstance(variant, Variant):
        return opened
    if variant.sparse < 1.0 or any(variant.cold_start) or variant.modalities is not None:
        from slategym.envs.scenario import apply_scenario

        items, people = variant.cold_start
        opened = apply_scenario(
            opened,
            sparse=variant.sparse,
            cold_items=items,
            cold_users=people,
            modalities=variant.modalities,
        )
    return opened


def _called(module: str, function: str) -> World:
    try:
        world = getattr(importlib.import_module(module), function)()
    except (ImportError, AttributeError) as error:
        raise UsageError(f"world '{module}:{function}' cannot be loaded: {error}.") from None
    if not isinstance(world, World):
        raise UsageError(f"world '{module}:{function}' returned {type(world).__name__}, no World.")
    return world


def _stamp(folder: Path) -> int:
    """Return when the manifest was written, so that a rebuilt world is opened anew."""
    manifest = folder / "world.json"
    return manifest.stat().st_mtime_ns if manifest.is_file() else 0


@lru_cache(maxsize=4)
def _opened(folder: str, _: int) -> World:
    """Open a folder once per process, for environments are made by the hundred."""
    return World.open(folder)
