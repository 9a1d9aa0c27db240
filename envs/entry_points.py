"""Variants that installed packages bring: known by name at once, imported when first needed.

A package declares, under the entry point group ``slategym.variants``, a variant's id and where
it is made::

    [project.entry-points."slategym.variants"]
    "acme/Boutique-v0" = "acme_boutique:BOUTIQUE"

The object is a variant, an iterable of variants, or a function without arguments that returns
either, or that registers them itself. The name is the id, so that `gymnasium.make` knows it
without importing the package; under any other name, the variants are known once
`list_variants` has been called or an unknown id has been asked for.
"""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import gymnasium

GROUP = "slategym.variants"
_ID = re.compile(r"^[A-Za-z][\w-]*/[A-Za-z][\w-]*-v\d+$")
_LOG = logging.getLogger("slategym")


@dataclass(frozen=True)
class BrokenEntryPoint:
    """An installed package's entry point that could not be used."""

    name: str
    distribution: str
    problem: str
    """What went wrong, as one sentence without its full stop."""


_waiting: dict[tuple[str, str], metadata.EntryPoint] = {}  # (distribution, name), not yet loaded
_announced: dict[str, gymnasium.envs.registration.EnvSpec] = {}  # id -> what stands in for it
_broken: list[BrokenEntryPoint] = []


def announce() -> None:
    """Tell Gymnasium the ids that installed packages declare; none of them is imported."""
    found = {(_distribution(entry), entry.name): entry for entry in _entry_points()}
    for key in sorted(found):
        name = key[1]
        if _ID.match(name) is None:
            _waiting[key] = found[key]
        elif name in gymnasium.registry:
            _report(found[key], f"the id {name!r} is taken")
        else:
            gymnasium.register(
                id=name,
                entry_point="slategym.envs.single:SlateEnv",
                vector_entry_point="slategym.envs.vector:SlateVectorEnv",
                kwargs={"variant": name},  # looked up, and so loaded, when it is made
            )
            _announced[name] = gymnasium.registry[name]
            _waiting[key] = found[key]


def load_entry_points(variant_id: str | None = None) -> None:
    """Load what installed packages declare: a single id if it is declared, else everything.

    A package that fails is left out with one warning that names it (logger ``slategym``), and is
    listed by `broken_entry_points`.
    """
    named = [key for key in _waiting if key[1] == variant_id]
    for key in named or list(_waiting):
        entry = _waiting.pop(key, None)  # None: one loaded before it has loaded this one too
        if entry is not None:
            _load(entry)


def broken_entry_points() -> tuple[BrokenEntryPoint, ...]:
    """Return the entry points that failed so far."""
    return tuple(_broken)


def problem_of(variant_id: str) -> str | None:
    """Return why an id that a package declares is not there, or None if none declares it."""
    for one in _broken:
        if one.name == variant_id:
            return f"package {one.distribution!r} declares it, but {one.problem}"
    return None


def _entry_points() -> Iterable[metadata.EntryPoint]:
    return metadata.entry_points(group=GROUP)


def _distribution(entry: metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "unknown"


def _load(entry: metadata.EntryPoint) -> None:
    """Import one entry point and register what it gives."""
    from slategym.envs.registry import registered

    # Its variants take the place of their announcements, in whatever way they are registered.
    stood_in = {name: gymnasium.registry.pop(name, None) for name in _announced}
    try:
        _register(entry.load())
        if _ID.match(entry.name) and registered(entry.name) is None:
            _report(entry, f"{entry.value!r} does not give a variant of that id")
    except Exception as error:  # a stranger's code may raise anything
        _report(entry, f"{type(error).__name__}: {error}")
    for name, spec in stood_in.items():
        if name in gymnasium.registry:
            del _announced[name]
            for key in [key for key in _waiting if key[1] == name]:
                del _waiting[key]
        elif spec is not None:
            gymnasium.registry[name] = spec


def _register(value: Any) -> None:  # noqa: ANN401 - whatever a package declares
    """Register a variant, an iterable of them, or what a function returns."""
    from slategym.envs.registry import AnyVariant, register_variant, registered

    if callable(value) and not isinstance(value, AnyVariant):
        value = value()
    if value is None:  # a function that registered its variants itself
        return
    for variant in [value] if isinstance(value, AnyVariant) else value:
        if not isinstance(variant, AnyVariant):
            raise TypeError(f"it gives {variant!r}, which is not a variant")
        if registered(variant.id) != variant:
            register_variant(variant)


def _report(entry: metadata.EntryPoint, problem: str) -> None:
    """Note a broken entry point and warn in one line."""
    problem = " ".join(problem.split()).rstrip(".")
    one = BrokenEntryPoint(entry.name, _distribution(entry), problem)
    _broken.append(one)
    _LOG.warning("package %s: variant %s is left out: %s", one.distribution, one.name, problem)
