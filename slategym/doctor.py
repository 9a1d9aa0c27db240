"""`slategym doctor`: what this installation is made of, and whether an environment steps."""

import importlib.util
import os
import platform
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slategym import __version__
from slategym.cli_common import JsonOption
from slategym.console import print_json
from slategym.errors import SlateGymError
from slategym.files import cache_dir

PACKAGES = (
    "torch",
    "gymnasium",
    "stable-baselines3",
    "transformers",
    "numba",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "safetensors",
    "pillow",
    "pyyaml",
    "soundfile",
    "matplotlib",
    "typer",
    "rich",
)
STEP_SECONDS = 1.0


def doctor(as_json: JsonOption = False) -> None:
    """Show versions, processor, disk, model weights, and step an environment for a second.

    Paste its output into a report of a problem.
    """
    report = examine()
    if as_json:
        print_json(report)
    else:
        print(describe(report))
    if not report["ok"]:
        raise SlateGymError("the installation is not sound: see the lines marked !")


def examine() -> dict[str, Any]:
    """Return everything the doctor looks at, as JSON values; ``ok`` is the verdict."""
    versions = {name: _version(name) for name in PACKAGES}
    steps = _step_test()
    missing = sorted(name for name, version in versions.items() if version is None)
    return {
        "ok": not missing and "error" not in steps,
        "slategym": __version__,
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "platform": platform.platform(),
        "packages": versions,
        "missing": missing,
        "torch": _torch(),
        "cpu": {"cores": usable_cores(), "features": _cpu_features()},
        "disk": _disk(),
        "cache": {"folder": str(cache_dir()), "exists": cache_dir().exists()},
        "weights": _weights(),
        "variants": _variants(),
        "step_test": steps,
    }


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(name: str) -> str | None:
    import importlib.metadata

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _torch() -> dict[str, Any]:
    if importlib.util.find_spec("torch") is None:
        return {"error": "torch is not installed"}
    import torch

    return {
        "version": torch.__version__,
        "build": f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU",
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
    }


def _cpu_features() -> list[str]:
    """Return those of a few processor features that matter here and are present (Linux)."""
    wanted = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16")
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return []
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    flags = set(line.split())
    return [name for name in wanted if name in flags]


def _disk() -> dict[str, float]:
    """Return the free gigabytes (10^9 bytes) here and at the nearest folder of the cache."""
    cache = cache_dir()
    there = next((folder for folder in (cache, *cache.parents) if folder.exists()), Path.cwd())
    free = {"here": shutil.disk_usage(Path.cwd()).free, "cache": shutil.disk_usage(there).free}
    return {name: round(value / 1e9, 1) for name, value in free.items()}


def _weights() -> dict[str, bool]:
    """Return which of the embedded pretrained models are in the cache."""
    from slategym.encoders.weights import PINNED, available

    return {name: available(name) for name in PINNED}


def _variants() -> dict[str, Any]:
    """Return how many variants are known, and those of packages that could not be loaded."""
    try:
        from slategym.envs.entry_points import broken_entry_points
        from slategym.envs.registry import list_variants

        count = len(list_variants())
        return {"known": count, "broken": [vars(one) for one in broken_entry_points()]}
    except Exception as error:  # as in `_step_test`
        return {"known": 0, "broken": [], "error": f"{type(error).__name__}: {error}"}


def _step_test(seconds: float = STEP_SECONDS) -> dict[str, Any]:
    """Step 64 users of a small synthetic world for a second.

    Returns:
        ``user_steps_per_second`` and the ``first_step`` in seconds (with compilation, the first
        time on a machine), or ``error``.
    """
    try:
        import gymnasium

        import slategym.envs  # noqa: F401 - registers the environments

        begin = time.perf_counter()
        env = gymnasium.make_vec("slategym/World-v0", num_envs=64, observation="ids")
        env.reset(seed=0)
        action = env.action_space.sample()
        env.step(action)
        first = time.perf_counter() - begin
        steps, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < seconds:
            env.step(action)
            steps += 1
        rate = steps * 64 / (time.perf_counter() - begin)
        env.close()
    except Exception as error:  # whatever it is, the doctor's job is to show it
        return {"error": f"{type(error).__name__}: {error}"}
    return {"user_steps_per_second": round(rate), "first_step": round(first, 2)}


def describe(report: Mapping[str, Any]) -> str:
    """Return the report as aligned lines; a line that starts with ``!`` is a problem."""
    torch, steps, disk = report["torch"], report["step_test"], report["disk"]
    lines = [
        ("slategym", report["slategym"]),
        ("python", f"{report['python']['version']} ({report['python']['executable']})"),
        ("platform", report["platform"]),
    ]
    lines += [(name, version or "! not installed") for name, version in report["packages"].items()]
    if "error" not in torch:
        gpu = torch["gpu"] or "none"
        lines.append(("torch build", f"{torch['build']}, GPU: {gpu}, {torch['threads']} threads"))
    features = ", ".join(report["cpu"]["features"]) or "not known"
    lines.append(("processor", f"{report['cpu']['cores']} cores usable; {features}"))
    lines.append(("disk free", f"{disk['here']} GB here, {disk['cache']} GB at the cache"))
    lines.append(("cache", report["cache"]["folder"]))
    for name, there in report["weights"].items():
        lines.append((f"weights {name}", "in the cache" if there else "fetched when first needed"))
    lines.append(("variants", f"{report['variants']['known']} known"))
    for one in report["variants"]["broken"]:
        lines.append(("", f"! {one['name']} of package {one['distribution']}: {one['problem']}"))
    if "error" in steps:
        lines.append(("step test", f"! {steps['error']}"))
    else:
        rate, first = steps["user_steps_per_second"], steps["first_step"]
        lines.append(("step test", f"{rate:,} user-steps/s, ready after {first} s"))
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)
