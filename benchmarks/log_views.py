"""A log seen through a policy that is to be judged: weights, models, and whole sessions.

Letters: N impressions, K slots, C candidates, E episodes, T steps, Q features of a slate.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from slategym.agents.policy import Policy, for_variant
from slategym.agents.slate_laws import SlateLaw
from slategym.agents.stochastic import StochasticPolicy
from slategym.benchmarks.log_clusters import LogClusters, clustered_log
from slategym.benchmarks.log_features import candidate_features, state_features
from slategym.benchmarks.log_models import (
    FittedReturn,
    LinearReturn,
    SlateFeatures,
    linear_fqe,
    reward_model,
    slot_model,
)
from slategym.benchmarks.log_neural import NeuralReturn, neural_return
from slategym.benchmarks.log_policies import remade_policies
from slategym.benchmarks.log_schema import AnyArray, BoolArray, FloatArray, Log, LongArray
from slategym.benchmarks.log_training import logged_variant
from slategym.benchmarks.ope_bandit import BanditLog
from slategym.benchmarks.ope_sequence import SequenceLog
from slategym.benchmarks.ope_slate import SlateLog
from slategym.envs.protocol import AnyVariant
from slategym.envs.world import World
from slategym.errors import DataError, UsageError

_CHUNK = 2048


@dataclass(frozen=True, eq=False)
class LogFeatures:
    """What does not depend on the policy that is judged, computed once for all of them.

    Attributes:
        log: what was read.
        world: what it was written in.
        features: of its impressions.
        shown: features of the slates shown ``(N, Q)``.
        slots: expected reward of every candidate in every slot ``(N, K, C)``.
        clusters: the log with its items pooled; None where it cannot be.
        unpooled: why it cannot be, "" where it is.
    """

    log: Log
    world: World | None
    features: SlateFeatures
    shown: FloatArray
    slots: FloatArray
    clusters: LogClusters | None = None
    unpooled: str = ""

    @classmethod
    def of(
        cls,
        log: Log,
        world: World | None,
        *,
        seed: int = 0,
        pooled: bool = True,
        wrote: Policy | None = None,
    ) -> "LogFeatures":
        """Return the features of a log and its models of rewards.

        Args:
            log: written by `slategym log`, or with the observations of an environment.
            world: what it was written in; None for a classic.
            seed: of the folds that models are fitted on.
            pooled: whether to pool items too, for MIPS and OffCEM.
            wrote: the policy inside the one that wrote the log, where its name is not that of a
                registered one.

        Raises:
            DataError: no propensities, no observations, or another world.
        """
        if log.info.propensities == "absent":
            raise DataError(
                "the log has no propensities, so no other policy can be judged from it; estimate "
                "them first: slategym.benchmarks.behaviour_policy.estimate_propensities."
            )
        variant = logged_variant(log, world)
        features = SlateFeatures.of(state_features(log, world), candidate_features(log, world))
        shown = features.of_slates(log.positions)
        made = cls(log, world, features, shown, slot_model(log, features, seed=seed))
        return made._with_clusters(variant, wrote, seed) if pooled else made

    def _with_clusters(self, variant: AnyVariant, wrote: Policy | None, seed: int) -> "LogFeatures":
        """Return the same with items pooled, or with the reason why they are not."""
        log, world = self.log, self.world
        try:
            if world is None:
                raise DataError("a classic has no item vectors to make clusters of.")
            if log.info.propensities == "estimated":
                raise DataError("the probabilities of its items are estimated.")
            policies = remade_policies(log, variant, world, wrote)
            clusters = LogClusters.of(log, world, self.features, policies, seed=seed)
        except DataError as error:
            return replace(self, unpooled=str(error))
        return replace(self, clusters=clusters)


@dataclass(frozen=True, eq=False)
class LogViews:
    """One log through one policy.

    Attributes:
        policy: name of the policy.
        bandit: impressions as single decisions, the slate being the action.
        slate: impressions slot by slot; its ``slot`` weights are 1 if `has_positions` is False.
        sequence: episodes.
        fitted: fitted Q evaluation of the discounted return, with replicates over users.
        user: number of the user of each impression ``(N,)``, from 0.
        episode_user: the same of each episode ``(E,)``.
        has_positions: whether the probability of an item at its slot alone is known.
        clustered: impressions slot by slot, weighted by clusters of items; None where the log
            cannot be pooled.
        neural: fitted Q evaluation with networks; None where it was not asked for.
    """

    policy: str
    bandit: BanditLog
    slate: SlateLog
    sequence: SequenceLog
    fitted: FittedReturn
    user: LongArray
    episode_user: LongArray
    has_positions: bool
    clustered: SlateLog | None = None
    neural: NeuralReturn | None = None


def views_of(
    known: LogFeatures,
    policy: StochasticPolicy,
    *,
    gamma: float = 0.95,
    seed: int = 0,
    neural: bool = False,
) -> LogViews:
    """Return a log as estimators want it, for one policy.

    Args:
        known: the log with its features.
        policy: what is judged; see `with_propensities`.
        gamma: discount a step of whole episodes.
        seed: of folds, draws and resamples.
        neural: whether to fit networks too; takes seconds.

    Raises:
        UsageError: the policy sees hidden state, which no log holds.
    """
    log = known.log
    if getattr(policy, "privileged", False):
        raise UsageError(
            f"policy {policy.name!r} sees the hidden state of users, which no log holds; judge it "
            "in simulation: slategym bench."
        )
    chosen = cast("StochasticPolicy", for_variant(policy, logged_variant(log, known.world)))
    has_positions = not bool(np.isnan(log.logp_position).any())
    asked = _asked(known, chosen, seed, has_positions)
    slot = asked.logp_slot - log.logp_slot
    cascade = np.exp(np.cumsum(slot, axis=1))
    alone = np.exp(asked.logp_position - log.logp_position) if has_positions else 0 * slot + 1.0
    model = reward_model(log, known.shown, asked.expected, seed=seed)
    taken = np.take_along_axis(known.slots, log.positions[..., None], 2)[..., 0]
    fitted = linear_fqe(log, known.shown, asked.expected, gamma=gamma, seed=seed)
    _, user = np.unique(log.user, return_inverse=True)
    return LogViews(
        policy=policy.name,
        bandit=BanditLog(log.reward, cascade[:, -1], model.shown, model.policy, asked.unsupported),
        slate=SlateLog(
            log.reward_slot, cascade[:, -1], alone, cascade, taken, asked.value, asked.unsupported
        ),
        sequence=_sequence(log, cascade[:, -1], fitted, asked, gamma),
        fitted=fitted,
        user=user,
        episode_user=user[log.first],
        has_positions=has_positions,
        clustered=asked.clustered,
        neural=_neural(known, asked, gamma, seed) if neural else None,
    )


def _neural(known: LogFeatures, asked: "_Asked", gamma: float, seed: int) -> NeuralReturn:
    """Return fitted Q evaluation with networks."""
    log, features = known.log, known.features
    linear = LinearReturn.of(log, known.shown, asked.expected, gamma)
    return neural_return(log, features, asked.laws, linear, gamma=gamma, seed=seed)


@dataclass(frozen=True, eq=False)
class _Asked:
    """What a policy says of every impression of a log."""

    logp_slot: FloatArray  # (N, K)
    logp_position: FloatArray  # (N, K)
    expected: FloatArray  # (N, Q) mean features of its slates
    value: FloatArray  # (N, K) what the slot model expects of it after the slots before
    unsupported: float  # share of its probability on items that are shown nowhere in the log
    clustered: SlateLog | None
    laws: list[tuple[slice, SlateLaw]]


def _asked(known: LogFeatures, policy: StochasticPolicy, seed: int, has_positions: bool) -> _Asked:
    """Ask a policy what it would have shown, block by block."""
    log = known.log
    size = max(int(log.candidates.max()), int(log.items.max())) + 1
    never = np.bincount(log.items.reshape(-1), minlength=size) == 0
    shape, laws = log.items.shape, list(_laws(log, policy))
    slot, position, value, ratio, pooled = (np.zeros(shape) for _ in range(5))
    missing, clusters = 0.0, known.clusters
    for rows, law in laws:
        shown = log.positions[rows]
        slot[rows] = law.log_slots(shown)
        if has_positions:
            position[rows] = law.log_positions(shown)
        share = law.slots(shown)  # (n, K, C)
        value[rows] = (share * known.slots[rows]).sum(2)
        missing += float((share * never[log.candidates[rows]][:, None]).sum())
        if clusters is not None:
            ratio[rows], pooled[rows] = clusters.seen_by(share, rows)
    expected, missing = known.features.expected(laws, seed), missing / (shape[0] * shape[1])
    clustered = None
    if clusters is not None:
        clustered = clustered_log(clusters, log, ratio, pooled, missing)
    return _Asked(slot, position, expected, value, missing, clustered, laws)


def _laws(log: Log, policy: StochasticPolicy) -> Iterator[tuple[slice, SlateLaw]]:
    """Yield the law of a policy for blocks of impressions."""
    seen = log.observed
    for start in range(0, len(log), _CHUNK):
        rows = slice(start, min(start + _CHUNK, len(log)))
        yield rows, policy.law({key: array[rows] for key, array in seen.items()})


def _sequence(
    log: Log, ratio: FloatArray, fitted: FittedReturn, asked: _Asked, gamma: float
) -> SequenceLog:
    """Return the impressions as episodes (E, T), padded as `SequenceLog` wants it."""
    episode = np.cumsum(log.first) - 1
    step = np.arange(len(log)) - np.flatnonzero(log.first)[episode]
    shape = (int(episode[-1]) + 1, int(step.max()) + 1)

    def laid(values: AnyArray, filler: float) -> FloatArray:
        out = np.full(shape, filler)
        out[episode, step] = values
        return out

    alive: BoolArray = np.zeros(shape, dtype=np.bool_)
    alive[episode, step] = True
    return SequenceLog(
        rewards=laid(log.reward, 0.0),
        ratios=laid(ratio, 1.0),
        alive=alive,
        discount=gamma,
        taken=laid(fitted.shown, 0.0),
        value=laid(fitted.policy, 0.0),
        unsupported=asked.unsupported,
    )
