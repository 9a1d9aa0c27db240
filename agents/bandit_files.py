"""What a linear bandit has learned, as sums over what it saw, and as files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from slategym.agents.public_model import FloatArray
from slategym.errors import DataError
from slategym.files import atomic_folder, read_json, write_json

SCHEMA = 1
_ARRAYS, _ABOUT = "bandit.safetensors", "bandit.json"


@dataclass(frozen=True)
class Statistics:
    """Sums over everything shown so far, discounted."""

    gram: FloatArray  # (P, P), Phi' Phi
    moment: FloatArray  # (P,), Phi' r
    square: float  # r' r
    weight: float  # items shown

    @classmethod
    def empty(cls, size: int) -> Self:
        """Return the sums of nothing, for P features."""
        return cls(np.zeros((size, size)), np.zeros(size), 0.0, 0.0)

    def after(self, phi: FloatArray, reward: FloatArray, forget: float) -> Self:
        """Return the sums with features ``(N, P)`` and rewards ``(N,)`` added.

        Args:
            phi: of what was shown.
            reward: that it brought.
            forget: weight in (0, 1] of what was there.
        """
        return type(self)(
            forget * self.gram + phi.T @ phi,
            forget * self.moment + phi.T @ reward,
            forget * self.square + float(reward @ reward),
            forget * self.weight + len(reward),
        )


def save_statistics(folder: Path, statistics: Statistics, about: Mapping[str, Any]) -> Path:
    """Write the sums and what they are of as a folder, whole or not at all."""
    arrays = {
        "gram": statistics.gram,
        "moment": statistics.moment,
        "sums": np.array([statistics.square, statistics.weight]),
    }
    with atomic_folder(folder) as target:
        save_file(arrays, target / _ARRAYS)
        write_json(target / _ABOUT, {**about, "schema": SCHEMA})
    return folder


def open_statistics(folder: Path, about: Mapping[str, Any]) -> Statistics:
    """Return the sums of a folder.

    Args:
        folder: written by `save_statistics`.
        about: what they must be of.

    Raises:
        DataError: the folder is missing, damaged, or of something else.
    """
    told = read_json(folder / _ABOUT)
    if not isinstance(told, dict) or told.get("schema") != SCHEMA:
        raise DataError(f"{folder} is not a bandit of schema {SCHEMA}; save it again.")
    for key, value in about.items():
        if told.get(key) != value:
            raise DataError(
                f"the bandit in {folder} has {key} {told.get(key)!r} and {value!r} is needed; "
                "begin with one that was saved on the same world with the same options."
            )
    try:
        arrays = load_file(folder / _ARRAYS)
        size = int(about["size"])
        shapes = {name: array.shape for name, array in arrays.items()}
        if shapes != {"gram": (size, size), "moment": (size,), "sums": (2,)}:
            raise DataError(f"{folder / _ARRAYS} has arrays {shapes}; save the bandit again.")
    except (OSError, SafetensorError) as error:
        raise DataError(f"{folder / _ARRAYS} cannot be read ({error}); save it again.") from None
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise DataError(f"{folder / _ARRAYS} holds numbers that are not finite; save it again.")
    square, weight = (float(value) for value in arrays["sums"])
    return Statistics(arrays["gram"], arrays["moment"], square, weight)
