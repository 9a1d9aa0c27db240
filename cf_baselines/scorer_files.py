"""A fitted model as a folder: settings and ids as JSON, arrays as safetensors."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.base import SCORERS, Scorer, make_scorer
from slategym.cf_baselines.interactions import Interactions
from slategym.errors import DataError, SlateGymError
from slategym.files import atomic_folder, file_hash, read_json, write_json

SETTINGS, ARRAYS = "scorer.json", "scorer.safetensors"
VERSION = 1
LOG = ("users", "items", "values", "times")


def save_scorer(scorer: Scorer, folder: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Write a fitted model to a folder; an earlier model there is replaced when all is written.

    Raises:
        DataError: the folder holds something else.
    """
    from safetensors.numpy import save_file

    if folder.exists() and not (folder / SETTINGS).exists():
        raise DataError(f"{folder} is there and is not a saved scorer; name a new folder.")
    log = scorer.log
    stored = {f"log.{field}": getattr(log, field) for field in LOG}
    stored |= {f"model.{name}": array for name, array in arrays.items()}
    if scorer.content is not None:
        stored["content"] = scorer.content
    with atomic_folder(folder) as target:
        # safetensors wants whole, C-ordered arrays.
        whole = {name: np.array(array, order="C") for name, array in stored.items()}
        save_file(whole, str(target / ARRAYS))
        head = {
            "version": VERSION,
            "scorer": scorer.name,
            "config": asdict(scorer.config),
            "log": {"name": log.name, "implicit": log.implicit},
            "user_ids": list(log.user_ids),
            "item_ids": list(log.item_ids),
            "sha256": file_hash(target / ARRAYS),
        }
        write_json(target / SETTINGS, head)


def load_scorer(folder: str | Path) -> Scorer:
    """Return a saved model; it scores exactly as the one that was saved.

    Raises:
        DataError: there is no such folder, it is not a saved model, or it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(folder)
    if not (folder / SETTINGS).exists():
        raise DataError(f"{folder} is not a saved scorer (no {SETTINGS} in it); save one first.")
    head = read_json(folder / SETTINGS)
    if not isinstance(head, dict) or head.get("scorer") not in SCORERS:
        raise DataError(f"{folder / SETTINGS} names no known scorer; fit and save it anew.")
    if head.get("version") != VERSION:
        raise DataError(
            f"{folder} has version {head.get('version')} of the format, this is {VERSION}; fit and "
            "save it anew."
        )
    try:
        if file_hash(folder / ARRAYS) != head["sha256"]:
            raise DataError(f"{folder / ARRAYS} is damaged: its content has changed; fit it anew.")
        arrays = load_file(str(folder / ARRAYS))
        scorer = make_scorer(head["scorer"], **head["config"])
        log = Interactions(
            tuple(head["user_ids"]),
            tuple(head["item_ids"]),
            *(arrays.pop(f"log.{field}") for field in LOG),  # type: ignore[misc]  # four arrays
            implicit=head["log"]["implicit"],
            name=head["log"]["name"],
        )
        scorer.restore(log, arrays.pop("content", None), arrays)
    except (OSError, SafetensorError, KeyError, TypeError, SlateGymError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{folder} is a damaged scorer ({error}); fit and save it anew.") from None
    return scorer
