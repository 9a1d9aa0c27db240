"""The checkpoint of a fine-tuning run: arrays as safetensors, the rest as JSON, whole or absent."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slategym.encoders.base import FloatArray
from slategym.encoders.tasks import FinetuneData
from slategym.errors import DataError, UsageError
from slategym.files import atomic_folder, read_json, write_json

SCHEMA_VERSION = 1
STATE_FILE, BEST_FILE, FACTS_FILE = "state.safetensors", "best.safetensors", "finetune.json"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Where a run is after a pass.

    Attributes:
        epoch: Passes done.
        lowest: Task to its lowest validation loss so far.
        since: Passes since any task got better.
        history: A row of measures per pass.
        best: ``task/name`` to a parameter of the task's best pass.
        optimiser: The parameters now and the optimiser's moments.
    """

    epoch: int
    lowest: Mapping[str, float]
    since: int
    history: tuple[Mapping[str, float], ...]
    best: Mapping[str, FloatArray]
    optimiser: Mapping[str, FloatArray]


def data_hash(data: FinetuneData) -> str:
    """Return a hash of everything a run learns from, 64 hex digits."""
    digest = hashlib.sha256()
    for ratings in (data.train, data.validation):
        for column in (ratings.users, ratings.items, ratings.values):
            digest.update(np.ascontiguousarray(column).tobytes())
    for array in (
        data.item_vectors, data.generated.users, data.generated.items, data.joint.users,
        data.joint.items,
    ):  # fmt: skip
        digest.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    digest.update("\x1f".join(data.texts).encode())
    return digest.hexdigest()


def save_checkpoint(out: Path, state: Checkpoint, identity: Mapping[str, Any]) -> None:
    """Write a run's checkpoint into ``out``, in place of the one before."""
    from safetensors.numpy import save_file

    facts = {
        "schema_version": SCHEMA_VERSION,
        "epoch": state.epoch,
        "lowest": dict(state.lowest),
        "since": state.since,
        "history": [dict(row) for row in state.history],
        **identity,
    }
    with atomic_folder(out) as folder:
        save_file(_plain(state.best), folder / BEST_FILE)
        save_file(_plain(state.optimiser), folder / STATE_FILE)
        write_json(folder / FACTS_FILE, facts)


def load_checkpoint(out: Path, identity: Mapping[str, Any]) -> Checkpoint | None:
    """Return the checkpoint in ``out``, or None where no run was.

    Raises:
        UsageError: the folder holds something else, or a run of other data or settings.
        DataError: the checkpoint is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / FACTS_FILE).is_file():
        raise UsageError(f"{out} holds files and is not a fine-tuning run; name a new folder.")
    facts = read_json(out / FACTS_FILE)
    if facts.get("schema_version") != SCHEMA_VERSION:
        raise DataError(f"{out / FACTS_FILE} is not of version {SCHEMA_VERSION}.")
    for name, value in identity.items():
        if facts.get(name) != value:
            raise UsageError(
                f"{out} holds a run with other {name}; name another folder, or remove this one."
            )
    try:
        best, now = load_file(out / BEST_FILE), load_file(out / STATE_FILE)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{out} is damaged ({error}); remove it and start again.") from None
    history = tuple(facts["history"])
    return Checkpoint(facts["epoch"], facts["lowest"], facts["since"], history, best, now)


def _plain(arrays: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    return {name: np.array(value, order="C") for name, value in arrays.items()}
