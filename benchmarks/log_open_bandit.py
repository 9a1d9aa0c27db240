"""Logs in the layout of the Open Bandit Pipeline, there and back.

Letters: N impressions, L places of a slate, I items.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slategym.benchmarks.log_reader import check_log
from slategym.benchmarks.log_schema import AnyArray, FloatArray, Log, LogInfo, LongArray
from slategym.errors import DataError, UsageError


def read_open_bandit(path: Path | str) -> Log:
    """Return a file of the Open Bandit data set (Saito et al. 2021): one row per item shown.

    The data set logs the three places of a page as rows of their own, with the probability of the
    item at its place: K is 1, and ``observation["place"]`` (N, 1) says which place, from 0. It
    names no users; ``observation["affinity"]`` (N, I) is the user's affinity to every item.

    Args:
        path: ``<campaign>.csv`` or ``.csv.gz`` as the data set has it.

    Raises:
        DataError: the file is missing or lacks columns, or a propensity is outside (0, 1].
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist or is not a file.")
    frame = pd.read_csv(path, index_col=0)
    needed = ["timestamp", "item_id", "position", "click", "propensity_score"]
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; is it a file of Open Bandit?")
    frame = frame.sort_values("timestamp", kind="stable")
    affinity = sorted(
        (name for name in frame.columns if name.startswith("user-item_affinity_")),
        key=lambda name: int(name.rsplit("_", 1)[1]),
    )
    actions = int(frame["item_id"].max()) + 1 if not affinity else len(affinity)
    found = {
        "n_rounds": len(frame), "n_actions": actions,
        "action": frame["item_id"].to_numpy(np.int64),
        "position": frame["position"].to_numpy(np.int64) - 1,
        "reward": frame["click"].to_numpy(np.float64),
        "pscore": frame["propensity_score"].to_numpy(np.float64),
        "context": frame[affinity].to_numpy(np.float64),
    }  # fmt: skip
    return from_open_bandit(found, source=f"Open Bandit, {path.name}")


def from_open_bandit(feedback: Mapping[str, Any], *, source: str = "Open Bandit") -> Log:
    """Return the feedback dict of the Open Bandit Pipeline as a log.

    Args:
        feedback: ``n_rounds, n_actions, context, action, position, reward, pscore``; or the slate
            layout, with ``slate_id``, flat arrays (n * L,), ``pscore_cascade`` and perhaps
            ``pscore_item_position``. A context of n_actions columns is kept as the affinity to
            each item, any other as the context.
        source: kept in the metadata.

    Raises:
        DataError: keys are missing, or a propensity is outside (0, 1].
    """
    missing = [k for k in ("action", "reward", "pscore") if feedback.get(k) is None]
    if missing:
        raise DataError(f"the feedback lacks {', '.join(missing)}.")
    slates = feedback.get("slate_id") is not None
    size = len(feedback["action"]) // len(np.unique(feedback["slate_id"])) if slates else 1
    if len(feedback["action"]) == 0 or len(feedback["action"]) % size:
        raise DataError("the feedback has no rounds, or slates of unequal length.")
    action = np.asarray(feedback["action"], np.int64)
    order = np.lexsort((feedback["position"], feedback["slate_id"])) if slates else slice(None)

    def grid(key: str) -> FloatArray:
        return np.asarray(feedback[key], np.float64)[order].reshape(-1, size)

    joint = grid("pscore_cascade") if slates else grid("pscore")
    bad = int(((joint <= 0) | (joint > 1)).sum())
    if bad:
        raise DataError(f"the feedback has {bad} propensities outside (0, 1].")
    logp = np.log(joint)
    logp[:, 1:] -= logp[:, :-1].copy()
    by_place = np.full(logp.shape, np.nan)
    if size == 1:
        by_place = logp
    elif feedback.get("pscore_item_position") is not None:
        by_place = np.log(grid("pscore_item_position"))
    return _bandit_log(
        feedback, action[order].reshape(-1, size), grid("reward"), logp, by_place, source
    )


def _bandit_log(
    feedback: Mapping[str, Any],
    shown: LongArray,
    reward: FloatArray,
    logp: FloatArray,
    by_place: FloatArray,
    source: str,
) -> Log:
    """Return rounds as a log of episodes of one impression each."""
    count, size = shown.shape
    total = int(feedback.get("n_actions") or feedback.get("n_unique_action") or shown.max() + 1)
    context, place = feedback.get("context"), feedback.get("position")
    seen: dict[str, AnyArray] = {}
    if context is not None and np.ndim(context) == 2:
        key = "affinity" if np.shape(context)[1] == total else "context"
        seen[key] = np.asarray(context, np.float64)
    if place is not None and size == 1:
        seen["place"] = np.asarray(place, np.int64).reshape(-1, 1)
    ids = np.arange(count)
    log = Log(
        info=LogInfo(
            env_hash="", slate_size=size, num_candidates=total, policies=("unknown",), source=source
        ),
        episode=ids,
        user=ids,
        step=0 * ids,
        items=shown,
        positions=shown,
        candidates=np.tile(np.arange(total), (count, 1)),
        reward=reward.sum(1),
        reward_slot=reward,
        terminated=np.ones(count, dtype=np.bool_),
        truncated=np.zeros(count, dtype=np.bool_),
        logp_slot=logp,
        logp_position=by_place,
        logp_slate=logp.sum(1),
        policy=0 * ids,
        observation=seen,
    )
    check_log(log, source)
    return log


def to_open_bandit(log: Log) -> dict[str, Any]:
    """Return a log in the feedback layout of the Open Bandit Pipeline.

    One item an impression: ``context, action, position, reward, pscore``. Slates: flat arrays
    (n * L,), with ``pscore`` of the slate, ``pscore_cascade`` of the slots up to each, and
    ``pscore_item_position``.

    Raises:
        UsageError: the candidates differ between impressions, for there actions are numbers of a
            fixed set.
    """
    if not (log.candidates == log.candidates[0]).all():
        raise UsageError(
            "the candidates of this log differ from impression to impression; the Open Bandit "
            "layout numbers the actions of a fixed set."
        )
    count, size = log.items.shape
    wide = [np.asarray(v, np.float64).reshape(count, -1) for v in log.observation.values()]
    context = np.concatenate(wide, axis=1) if wide else None
    told: dict[str, Any] = {"n_rounds": count, "context": context}
    place = log.observation.get("place")
    if size == 1:
        where = np.zeros(count, np.int64) if place is None else place[:, 0]
        return told | {
            "n_actions": log.candidates.shape[1], "action": log.positions[:, 0],
            "position": where, "reward": log.reward, "pscore": np.exp(log.logp_slate),
        }  # fmt: skip
    return told | {
        "n_unique_action": log.candidates.shape[1],
        "slate_id": np.repeat(np.arange(count), size),
        "position": np.tile(np.arange(size), count),
        "action": log.positions.reshape(-1),
        "reward": log.reward_slot.reshape(-1),
        "pscore": np.repeat(np.exp(log.logp_slate), size),
        "pscore_cascade": np.exp(np.cumsum(log.logp_slot, axis=1)).reshape(-1),
        "pscore_item_position": np.exp(log.logp_position).reshape(-1),
    }
