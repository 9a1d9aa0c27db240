"""Fixtures every test may ask for."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(20261124)


@pytest.fixture(scope="session")
def data_dir() -> Callable[[str], Path]:
    """Find a folder of real data by name, or skip the test and say why.

    Looked for under ``$SLATEGYM_DATA``, else in ``shared/data`` beside the repository.
    None of it is ours to ship.
    """
    base = Path(os.environ.get("SLATEGYM_DATA", ROOT.parent / "shared" / "data"))

    def find(name: str) -> Path:
        folder = base / name
        if not folder.exists():
            pytest.skip(
                f"real data {name!r} is not here ({folder}); set SLATEGYM_DATA to its parent"
            )
        return folder

    return find
