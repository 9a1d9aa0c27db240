"""What a result depends on besides its settings: versions, machine, command."""

import importlib.metadata
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slategym.envs.world import World

_PACKAGES = ("slategym", "gymnasium", "numba", "numpy", "stable-baselines3", "torch")


def manifest(world: World, fingerprints: Sequence[str]) -> dict[str, Any]:
    """Return versions, platform, command and what was compared, as JSON.

    Args:
        world: the world simulated.
        fingerprints: what identifies each policy.
    """
    return {
        "world_hash": world.hash,
        "policies": list(fingerprints),
        "versions": {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def _version(package: str) -> str:
    """Return the installed version of a package, or "not installed"."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
