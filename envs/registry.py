"""Variants by id: registering one makes `gymnasium.make` and `gymnasium.make_vec` know it."""

import importlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import gymnasium

from slategym.envs.tiny import tiny_world
from slategym.envs.variant import Variant
from slategym.envs.world import World
from slategym.errors import UsageError, unknown_name

_VARIANTS: dict[str, Variant] = {}


def register_variant(variant: Variant) -> None:
    """Make `gymnasium.make(variant.id)` and `gymnasium.make_vec(variant.id, n)` work.

    Both take ``world=``, ``users=``, ``privileged=`` and any parameter of the variant's parts
    as keywords.

    Raises:
        UsageError: the id is taken. A changed number is a new version: choose the next ``-vN``.
    """
    if variant.id in _VARIANTS or variant.id in gymnasium.registry:
        raise UsageError(
            f"variant id {variant.id!r} is taken; a changed variant needs a new version or name."
        )
    gymnasium.register(
        id=variant.id,
        entry_point="slategym.envs.single:SlateEnv",
        vector_entry_point="slategym.envs.vector:SlateVectorEnv",
        # The whole variant and not its id: a worker process need not have it registered.
        kwargs={"variant": variant.to_json()},
    )
    _VARIANTS[variant.id] = variant


def list_variants() -> tuple[str, ...]:
    """Return the registered ids, sorted."""
    return tuple(sorted(_VARIANTS))


def get_variant(variant_id: str) -> Variant:
    """Return a registered variant.

    Raises:
        UsageError: no such id; the message gives the nearest known one.
    """
    if variant_id not in _VARIANTS:
        raise unknown_name("variant", variant_id, _VARIANTS)
    return _VARIANTS[variant_id]


def as_variant(value: "Variant | str | dict[str, Any]") -> Variant:
    """Return a variant from itself, a registered id, or its JSON form."""
    if isinstance(value, Variant):
        return value
    return get_variant(value) if isinstance(value, str) else Variant.from_json(value)


def as_world(value: "World | str | Path | None") -> World:
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


register_variant(
    Variant(
        id="slategym/World-v0",
        description="Slates for users fitted from a log, who drift, tire of topics and leave.",
    )
)
