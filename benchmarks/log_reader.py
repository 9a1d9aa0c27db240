"""Reads logs back and refuses, in one sentence, what is not sound.

Letters: R rows of a file, N impressions, K slots, C candidates.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from slategym.benchmarks.log_schema import (
    COLUMNS,
    METADATA_KEY,
    OBSERVATION,
    OPTIONAL,
    PROPENSITIES,
    RESPONSE,
    SCHEMA_VERSION,
    AnyArray,
    FloatArray,
    Log,
    LogInfo,
)
from slategym.errors import DataError

# A logarithm of a probability may exceed 0 by rounding, and slots may miss their slate by it.
_ROUNDING = 1e-6


def read_log(paths: Path | str | Sequence[Path | str], *, expect_env: str | None = None) -> Log:
    """Return one log, or several of the same environment as one.

    Args:
        paths: a Parquet file, or several; their episodes are numbered through.
        expect_env: `env_hash` that the log must have; None takes any.

    Raises:
        DataError: a file is missing, cut short, or no log; columns are missing; propensities are
            0, above 1 or NaN; a reward is NaN; a slate lacks a slot or shows what was no
            candidate; files differ in schema version or environment; or the environment is not
            the one expected.
    """
    listed = [paths] if isinstance(paths, Path | str) else list(paths)
    if not listed:
        raise DataError("no log was named; give at least one file.")
    files = [Path(path) for path in listed]
    infos = [read_info(path) for path in files]
    _check_together(files, infos, expect_env)
    return _joined([_read(path, info) for path, info in zip(files, infos, strict=True)])


def read_info(path: Path | str) -> LogInfo:
    """Return what a file's metadata says; no row is read.

    Raises:
        DataError: the file is missing, cut short, or not a log of this schema version.
    """
    path = Path(path)
    found = (_opened(path).schema_arrow.metadata or {}).get(METADATA_KEY)
    if found is None:
        raise DataError(
            f"{path} is a Parquet file but no log of slategym; bring your own table in with "
            "slategym.benchmarks.log_adapters.from_dataframe."
        )
    try:
        value: dict[str, Any] = json.loads(found)
    except json.JSONDecodeError as error:
        raise DataError(f"{path} has damaged metadata ({error}); write the log again.") from None
    version = value.get("schema_version")
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{path} has log schema version {version!r}; this slategym reads {SCHEMA_VERSION}: "
            "write the log again, or read it with the version that wrote it."
        )
    return LogInfo.from_json(value)


def _opened(path: Path) -> Any:  # noqa: ANN401 - a pyarrow.parquet.ParquetFile
    """Return an open Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise DataError(f"{path} does not exist or is not a file.")
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        first = str(error).split(".")[0]
        raise DataError(
            f"{path} is not a whole Parquet file ({first}); it was cut short or is something "
            "else: write the log again."
        ) from None


def _check_together(files: Sequence[Path], infos: Sequence[LogInfo], expect: str | None) -> None:
    """Refuse logs that do not belong together, or to the environment."""
    for path, info in zip(files, infos, strict=True):
        for name in ("env_hash", "slate_size", "num_candidates", "propensities"):
            here, first = getattr(info, name), getattr(infos[0], name)
            if here != first:
                raise DataError(
                    f"{path} and {files[0]} cannot be read as one log: {name} is {here!r} and "
                    f"{first!r}; read them one by one."
                )
        if expect is not None and info.env_hash != expect:
            raise DataError(
                f"{path} was written in environment {info.env_hash or 'unknown'!r}, not in "
                f"{expect!r}: another world, another variant or other numbers; give the ones it "
                "was written with."
            )


def _read(path: Path, info: LogInfo) -> Log:
    """Return the impressions of one file."""
    import pyarrow as pa

    file = _opened(path)
    names = file.schema_arrow.names
    missing = [name for name in COLUMNS if name not in names and name not in OPTIONAL]
    if missing:
        raise DataError(
            f"{path} lacks column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; see "
            "`slategym.benchmarks.log_schema.COLUMNS` for what a log holds."
        )
    try:
        table = file.read()
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is damaged ({error}); write the log again.") from None
    if table.num_rows == 0:
        raise DataError(f"{path} holds no rows.")
    return log_of_table(table, info, str(path))


def log_of_table(table: Any, info: LogInfo, where: str) -> Log:  # noqa: ANN401 - a pyarrow.Table
    """Return the log that a table of rows is.

    Args:
        table: the columns of `COLUMNS`, in any order of rows.
        info: its metadata.
        where: what messages call it.

    Raises:
        DataError: as in `read_log`.
    """
    table = table.sort_by([(name, "ascending") for name in ("episode_id", "step", "slot")])
    size = info.slate_size
    slot, step = _column(table, "slot"), _column(table, "step")
    episode = _column(table, "episode_id")
    _check_slots(slot, episode, step, size, where)
    count = len(slot) // size
    grid = {
        n: _column(table, n).reshape(count, size) for n in table.column_names if _is_flat(n, table)
    }
    _check_even(grid, where)
    lists = [n for n in table.column_names if n == "candidates" or n.startswith(OBSERVATION)]
    arrays = {name: _lists(table, name, info, where) for name in lists}
    log = _assembled(grid, arrays, table, info)
    check_log(log, where)
    return log


def _is_flat(name: str, table: Any) -> bool:  # noqa: ANN401
    """Return whether a column holds one number a row."""
    import pyarrow as pa

    kind = table.schema.field(name).type
    return name != "policy_id" and (pa.types.is_primitive(kind) or pa.types.is_boolean(kind))


def _column(table: Any, name: str) -> AnyArray:  # noqa: ANN401
    """Return a column as an array; nulls are NaN."""
    array = np.asarray(table.column(name).to_numpy())
    return array.astype(np.float64) if array.dtype == object else array


def _check_slots(slot: AnyArray, episode: AnyArray, step: AnyArray, size: int, where: str) -> None:
    """Refuse slates with a slot missing or twice."""
    whole = len(slot) % size == 0
    whole = whole and bool((slot.reshape(-1, size) == np.arange(size)).all())
    if whole:
        heads = np.stack([episode, step], 1).reshape(-1, size, 2)
        whole = bool((heads == heads[:, :1]).all())
        same = (heads[1:, 0] == heads[:-1, 0]).all(1)
        whole = whole and not same.any()
    if not whole:
        raise DataError(
            f"{where} has slates without all of their {size} slots, or slots twice; every "
            f"(episode_id, step) needs one row for each slot 0 to {size - 1}."
        )


def _check_even(grid: dict[str, AnyArray], where: str) -> None:
    """Refuse slates whose slots do not agree on what is told of the slate as a whole."""
    for name in ("user_id", "reward", "terminated", "truncated", "behavior_logp_slate"):
        array, first = grid[name], grid[name][:, :1]
        same = (array == first) | (np.isnan(array) & np.isnan(first))
        if not same.all():
            raise DataError(
                f"{where} has {int((~same.all(1)).sum())} slates whose slots differ in {name}; it "
                "is told of the whole slate and must be the same in all its rows."
            )


def _lists(table: Any, name: str, info: LogInfo, where: str) -> AnyArray:  # noqa: ANN401
    """Return the lists of slot 0 as (N, W), -1 where a list of candidates is shorter."""
    heads = table.column(name).take(np.arange(0, table.num_rows, info.slate_size))
    heads = heads.combine_chunks()
    if heads.null_count:
        raise DataError(f"{where} has no {name} in some rows of slot 0; give them in each slate.")
    lengths, values = np.diff(heads.offsets.to_numpy()), heads.flatten().to_numpy()
    most = int(lengths.max(initial=0))
    width = info.num_candidates if name == "candidates" else most
    if most > width:
        raise DataError(f"{where} has {most} candidates in a slate; its metadata says {width}.")
    if (lengths == width).all():
        return np.asarray(values.reshape(len(heads), width))
    if name != "candidates":
        raise DataError(f"{where} has {name} of several lengths, {lengths.min()} to {most}.")
    out = np.full((len(heads), width), -1, np.int64)
    out[np.arange(width) < lengths[:, None]] = values
    return out


def _assembled(
    grid: dict[str, AnyArray],
    lists: dict[str, AnyArray],
    table: Any,  # noqa: ANN401
    info: LogInfo,
) -> Log:
    """Return the log of columns in the shape of slates."""
    text = table.column("policy_id").combine_chunks().dictionary_encode()
    names = [str(name) for name in text.dictionary.to_pylist()]
    codes = text.indices.to_numpy().astype(np.int64)[:: info.slate_size]
    none = np.full(grid["slot"].shape, np.nan)
    responses = {k: v for k, v in grid.items() if k.startswith(RESPONSE)}
    seen = {k.removeprefix(OBSERVATION): v for k, v in lists.items() if k != "candidates"}
    if "history_feedback" in seen and info.world is not None:  # the only matrix, by ids
        feedback = seen["history_feedback"]
        seen["history_feedback"] = feedback.reshape(len(feedback), -1, 3)
    return Log(
        info=replace(info, policies=tuple(names)),
        episode=grid["episode_id"][:, 0].astype(np.int64),
        user=grid["user_id"][:, 0].astype(np.int64),
        step=grid["step"][:, 0].astype(np.int64),
        items=grid["item_id"].astype(np.int64),
        positions=grid["position"].astype(np.int64),
        candidates=lists["candidates"].astype(np.int64),
        reward=grid["reward"][:, 0].astype(np.float64),
        reward_slot=grid["reward_slot"].astype(np.float64),
        terminated=grid["terminated"][:, 0].astype(np.bool_),
        truncated=grid["truncated"][:, 0].astype(np.bool_),
        logp_slot=grid["behavior_logp_slot"].astype(np.float64),
        logp_position=grid.get("behavior_logp_position", none).astype(np.float64),
        logp_slate=grid["behavior_logp_slate"][:, 0].astype(np.float64),
        policy=codes,
        responses={k.removeprefix(RESPONSE): v for k, v in responses.items()},
        observation=seen,
    )


def check_log(log: Log, where: str) -> None:
    """Refuse a log whose numbers cannot be.

    Args:
        log: any.
        where: what messages call it.

    Raises:
        DataError: see `read_log`.
    """
    for name, array in (("reward", log.reward), ("reward_slot", log.reward_slot)):
        bad = int((~np.isfinite(array)).sum())
        if bad:
            raise DataError(f"{where} has {bad} values of {name} that are NaN or infinite.")
    count = log.candidates.shape[1]
    if not ((log.positions >= 0) & (log.positions < count)).all():
        raise DataError(f"{where} has positions outside [0, {count}), the candidates of a slate.")
    listed = np.take_along_axis(log.candidates, log.positions, 1)
    wrong = int(((listed != log.items) | (log.items < 0)).sum())
    if wrong:
        raise DataError(
            f"{where} shows {wrong} items that are not the candidate at their position."
        )
    if log.info.propensities != "absent":
        for name in PROPENSITIES:
            _check_probability(name, getattr(log, name.removeprefix("behavior_")), where)
        total = log.logp_slot.sum(1)
        if not np.allclose(total, log.logp_slate, rtol=_ROUNDING, atol=_ROUNDING):
            raise DataError(
                f"{where} has slates whose behavior_logp_slate is not the sum of their "
                "behavior_logp_slot; log conditional probabilities, each given the slots before."
            )


def _check_probability(name: str, logp: FloatArray, where: str) -> None:
    """Refuse log-probabilities of events that cannot have been seen, or of none."""
    missing = np.isnan(logp)
    if name in OPTIONAL and missing.all():
        return
    told = {
        "that are NaN": missing,
        "of probability 0, yet they were shown": np.isneginf(logp),
        "of a probability above 1": logp > _ROUNDING,
    }
    for what, mask in told.items():
        if mask.any():
            raise DataError(
                f"{where} has {int(mask.sum())} {name} {what}; propensities must be in (0, 1], as "
                "natural logarithms. Without any, estimate them: "
                "slategym.benchmarks.behaviour_policy.estimate_propensities."
            )


def _joined(logs: Sequence[Log]) -> Log:
    """Return several logs as one, episodes and policies numbered through."""
    if len(logs) == 1:
        return logs[0]
    policies = tuple(dict.fromkeys(name for log in logs for name in log.info.policies))
    if any(set(log.responses) != set(logs[0].responses) for log in logs):
        raise DataError("the logs report different responses; read them one by one.")
    parts, start = [], 0
    for log in logs:
        codes = np.array([policies.index(name) for name in log.info.policies])
        number = np.cumsum(log.first) - 1 + start
        start = int(number[-1]) + 1
        parts.append(replace(log, episode=number, policy=codes[log.policy]))
    info = replace(logs[0].info, policies=policies)
    if any(log.info.seed != info.seed for log in logs):
        info = replace(info, seed=None)
    names = [
        name
        for name in Log.__dataclass_fields__
        if name not in ("info", "responses", "observation")
    ]
    arrays: dict[str, Any] = {n: np.concatenate([getattr(p, n) for p in parts]) for n in names}
    for group in ("responses", "observation"):
        keys = getattr(parts[0], group)
        arrays[group] = {k: np.concatenate([getattr(p, group)[k] for p in parts]) for k in keys}
    return Log(info=info, **arrays)
