"""What several commands share: options, output folders, and a user's own code."""

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from slategym.errors import UsageError, nearest

if TYPE_CHECKING:
    from slategym.envs.world import World

DEFAULT_VARIANT = "slategym/World-v0"

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")
]
WorldOption = Annotated[
    Path, typer.Option("--world", metavar="WORLD", help="The folder that `build` wrote.")
]
VariantOption = Annotated[
    str, typer.Option("--variant", metavar="ID", help="The environment; see `slategym envs list`.")
]
ImportOption = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="FILE",
        help="A Python file or module, or a .yaml or .json file, whose variants are registered "
        "first. Repeatable.",
    ),
]


def import_user_code(names: Iterable[str] | None) -> None:
    """Import each named file or module, so that what it registers is known.

    A name that ends in .yaml, .yml or .json is a variant file
    (`slategym.envs.variant_files.register_variants_from`).

    Raises:
        UsageError: there is no such file or module, importing it fails, or a variant in it is
            not sound.
        DataError: a variant file is malformed.
    """
    for name in names or ():
        if name.lower().endswith((".yaml", ".yml", ".json")):
            from slategym.envs.variant_files import register_variants_from

            register_variants_from(name)
            continue
        try:
            _import_file(Path(name)) if name.endswith(".py") else importlib.import_module(name)
        except UsageError:
            raise
        except ModuleNotFoundError as error:
            if error.name and name.split(".")[0] == error.name.split(".")[0]:
                raise UsageError(
                    f"--import {name}: there is no such module; give a path that ends in .py, "
                    "or a module that Python can import."
                ) from None
            raise UsageError(f"--import {name}: it imports {error.name!r}, not found.") from error
        except Exception as error:
            raise UsageError(
                f"--import {name}: it stopped with {type(error).__name__}: {error}"
            ) from error


def _import_file(path: Path) -> ModuleType:
    """Import a file under its own name, as `python FILE` would find what lies beside it."""
    if not path.is_file():
        there = [file.name for file in path.parent.glob("*.py")]
        raise UsageError(f"--import {path}: there is no such file.{nearest(path.name, there)}")
    if path.stem in sys.modules:
        known = getattr(sys.modules[path.stem], "__file__", None)
        if known is not None and Path(known).resolve() == path.resolve():
            return sys.modules[path.stem]
        raise UsageError(
            f"--import {path}: a module named {path.stem!r} is loaded already; rename the file."
        )
    # Appended, so that a file named like a standard module cannot take its place.
    sys.path.append(str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"--import {path}: it is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module


def check_variant_id(variant: str) -> None:
    """Refuse a variant that is not registered.

    Raises:
        UsageError: no such id; the message gives the nearest known one.
    """
    from slategym.envs.registry import get_variant

    get_variant(variant)


def open_world(folder: Path) -> "World":
    """Open a world folder; every file of it is checked."""
    from slategym.envs.world import World

    return World.open(folder)


def check_output(folder: Path, marker: str, what: str) -> None:
    """Refuse to write into a folder that holds something else.

    Args:
        folder: Where the command will write.
        marker: The file by which such a folder is known.
        what: What the folder would become, with its article: ``"a world"``.

    Raises:
        UsageError: ``folder`` is a file, or holds files but no ``marker``.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file; name a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / marker).exists():
        raise UsageError(
            f"--out {folder} holds files and is not {what}; name a new or empty folder."
        )


def pairs(texts: Iterable[str] | None, option: str, example: str) -> dict[str, str]:
    """Return ``name=value`` texts, each perhaps several joined by commas, as a dict.

    Raises:
        UsageError: a text has no ``=``, or a name comes twice.
    """
    found: dict[str, str] = {}
    for part in (part for text in texts or () for part in text.split(",") if part.strip()):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"{option} {part.strip()!r} is not name=value; for example {example}.")
        if name.strip() in found:
            raise UsageError(f"{option} names {name.strip()!r} twice.")
        found[name.strip()] = value.strip()
    return found
