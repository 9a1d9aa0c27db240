"""Logs from tables of your own.

Letters: N impressions, K slots, I items, E context numbers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from slategym.benchmarks.log_reader import check_log
from slategym.benchmarks.log_schema import AnyArray, FloatArray, Log, LogInfo, LongArray
from slategym.errors import DataError, unknown_name

FIELDS = {
    "item_id": "what was shown; required",
    "reward": "what it earned; required",
    "user_id": "who saw it; each impression is a user of its own without it",
    "episode_id": "visits that belong together; each impression is an episode without it",
    "step": "order of impressions in an episode; the order of rows without it",
    "slot": "place in the slate, from 0 or 1; one item an impression without it",
    "propensity": "probability in (0, 1] of the item at its slot, given the slots before",
    "policy_id": "what chose it",
    "terminated": "whether the episode ended by itself",
}
"""What `from_dataframe` can take from a table."""


def from_dataframe(
    frame: pd.DataFrame,
    columns: Mapping[str, str] | None = None,
    *,
    context: Sequence[str] = (),
    responses: Sequence[str] = (),
    source: str = "",
) -> Log:
    """Return a table of impressions as a log; every item of the table is a candidate in each.

    Without a propensity column the log says so, and `estimate_propensities` gives it some.

    Example:
        >>> import pandas as pd
        >>> from slategym.benchmarks.log_adapters import from_dataframe
        >>> table = pd.DataFrame({"film": ["a", "b"], "click": [0, 1], "p": [0.5, 0.25]})
        >>> log = from_dataframe(
        ...     table, {"item_id": "film", "reward": "click", "propensity": "p"}
        ... )
        >>> len(log), log.info.items, log.info.propensities
        (2, ('a', 'b'), 'logged')

    Args:
        frame: one row per item shown.
        columns: key of `FIELDS` -> column of the table, where it has another name.
        context: columns of numbers that a policy could see; ``observation["context"]``.
        responses: columns of numbers to keep beside the reward.
        source: kept in the metadata.

    Raises:
        UsageError: an unknown field, with the nearest known one.
        DataError: columns that are not there, propensities out of range, slates of unequal
            length, or values that are missing.
    """
    named = _named(frame, columns or {}, [*context, *responses])
    if not len(frame):
        raise DataError("the table has no rows.")
    order, head = _order(frame, named)
    logp, how = _propensities(frame, named, order, head["size"])
    codes, item_names = _coded(frame[named["item_id"]], "item_id")
    shown = codes[order].reshape(-1, head["size"])
    policy, policies = _policies(frame, named, order, head["size"])
    info = LogInfo(
        env_hash="", slate_size=head["size"], num_candidates=len(item_names), policies=policies,
        propensities=how, source=source, users=head["names"], items=item_names,
    )  # fmt: skip

    def grid(name: str) -> FloatArray:
        return _numbers(frame, name)[order].reshape(shown.shape)

    log = Log(
        info=info,
        items=shown,
        positions=shown,
        candidates=np.tile(np.arange(len(item_names)), (len(shown), 1)),
        reward_slot=grid(named["reward"]),
        logp_slot=logp,
        policy=policy,
        responses={name: grid(name) for name in responses},
        observation={"context": np.stack([grid(n)[:, 0] for n in context], 1)} if context else {},
        **_of_slates(frame, named, order, head, grid(named["reward"]), logp),
    )
    check_log(log, source or "the table")
    return log


def _of_slates(
    frame: pd.DataFrame,
    named: Mapping[str, str],
    order: LongArray,
    head: Mapping[str, Any],
    reward: FloatArray,
    logp: FloatArray,
) -> dict[str, AnyArray]:
    """Return the fields of a log that tell of whole slates."""
    ended = _ended(frame, named, order, head["size"], head["episode"])
    return {
        "episode": head["episode"],
        "user": head["user"],
        "step": head["step"],
        "reward": reward.sum(1),
        "terminated": ended,
        "truncated": _last(head["episode"]) & ~ended,
        "logp_position": logp if head["size"] == 1 else np.full(logp.shape, np.nan),
        "logp_slate": logp.sum(1),
    }


def _policies(
    frame: pd.DataFrame, named: Mapping[str, str], order: LongArray, size: int
) -> tuple[LongArray, tuple[str, ...]]:
    """Return the policy of each slate, as a number and by name."""
    if "policy_id" not in named:
        return np.zeros(len(order) // size, np.int64), ("unknown",)
    codes, names = _coded(frame[named["policy_id"]], "policy_id")
    return codes[order][::size], names


def _named(frame: pd.DataFrame, columns: Mapping[str, str], more: Sequence[str]) -> dict[str, str]:
    """Return field -> column for what the table has."""
    for field in columns:
        if field not in FIELDS:
            raise unknown_name("field", field, FIELDS)
    named = {field: columns.get(field, field) for field in FIELDS}
    asked = [*columns.values(), named["item_id"], named["reward"], *more]
    missing = sorted({name for name in asked if name not in frame.columns})
    if missing:
        listed = ", ".join(str(name) for name in frame.columns)
        raise DataError(f"the table lacks {', '.join(missing)}; its columns are {listed}.")
    return {field: name for field, name in named.items() if name in frame.columns}


def _coded(values: Any, what: str) -> tuple[LongArray, tuple[str, ...]]:  # noqa: ANN401
    """Return numbers for values and the sorted names they stand for."""
    if pd.isna(values).any():
        raise DataError(f"the table has {int(pd.isna(values).sum())} rows without {what}.")
    codes, names = pd.factorize(values, sort=True)
    return codes.astype(np.int64), tuple(str(name) for name in names)


def _numbers(frame: pd.DataFrame, name: str) -> FloatArray:
    """Return a column as numbers."""
    try:
        values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise DataError(f"column {name!r} of the table holds values that are no numbers.") from None
    if not np.isfinite(values).all():
        raise DataError(f"column {name!r} of the table has values that are missing or infinite.")
    return np.asarray(values)


def _order(frame: pd.DataFrame, named: Mapping[str, str]) -> tuple[LongArray, dict[str, Any]]:
    """Return the order of rows by episode, step and slot, and who, when, how many slots."""
    rows = np.arange(len(frame))
    slot = _numbers(frame, named["slot"]).astype(np.int64) if "slot" in named else 0 * rows
    slot = slot - slot.min()
    size = int(slot.max()) + 1
    if len(frame) % size:
        raise DataError(f"the table has {len(frame)} rows, which do not make slates of {size}.")
    # Without a number of its own, an impression begins wherever slot 0 does.
    running = np.cumsum(slot == 0) - 1
    user = episode = running
    names: tuple[str, ...] | None = None
    if "user_id" in named:
        user, names = _coded(frame[named["user_id"]], "user_id")
    if "episode_id" in named:
        episode, _ = _coded(frame[named["episode_id"]], "episode_id")
    step = _numbers(frame, named["step"]).astype(np.int64) if "step" in named else running
    order = np.lexsort((slot, step, episode))
    expected = np.tile(np.arange(size), len(frame) // size)
    if not (slot[order] == expected).all():
        raise DataError(f"the table has slates without all of their {size} slots, or slots twice.")
    heads = order[::size]
    number, start = _within(episode[heads])
    head = {"user": user[heads], "episode": number, "step": start, "size": size, "names": names}
    return order, head


def _within(episode: LongArray) -> tuple[LongArray, LongArray]:
    """Return episodes numbered through, and the place of each impression in its episode."""
    first = np.concatenate([[True], episode[1:] != episode[:-1]])
    begins = np.flatnonzero(first)
    number = np.cumsum(first) - 1
    return number, np.arange(len(episode)) - begins[number]


def _propensities(
    frame: pd.DataFrame, named: Mapping[str, str], order: LongArray, size: int
) -> tuple[FloatArray, Any]:
    """Return log-propensities (N, K) and where they come from."""
    if "propensity" not in named:
        return np.full((len(order) // size, size), np.nan), "absent"
    values = _numbers(frame, named["propensity"])[order]
    bad = int(((values <= 0) | (values > 1)).sum())
    if bad:
        raise DataError(
            f"column {named['propensity']!r} has {bad} propensities outside (0, 1]; what was shown "
            "had a probability above 0. Give the probabilities themselves, not their logarithms."
        )
    return np.log(values).reshape(-1, size), "logged"


def _ended(
    frame: pd.DataFrame, named: Mapping[str, str], order: LongArray, size: int, episode: LongArray
) -> AnyArray:
    """Return whether episodes ended by themselves (N,); without a column all of them did."""
    if "terminated" not in named:
        return _last(episode)
    told = _numbers(frame, named["terminated"])[order].reshape(-1, size)
    return np.asarray(told.any(1))


def _last(episode: LongArray) -> AnyArray:
    """Return whether an impression is the last of its episode (N,)."""
    return np.append(episode[1:] != episode[:-1], [True])[: len(episode)]
