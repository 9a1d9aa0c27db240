"""Trains an agent on a log file alone, for the environment that the log was written in."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from slategym.agents.offline_data import OfflineConfig, OfflineData
from slategym.agents.offline_training import OfflineResult, task_of, train_offline
from slategym.benchmarks.log_reader import read_log
from slategym.benchmarks.log_schema import Log, env_hash
from slategym.envs.protocol import AnyVariant
from slategym.envs.registry import get_variant, registered, variant_from_json
from slategym.envs.world import World
from slategym.errors import DataError, UsageError
from slategym.files import file_hash
from slategym.progress import Progress


def train_on_log(
    paths: Sequence[Path | str],
    world: World,
    config: OfflineConfig,
    out: Path | str,
    *,
    progress: Progress | None = None,
) -> OfflineResult:
    """Train an agent on one or several log files and write a RUN folder.

    Args:
        paths: logs of one environment, as `slategym log` wrote them.
        world: the world they were written in; it gives item tables and is not simulated.
        config: how.
        out: a new or empty folder.
        progress: hears of epochs.

    Raises:
        UsageError: the folder is not empty, or the log is of an unregistered variant.
        DataError: a log is not sound, is of another world, or has no propensities where the
            method needs them.
    """
    log = read_log(list(paths))
    variant = logged_variant(log, world)
    if registered(variant.id) is None:
        get_variant(variant.id)  # says what is known
    same = get_variant(variant.id).override(**_sizes(variant))
    if env_hash(same.override(observation=variant.observation), world.hash) != log.info.env_hash:
        raise UsageError(
            f"the log was written on other parameters of {variant.id!r} than it has now; register "
            "the variant it was written on under an id of its own."
        )
    task = task_of(variant.id, config, **_sizes(variant))
    told = {
        "files": [{"name": Path(p).name, "sha256": file_hash(Path(p))} for p in paths],
        "env_hash": log.info.env_hash,
        "policies": list(log.info.policies),
        "propensities": log.info.propensities,
        "impressions": len(log),
        "episodes": int(log.first.sum()),
    }
    data = offline_data(log, needs_propensities=config.method != "cloning")
    return train_offline(data, world, task, config, out, log=told, progress=progress)


def logged_variant(log: Log, world: World | None) -> AnyVariant:
    """Return the variant that a log was written in, in its sizes.

    Raises:
        DataError: the log is from elsewhere, or was written in another world.
    """
    if log.info.variant is None:
        raise DataError(
            "the log was not written in an environment of slategym, so no agent of it can be "
            "asked or trained; judge policies whose probabilities you have instead."
        )
    here = None if world is None else world.hash
    if log.info.world != here:
        there = "no world" if log.info.world is None else f"world {log.info.world[:12]}"
        given = "none" if here is None else f"{world.info.name!r} ({here[:12]})"  # type: ignore[union-attr]
        raise DataError(
            f"the log was written in {there}, not in {given}; give the world it was written in."
        )
    return variant_from_json(log.info.variant)


def offline_data(log: Log, *, needs_propensities: bool = True) -> OfflineData:
    """Return a log as what agents are trained on.

    Args:
        log: has observations and clicks.
        needs_propensities: refuse a log without any; else they count as 1.

    Raises:
        DataError: the log lacks observations, clicks or propensities.
    """
    if "click" not in log.responses:
        raise DataError("the log has no response_click, so it does not say what was taken.")
    if needs_propensities and log.info.propensities == "absent":
        raise DataError(
            "the log has no propensities; estimate them first "
            "(slategym.benchmarks.behaviour_policy.estimate_propensities), or use method cloning."
        )
    if log.info.propensities == "absent":
        log = replace(log, logp_slot=np.zeros(log.items.shape))
    return OfflineData(
        observation=log.observed,
        positions=log.positions,
        items=log.items,
        user=log.user,
        first=log.first,
        reward_slot=log.reward_slot,
        logp_slot=log.logp_slot,
        responses=log.responses,
    )


def _sizes(variant: AnyVariant) -> dict[str, int]:
    """Return the sizes of a variant by name."""
    names = ("slate_size", "num_candidates", "horizon")
    return {name: int(getattr(variant, name)) for name in names}
