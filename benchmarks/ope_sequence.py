"""Off-policy estimators for whole sessions: trajectory-wise, per-decision, doubly robust, marginal.

Letters: N trajectories, T steps, A actions. A trajectory that ended is padded: ratio 1, reward 0,
model 0, so that its last weight stays with it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from slategym.benchmarks.ope_bandit import checked_propensities
from slategym.benchmarks.ope_estimate import Estimate, mean_estimate, no_weights, ratio_estimate
from slategym.errors import DataError, UsageError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SequenceLog:
    """A log of trajectories, seen through the policy that is to be judged.

    Attributes:
        rewards: (N, T), 0 after the end.
        ratios: probability of the logged action under the judged policy divided by its
            propensity (N, T), 1 after the end.
        alive: whether the step took place (N, T).
        discount: in [0, 1], for each step.
        taken: value a model gives the logged action at its step (N, T), 0 after the end.
        value: value it gives the judged policy there, ``sum_a pi_e(a|s) q(s, a)`` (N, T), 0 after
            the end.
        unsupported: share of the judged policy's probability on actions the log cannot contain,
            over logged steps.
    """

    rewards: FloatArray
    ratios: FloatArray
    alive: BoolArray
    discount: float
    taken: FloatArray
    value: FloatArray
    unsupported: float = 0.0

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit.

        Raises:
            DataError: names the array.
            UsageError: a discount outside [0, 1].
        """
        if not 0.0 <= self.discount <= 1.0:
            raise UsageError(f"discount is {self.discount}; it must be in [0, 1].")
        for name in ("rewards", "ratios", "alive", "taken", "value"):
            array = getattr(self, name)
            if array.shape != self.rewards.shape or array.ndim != 2:
                raise DataError(
                    f"{name} has shape {array.shape} and rewards {self.rewards.shape}; a log of "
                    "trajectories needs both to be (N, T)."
                )
            if not np.isfinite(array).all():
                raise DataError(f"{name} has a number that is not finite; leave the session out.")

    @cached_property
    def weights(self) -> FloatArray:
        """Product of the ratios up to and with each step (N, T)."""
        return np.asarray(np.cumprod(self.ratios, axis=1), np.float64)

    @cached_property
    def discounts(self) -> FloatArray:
        """``discount ** t`` (T,)."""
        steps = np.arange(self.rewards.shape[1])
        return np.power(float(self.discount), steps).astype(np.float64)

    @cached_property
    def returns(self) -> FloatArray:
        """Discounted sum of the rewards of each trajectory (N,)."""
        return self.rewards @ self.discounts


def sequence_log(
    rewards: npt.ArrayLike,
    evaluation: npt.ArrayLike,
    behaviour: npt.ArrayLike,
    alive: npt.ArrayLike,
    *,
    discount: float = 1.0,
    taken: npt.ArrayLike | None = None,
    value: npt.ArrayLike | None = None,
    unsupported: float = 0.0,
) -> SequenceLog:
    """Return the log of a judged policy; what stands after the end of a trajectory is ignored.

    Args:
        rewards: (N, T).
        evaluation: probability of each logged action under the judged policy (N, T).
        behaviour: the same under the logging policy (N, T), in (0, 1].
        alive: whether the step took place (N, T); a trajectory never comes back to life.
        discount: in [0, 1].
        taken: value a model gives the logged action (N, T); ``None`` means 0.
        value: value it gives the judged policy (N, T); ``None`` means 0.
        unsupported: share of the judged policy on actions the log cannot contain.

    Raises:
        DataError: a propensity outside (0, 1], a gap in a trajectory, shapes that do not fit.
        UsageError: a discount outside [0, 1].
    """
    there = np.asarray(alive, bool)
    if there.ndim != 2 or (there[:, 1:] & ~there[:, :-1]).any():
        raise DataError("alive must be (N, T) with every trajectory going on until it ends.")

    def padded(array: npt.ArrayLike | None, filler: float) -> FloatArray:
        values = np.zeros(there.shape) if array is None else np.asarray(array, np.float64)
        if values.shape != there.shape:
            raise DataError(f"an array has shape {values.shape}; alive has {there.shape}.")
        return np.where(there, values, filler)

    logged = checked_propensities(padded(behaviour, 1.0))
    return SequenceLog(
        rewards=padded(rewards, 0.0),
        ratios=padded(evaluation, 1.0) / logged,
        alive=there,
        discount=discount,
        taken=padded(taken, 0.0),
        value=padded(value, 0.0),
        unsupported=unsupported,
    )


def direct_method(log: SequenceLog) -> Estimate:
    """Return the value a model gives the first state, ``mean v(0, s_0)``."""
    first = log.value[:, 0]
    return mean_estimate("dm", first, no_weights(len(first)), caveat=_MODEL)


def tis(log: SequenceLog) -> Estimate:
    """Return trajectory-wise IS, ``mean(w_T sum_t g^t r_t)`` (Precup, Sutton and Singh 2000)."""
    last = log.weights[:, -1]
    return mean_estimate("tis", last * log.returns, last)


def pdis(log: SequenceLog) -> Estimate:
    """Return per-decision IS, ``mean(sum_t g^t w_t r_t)`` (Precup et al. 2000)."""
    return mean_estimate("pdis", (log.weights * log.rewards) @ log.discounts, log.weights)


def doubly_robust(log: SequenceLog) -> Estimate:
    """Return DR, ``mean(sum_t g^t [w_t (r_t - q_t) + w_t-1 v_t])``, w_-1 = 1.

    (Jiang and Li 2016, "Doubly robust off-policy value evaluation", unrolled as in Thomas and
    Brunskill 2016.)
    """
    terms = log.weights * (log.rewards - log.taken) + _before(log) * log.value
    return mean_estimate("dr", terms @ log.discounts, log.weights)


def sntis(log: SequenceLog) -> Estimate:
    """Return TIS divided by the mean weight of a trajectory."""
    last = log.weights[:, -1]
    return ratio_estimate("sntis", last * log.returns, last, last)


def snpdis(log: SequenceLog) -> Estimate:
    """Return PDIS, each step divided by its mean weight over all trajectories.

    Those that ended keep their last weight in the mean.
    """
    above = log.weights * log.rewards * log.discounts
    return ratio_estimate("snpdis", above, log.weights, log.weights)


def sndr(log: SequenceLog) -> Estimate:
    """Return DR, each weight divided by its mean (Thomas and Brunskill 2016)."""
    left = log.weights * (log.rewards - log.taken) * log.discounts
    ahead = _before(log) * log.value * log.discounts
    return ratio_estimate(
        "sndr",
        np.concatenate([left, ahead], axis=1),
        np.concatenate([log.weights, _before(log)], axis=1),
        log.weights,
    )


def marginal_is(log: SequenceLog, state_weights: npt.ArrayLike) -> Estimate:
    """Return marginal IS, ``mean(sum_t g^t (d_t^e / d_t^b)(s_t) rho_t r_t)``.

    The weight of a step is the ratio of how often both policies are in its state at its time,
    times the ratio of its action alone (Liu et al. 2018, "Breaking the curse of horizon";
    Xie, Ma and Wang 2019): it does not grow with the horizon.

    Args:
        log: the trajectories.
        state_weights: ``d_t^e(s_t) / d_t^b(s_t)`` (N, T); after the end, the ratio of the
            probabilities of having ended, or anything: it is multiplied by a reward of 0.
    """
    weights = np.asarray(state_weights, np.float64) * log.ratios
    return mean_estimate("marginal", (weights * log.rewards) @ log.discounts, weights)


def _before(log: SequenceLog) -> FloatArray:
    """Return the weight before each step (N, T): 1 at first."""
    return np.concatenate([np.ones((len(log.weights), 1)), log.weights[:, :-1]], axis=1)


_MODEL = "it is as wrong as its model of values"
SEQUENCE_ESTIMATORS: dict[str, Callable[[SequenceLog], Estimate]] = {
    "dm": direct_method,
    "tis": tis,
    "pdis": pdis,
    "dr": doubly_robust,
    "sntis": sntis,
    "snpdis": snpdis,
    "sndr": sndr,
}
