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
    return {"world_hash": world.hash, "policies": list(fingerprints), **machine()}


def machine() -> dict[str, Any]:
    """Return versions, platform and command as JSON."""
    return {
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


def world_facts(world: World) -> dict[str, Any]:
    """Return what the report says about the world."""
    info = world.info
    return {
        "name": info.name,
        "hash": world.hash,
        "synthetic": info.synthetic,
        "items": world.n_items,
        "users": world.n_users,
        "source": info.source,
        "licence": info.licence,
        "assumptions": list(info.assumptions),
        "metrics": dict(info.metrics),
        "provenance": dict(info.provenance),
    }
