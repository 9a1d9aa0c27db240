"""A trained agent as one object that acts on arrays: no environment, no world, no code from files.

A RUN folder holds all that serving needs: ``serving.json`` (spaces and the numbers of the item
tables), ``tables.safetensors`` and ``policy.safetensors``.
"""

import json
import warnings
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import nn

from slategym.agents.algorithms import algorithm
from slategym.agents.checkpoint import load_arrays, load_module, save_arrays
from slategym.agents.classic_tables import ClassicTables
from slategym.agents.item_tables import PublicTables, Tables
from slategym.agents.policy import top_positions
from slategym.agents.run_folder import RunFolder, check_schema
from slategym.agents.slate_policy import SlatePolicy
from slategym.agents.train_config import TrainConfig
from slategym.errors import DataError, UsageError
from slategym.files import read_json, write_atomic, write_json

SERVING, TABLES = "serving.json", "tables.safetensors"
# Entries of an observation whose first axis is free: how many candidates, how long a history.
_FREE = ("candidates", "candidate_traits", "history", "history_feedback")
# Users' factors are a target of training alone.
_UNUSED = ("joint_users",)

Arrays = Mapping[str, NDArray[Any]]


class ServedAgent:
    """Chooses slates from observations, as NumPy arrays.

    Args:
        network: with its weights.
        space: of one user's observation in training.
        name: of the agent.
    """

    def __init__(self, network: SlatePolicy, space: spaces.Dict, name: str) -> None:
        self.network, self.space, self.name = network, space, name
        self.slate_size = network.slate.slate_size

    def act(self, observation: Arrays, rng: np.random.Generator | None = None) -> NDArray[np.int64]:
        """Return the best slate, as positions among the candidates, best first.

        Args:
            observation: entries of `space` with a leading batch axis B, or without one.
            rng: not looked at: so the agent is a policy of benchmarks too.

        Returns:
            ``(B, K)``, or ``(K,)`` where the observation has no batch axis.

        Raises:
            UsageError: an entry is missing or has another shape, or there are fewer candidates
                than places.
        """
        del rng
        scores = self.scores(observation)
        batch = scores if scores.ndim == 2 else scores[None]
        slate = top_positions(batch, self.slate_size)
        return slate if scores.ndim == 2 else slate[0]

    def scores(self, observation: Arrays) -> NDArray[np.float64]:
        """Return what the candidates are ranked by, ``(B, C)`` or ``(C,)``.

        Raises:
            UsageError: as in `act`.
        """
        single, arrays = self._checked(observation)
        with torch.no_grad():
            scores = self.network.core({k: torch.from_numpy(v) for k, v in arrays.items()}).scores
        found = scores.double().numpy()
        return found[0] if single else found

    def _checked(self, observation: Arrays) -> tuple[bool, dict[str, NDArray[Any]]]:
        """Return whether there is no batch axis, and the entries with one."""
        missing = [key for key in self.space.spaces if key not in observation]
        if missing:
            raise UsageError(
                f"the observation lacks {', '.join(missing)}; agent {self.name!r} reads "
                f"{', '.join(self.space.spaces)}."
            )
        single = np.ndim(observation["user"]) == 1
        arrays = {}
        for key, space in self.space.spaces.items():
            array = np.asarray(observation[key])
            array = array[None] if single else array
            shape = space.shape or ()
            free = 1 if key in _FREE else 0
            fits = array.ndim == 1 + len(shape) and array.shape[1 + free :] == shape[free:]
            if not fits or (array.dtype.kind in "iu") != (space.dtype.kind in "iu"):
                raise UsageError(
                    f"observation[{key!r}] has shape {np.shape(observation[key])} and type "
                    f"{array.dtype}; agent {self.name!r} was trained on {shape} of {space.dtype}, "
                    "with or without a batch axis before it."
                )
            # A copy: torch refuses to promise not to write into read-only arrays.
            arrays[key] = np.array(array, space.dtype)
        return single, arrays

    def module(self) -> nn.Module:
        """Return the agent as a torch module: tensors by name in, slates ``(B, K)`` out."""
        return _Slates(self.network)

    def export(self, path: str | Path, batch: int = 1, candidates: int | None = None) -> Path:
        """Write the agent as TorchScript, which runs without slategym, also from C++.

        ``torch.jit.load(path)(observation)`` takes a dict of tensors with a batch axis and returns
        slates ``(B, K)``. The graph is recorded for one B and one C, and serves no other.

        Args:
            path: the file to write.
            batch: B, users at once.
            candidates: C; None: as many as in training.
        """
        example = {}
        for key, space in self.space.spaces.items():
            shape = list(space.shape or ())
            if key in ("candidates", "candidate_traits") and candidates is not None:
                trained = (self.space["candidates"].shape or (1,))[0]
                shape[0] = shape[0] * candidates // self._documents(trained)
            example[key] = torch.from_numpy(np.zeros([batch, *shape], space.dtype))
        with torch.no_grad(), warnings.catch_warnings():
            # Torch would have us use torch.export, whose files need a pickle to open; and warns
            # that branches on sizes are recorded as they went, which is what is wanted.
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(self.module(), (example,), check_trace=False)
            write_atomic(Path(path), lambda target: torch.jit.save(traced, str(target)))
        return Path(path)

    def _documents(self, entries: int) -> int:
        """Return how many candidates so many entries of ``candidates`` are."""
        inline = self.space["candidates"].dtype.kind == "f"
        return entries // (len(self.network.features.shift) if inline else 1)


class _Slates(nn.Module):
    """The deterministic policy: an observation in, the best slate out."""

    def __init__(self, network: SlatePolicy) -> None:
        super().__init__()
        self.network = network

    def forward(self, observation: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return slates ``(B, K)``."""
        scores = self.network.core(observation).scores
        order = torch.sort(scores, dim=-1, descending=True, stable=True).indices
        return order[:, : self.network.slate.slate_size]


def load_agent(path: str | Path) -> ServedAgent:
    """Return a trained agent that acts on arrays.

    Args:
        path: a RUN folder.

    Example:
        ``load_agent("runs/mine").act(observation)``

    Raises:
        DataError: the run is not finished, damaged, or was written without what serving needs.
    """
    folder = RunFolder(Path(path))
    record = read_json(folder.agent)
    check_schema(folder.agent, record)
    if not folder.finished:
        raise DataError(f"{path} is not finished; give the same train command again.")
    told = folder.path / SERVING
    if not told.exists():
        raise DataError(f"{path} has no {SERVING}; an older version trained it: train again.")
    facts = read_json(told)
    config = TrainConfig.from_json(record["config"])
    space = _space_from(facts["space"])
    size = int(record["spaces"]["slate_size"])
    network = algorithm(config.algo).network(
        space, spaces.MultiDiscrete([size] * size), _stored_tables(folder.path, facts), config
    )
    load_module(network, load_arrays(folder.weights))
    network.set_training_mode(False)
    return ServedAgent(network, space, folder.path.resolve().name)


def save_serving(folder: Path, space: spaces.Dict, tables: Tables) -> None:
    """Write what serving needs beside the weights into a RUN folder.

    Args:
        folder: of the run.
        space: of one user's observation.
        tables: of the world or the classic.
    """
    arrays, numbers = {}, {}
    for entry in fields(tables):
        value = getattr(tables, entry.name)
        if isinstance(value, np.ndarray):
            arrays[entry.name] = value[:0] if entry.name in _UNUSED else value
        else:
            numbers[entry.name] = value
    save_arrays(folder / TABLES, arrays)
    kind = "classic" if isinstance(tables, ClassicTables) else "world"
    shapes = {key: [list(one.shape or ()), str(one.dtype)] for key, one in space.spaces.items()}
    plain = json.loads(json.dumps(numbers))
    write_json(folder / SERVING, {"kind": kind, "space": shapes, "numbers": plain})


def _stored_tables(folder: Path, facts: Mapping[str, Any]) -> Tables:
    """Return the tables that `save_serving` wrote."""
    values = {**facts["numbers"], **load_arrays(folder / TABLES)}
    if facts["kind"] == "classic":
        return ClassicTables(**values)
    values["blocks"] = {name: (int(a), int(b)) for name, (a, b) in values["blocks"].items()}
    return PublicTables(**values)


def _space_from(shapes: Mapping[str, Any]) -> spaces.Dict:
    """Return a space of the shapes and types noted; the bounds do not matter to a network."""
    found: dict[str, spaces.Space[Any]] = {}
    for key, (shape, dtype) in shapes.items():
        kind = np.dtype(dtype)
        low, high = (0, np.iinfo(kind).max) if kind.kind in "iu" else (-np.inf, np.inf)
        found[key] = spaces.Box(low, high, tuple(shape), kind.type)
    return spaces.Dict(found)
