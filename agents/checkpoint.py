"""Checkpoints of a training run: safetensors for arrays, JSON for the rest, never half written."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import nn

from slategym.errors import DataError
from slategym.files import file_hash, read_json, write_atomic, write_json

Arrays = dict[str, NDArray[Any]]
LATEST = "latest.json"


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays as one safetensors file, atomically."""
    # Not ascontiguousarray: that gives step counts, which have no axis, one.
    whole = {name: np.array(array, order="C") for name, array in arrays.items()}
    write_atomic(path, lambda target: save_file(whole, target))


def load_arrays(path: Path) -> Arrays:
    """Return the arrays of a safetensors file.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        return dict(load_file(path))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; the run is not complete, train again.") from None
    except SafetensorError as error:
        raise DataError(f"{path} is damaged ({error}); delete the run and train again.") from None


def module_arrays(module: nn.Module, prefix: str = "") -> Arrays:
    """Return the weights of a module by name."""
    state = module.state_dict()
    return {prefix + name: tensor.detach().cpu().numpy().copy() for name, tensor in state.items()}


def load_module(module: nn.Module, arrays: Arrays, prefix: str = "") -> None:
    """Put weights made by `module_arrays` back.

    Raises:
        DataError: names or shapes do not fit the module.
    """
    found = {
        name.removeprefix(prefix): torch.from_numpy(np.array(array))
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
    try:
        module.load_state_dict(found)
    except RuntimeError as error:
        first = " ".join(str(error).split())[:200]
        raise DataError(
            f"the saved weights do not fit the agent ({first}); it was trained on a world whose "
            "item vectors have another width, or by another version: train again."
        ) from None


def optimizer_arrays(optimizer: torch.optim.Optimizer, prefix: str = "optimizer.") -> Arrays:
    """Return an optimiser's moments and step counts as arrays."""
    state = optimizer.state_dict()["state"]
    return {
        f"{prefix}{index}.{key}": torch.as_tensor(value).detach().cpu().numpy().copy()
        for index, entry in state.items()
        for key, value in entry.items()
    }


def load_optimizer(
    optimizer: torch.optim.Optimizer, arrays: Arrays, prefix: str = "optimizer."
) -> None:
    """Put moments made by `optimizer_arrays` back; learning rates stay as constructed."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, array in arrays.items():
        if name.startswith(prefix):
            index, _, key = name.removeprefix(prefix).partition(".")
            state.setdefault(int(index), {})[key] = torch.from_numpy(np.array(array))
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def write_checkpoint(folder: Path, iteration: int, arrays: Arrays, facts: dict[str, Any]) -> None:
    """Write a checkpoint; at any moment ``latest.json`` names a complete one.

    Args:
        folder: the run's ``checkpoint`` folder.
        iteration: rollouts done.
        arrays: weights, moments, environment state.
        facts: plain JSON values.
    """
    name = f"state-{iteration:08d}.safetensors"
    save_arrays(folder / name, arrays)
    record = facts | {"iteration": iteration, "file": name, "sha256": file_hash(folder / name)}
    write_json(folder / LATEST, record)
    # What a kill between these lines leaves behind is swept up by the next checkpoint.
    for entry in os.scandir(folder):
        if entry.name not in (name, LATEST):
            Path(entry.path).unlink(missing_ok=True)


def read_checkpoint(folder: Path) -> tuple[Arrays, dict[str, Any]] | None:
    """Return arrays and facts of the latest checkpoint, or None if there is none.

    Raises:
        DataError: the checkpoint is damaged.
    """
    if not (folder / LATEST).exists():
        return None
    facts = read_json(folder / LATEST)
    path = folder / str(facts["file"])
    if not path.exists() or file_hash(path) != facts["sha256"]:
        raise DataError(
            f"{path} is missing or changed since it was written; delete {folder.parent} "
            "and train again."
        )
    return load_arrays(path), facts
