"""Variants by id: registering one makes `gymnasium.make` and `gymnasium.make_vec` know it."""

import importlib
from collections.abc import Mapping
from typing import Any, cast

import gymnasium

from slategym.envs.entry_points import load_entry_points, problem_of
from slategym.envs.protocol import AnyVariant as AnyVariant
from slategym.errors import UsageError, unknown_name

# Strings, so that a family costs nothing until it is used.
FAMILIES: dict[str, str] = {
    "world": "slategym.envs.variant:Variant",
    "interest_evolution": "slategym.envs.classic_variant:ClassicVariant",
    "interest_exploration": "slategym.envs.classic_variant:ClassicVariant",
    "long_term_satisfaction": "slategym.envs.classic_variant:ClassicVariant",
}
"""Family -> the class whose ``from_json`` makes its variants."""

_VARIANTS: dict[str, AnyVariant] = {}


def register_variant(variant: AnyVariant) -> None:
    """Make `gymnasium.make(variant.id)` and `gymnasium.make_vec(variant.id, n)` work.

    Both take ``privileged=``, ``render_mode=`` and any parameter of the variant as keywords, and
    ``world=`` and ``users=`` where the variant has a world.

    Raises:
        UsageError: the id is taken. A changed number is a new version: choose the next ``-vN``.
    """
    if variant.id in gymnasium.registry:
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
    """Return the registered ids, sorted, with those of installed packages."""
    load_entry_points()
    return tuple(sorted(_VARIANTS))


def registered(variant_id: str) -> AnyVariant | None:
    """Return a registered variant, or None; no package is loaded."""
    return _VARIANTS.get(variant_id)


def get_variant(variant_id: str) -> AnyVariant:
    """Return a registered variant; a package that declares it is loaded.

    Raises:
        UsageError: no such id; the message gives the nearest known one.
    """
    if variant_id not in _VARIANTS:
        load_entry_points(variant_id)
    if variant_id not in _VARIANTS:
        problem = problem_of(variant_id)
        if problem is not None:
            raise UsageError(f"variant {variant_id!r} cannot be used: {problem}.")
        raise unknown_name("variant", variant_id, _VARIANTS)
    return _VARIANTS[variant_id]


def variant_from_json(value: Mapping[str, Any]) -> AnyVariant:
    """Return the variant whose ``to_json`` gave ``value``; ``family`` says which kind it is.

    Raises:
        UsageError: an unknown family, key or value (the message gives the nearest known one).
    """
    family = str(value.get("family", "world"))
    if family not in FAMILIES:
        raise unknown_name("family", family, FAMILIES)
    module, _, name = FAMILIES[family].partition(":")
    return cast("AnyVariant", getattr(importlib.import_module(module), name).from_json(value))


def as_variant(value: AnyVariant | str | Mapping[str, Any]) -> AnyVariant:
    """Return a variant from itself, a registered id, or its JSON form."""
    if isinstance(value, str):
        return get_variant(value)
    return variant_from_json(value) if isinstance(value, Mapping) else value
