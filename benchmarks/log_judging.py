"""Judges policies from a log: a table of estimates for one slate, and one for whole episodes.

Letters: N impressions, K slots, E episodes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from slategym.agents.stochastic import StochasticPolicy
from slategym.benchmarks.log_clusters import CLUSTERED, clustered_estimate
from slategym.benchmarks.log_schema import AnyArray, FloatArray, Log, Propensities
from slategym.benchmarks.log_views import LogFeatures, LogViews, views_of
from slategym.benchmarks.ope_bandit import PLAIN, TAMED, BanditLog, doubly_robust
from slategym.benchmarks.ope_estimate import (
    Estimate,
    effective_sample_size,
    mean_estimate,
    no_weights,
)
from slategym.benchmarks.ope_sequence import SEQUENCE_ESTIMATORS
from slategym.benchmarks.ope_slate import SLATE_ESTIMATORS, SlateLog
from slategym.benchmarks.ope_tabular import FQE_CAVEAT
from slategym.benchmarks.ope_tuning import slope
from slategym.benchmarks.ope_verdict import Row, estimate_table
from slategym.benchmarks.statistics import percentile_interval
from slategym.errors import DataError, unknown_name

# Those of a slate's whole weight (sips, snsips) are ipw and snipw.
_SLATES = ("iips", "sniips", "rips", "snrips", "cascade_dr")
_EPISODES = {"fqe": "dm", "seq_dr": "dr", "seq_sndr": "sndr"}
_EPISODES |= {name: name for name in ("tis", "sntis", "pdis", "snpdis")}
SLATE_NAMES = (*PLAIN, *TAMED, *_SLATES, *CLUSTERED)
"""Estimators of the reward of one slate, in the situations that the log's policy brings about."""
NEURAL = "fqe_neural"
EPISODE_NAMES = (*_EPISODES, NEURAL)
"""Estimators of the discounted return of an episode that the judged policy serves alone."""
USUAL = (
    "dm", "snipw", "dr", "dros", "sniips", "snrips", "cascade_dr", "snmips", "offcem", "fqe",
    "snpdis", "seq_dr",
)  # fmt: skip
"""What is computed unless others are named."""
_ORDER = {"reliable": 0, "weak": 1, "do not use": 2}


@dataclass(frozen=True)
class Judgement:
    """What a log says of one policy.

    Attributes:
        policy: its name.
        slate: estimates of the mean reward of one slate.
        episode: estimates of the mean discounted return of an episode.
        gamma: discount a step.
        propensities: where those of the log come from.
        behaviour: what wrote the log.
    """

    policy: str
    slate: tuple[Row, ...]
    episode: tuple[Row, ...]
    gamma: float
    propensities: Propensities
    behaviour: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the tables as plain JSON values."""
        return {
            "policy": self.policy,
            "behaviour": list(self.behaviour),
            "propensities": self.propensities,
            "gamma": self.gamma,
            "slate": [row.to_json() for row in self.slate],
            "episode": [row.to_json() for row in self.episode],
        }


def judge(
    known: LogFeatures,
    policy: StochasticPolicy,
    *,
    estimators: Sequence[str] = USUAL,
    gamma: float = 0.95,
    seed: int = 0,
) -> Judgement:
    """Return what a log says of a policy.

    Args:
        known: the log with its features; computed once for all policies.
        policy: what is judged.
        estimators: names of `SLATE_NAMES` and `EPISODE_NAMES`; those whose weights are not
            known are left out, `CLUSTERED` ones where ``known.unpooled`` says why.
        gamma: discount a step of whole episodes.
        seed: of folds, draws and resamples.

    Raises:
        UsageError: an unknown estimator, or a policy that sees hidden state.
    """
    check_estimators(estimators)
    log, neural = known.log, NEURAL in estimators
    views = views_of(known, policy, gamma=gamma, seed=seed, neural=neural)
    slate, episode = judge_views(views, log, estimators, seed=seed)
    told = log.info
    return Judgement(policy.name, slate, episode, gamma, told.propensities, told.policies)


def judge_views(
    views: LogViews, log: Log, estimators: Sequence[str] = USUAL, *, seed: int = 0
) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Return the rows of one slate and those of whole episodes.

    Args:
        views: the log through the policy.
        log: itself.
        estimators: names of `SLATE_NAMES` and `EPISODE_NAMES`.
        seed: of the resamples.
    """
    slates = [slate_estimate(name, views) for name in estimators if name in SLATE_NAMES]
    rows = _table(
        [one for one in slates if one is not None],
        views.user,
        views.bandit.unsupported,
        log.reward,
        doubly_robust(views.bandit),
        log.info.propensities == "estimated",
        seed,
    )
    return rows, _episodes(views, estimators, log, seed)


def judge_probabilities(
    log: Log,
    slot: AnyArray,
    position: AnyArray | None = None,
    *,
    estimators: Sequence[str] = ("snipw", "ipw", "sniips", "snrips"),
    seed: int = 0,
) -> tuple[Row, ...]:
    """Return what a log from anywhere says of a policy known by its probabilities alone.

    Args:
        log: any with propensities.
        slot: probability of each item shown, given the slots before ``(N, K)``, in [0, 1].
        position: probability of each item at its slot, whatever is elsewhere ``(N, K)``; needed
            by ``iips`` and ``sniips``.
        estimators: names of `SLATE_NAMES` that need no model.
        seed: of the resamples.

    Raises:
        UsageError: an unknown estimator.
        DataError: probabilities of another shape or out of range, or a log without propensities.
    """
    check_estimators(estimators)
    if log.info.propensities == "absent":
        raise DataError("the log has no propensities; estimate them first.")
    judged = _probabilities(slot, log, "slot")
    # At a position alone, K = 1 is the slot itself.
    known = position is not None or log.items.shape[1] == 1
    alone = _probabilities(judged if position is None else position, log, "position")
    zero = np.zeros(log.items.shape)
    with np.errstate(divide="ignore"):
        cascade = np.exp(np.cumsum(np.log(judged) - log.logp_slot, axis=1))
    one_slot = alone / np.exp(log.logp_position) if known else zero + 1.0
    views = _Bare(
        BanditLog(log.reward, cascade[:, -1], zero[:, 0], zero[:, 0]),
        SlateLog(log.reward_slot, cascade[:, -1], one_slot, cascade, zero, zero),
        has_positions=known and not bool(np.isnan(log.logp_position).any()),
    )
    found = [slate_estimate(name, views) for name in estimators if name in SLATE_NAMES]
    return _table(
        [one for one in found if one is not None],
        log.user,
        0.0,
        log.reward,
        doubly_robust(views.bandit),
        log.info.propensities == "estimated",
        seed,
    )


def best_row(rows: Sequence[Row]) -> Row | None:
    """Return the row to go by: of the best verdict there is, the one of the narrowest interval.

    None if every row says "do not use", or there is none. An estimator that pools items only
    counts where it is reliable: a policy that picks the best items of each cluster is worth more
    than the clusters, and no interval around MIPS knows.
    """
    usable = [
        row
        for row in rows
        if row.verdict == "reliable" or (row.verdict == "weak" and row.name not in CLUSTERED)
    ]
    if not usable:
        return None
    return min(usable, key=lambda r: (_ORDER[r.verdict], r.interval.high - r.interval.low))


def check_estimators(names: Sequence[str]) -> None:
    """Refuse an estimator that there is not.

    Raises:
        UsageError: the message gives the nearest.
    """
    known = (*SLATE_NAMES, *EPISODE_NAMES)
    for name in names:
        if name not in known:
            raise unknown_name("estimator", name, known)


@dataclass(frozen=True, eq=False)
class _Bare:
    """As much of `LogViews` as estimators of one slate read."""

    bandit: BanditLog
    slate: SlateLog
    has_positions: bool
    clustered: SlateLog | None = None


def _probabilities(values: AnyArray, log: Log, what: str) -> FloatArray:
    """Return probabilities of the items shown (N, K)."""
    array = np.asarray(values, np.float64).reshape(len(log), -1)
    if array.shape != log.items.shape or not ((array >= 0) & (array <= 1)).all():
        raise DataError(
            f"probabilities by {what} have shape {np.shape(values)}, or leave [0, 1]; they must be "
            f"one number for each item shown, {log.items.shape}."
        )
    return array


def slate_estimate(name: str, views: LogViews | _Bare) -> Estimate | None:
    """Return an estimate of the reward of one slate; None if its weights are not known.

    Args:
        name: one of `SLATE_NAMES`.
        views: the log through the policy.
    """
    if name in ("iips", "sniips") and not views.has_positions:
        return None
    if name in CLUSTERED:
        return None if views.clustered is None else clustered_estimate(name, views.clustered)
    if name in _SLATES:
        return SLATE_ESTIMATORS[name](views.slate)
    if name in TAMED:
        return slope(TAMED[name], views.bandit).estimate
    return PLAIN[name](views.bandit)


def _table(
    estimates: Sequence[Estimate],
    users: AnyArray,
    unsupported: float,
    reward: FloatArray,
    reference: Estimate,
    estimated: bool,
    seed: int,
) -> tuple[Row, ...]:
    """Return the rows of estimates on the same units."""
    # Weights that are all 0 have no effective size, and an estimate of 0 tells nothing of a bias.
    known = np.isfinite(effective_sample_size(reference.weights))
    return estimate_table(
        estimates,
        users=users,
        unsupported=unsupported,
        reward_range=(float(reward.min()), float(reward.max())),
        reference=reference if known else None,
        estimated_propensities=estimated,
        seed=seed,
    )


def episode_estimate(name: str, views: LogViews) -> Estimate | None:
    """Return an estimate of the return of an episode; None if its weights left the floats.

    Args:
        name: one of `EPISODE_NAMES`. The interval of ``fqe`` comes from `LogViews.fitted`, that
            of ``fqe_neural`` from `LogViews.neural`: their terms know of users and not of the fit.
        views: the log through the policy.
    """
    if name == NEURAL:
        if views.neural is None:
            return None
        first = views.neural.first
        return mean_estimate(name, first, no_weights(len(first)), caveat=FQE_CAVEAT)
    # Over a hundred steps a product of weights may leave the range of a float.
    with np.errstate(over="ignore", invalid="ignore"):
        found = SEQUENCE_ESTIMATORS[_EPISODES[name]](views.sequence).renamed(name, np.nan)
        return found if np.isfinite(found.terms).all() else None


def _episodes(views: LogViews, estimators: Sequence[str], log: Log, seed: int) -> tuple[Row, ...]:
    """Return the rows of whole episodes."""
    names = [name for name in estimators if name in EPISODE_NAMES]
    if not names:
        return ()
    with np.errstate(over="ignore", invalid="ignore"):
        found = [episode_estimate(name, views) for name in names]
        kept = [one for one in found if one is not None]
        rows = _table(
            kept,
            views.episode_user,
            views.sequence.unsupported,
            views.sequence.returns,
            SEQUENCE_ESTIMATORS["dr"](views.sequence),
            log.info.propensities == "estimated",
            seed,
        )
    ends = {"fqe": percentile_interval(views.fitted.value, views.fitted.replicates)}
    if views.neural is not None:
        ends[NEURAL] = views.neural.interval()
    return tuple(replace(row, interval=ends.get(row.name, row.interval)) for row in rows)
