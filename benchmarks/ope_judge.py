"""Judging a policy from a log in one call: estimators by name, with their verdicts.

Names: those of `ope_bandit.PLAIN` and `TAMED`, `ope_slate.SLATE_ESTIMATORS` and
`ope_sequence.SEQUENCE_ESTIMATORS`. A tamed one is tuned unless its number is given, as in
``dros@10``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from slategym.benchmarks import ope_sequence, ope_slate
from slategym.benchmarks.ope_bandit import PLAIN, TAMED, BanditLog
from slategym.benchmarks.ope_estimate import Estimate
from slategym.benchmarks.ope_intervals import METHOD, Users
from slategym.benchmarks.ope_sequence import SEQUENCE_ESTIMATORS, SequenceLog
from slategym.benchmarks.ope_slate import SLATE_ESTIMATORS, SlateLog
from slategym.benchmarks.ope_tuning import Tuned, cross_validated, error_bound, slope
from slategym.benchmarks.ope_verdict import LIMITS, Limits, Row, estimate_table
from slategym.benchmarks.statistics import LEVEL, REPLICATES
from slategym.errors import UsageError, unknown_name

_Any = TypeVar("_Any")
AnyLog = BanditLog | SlateLog | SequenceLog
TUNINGS: Mapping[str, Callable[..., Tuned]] = {
    "slope": slope,
    "error-bound": error_bound,
    "cross-validated": cross_validated,
}
BANDIT_NAMES = (*PLAIN, *TAMED)


def has_model(log: AnyLog) -> bool:
    """Return whether a log carries the predictions of a model."""
    return bool(np.any(log.taken) or np.any(log.value))


def default_names(log: AnyLog) -> tuple[str, ...]:
    """Return the estimators that make sense for a log, with or without a model."""
    modelled = has_model(log)
    if isinstance(log, SequenceLog):
        return tuple(n for n in SEQUENCE_ESTIMATORS if modelled or n not in ("dm", "dr", "sndr"))
    if isinstance(log, SlateLog):
        return tuple(n for n in SLATE_ESTIMATORS if modelled or n != "cascade_dr")
    if modelled:
        return ("dm", "ipw", "snipw", "dr", "sndr", "switch_dr", "dros")
    return ("ipw", "snipw", "ipw_clip", "sgipw")


def make_estimates(
    log: AnyLog, names: Sequence[str] | None = None, *, tuning: str = "slope"
) -> tuple[Estimate, ...]:
    """Return estimates by name.

    Args:
        log: rounds, slates or trajectories.
        names: which estimators; ``None`` means `default_names`.
        tuning: how a tamed one without a number is tuned: a name in `TUNINGS`.

    Raises:
        UsageError: an unknown estimator or tuning, or a number that is none.
    """
    chosen = default_names(log) if names is None else tuple(names)
    if tuning not in TUNINGS:
        raise unknown_name("tuning", tuning, TUNINGS)
    if isinstance(log, BanditLog):
        return tuple(_bandit(log, name, tuning) for name in chosen)
    if isinstance(log, SlateLog):
        return tuple(_known(SLATE_ESTIMATORS, name)(log) for name in chosen)
    return tuple(_known(SEQUENCE_ESTIMATORS, name)(log) for name in chosen)


def judge(
    log: AnyLog,
    names: Sequence[str] | None = None,
    *,
    users: Users = None,
    extra: Sequence[Estimate] = (),
    tuning: str = "slope",
    estimated_propensities: bool = False,
    method: str = METHOD,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    seed: int = 0,
    limits: Limits = LIMITS,
) -> tuple[Row, ...]:
    """Return a row for each estimator: point, interval, diagnostics, verdict and why.

    Args:
        log: rounds, slates or trajectories.
        names: which estimators; ``None`` means `default_names`.
        users: user of each unit (N,), whom intervals resample; ``None``: each its own user.
        extra: further estimates on the same units, e.g. FQE, marginal IS, MIPS or OffCEM.
        tuning: how tamed weights are tuned: a name in `TUNINGS`.
        estimated_propensities: whether the propensities were estimated and not logged.
        method: how intervals are made: a name in `ope_intervals.METHODS`.
        level: nominal coverage in (0, 1).
        replicates: resamples of the bootstrap.
        seed: seed of the bootstrap.
        limits: where verdicts turn.

    Raises:
        UsageError: an unknown estimator, tuning or method.
        DataError: another number of users than units.
    """
    return estimate_table(
        (*make_estimates(log, names, tuning=tuning), *extra),
        users=users,
        unsupported=log.unsupported,
        reward_range=value_range(log),
        reference=unbiased(log),
        estimated_propensities=estimated_propensities,
        method=method,
        level=level,
        replicates=replicates,
        seed=seed,
        limits=limits,
    )


def unbiased(log: AnyLog) -> Estimate:
    """Return the estimate that is right on average if the propensities are."""
    modelled = has_model(log)
    if isinstance(log, SlateLog):
        return ope_slate.sips(log)
    if isinstance(log, SequenceLog):
        return (ope_sequence.doubly_robust if modelled else ope_sequence.pdis)(log)
    return PLAIN["dr" if modelled else "ipw"](log)


def value_range(log: AnyLog) -> tuple[float, float]:
    """Return the lowest and highest value a policy can have, by the rewards in the log.

    For slates and sessions the number of slots and steps counts: rewards of the best and the
    worst slot everywhere, and sessions that may end at once.
    """
    low, high = float(log.rewards.min()), float(log.rewards.max())
    if isinstance(log, BanditLog):
        return low, high
    if isinstance(log, SlateLog):
        slots = log.rewards.shape[1]
        return low * slots, high * slots
    steps = float(log.discounts.sum())
    return min(low, 0.0) * steps, max(high, 0.0) * steps


def _bandit(log: BanditLog, name: str, tuning: str) -> Estimate:
    """Return one estimate on rounds."""
    plain, marked, number = name.partition("@")
    if plain not in BANDIT_NAMES:
        raise unknown_name("estimator", plain, BANDIT_NAMES)
    if plain in PLAIN:
        if marked:
            raise UsageError(f"estimator {plain!r} has no number to set; write it without '@'.")
        return PLAIN[plain](log)
    if not marked:
        return TUNINGS[tuning](TAMED[plain], log).estimate
    try:
        setting = float(number)
    except ValueError:
        raise UsageError(
            f"{number!r} in {name!r} is not a number; write e.g. "
            f"{plain}@{TAMED[plain].candidates[4]:g}."
        ) from None
    if not (setting >= 0.0 and (setting <= 1.0 or not plain.startswith("sg"))):
        most = "at most 1" if plain.startswith("sg") else "any size"
        raise UsageError(f"{number!r} in {name!r} must be at least 0 and {most}.")
    return TAMED[plain](log, setting)


def _known(table: Mapping[str, _Any], name: str) -> _Any:
    """Return an entry of a table of estimators."""
    if name not in table:
        raise unknown_name("estimator", name, table)
    return table[name]
