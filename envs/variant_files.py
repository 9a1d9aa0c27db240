"""Variants written down in YAML or JSON files: whole ones, and changes of known ones.

A file holds one variant, or several under ``variants:``. A variant is either whole, in the form
of `to_json`, or a known one with changes::

    id: acme/Impatient-v0
    base: slategym/World-v0
    set:
      patience: 2
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slategym.envs.part import as_part
from slategym.envs.registry import (
    AnyVariant,
    get_variant,
    list_variants,
    register_variant,
    variant_from_json,
)
from slategym.envs.variant_source import Keys, Source, read_source
from slategym.errors import UsageError, nearest, unknown_name

CHANGE_KEYS = ("id", "base", "description", "world", "set", "parts", "without")
"""What a variant with a ``base`` may say."""
_ONLY_WITH_BASE = ("set", "without")


def load_variants(path: str | Path) -> list[AnyVariant]:
    """Return the variants of a YAML or JSON file, in its order; none is registered.

    A variant with ``base`` is that variant (registered, or earlier in the file) with the
    parts named under ``without`` left out, those under ``parts`` added or put in the place of
    theirs, and the parameters under ``set`` changed. In a whole variant ``parts`` are exactly
    its parts. A ``world`` is a folder relative to the file, "tiny" or "module:function".

    Args:
        path: a file named .yaml, .yml or .json.

    Raises:
        DataError: the file is missing, too large or malformed.
        UsageError: a variant in it is not sound: an unknown key, parameter, part or base (the
            message gives the nearest), a value out of range, an id that comes twice. The message
            begins with file, line and key path.
    """
    source = read_source(Path(path))
    made: dict[str, AnyVariant] = {}
    for keys, entry in _entries(source):
        variant = _variant(source, keys, entry, made)
        if variant.id in made:
            raise UsageError(
                f"{source.where((*keys, 'id'))}: id {variant.id!r} comes twice in this file; "
                "give each variant its own."
            )
        made[variant.id] = variant
    return list(made.values())


def register_variants_from(path: str | Path) -> tuple[str, ...]:
    """Register the variants of a file with Gymnasium, all or none, and return their ids.

    One that is registered already and is the same is left as it is, so that a notebook may run
    the cell again.

    Raises:
        DataError: as `load_variants`.
        UsageError: as `load_variants`, or another variant of that id is registered.
    """
    variants = load_variants(path)
    known = list_variants()
    new = [v for v in variants if v.id not in known or get_variant(v.id) != v]
    for variant in new:
        if variant.id in known:
            raise UsageError(
                f"{path}: variant id {variant.id!r} is taken by another variant; "
                "a changed variant needs a new version or name."
            )
    for variant in new:
        register_variant(variant)
    return tuple(variant.id for variant in variants)


def _entries(source: Source) -> list[tuple[Keys, Any]]:
    """Return each variant of a file with its key path."""
    value = source.value
    if not isinstance(value, dict):
        raise UsageError(
            f"{source.where()}: a variant file holds one variant (a mapping with 'id'), or "
            f"'variants:' with a list of them; got {_told(value)}."
        )
    if "variants" not in value:
        return [((), value)]
    for key in value:
        if key != "variants":
            raise UsageError(
                f"{source.where((key,))}: beside 'variants' nothing else is allowed; got {key!r}."
            )
    listed = value["variants"]
    if not isinstance(listed, list) or not listed:
        raise UsageError(
            f"{source.where(('variants',))}: 'variants' must be a list with at least one variant; "
            f"got {_told(listed)}."
        )
    return [(("variants", place), entry) for place, entry in enumerate(listed)]


def _variant(
    source: Source, keys: Keys, entry: object, made: Mapping[str, AnyVariant]
) -> AnyVariant:
    """Return one variant of a file; an error begins with where it stands."""
    if not isinstance(entry, dict):
        raise UsageError(
            f"{source.where(keys)}: a variant must be a mapping with 'id'; got {_told(entry)}."
        )
    if "id" not in entry:
        near = nearest("id", entry) if "base" not in entry else ""
        raise UsageError(f"{source.where(keys)}: a variant needs an 'id'.{near}")
    plain = {**entry}
    if plain.get("world") is not None:
        plain["world"] = _located(source, (*keys, "world"), plain["world"])
    if not isinstance(plain.get("description", ""), str):
        raise UsageError(
            f"{source.where((*keys, 'description'))}: 'description' must be text; "
            f"got {_told(plain['description'])}."
        )
    if "base" in plain:
        return _changed(source, keys, plain, made)
    for key in _ONLY_WITH_BASE:
        if key in plain:
            raise UsageError(
                f"{source.where((*keys, key))}: {key!r} changes a known variant; name it with "
                "'base', for example base: slategym/World-v0."
            )
    return _whole(source, keys, plain)


def _whole(source: Source, keys: Keys, plain: dict[str, Any]) -> AnyVariant:
    """Return a variant from its JSON form."""
    if isinstance(plain.get("parts"), list):
        _check_parts(source, (*keys, "parts"), plain["parts"])
    return _built(source, keys, variant_from_json, plain, ("id", "family"))


def _changed(
    source: Source, keys: Keys, plain: dict[str, Any], made: Mapping[str, AnyVariant]
) -> AnyVariant:
    """Return a known variant with changes."""
    for key in plain:
        if key not in CHANGE_KEYS:
            hint = nearest(key, CHANGE_KEYS) or " A parameter goes under 'set'."
            raise UsageError(
                f"{source.where((*keys, key))}: a variant with 'base' has no key {key!r}.{hint} "
                f"Known: {', '.join(CHANGE_KEYS)}."
            )
    base = _base(source, (*keys, "base"), plain["base"], made)
    changes = plain.get("set") or {}
    if not isinstance(changes, dict):
        raise UsageError(
            f"{source.where((*keys, 'set'))}: 'set' must map parameters to values; "
            f"got {_told(changes)}."
        )
    told = base.to_json() | {"description": _description(plain, base, changes)}
    variant = _built(source, keys, lambda given: variant_from_json({**told, **given}), _own(plain))
    if isinstance(plain.get("parts"), list):
        _check_parts(source, (*keys, "parts"), plain["parts"])
    names = ("without", "parts")
    exchanged: dict[str, Any] = {key: plain[key] for key in names if key in plain}
    variant = _built(source, keys, lambda given: variant.override(**given), exchanged)
    return _built(source, (*keys, "set"), lambda given: variant.override(**given), changes)


def _own(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a change says beside the parameters and parts."""
    return {key: plain[key] for key in ("id", "description", "world") if key in plain}


def _base(source: Source, keys: Keys, name: object, made: Mapping[str, AnyVariant]) -> AnyVariant:
    """Return the variant a change begins with: one of this file, or a registered one."""
    if isinstance(name, str) and name in made:
        return made[name]
    try:
        return get_variant(str(name))
    except UsageError:
        known = [*made, *list_variants()]
        raise UsageError(
            f"{source.where(keys)}: {unknown_name('base', str(name), known)}"
        ) from None


def _description(plain: Mapping[str, Any], base: AnyVariant, changes: Mapping[str, Any]) -> object:
    """Return what is said of a changed variant; by default what was changed."""
    if "description" in plain:
        return plain["description"]
    told = ", ".join(f"{name} = {value}" for name, value in changes.items())
    return f"{base.id} with {told}." if told else f"{base.id} with other parts."


def _check_parts(source: Source, keys: Keys, parts: Iterable[Any]) -> None:
    """Refuse the first part of a list that is not sound, with the line of the wrong parameter."""
    for place, entry in enumerate(parts):
        here = (*keys, place)
        if isinstance(entry, dict):
            _built(source, here, as_part, entry, ("part",))
            continue
        try:
            as_part(entry)
        except UsageError as error:
            raise UsageError(f"{source.where(here)}: {error}") from None


def _built(
    source: Source,
    keys: Keys,
    build: Callable[[dict[str, Any]], Any],
    given: Mapping[str, Any],
    fixed: Sequence[str] = (),
) -> Any:  # noqa: ANN401 - what `build` returns
    """Return ``build(given)``; an error begins with file, line and the key that is wrong.

    The key is found by building again with one key at a time.

    Args:
        source: tells lines.
        keys: where ``given`` stands.
        build: raises UsageError for what is not sound.
        given: keys and values.
        fixed: keys that all others need beside them.
    """
    try:
        return build(dict(given))
    except UsageError as error:
        whole = error
    for key in (*fixed, *(name for name in given if name not in fixed)):
        beside = fixed[: fixed.index(key)] if key in fixed else fixed
        try:
            build({name: given[name] for name in (*beside, key) if name in given})
        except UsageError as error:
            raise UsageError(f"{source.where((*keys, key))}: {error}") from None
    raise UsageError(f"{source.where(keys)}: {whole}") from None


def _located(source: Source, keys: Keys, world: object) -> str:
    """Return a world's name; a relative folder is one beside the file."""
    if not isinstance(world, str):
        raise UsageError(
            f"{source.where(keys)}: 'world' must be a folder, tiny or module:function; "
            f"got {_told(world)}."
        )
    module, colon, function = world.partition(":")
    called = colon and module.replace(".", "").isidentifier() and function.isidentifier()
    if world == "tiny" or called:
        return world
    return str((source.path.parent / world).resolve())


def _told(value: object) -> str:
    """Return a value as short text for a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
