"""What an experiment's tables hold beyond returns: metrics with intervals, curves, who stays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.benchmarks.executor import Arrays
from slategym.benchmarks.experiment_cells import CURVE, LORENZ, SET
from slategym.benchmarks.session_numbers import still_there, still_visiting
from slategym.benchmarks.statistics import UserBootstrap, iqm, percentile_interval

FloatArray = npt.NDArray[np.float64]
Runs = Mapping[str, Sequence[Arrays]]
_NOT_METRICS = ("user", "return")


def metric_keys(runs: Sequence[Arrays]) -> list[str]:
    """Return the session-level metrics that every run has, return left out."""
    names = [key for key in runs[0] if "/" not in key and key not in _NOT_METRICS]
    return [key for key in names if all(key in run for run in runs)]


def metric_intervals(
    runs: Sequence[Arrays], bootstrap: UserBootstrap
) -> dict[str, dict[str, float | None]]:
    """Return each metric but the return with its interval over users, by key.

    Estimates are interquartile means over training seeds; a resample of users is the same for
    each seed.

    Args:
        runs: one for each training seed.
        bootstrap: over the users of the sessions.
    """
    keys = metric_keys(runs)
    drawn: dict[str, FloatArray] = {}
    if keys:
        # At once: (R, metrics) for each run.
        tables = [np.stack([run[key] for key in keys], axis=1).astype(np.float64) for run in runs]
        resampled = np.stack([bootstrap.mean_replicates(table) for table in tables])
        for place, key in enumerate(keys):
            means = np.array([_mean(table[:, place]) for table in tables])
            each = resampled[:, :, place]
            if bootstrap.groups < 2:
                each = np.full_like(each, np.nan)
            drawn[key] = np.concatenate([[iqm(means)], iqm(each, axis=0)])
    for key in runs[0]:
        if key.startswith(SET) and all(key in run for run in runs):
            drawn[key.removeprefix(SET)] = iqm(np.stack([run[key] for run in runs]), axis=0)
    return {
        key: percentile_interval(float(values[0]), values[1:]).to_json()
        for key, values in drawn.items()
    }


def curves(runs: Runs, training_seeds: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Return the curves of a task, each by contender.

    Args:
        runs: contender -> its runs.
        training_seeds: contender -> the seeds of its runs.

    Returns:
        ``staying``: share of sessions that see slate 1, 2, ...; ``returning``: share with a
        visit on that day or later; ``exposure``: Lorenz curve at 0, 0.01, ... of the items, all
        means over training seeds; ``learning``: ``seed``, ``frames`` and ``returns`` of each
        training.
    """
    found: dict[str, Any] = {"staying": {}, "returning": {}, "exposure": {}, "learning": {}}
    for name, each in runs.items():
        if all("length" in run for run in each):
            found["staying"][name] = still_there(_pooled(each, "length"))
        if all("last_visit" in run for run in each):
            found["returning"][name] = still_visiting(_pooled(each, "last_visit"))
        if all(LORENZ in run for run in each):
            mean = np.mean([run[LORENZ] for run in each], axis=0)
            found["exposure"][name] = np.round(mean, 5).tolist()
        if all(f"{CURVE}frames" in run for run in each):
            found["learning"][name] = [
                {
                    "seed": int(seed),
                    "frames": run[f"{CURVE}frames"].tolist(),
                    "returns": run[f"{CURVE}returns"].tolist(),
                }
                for seed, run in zip(training_seeds[name], each, strict=True)
            ]
    return found


def _pooled(runs: Sequence[Arrays], key: str) -> FloatArray:
    """Return the numbers of all training seeds, each of as many sessions."""
    return np.concatenate([np.asarray(run[key], np.float64) for run in runs])


def _mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
