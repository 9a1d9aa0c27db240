"""Off-policy estimators for single decisions: replay, DM, IPW, DR and their tamed variants.

Letters: N rounds, A actions. Each round, the logging policy drew an action with a probability
that was written down (the propensity), and one reward came back.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from slategym.benchmarks.ope_estimate import (
    Estimate,
    mean_estimate,
    no_weights,
    ratio_estimate,
)
from slategym.errors import DataError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]
Reweight = Callable[[FloatArray, float], FloatArray]


@dataclass(frozen=True)
class BanditLog:
    """A log of rounds, seen through the policy that is to be judged.

    Attributes:
        rewards: what came back (N,).
        weights: probability of the logged action under the judged policy divided by its
            propensity (N,), at least 0.
        taken: reward a model predicts for the logged action (N,); 0 without a model.
        value: reward the model predicts for the judged policy, ``sum_a pi_e(a|x) q(x, a)`` (N,).
        unsupported: share of the judged policy's probability on actions the log cannot contain.
    """

    rewards: FloatArray
    weights: FloatArray
    taken: FloatArray
    value: FloatArray
    unsupported: float = 0.0

    def __post_init__(self) -> None:
        """Refuse arrays of different lengths, negative weights and numbers that are not finite.

        Raises:
            DataError: names the array.
        """
        for name in ("rewards", "weights", "taken", "value"):
            array = getattr(self, name)
            if array.shape != self.rewards.shape or array.ndim != 1:
                raise DataError(
                    f"{name} has shape {array.shape} and rewards {self.rewards.shape}; a log of "
                    "rounds needs one number of each a round."
                )
            if not np.isfinite(array).all():
                raise DataError(f"{name} has a number that is not finite; leave the round out.")
        if (self.weights < 0).any():
            raise DataError("weights has a negative number; probabilities are at least 0.")

    @property
    def residuals(self) -> FloatArray:
        """What the model did not foresee in each round (N,)."""
        return self.rewards - self.taken

    def rows(self, chosen: IntArray) -> "BanditLog":
        """Return the log of some rounds."""
        return replace(
            self,
            rewards=self.rewards[chosen],
            weights=self.weights[chosen],
            taken=self.taken[chosen],
            value=self.value[chosen],
        )


def bandit_log(
    actions: IntArray,
    rewards: npt.ArrayLike,
    propensities: npt.ArrayLike,
    evaluation: npt.ArrayLike,
    *,
    model: npt.ArrayLike | None = None,
    behaviour: npt.ArrayLike | None = None,
) -> BanditLog:
    """Return the log of a judged policy from the probabilities of all actions.

    Args:
        actions: logged actions (N,), in 0 .. A - 1.
        rewards: (N,).
        propensities: probability of each logged action under the logging policy (N,), in (0, 1].
        evaluation: probabilities of the judged policy (N, A), rows summing to 1.
        model: predicted rewards (N, A); ``None`` means 0, which turns DR into IPW.
        behaviour: probabilities of the logging policy (N, A); what the judged policy does where
            these are 0 is unsupported. Without them, an action nobody took is.

    Raises:
        DataError: a propensity outside (0, 1], or shapes that do not fit.
    """
    chosen = np.asarray(actions)
    logged = checked_propensities(propensities)
    judged = np.asarray(evaluation, np.float64)
    if judged.ndim != 2 or len(judged) != len(chosen) or logged.shape != chosen.shape:
        raise DataError(
            f"evaluation has shape {judged.shape}, propensities {logged.shape} and actions "
            f"{chosen.shape}; they must be (N, A), (N,) and (N,)."
        )
    rows = np.arange(len(chosen))
    if behaviour is None:
        absent = np.bincount(chosen, minlength=judged.shape[1]) == 0
        unsupported = judged[:, absent].sum(axis=1).mean()
    else:
        unsupported = np.where(np.asarray(behaviour) <= 0, judged, 0.0).sum(axis=1).mean()
    predicted = np.zeros_like(judged) if model is None else np.asarray(model, np.float64)
    return BanditLog(
        rewards=np.asarray(rewards, np.float64),
        weights=judged[rows, chosen] / logged,
        taken=predicted[rows, chosen],
        value=(judged * predicted).sum(axis=1),
        unsupported=float(unsupported),
    )


def checked_propensities(propensities: npt.ArrayLike) -> FloatArray:
    """Return propensities as an array.

    Raises:
        DataError: one is 0, negative, above 1 or not a number.
    """
    values = np.asarray(propensities, np.float64)
    wrong = ~((values > 0) & (values <= 1 + 1e-9))
    if wrong.any():
        first = int(np.flatnonzero(wrong.ravel())[0])
        raise DataError(
            f"propensity {values.ravel()[first]} in place {first} ({int(wrong.sum())} such in "
            f"all); a logged action had a probability above 0 and at most 1."
        )
    return values


def replay(rewards: npt.ArrayLike, matches: npt.ArrayLike) -> Estimate:
    """Return the mean reward of the rounds in which the judged policy would have done the same.

    Unbiased if the log was drawn uniformly at random (Li, Chu, Langford and Wang 2011,
    "Unbiased offline evaluation", theorem 1).

    Args:
        rewards: (N,).
        matches: whether the judged policy's action is the logged one (N,).
    """
    same = np.asarray(matches, np.float64)
    scaled = same / same.mean() if same.any() else same
    return ratio_estimate("replay", same * np.asarray(rewards, np.float64), same, scaled)


def direct_method(log: BanditLog) -> Estimate:
    """Return what a reward model predicts, ``mean(v)``; as biased as the model is wrong."""
    caveat = "it is as wrong as its reward model"
    return mean_estimate("dm", log.value, no_weights(len(log.value)), caveat=caveat)


def ipw(log: BanditLog) -> Estimate:
    """Return inverse propensity weighting, ``mean(w r)`` (Horvitz and Thompson 1952)."""
    return mean_estimate("ipw", log.weights * log.rewards, log.weights)


def snipw(log: BanditLog) -> Estimate:
    """Return self-normalised IPW, ``sum(w r) / sum(w)``.

    (Swaminathan and Joachims 2015, "The self-normalized estimator for counterfactual learning".)
    """
    return ratio_estimate("snipw", log.weights * log.rewards, log.weights, log.weights)


def doubly_robust(log: BanditLog) -> Estimate:
    """Return ``mean(v + w (r - q))`` (Dudik, Langford and Li 2011, equation 1)."""
    return mean_estimate("dr", log.value + log.weights * log.residuals, log.weights)


def sndr(log: BanditLog) -> Estimate:
    """Return self-normalised DR, ``mean(v) + sum(w (r - q)) / sum(w)``."""
    above = log.weights * log.residuals
    return ratio_estimate("sndr", above, log.weights, log.weights, base=log.value)


def clip(weights: FloatArray, ceiling: float) -> FloatArray:
    """Return ``min(w, ceiling)`` (Ionides 2008, "Truncated importance sampling")."""
    return np.minimum(weights, ceiling)


def switch(weights: FloatArray, ceiling: float) -> FloatArray:
    """Return w where it is at most the ceiling, else 0.

    (Wang, Agarwal and Dudik 2017, "Optimal and adaptive off-policy evaluation in contextual
    bandits".)
    """
    return np.where(weights <= ceiling, weights, 0.0)


def shrink(weights: FloatArray, strength: float) -> FloatArray:
    """Return ``l w / (w^2 + l)`` (Su, Dimakopoulou, Krishnamurthy and Dudik 2020).

    Optimistic shrinkage of "Doubly robust off-policy evaluation with shrinkage".

    A strength of 0 gives weights of 0, an infinite one the weights themselves.
    """
    if np.isinf(strength):
        return weights.copy()
    below = np.square(weights) + strength
    return np.divide(strength * weights, below, out=np.zeros_like(weights), where=below > 0)


def subgaussian(weights: FloatArray, strength: float) -> FloatArray:
    """Return ``w / (1 - l + l w)``, l in [0, 1].

    (Metelli, Russo and Restelli 2021, "Subgaussian and differentiable importance sampling".)
    """
    below = 1.0 - strength + strength * weights
    return np.divide(weights, below, out=np.zeros_like(weights), where=below > 0)


@dataclass(frozen=True)
class Tamed:
    """An estimator whose weights are tamed by one number.

    Attributes:
        name: what it is called.
        reweight: from weights (N,) and the number to tamed weights (N,).
        modelled: whether a reward model stands below (DR) or not (IPW).
        candidates: the numbers tuning tries.
        caveat: how it is biased.
    """

    name: str
    reweight: Reweight
    modelled: bool
    candidates: tuple[float, ...]
    caveat: str

    def __call__(self, log: BanditLog, setting: float) -> Estimate:
        """Return ``mean(w' r)``, or ``mean(v + w' (r - q))`` with a model; w' the tamed weights."""
        tamed = self.reweight(log.weights, setting)
        changed = bool(np.any(np.abs(tamed - log.weights) > 1e-12 * (1.0 + log.weights)))
        terms = log.value + tamed * log.residuals if self.modelled else tamed * log.rewards
        return mean_estimate(
            self.name, terms, log.weights, setting=setting, caveat=self.caveat if changed else ""
        )


CEILINGS = (1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 50.0, 100.0, 500.0, 1000.0)
STRENGTHS = (1e-4, 1e-3, 1e-2, 5e-2, 0.1, 0.3, 0.5)
_CUT = "large weights are clipped"
_DROPPED = "rounds with large weights are left to the model"
_SHRUNK = "large weights are shrunk"
TAMED: dict[str, Tamed] = {
    one.name: one
    for one in (
        Tamed("ipw_clip", clip, False, CEILINGS, _CUT),
        Tamed("dr_clip", clip, True, CEILINGS, _CUT),
        Tamed("switch_dr", switch, True, CEILINGS, _DROPPED),
        Tamed("dros", shrink, True, CEILINGS, _SHRUNK),
        Tamed("sgipw", subgaussian, False, STRENGTHS, _SHRUNK),
        Tamed("sgdr", subgaussian, True, STRENGTHS, _SHRUNK),
    )
}
PLAIN: dict[str, Callable[[BanditLog], Estimate]] = {
    "dm": direct_method,
    "ipw": ipw,
    "snipw": snipw,
    "dr": doubly_robust,
    "sndr": sndr,
}
