"""Every public name says what it is, and the examples in docstrings run.

`pytest --doctest-modules envs` would import a second copy of every module (the folders install
as `slategym.envs`, ...), so the installed package is walked instead.
"""

import ast
import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import slategym

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("encoders", "cf_baselines", "envs", "agents", "benchmarks", "slategym")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.py"))]
FILE_IDS = [f"{path.parent.name}/{path.name}" for path in FILES]
MODULES = sorted(
    module.name
    for folder in FOLDERS
    for package in [
        slategym if folder == "slategym" else importlib.import_module(f"slategym.{folder}")
    ]
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    if not module.ispkg and not module.name.endswith(".__main__")
)


def undocumented(tree: ast.Module) -> list[str]:
    """Return the public classes, functions and methods that have no docstring."""
    found = []
    stack: list[tuple[ast.AST, str]] = [(tree, "")]
    while stack:
        node, prefix = stack.pop()
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if child.name.startswith("_"):
                continue
            overrides = any("override" in ast.dump(mark) for mark in child.decorator_list)
            if ast.get_docstring(child) is None and not overrides:
                found.append(f"{prefix}{child.name}:{child.lineno}")
            if isinstance(child, ast.ClassDef):
                stack.append((child, f"{prefix}{child.name}."))
    return found


@pytest.mark.parametrize("path", FILES, ids=FILE_IDS)
def test_every_module_and_public_name_has_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{path.name} does not say what it holds"
    assert undocumented(tree) == []


def test_every_module_is_found() -> None:
    assert len(MODULES) >= len(FILES) - len(FOLDERS) - 2


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    result = doctest.testmod(
        importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    assert result.failed == 0
