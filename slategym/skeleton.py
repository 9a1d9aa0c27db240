"""A new variant as files: the variant, its test and a README, ready to run."""

import importlib.util
import json
import keyword
import re
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from slategym.errors import UsageError
from slategym.files import write_text
from slategym.variant_text import TASK

if TYPE_CHECKING:
    from slategym.envs.registry import AnyVariant

NAMESPACE = "mylab"
_NAME = re.compile(r"^(?:([A-Za-z][\w-]*)/)?([A-Za-z][\w-]*?)(-v\d+)?$")
_FOLDER = Path(__file__).parent
_SKIPPED = ("horizon", "parts", "without", "candidates", "response", "choice", "reward")


@dataclass(frozen=True)
class Name:
    """What a new variant is called, in each place."""

    id: str
    """``namespace/Name-vN``."""
    module: str
    """The file's name without its ending; one that Python can import and nothing else has."""


def name_of(text: str) -> Name:
    """Return the id and module of a name such as ``Bored`` or ``acme/Bored-v0``.

    Example:
        >>> name_of("ShortSessions")
        Name(id='mylab/ShortSessions-v0', module='short_sessions')

    Raises:
        UsageError: the name is not of that form.
    """
    match = _NAME.match(text)
    if match is None:
        raise UsageError(
            f"NAME is {text!r}; it must be a name such as Bored, or namespace/Name-vN such as "
            "acme/Bored-v0 (letters, digits, - and _)."
        )
    namespace, name, version = match.groups()
    module = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()
    if keyword.iskeyword(module) or _importable(module):
        module += "_variant"
    return Name(f"{namespace or NAMESPACE}/{name}{version or '-v0'}", module)


def _importable(module: str) -> bool:
    """Return whether a module of that name exists already, here or in the standard library."""
    spec = importlib.util.find_spec(module)
    # A folder without code, such as the one this command wrote a moment ago, is in nobody's way.
    code = spec is not None and spec.origin is not None
    return module in sys.stdlib_module_names or code


def write_skeleton(name: Name, base: "AnyVariant", folder: Path, *, yaml: bool) -> list[Path]:
    """Write the variant, its test and a README into a folder and return their paths.

    Args:
        name: what it is called.
        base: the variant it begins as a copy of.
        folder: made if it is not there.
        yaml: write the variant as YAML and not as Python.

    Raises:
        UsageError: one of the files exists already; then nothing is written.
    """
    ending = "yaml" if yaml else "py"
    words = _words(name, base, yaml=yaml)
    texts = {
        f"{name.module}.{ending}": _filled(f"new_variant.{ending}.template", words),
        f"test_{name.module}.py": _filled("new_test.py.template", words),
        "README.md": _filled("new_readme.md.template", words),
    }
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file; name a folder.")
    there = [file for file in texts if (folder / file).exists()]
    if there:
        raise UsageError(
            f"{folder} already holds {', '.join(there)}, which are not overwritten; "
            "name another folder with --out, or another NAME."
        )
    for file, text in texts.items():
        write_text(folder / file, text)
    return [folder / file for file in texts]


def _filled(template: str, words: dict[str, str]) -> str:
    return Template((_FOLDER / template).read_text(encoding="utf-8")).substitute(words)


def _words(name: Name, base: "AnyVariant", *, yaml: bool) -> dict[str, str]:
    """Return what the templates leave open."""
    file = f"{name.module}.{'yaml' if yaml else 'py'}"
    horizon = max(base.horizon // 2, 1)
    if yaml:
        imports = "from pathlib import Path\n"
        register = (
            "from slategym.envs.variant_files import register_variants_from\n\n"
            f'register_variants_from(Path(__file__).with_name("{file}"))\n'
        )
        load = (
            "from slategym.envs.variant_files import register_variants_from\n\n"
            f'register_variants_from("{file}")'
        )
    else:
        imports, load = "", f"import {name.module}  # registers it\n"
        register = f"\nimport {name.module}  # noqa: F401 - registers it\n"
    return {
        "id": name.id,
        "base": base.id,
        "module": name.module,
        "file": file,
        "horizon": str(horizon),
        "description": f"At most {horizon} steps; say here in one line what is different.",
        "parameters": _parameters(base, yaml=yaml),
        "imports": imports,
        "register": register,
        "load": load,
        "third": _third(name, file, base),
    }


def _third(name: Name, file: str, base: "AnyVariant") -> str:
    """Return the README's third command: train in a world, watch a classic."""
    if base.family == "world":
        return (
            f"slategym train --import {file} --variant {name.id} --world WORLD \\\n"
            f"    --out runs/{name.module}"
        )
    return f"slategym envs render {name.id} --import {file} --out episode.gif"


def _parameters(base: "AnyVariant", *, yaml: bool) -> str:
    """Return every other parameter of the base as a comment with its value and meaning."""
    meanings = dict(TASK)
    for owner in (*getattr(base, "parts", ()), getattr(base, "constants", None)):
        if owner is not None:
            meanings |= {e.name: str(e.metadata.get("meaning", "")) for e in fields(owner)}
    lines = []
    for key, value in base.parameters.items():
        if key in _SKIPPED:
            continue
        told = f": {json.dumps(value)}" if yaml else f"={_literal(value)},"
        meaning = f"  # {meanings[key]}" if meanings.get(key) else ""
        lines.append(f"{'  ' if yaml else '        '}# {key}{told}{meaning}")
    return "\n".join(lines)


def _literal(value: Any) -> str:  # noqa: ANN401 - any parameter
    """Return a value as Python writes it, with the quotes of this project."""
    return json.dumps(value) if isinstance(value, str) else repr(value)
