"""`run.py` sets up once, says what it does, and fails in one sentence. No real installation."""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import IO

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / "run.py"


Start = Callable[..., int | list[str]]


class Machine:
    """Plays `python -m venv`, pip and what is started at the end; remembers every command."""

    def __init__(self, venv: Path) -> None:
        self.python = venv / "bin" / "python"
        self.commands: list[list[str]] = []
        self.pip_says: Callable[[str], tuple[int, str]] = lambda what: (0, f"installed {what}\n")

    def call(self, command: list[str], stdout: IO[bytes] | None = None, **_: object) -> int:
        """Play `subprocess.call`."""
        self.commands.append([str(part) for part in command])
        if command[1:3] == ["-m", "venv"]:
            self.python.parent.mkdir(parents=True)
            self.python.touch()
            return 0
        code, text = self.pip_says(" ".join(command))
        if stdout is not None:
            stdout.write(text.encode())
        return code

    @property
    def installed(self) -> list[str]:
        """What pip was asked to install, call by call."""
        return [" ".join(c[5:]) for c in self.commands if c[1:4] == ["-m", "pip", "install"]]


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    return tmp_path / "venv"


@pytest.fixture
def machine(venv: Path) -> Machine:
    return Machine(venv)


@pytest.fixture
def start(venv: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Start run.py with arguments: returns its exit code, or the command that it became."""
    for name in ("SLATEGYM_TORCH", "SLATEGYM_TORCH_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLATEGYM_VENV", str(venv))
    monkeypatch.chdir(ROOT)

    def run(*arguments: str, index_answers: bool = False) -> int | list[str]:
        module = load()
        became: list[str] = []

        def execv(_: str, command: list[str]) -> None:
            became.extend(command)
            raise SystemExit(0)

        monkeypatch.setattr(subprocess, "call", machine.call)
        monkeypatch.setattr(os, "execv", execv)
        monkeypatch.setattr(module, "answers", lambda _: index_answers)
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
        try:
            return int(module.main())
        except SystemExit:
            return became

    return run


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_under_test", RUN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_first_call_installs_torch_then_the_package_then_runs_the_demo(
    start: Start, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start() == [str(machine.python), "-m", "slategym", "demo"]
    assert machine.installed == ["torch==2.13.0", f"-e {ROOT}"]
    said = capsys.readouterr().out
    assert "[1/3] virtual environment ... 0 s" in said
    assert "[2/3] torch ... 0 s" in said
    assert "[3/3] slategym ... 0 s" in said


def test_the_second_call_installs_nothing_and_is_quick(
    start: Start, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    start()
    machine.commands.clear()
    capsys.readouterr()
    begin = time.perf_counter()
    assert start("build", "--help") == [str(machine.python), "-m", "slategym", "build", "--help"]
    assert time.perf_counter() - begin < 2
    assert machine.commands == []
    assert capsys.readouterr().out == ""


def test_test_adds_the_dev_group_and_runs_pytest(start: Start, machine: Machine) -> None:
    start()
    machine.commands.clear()
    assert start("test", "-k", "x") == [str(machine.python), "-m", "pytest", "-k", "x"]
    (tools,) = machine.installed
    assert {name.split(">")[0] for name in tools.split()} >= {"pytest", "ruff", "mypy"}
    machine.commands.clear()
    start("test")
    start("doctor")
    assert machine.commands == []


def test_a_killed_set_up_is_done_again_from_the_start(
    start: Start, machine: Machine, venv: Path
) -> None:
    def killed(_: str) -> tuple[int, str]:
        raise KeyboardInterrupt

    machine.pip_says = killed
    assert start() == 130
    (venv / "half-installed").touch()
    machine.pip_says = lambda _: (0, "")
    machine.commands.clear()
    start()
    assert not (venv / "half-installed").exists()
    assert machine.installed == ["torch==2.13.0", f"-e {ROOT}"]


def test_another_torch_is_another_installation(
    start: Start, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    start()
    machine.commands.clear()
    monkeypatch.setenv("SLATEGYM_TORCH", "torch==2.12.0")
    monkeypatch.setenv("SLATEGYM_TORCH_INDEX", "https://example.org/simple")
    start()
    assert machine.installed[0] == "torch==2.12.0 --index-url https://example.org/simple"


def test_the_cpu_index_is_used_only_if_it_answers_and_there_is_no_gpu(
    start: Start, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    start(index_answers=True)
    assert machine.installed[0] == "torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"


def test_a_gpu_gets_the_plain_wheel(
    start: Start, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    start(index_answers=True)
    assert machine.installed[0] == "torch==2.13.0"


@pytest.mark.parametrize(
    ("pip_output", "sentence"),
    [
        ("WARNING: Retrying after NewConnectionError\nERROR: No matching", "cannot reach"),
        ("ERROR: [Errno 28] No space left on device", "the disk is full"),
        ("ERROR: No matching distribution found for torch==9", "No matching distribution found"),
        ("", "exit code 1"),
    ],
)
def test_a_failure_is_one_sentence_and_the_log_is_kept(
    start: Start,
    machine: Machine,
    venv: Path,
    capsys: pytest.CaptureFixture[str],
    pip_output: str,
    sentence: str,
) -> None:
    machine.pip_says = lambda _: (1, pip_output)
    assert start() == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert sentence in said
    assert str(venv / "install.log") in said
    assert pip_output in (venv / "install.log").read_text(encoding="utf-8")


def test_too_little_disk_is_said_before_anything_is_downloaded(
    start: Start,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    usage = shutil.disk_usage(ROOT)._replace(free=200_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert start() == 1
    assert "0.2 GB are free" in capsys.readouterr().err
    assert machine.commands == []


def test_a_python_without_venv_is_named(
    start: Start,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda m: None if m == "ensurepip" else real(m)
    )
    assert start() == 1
    assert "without the module ensurepip" in capsys.readouterr().err
    assert machine.commands == []


def test_a_folder_that_is_not_ours_is_never_removed(
    start: Start, venv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    venv.mkdir()
    (venv / "thesis.txt").write_text("years of work")
    assert start() == 1
    assert "was not made by run.py" in capsys.readouterr().err
    assert (venv / "thesis.txt").read_text() == "years of work"


def test_a_virtual_environment_of_the_users_own_is_used_as_it_is(
    start: Start, machine: Machine
) -> None:
    machine.python.parent.mkdir(parents=True)
    machine.python.touch()
    start()
    assert machine.installed == ["torch==2.13.0", f"-e {ROOT}"]
    assert machine.python.exists()


def test_no_lock_file_is_left_in_the_repository(start: Start) -> None:
    start("test")
    assert not (ROOT / "uv.lock").exists()


def test_it_parses_on_an_old_python() -> None:
    assert ast.parse(RUN.read_text(encoding="utf-8"), feature_version=(3, 7)).body


@pytest.mark.parametrize("version", ["3.6", "3.7", "3.8", "3.9", "3.10", "3.14"])
def test_another_python_gets_one_sentence(version: str) -> None:
    installed = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    python = str(installed[0]) if installed else shutil.which(f"python{version}")
    if python is None or subprocess.run([python, "-c", ""], capture_output=True).returncode != 0:
        pytest.skip(f"there is no python{version} here")
    done = subprocess.run([python, str(RUN)], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: slategym needs Python 3.11, 3.12 or 3.13 and this is")
    assert done.stderr.count("\n") == 1


def test_a_python_that_is_too_new_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11, 3\.12 or 3\.13"):
        load()
