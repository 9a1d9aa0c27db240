"""Logs as Minari data sets and back; Minari is the extra ``minari``.

Minari has no field for propensities and knows no slates: they travel as ``infos``, one row a
step, so that nothing is lost on the way. Letters: N impressions, K slots, C candidates.
"""

import importlib
import json
import warnings
from itertools import pairwise
from typing import Any

import numpy as np
from gymnasium import spaces

from slategym.benchmarks.log_reader import check_log
from slategym.benchmarks.log_schema import RESPONSE, AnyArray, Log, LogInfo
from slategym.errors import DataError, SlateGymError, UsageError

METADATA = "slategym_log"
_STEPS = (
    "episode", "user", "step", "items", "positions", "logp_slot", "logp_position", "policy",
    "logp_slate", "reward_slot", "candidates",
)  # fmt: skip


def to_minari(log: Log, dataset_id: str) -> Any:  # noqa: ANN401 - a minari.MinariDataset
    """Write a log as a local Minari data set and return it.

    An observation follows the last step too, as Minari wants it: the last one again, for a log
    holds what a policy saw before it acted. Written with ``h5py`` alone: Minari's own collector
    would need jax.

    Args:
        log: any.
        dataset_id: such as ``slategym/world/cf-v0``; it must not exist.

    Raises:
        SlateGymError: Minari or h5py is not installed.
        UsageError: the id is malformed or exists.
    """
    minari = minari_or_say()
    buffers = [_buffer(minari, log, rows) for rows in _episodes(log)]
    slots, count = log.items.shape[1], log.candidates.shape[1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that author and link are not given
            made = minari.create_dataset_from_buffers(
                dataset_id=dataset_id,
                buffer=buffers,
                action_space=spaces.MultiDiscrete([count] * slots),
                observation_space=spaces.Dict({k: _box(v) for k, v in _seen(log).items()}),
                algorithm_name=", ".join(log.info.policies),
                description="recommendations logged by slategym, propensities in infos",
                data_format="hdf5",
            )
    except ValueError as error:
        raise UsageError(f"Minari refused data set {dataset_id!r}: {error}") from None
    made.storage.update_metadata({METADATA: json.dumps(log.info.to_json(), allow_nan=False)})
    return made


def from_minari(dataset: Any) -> Log:  # noqa: ANN401 - a minari.MinariDataset or its id
    """Return the log that `to_minari` wrote.

    Args:
        dataset: a Minari data set, or the id of a local one.

    Raises:
        SlateGymError: Minari or h5py is not installed.
        DataError: the data set is not there, or holds no log.
    """
    minari = minari_or_say()
    if isinstance(dataset, str):
        try:
            dataset = minari.load_dataset(dataset)
        except (FileNotFoundError, ValueError) as error:
            raise DataError(f"Minari has no data set {dataset!r}: {error}") from None
    told = dataset.storage.metadata.get(METADATA)
    if told is None:
        raise DataError(
            "this Minari data set holds no propensities of slates: slategym did not write it. "
            "Take its episodes into a table and use from_dataframe."
        )
    parts: list[dict[str, AnyArray]] = []
    for episode in dataset.iterate_episodes():
        arrays = {name: np.asarray(array)[1:] for name, array in episode.infos.items()}
        arrays |= {f"seen_{k}": np.asarray(v)[:-1] for k, v in episode.observations.items()}
        arrays["reward"] = np.asarray(episode.rewards, np.float64)
        arrays["terminated"] = np.asarray(episode.terminations, np.bool_)
        arrays["truncated"] = np.asarray(episode.truncations, np.bool_)
        parts.append(arrays)
    whole = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return _as_log(LogInfo.from_json(json.loads(told)), whole)


def minari_or_say() -> Any:  # noqa: ANN401 - the module
    """Return the module ``minari``.

    Raises:
        SlateGymError: it, or h5py, is not installed.
    """
    try:
        importlib.import_module("h5py")
        return importlib.import_module("minari")
    except ImportError as error:
        raise SlateGymError(
            f"Minari data sets need {error.name}; install it with `pip install slategym[minari]`."
        ) from None


def _episodes(log: Log) -> list[slice]:
    """Return the impressions of each episode."""
    edges = [*np.flatnonzero(log.first).tolist(), len(log)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _seen(log: Log) -> dict[str, AnyArray]:
    """Return what goes into the data set as observations; candidates travel in infos too."""
    return {**log.observation, "candidates": log.candidates}


def _buffer(minari: Any, log: Log, rows: slice) -> Any:  # noqa: ANN401
    """Return one episode as Minari wants it."""
    infos = {name: _after_reset(getattr(log, name)[rows]) for name in _STEPS}
    responses = {RESPONSE + k: _after_reset(v[rows]) for k, v in log.responses.items()}
    seen = {k: np.concatenate([v[rows], v[rows][-1:]]) for k, v in _seen(log).items()}
    return minari.data_collector.EpisodeBuffer(
        observations=seen,
        actions=log.positions[rows],
        rewards=log.reward[rows].tolist(),
        terminations=log.terminated[rows].tolist(),
        truncations=log.truncated[rows].tolist(),
        infos=infos | responses,
    )


def _after_reset(array: AnyArray) -> AnyArray:
    """Return (T + 1, ...): Minari keeps an info of the reset before that of each step."""
    return np.concatenate([np.zeros_like(array[:1]), array])


def _box(array: AnyArray) -> spaces.Box:
    """Return the space of the rows of an array."""
    low, high = float(np.floor(array.min())), float(np.ceil(array.max()))
    return spaces.Box(low, high, array.shape[1:], array.dtype.type)


def _as_log(info: LogInfo, arrays: dict[str, AnyArray]) -> Log:
    """Return arrays by name as a log."""
    named = {name: arrays[name] for name in (*_STEPS, "reward", "terminated", "truncated")}
    responses = {k.removeprefix(RESPONSE): v for k, v in arrays.items() if k.startswith(RESPONSE)}
    seen = {k.removeprefix("seen_"): v for k, v in arrays.items() if k.startswith("seen_")}
    seen.pop("candidates")
    log = Log(info=info, responses=responses, observation=seen, **named)
    check_log(log, "the Minari data set")
    return log
