"""Fixtures every test may ask for."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


@pytest.fixture
def movielens_world(data_dir: Callable[[str], Path], tmp_path: Path) -> Callable[..., Any]:
    """Build the world of MovieLens 100K, texts hashed and pictures left out unless told else."""

    def build(*, profiles: bool = False, **settings: Any) -> Any:  # noqa: ANN401
        # Here, because most tests need neither.
        from slategym.cf_baselines.movielens import load_movielens
        from slategym.envs.build import build_world

        data = load_movielens(data_dir("ml-100k"))
        told = {"profiles": data.user_profiles} if profiles else {}
        plain = {"encoders": {"text": "hashed-ngrams", "image": ""}, "out": tmp_path / "w"}
        settings = {**plain, **told, **settings}
        return build_world(data.catalog, data.interactions, split=data.split, **settings)

    return build
