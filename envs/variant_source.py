"""Reading a small YAML or JSON file as plain data that remembers the line of every key."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slategym.errors import DataError

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, Node, ScalarNode

ENDINGS = (".yaml", ".yml", ".json")
LARGEST = 256 * 1024  # bytes; a variant is a few hundred
_DEEPEST, _MOST = 20, 20_000  # levels and values, aliases counted each time they are used
Keys = tuple[str | int, ...]


@dataclass(frozen=True)
class Source:
    """A file's content, and where each key stands in it."""

    path: Path
    value: Any
    """Dicts with text keys, lists, texts, numbers, booleans and None."""
    lines: Mapping[Keys, int] = field(default_factory=dict)
    """Key path -> line counted from one; empty for JSON."""

    def where(self, keys: Keys = ()) -> str:
        """Return file, line and key path as text: ``"tasks.yaml:7, variants[0].set.patience"``."""
        named = ""
        for key in keys:
            named += f"[{key}]" if isinstance(key, int) else f".{key}"
        line = next((self.lines[keys[:n]] for n in _down(keys) if keys[:n] in self.lines), None)
        place = str(self.path) if line is None else f"{self.path}:{line}"
        return f"{place}, {named.lstrip('.')}" if named else place


def _down(keys: Keys) -> range:
    """Return the lengths of a key path and of all paths above it, longest first."""
    return range(len(keys), -1, -1)


def read_source(path: Path) -> Source:
    """Return the content of a YAML or JSON file; nothing in it is ever run.

    YAML is read by its core schema: true and false, whole and decimal numbers, null, and texts;
    ``yes``, ``1:30`` and dates are texts, tags are refused.

    Raises:
        DataError: the file is missing, too large, not UTF-8, malformed (the message gives the
            line), has a key twice in one mapping, or unfolds into too much.
    """
    if path.suffix.lower() not in ENDINGS:
        raise DataError(f"{path} must be named {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}.")
    if not path.is_file():
        raise DataError(f"{path} does not exist or is not a file.")
    size = path.stat().st_size
    if size > LARGEST:
        raise DataError(f"{path} has {size:,} bytes; a variant file has at most {LARGEST:,}.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason}).") from None
    try:
        return _json(path, text) if path.suffix.lower() == ".json" else _yaml(path, text)
    except RecursionError:
        raise DataError(f"{path} is nested too deeply; at most {_DEEPEST} levels.") from None


def _json(path: Path, text: str) -> Source:
    """Return the content of JSON text; a key twice, NaN and infinities are refused."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in pairs:
            if key in made:
                raise DataError(f"{path} has the key {key!r} twice in one mapping; remove one.")
            made[key] = value
        return made

    def constant(word: str) -> float:
        raise DataError(f"{path} holds {word}, which is not a JSON number.")

    try:
        return Source(path, json.loads(text, object_pairs_hook=unique, parse_constant=constant))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno} is not JSON: {error.msg}.") from None


def _yaml(path: Path, text: str) -> Source:
    """Return the content of YAML text, with lines."""
    import yaml

    try:
        node = yaml.compose(text, Loader=_loader())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise DataError(f"{place} is not YAML: {problem}.") from None
    if node is None:
        raise DataError(f"{path} is empty; it must hold a variant.")
    reader = _Reader(path)
    value = reader.read(node, ())
    return Source(path, value, reader.lines)


@lru_cache(maxsize=1)
def _loader() -> Any:  # noqa: ANN401 - a class of a library that is imported here first
    """Return a YAML loader that resolves the core schema and nothing else."""
    import yaml

    class CoreLoader(yaml.SafeLoader):
        yaml_implicit_resolvers: dict[str, list[Any]] = {}

    for tag, pattern, first in (
        ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
        ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
        ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
        ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ):
        CoreLoader.add_implicit_resolver(
            f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), first
        )
    return CoreLoader


class _Reader:
    """Turns YAML nodes into plain values and notes the line of each key path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[Keys, int] = {}
        self._values = 0

    def read(self, node: "Node", keys: Keys) -> Any:  # noqa: ANN401
        """Return the value of a node."""
        from yaml.nodes import MappingNode, SequenceNode

        line = node.start_mark.line + 1
        self.lines.setdefault(keys, line)
        self._values += 1
        if len(keys) > _DEEPEST or self._values > _MOST:
            raise DataError(
                f"{self.path}:{line} unfolds into more than {_MOST:,} values or {_DEEPEST} levels; "
                "write the variants without so many aliases."
            )
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if isinstance(node, MappingNode) and kind == "map":
            return self._mapping(node, keys)
        if isinstance(node, SequenceNode) and kind == "seq":
            return [self.read(entry, (*keys, place)) for place, entry in enumerate(node.value)]
        if kind in _SCALARS and isinstance(node.value, str):
            return _SCALARS[kind](node.value)
        raise DataError(f"{self.path}:{line} has the tag {node.tag!r}; tags are not read.")

    def _mapping(self, node: "MappingNode", keys: Keys) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = self._key(key_node), key_node.start_mark.line + 1
            if key in made:
                first = self.lines[(*keys, key)]
                raise DataError(
                    f"{self.path}:{line} has the key {key!r} again, after line {first}; remove one."
                )
            self.lines[(*keys, key)] = line
            made[key] = self.read(value_node, (*keys, key))
        return made

    def _key(self, node: "ScalarNode") -> str:
        if not isinstance(node.value, str) or not node.tag.endswith(":str"):
            line = node.start_mark.line + 1
            raise DataError(f"{self.path}:{line} has a key that is not a text; quote it.")
        return node.value


_SCALARS: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "null": lambda _: None,
    "bool": lambda word: word.lower() == "true",
}
