"""What is on disk is what is installed."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from itertools import chain
from pathlib import Path

import pytest

import slategym

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]


def folders_with_sources() -> dict[str, str]:
    """Return package name -> folder, for each folder at the top that is part of the package."""
    outside = {"tests", "docs", "examples", "build", "dist", "runs"}
    found = {}
    for init in ROOT.glob("*/__init__.py"):
        folder = init.parent.name
        if folder not in outside and not folder.startswith("."):
            found["slategym" if folder == "slategym" else f"slategym.{folder}"] = folder
    return found


def test_the_package_list_names_every_folder() -> None:
    on_disk = folders_with_sources()
    assert SETUPTOOLS["package-dir"] == on_disk
    assert sorted(SETUPTOOLS["packages"]) == sorted(on_disk)


def test_packages_have_no_subfolders_that_a_wheel_would_leave_out() -> None:
    nested = [
        str(path.relative_to(ROOT))
        for folder in folders_with_sources().values()
        for path in (ROOT / folder).glob("*/**/*.py")
    ]
    assert nested == []


def test_every_package_is_marked_as_typed() -> None:
    assert all((ROOT / folder / "py.typed").exists() for folder in folders_with_sources().values())


def test_the_version_is_said_once() -> None:
    assert PROJECT["project"]["version"] == slategym.__version__


def test_every_imported_distribution_is_declared() -> None:
    """A dependency that another package happens to bring is one release away from missing."""
    known_as = {"pillow": "PIL", "pyyaml": "yaml"}
    extras = PROJECT["project"]["optional-dependencies"].values()
    listed = [*PROJECT["project"]["dependencies"], *chain.from_iterable(extras)]
    declared = {re.split(r"[<>=!~ \[;]", name)[0] for name in listed}
    modules = {known_as.get(name, name.replace("-", "_")) for name in declared} | {"slategym"}
    used = set()
    for folder in folders_with_sources().values():
        for path in (ROOT / folder).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    used |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    used.add(node.module.split(".")[0])
    used -= set(sys.stdlib_module_names)
    assert used <= modules


@pytest.mark.slow
def test_the_wheel_holds_every_source_file(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    ignored = shutil.ignore_patterns(".*", "build", "dist", "runs", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", str(tmp_path), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0 and "setuptools" in done.stdout + done.stderr:
        pytest.skip("the build back end cannot be fetched here")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("slategym-*.whl")
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = set()
    for package, folder in folders_with_sources().items():
        for path in (ROOT / folder).iterdir():
            if (
                path.suffix in {".py", ".json", ".html", ".css", ".template"}
                or path.name == "py.typed"
            ):
                expected.add(f"{package.replace('.', '/')}/{path.name}")
    assert inside == expected
