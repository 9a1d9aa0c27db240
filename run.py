#!/usr/bin/env python3
"""Sets up slategym in `.venv` once, then runs it. Needs nothing but Python.

python3 run.py                  set up, then run the demo
python3 run.py test [...]       set up with the test tools, then run pytest
python3 run.py lint             set up with the test tools, then run ruff and mypy
python3 run.py COMMAND [...]    any other slategym command: build, train, bench, doctor, ...

Environment variables: SLATEGYM_VENV (folder, default .venv beside this file), SLATEGYM_TORCH
(what pip installs first), SLATEGYM_TORCH_INDEX (the package index for it; empty: pip's own).
"""

import errno
import hashlib
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable

# Up to this line the file must parse and run on any Python 3.6 or later, so that the sentence
# below is what a reader of an old machine sees, and not a syntax error.
VERSION = sys.version.split()[0]
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(
        f"error: slategym needs Python 3.11, 3.12 or 3.13 and this is {VERSION} "
        f"({sys.executable}); start it with one of those, for example `python3.12 run.py`."
    )

ROOT = pathlib.Path(__file__).resolve().parent
VENV = pathlib.Path(os.environ.get("SLATEGYM_VENV") or ROOT / ".venv").absolute()
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
LOG = VENV / "install.log"
OURS = VENV / "slategym-made-this"  # this folder may be removed and made again
TORCH = os.environ.get("SLATEGYM_TORCH") or "torch==2.13.0"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # wheels without 3 GB of GPU libraries
FREE_BYTES = 2_000_000_000  # what an installation with the CPU build of torch takes, about

LINT = (
    ("-m", "ruff", "check", "."),
    ("-m", "ruff", "format", "--check", "."),
    ("tests/link_tree.py",),  # the package as mypy sees it
    ("-m", "mypy"),
)
DISK_FULL = ("No space left on device", "Errno 28", "Disk quota exceeded")
NO_NETWORK = (
    "NewConnectionError",
    "NameResolutionError",
    "Failed to establish a new connection",
    "Max retries exceeded",
    "Connection refused",
    "ConnectTimeoutError",
    "Network is unreachable",
    "Cannot connect to proxy",
    "SSLError",
)


class SetupError(Exception):
    """Why the set-up stopped, in one sentence."""


def stamp_key() -> str:
    """Return the hash of all that decides what is installed in the virtual environment."""
    parts = (
        (ROOT / "pyproject.toml").read_bytes(),
        TORCH.encode(),
        sys.version.encode(),
        str(ROOT).encode(),
    )
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def stamp(part: str) -> pathlib.Path:
    """Return the file that says for which key a part ("package" or "dev") is installed."""
    return VENV / f"installed-{part}.stamp"


def is_stamped(part: str, key: str) -> bool:
    """Return whether the part is installed for this key."""
    try:
        return PYTHON.exists() and stamp(part).read_text(encoding="utf-8") == key
    except OSError:
        return False


def make_venv() -> None:
    """Make the virtual environment, or take the one that is there.

    One that an earlier set-up left unfinished is removed first; one that somebody else made is
    used as it is, and never removed.
    """
    there = VENV.exists() and any(VENV.iterdir())
    ours = OURS.exists()
    if there and not ours and not PYTHON.exists():
        raise SetupError(
            f"{VENV} is not a virtual environment and was not made by run.py; "
            "move it away, or name another folder in SLATEGYM_VENV."
        )
    if there and PYTHON.exists() and (stamp("package").exists() or not ours):
        # From here on a killed set-up leaves no stamp, and is done again.
        for part in ("package", "dev"):
            stamp(part).unlink(missing_ok=True)
        return
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            raise SetupError(
                f"this Python ({sys.executable}) comes without the module {module}; "
                "install it (Debian, Ubuntu: `sudo apt install python3-venv`) and run this again."
            )
    shutil.rmtree(VENV, ignore_errors=True)
    VENV.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(VENV).free
    if free < FREE_BYTES:
        raise SetupError(
            f"the disk is too full: {free / 1e9:.1f} GB are free at {VENV} and about "
            f"{FREE_BYTES / 1e9:.0f} GB are needed."
        )
    OURS.touch()
    run_logged([sys.executable, "-m", "venv", str(VENV)], "the virtual environment")


def run_logged(command: list[str], what: str) -> None:
    """Run a command with its output in the log.

    Raises:
        SetupError: it failed; the sentence says why.
    """
    with LOG.open("ab") as log:
        log.write("\n$ {}\n".format(" ".join(command)).encode())
        log.flush()
        begin = log.tell()
        code = subprocess.call(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    if code != 0:
        said = LOG.read_bytes()[begin:].decode("utf-8", "replace")
        raise SetupError(f"{cause(said, what, code)} (log: {LOG})")


def cause(said: str, what: str, code: int) -> str:
    """Return one sentence on why a set-up command failed, from what it printed."""
    if any(sign in said for sign in DISK_FULL):
        return (
            f"the disk is full: installing {what} found no space left in {VENV} or in the "
            f"temporary folder; make room (about {FREE_BYTES / 1e9:.0f} GB) and run this again"
        )
    if any(sign in said for sign in NO_NETWORK):
        return (
            f"pip cannot reach a package index to install {what}; check the network, the proxy "
            "or the index in pip's configuration, and run this again"
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["no output"]
    errors = [line for line in lines if line.lower().startswith("error")]
    return f"installing {what} failed with exit code {code}: {(errors or lines)[-1]}"


def answers(url: str) -> bool:
    """Return whether a package index answers within 4 seconds."""
    try:
        with urllib.request.urlopen(url, timeout=4):
            return True
    except Exception:  # whatever is wrong with it, it is no use to pip
        return False


def torch_arguments() -> list[str]:
    """Return what `pip install` is told for torch: the CPU build, unless there is a GPU."""
    chosen = os.environ.get("SLATEGYM_TORCH_INDEX")
    if chosen is not None:
        return [TORCH, "--index-url", chosen] if chosen else [TORCH]
    # macOS and Windows wheels on the ordinary index are CPU builds already.
    plain = shutil.which("nvidia-smi") is not None or not sys.platform.startswith("linux")
    return [TORCH] if plain or not answers(CPU_INDEX) else [TORCH, "--index-url", CPU_INDEX]


def dev_requirements() -> list[str]:
    """Return the names in the `dev` dependency group; pip before 25.1 has no `--group`."""
    import tomllib

    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [str(name) for name in table["dependency-groups"]["dev"]]


def pip_install(what: str, *arguments: str) -> None:
    """Run `pip install` in the virtual environment, with the user's own pip configuration."""
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    run_logged(command, what)


def steps(with_dev: bool, key: str) -> list[tuple[str, Callable[[], None], str]]:
    """Return what is still to do: a title, the action, and the part it completes or ""."""
    package, dev = is_stamped("package", key), is_stamped("dev", key)
    todo: list[tuple[str, Callable[[], None], str]] = []
    if not package:
        todo = [
            ("virtual environment", make_venv, ""),
            ("torch", lambda: pip_install("torch", *torch_arguments()), ""),
            ("slategym", lambda: pip_install("slategym", "-e", str(ROOT)), "package"),
        ]
    if with_dev and not (package and dev):
        todo.append(("test tools", lambda: pip_install("test tools", *dev_requirements()), "dev"))
    return todo


def set_up(with_dev: bool) -> None:
    """Install what is missing, saying each step and the seconds it took."""
    key = stamp_key()
    todo = steps(with_dev, key)
    begin = time.time()
    for number, (title, action, part) in enumerate(todo, 1):
        step_begin = time.time()
        print(f"[{number}/{len(todo)}] {title} ...", end="", flush=True)
        try:
            action()
        except BaseException:
            print(flush=True)
            raise
        if part:
            stamp(part).write_text(key, encoding="utf-8")
        print(f" {time.time() - step_begin:.0f} s", flush=True)
    if todo:
        print(f"installed in {time.time() - begin:.0f} s into {VENV}", flush=True)


def replace_process(command: list[str]) -> int:
    """Become the command, so that signals, input and the exit code are its own."""
    sys.stdout.flush()
    if os.name != "nt":
        os.execv(command[0], command)
    process = subprocess.Popen(command)  # Windows has no exec
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # the child got it too, and decides


def lint() -> int:
    """Run ruff and mypy over the repository; return the first exit code that is not 0."""
    for command in LINT:
        print(" ".join(command).removeprefix("-m "), flush=True)
        code = subprocess.call([str(PYTHON), *command], cwd=ROOT)
        if code != 0:
            return code
    return 0


def main() -> int:
    """Set up, then run the command; return its exit code."""
    arguments = sys.argv[1:] or ["demo"]
    try:
        set_up(with_dev=arguments[0] in ("test", "lint"))
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        why = "the disk is full" if error.errno == errno.ENOSPC else f"cannot set up: {error}"
        print(f"error: {why} ({VENV}); put that right and run this again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command starts the set-up again", file=sys.stderr)
        return 130
    if arguments[0] == "lint":
        return lint()
    if arguments[0] == "test":
        os.chdir(ROOT)
        return replace_process([str(PYTHON), "-m", "pytest", *arguments[1:]])
    return replace_process([str(PYTHON), "-m", "slategym", *arguments])


if __name__ == "__main__":
    sys.exit(main())
