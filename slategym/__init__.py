"""Train and test recommender agents on simulated users fitted from logs."""

import importlib
from typing import Any

__version__ = "0.1.0"
_FOLDERS = frozenset({"agents", "benchmarks", "cf_baselines", "encoders", "envs"})


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name in _FOLDERS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
