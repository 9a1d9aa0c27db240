"""The arrows between the folders hold, and importing stays light."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("encoders", "cf_baselines", "envs", "agents", "benchmarks", "slategym")

# Folder -> the folders it may import. The tiny modules of the root may be imported by all.
MAY_IMPORT = {
    "encoders": {"encoders"},
    "cf_baselines": {"encoders", "cf_baselines"},
    "envs": {"encoders", "cf_baselines", "envs"},
    "agents": {"encoders", "cf_baselines", "envs", "agents"},
    "benchmarks": {"encoders", "cf_baselines", "envs", "agents", "benchmarks"},
    "slategym": set(FOLDERS),
}
SHARED_MODULES = {
    "slategym",
    "slategym.errors",
    "slategym.event_file",
    "slategym.files",
    "slategym.progress",
    "slategym.trackers",
}

# Folder -> third parties it may import when it is imported itself.
_DATA = {"numpy", "pandas"}
_FITTED = _DATA | {"scipy"}
_SIMULATED = _FITTED | {"gymnasium", "numba"}
_LEARNED = _SIMULATED | {"torch", "stable_baselines3", "safetensors"}
THIRD_PARTIES = {
    "encoders": _DATA,
    "cf_baselines": _FITTED | {"PIL"},  # the demo's posters are drawn with Pillow
    "envs": _SIMULATED,
    "agents": _LEARNED,
    "benchmarks": _LEARNED | {"jinja2", "matplotlib"},
    "slategym": {"typer"},
}
# Files of compiled loops, and what they may import besides; see decision 0008.
COMPILED = {
    "encoders/int8.py": {"numba", "llvmlite"},
    "encoders/small_products.py": {"numba", "llvmlite"},
    "encoders/bert_int8.py": {"numba"},
    "cf_baselines/als_kernels.py": {"numba"},
    "cf_baselines/bpr_kernels.py": {"numba"},
    "cf_baselines/gibbs_kernels.py": {"numba"},
    "cf_baselines/neighbour_kernels.py": {"numba"},
}
SOURCES = [(folder, path) for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.py"))]
SOURCE_IDS = [f"{folder}/{path.name}" for folder, path in SOURCES]


def imports(tree: ast.Module, *, at_import_time: bool) -> Iterator[tuple[str, int]]:
    """Yield each imported module with its line; with ``at_import_time`` only those that run."""
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or ""), node.lineno
        if at_import_time and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if at_import_time and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            stack.extend(node.orelse)
            continue
        stack.extend(ast.iter_child_nodes(node))


def test_every_folder_has_sources() -> None:
    assert {folder for folder, _ in SOURCES} == set(FOLDERS)


@pytest.mark.parametrize(("folder", "path"), SOURCES, ids=SOURCE_IDS)
def test_a_folder_imports_only_those_above_it(folder: str, path: Path) -> None:
    wrong = []
    for module, line in imports(ast.parse(path.read_text()), at_import_time=False):
        assert not module.startswith("."), f"{path.name}:{line}: relative import of {module}"
        parts = module.split(".")
        if parts[0] != "slategym" or module in SHARED_MODULES:
            continue
        target = parts[1] if parts[1] in FOLDERS else "slategym"
        if target not in MAY_IMPORT[folder]:
            wrong.append(f"{path.name}:{line} imports {module}")
    assert not wrong


@pytest.mark.parametrize(("folder", "path"), SOURCES, ids=SOURCE_IDS)
def test_third_parties_at_import_time(folder: str, path: Path) -> None:
    wrong = []
    allowed = THIRD_PARTIES[folder] | COMPILED.get(f"{folder}/{path.name}", set())
    for module, line in imports(ast.parse(path.read_text()), at_import_time=True):
        top = module.split(".")[0]
        known = top in sys.stdlib_module_names or top == "slategym"
        if not known and top not in allowed:
            wrong.append(f"{path.name}:{line} imports {module} when it is imported")
    assert not wrong


@pytest.mark.parametrize(("folder", "path"), SOURCES, ids=SOURCE_IDS)
def test_names_are_imported_from_the_file_that_defines_them(folder: str, path: Path) -> None:
    """`from slategym.envs import x` inside the library makes circles; `slategym.envs.y` cannot."""
    wrong = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or folder == "slategym":
            continue
        package = (node.module or "").removeprefix("slategym.")
        if package in FOLDERS[:-1]:
            modules = {module.stem for module in (ROOT / package).glob("*.py")}
            wrong += [f"{path.name}:{node.lineno}" for a in node.names if a.name not in modules]
    assert not wrong


def modules_after(statement: str) -> set[str]:
    """Return the modules a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return set(done.stdout.split())


def test_importing_slategym_imports_next_to_nothing() -> None:
    heavy = {"torch", "numpy", "pandas", "transformers", "gymnasium", "numba", "matplotlib"}
    assert not heavy & modules_after("import slategym")


@pytest.mark.parametrize("package", ["encoders", "cf_baselines", "envs"])
def test_torch_stays_out_below_the_agents(package: str) -> None:
    loaded = modules_after(f"import slategym.{package}")
    assert not {"torch", "transformers", "stable_baselines3"} & loaded


def test_every_module_below_the_agents_imports_without_torch() -> None:
    names = [
        f"slategym.{folder}.{path.stem}"
        for folder, path in SOURCES
        if folder in {"encoders", "cf_baselines", "envs"} and path.stem != "__init__"
    ]
    loaded = modules_after("import " + ", ".join(names))
    assert set(names) <= loaded
    assert not {"torch", "transformers", "stable_baselines3"} & loaded


def test_the_folders_refuse_to_be_imported_as_top_level_packages() -> None:
    for folder in FOLDERS[:-1]:
        done = subprocess.run(
            [sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode != 0
        assert f"import slategym.{folder}, not {folder}" in done.stderr
