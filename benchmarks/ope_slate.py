"""Off-policy estimators for slates: standard, independent and cascade importance weights.

Letters: N slates, K slots, A actions (items).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slategym.benchmarks.ope_bandit import checked_propensities
from slategym.benchmarks.ope_estimate import Estimate, mean_estimate, ratio_estimate
from slategym.errors import DataError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SlateLog:
    """A log of slates, seen through the policy that is to be judged.

    Weights are probabilities under the judged policy divided by those under the logging one.

    Attributes:
        rewards: reward of each slot (N, K); the reward of a slate is their sum.
        slate: weight of the whole slate (N,).
        slot: weight of each slot's item at its position, whatever is elsewhere (N, K).
        cascade: weight of the items from the first slot to this one (N, K).
        taken: reward a model predicts for each slot's item (N, K); 0 without a model.
        value: reward the model predicts for each slot when the judged policy fills it after the
            items logged before it (N, K).
        unsupported: share of the judged policy's slates on ones the log cannot contain.
    """

    rewards: FloatArray
    slate: FloatArray
    slot: FloatArray
    cascade: FloatArray
    taken: FloatArray
    value: FloatArray
    unsupported: float = 0.0

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit.

        Raises:
            DataError: names the array.
        """
        shape = self.rewards.shape
        for name in ("slot", "cascade", "taken", "value"):
            array = getattr(self, name)
            if array.shape != shape or array.ndim != 2:
                raise DataError(
                    f"{name} has shape {array.shape} and rewards {shape}; a log of slates needs "
                    "both to be (N, K)."
                )
        if self.slate.shape != shape[:1]:
            raise DataError(f"slate has shape {self.slate.shape}, not ({shape[0]},).")
        for name in ("rewards", "slate", "slot", "cascade", "taken", "value"):
            if not np.isfinite(getattr(self, name)).all():
                raise DataError(f"{name} has a number that is not finite; leave the slate out.")


def slate_log(
    rewards: npt.ArrayLike,
    *,
    evaluation_slate: npt.ArrayLike,
    behaviour_slate: npt.ArrayLike,
    evaluation_slot: npt.ArrayLike,
    behaviour_slot: npt.ArrayLike,
    evaluation_cascade: npt.ArrayLike,
    behaviour_cascade: npt.ArrayLike,
    taken: npt.ArrayLike | None = None,
    value: npt.ArrayLike | None = None,
    unsupported: float = 0.0,
) -> SlateLog:
    """Return the log of a judged policy from probabilities under both policies.

    Args:
        rewards: (N, K).
        evaluation_slate: probability of each logged slate under the judged policy (N,).
        behaviour_slate: the same under the logging policy (N,), in (0, 1].
        evaluation_slot: probability that the judged policy has this item at this slot (N, K).
        behaviour_slot: the same under the logging policy (N, K), in (0, 1].
        evaluation_cascade: probability of the items up to this slot, judged policy (N, K).
        behaviour_cascade: the same under the logging policy (N, K), in (0, 1].
        taken: reward a model predicts for each slot (N, K); ``None`` means 0.
        value: what it predicts for the judged policy (N, K); ``None`` means 0.
        unsupported: share of the judged policy on slates the log cannot contain.

    Raises:
        DataError: a propensity outside (0, 1], or shapes that do not fit.
    """
    seen = np.asarray(rewards, np.float64)

    def ratio(above: npt.ArrayLike, below: npt.ArrayLike) -> FloatArray:
        return np.asarray(above, np.float64) / checked_propensities(below)

    return SlateLog(
        rewards=seen,
        slate=ratio(evaluation_slate, behaviour_slate),
        slot=ratio(evaluation_slot, behaviour_slot),
        cascade=ratio(evaluation_cascade, behaviour_cascade),
        taken=np.zeros_like(seen) if taken is None else np.asarray(taken, np.float64),
        value=np.zeros_like(seen) if value is None else np.asarray(value, np.float64),
        unsupported=unsupported,
    )


def sips(log: SlateLog) -> Estimate:
    """Return standard IPS, ``mean(w sum_k r_k)``, w the weight of the whole slate."""
    return mean_estimate("sips", log.slate * log.rewards.sum(axis=1), log.slate)


def iips(log: SlateLog) -> Estimate:
    """Return independent IPS, ``mean(sum_k w_k r_k)``, w_k the weight of the slot alone.

    Unbiased if a slot's reward depends on nothing but its own item (Li et al. 2018, "Offline
    evaluation of ranking policies with click models").
    """
    return mean_estimate("iips", (log.slot * log.rewards).sum(axis=1), log.slot, caveat=_ALONE)


def rips(log: SlateLog) -> Estimate:
    """Return reward-interaction IPS, ``mean(sum_k w_1:k r_k)``.

    Unbiased if a slot's reward depends on the items from the top to it (McInerney et al. 2020,
    "Counterfactual evaluation of slate recommendations with sequential reward interactions").
    """
    terms = (log.cascade * log.rewards).sum(axis=1)
    return mean_estimate("rips", terms, log.cascade, caveat=_CASCADE)


def snsips(log: SlateLog) -> Estimate:
    """Return SIPS divided by the mean weight of a slate."""
    return ratio_estimate("snsips", log.slate * log.rewards.sum(axis=1), log.slate, log.slate)


def sniips(log: SlateLog) -> Estimate:
    """Return IIPS, each slot divided by its own mean weight."""
    return ratio_estimate("sniips", log.slot * log.rewards, log.slot, log.slot, caveat=_ALONE)


def snrips(log: SlateLog) -> Estimate:
    """Return RIPS, each slot divided by its own mean weight (McInerney et al. 2020)."""
    return ratio_estimate(
        "snrips", log.cascade * log.rewards, log.cascade, log.cascade, caveat=_CASCADE
    )


def cascade_dr(log: SlateLog) -> Estimate:
    """Return Cascade-DR (Kiyohara et al. 2022, "Doubly robust OPE for ranking policies").

    ``mean(sum_k w_1:k (r_k - q_k) + w_1:k-1 sum_a pi_e(a | items before) q_k(a))``, w_1:0 = 1.
    It is unbiased for any q; the nearer q_k is to what slot k and those below it bring, the less
    it varies.
    """
    before = np.concatenate([np.ones((len(log.slate), 1)), log.cascade[:, :-1]], axis=1)
    terms = log.cascade * (log.rewards - log.taken) + before * log.value
    return mean_estimate("cascade_dr", terms.sum(axis=1), log.cascade, caveat=_CASCADE)


_ALONE = "it takes the reward of a slot to depend on its own item only"
_CASCADE = "it takes the reward of a slot to depend on no item below it"
# Bias that vanishes when the user looks as the estimator supposes.
ASSUMPTIONS = (_ALONE, _CASCADE)
SLATE_ESTIMATORS: dict[str, Callable[[SlateLog], Estimate]] = {
    "sips": sips,
    "iips": iips,
    "rips": rips,
    "snsips": snsips,
    "sniips": sniips,
    "snrips": snrips,
    "cascade_dr": cascade_dr,
}
