"""How much to tame the weights: SLOPE, a bound on the squared error, and cross-validation.

Letters: N rounds, L candidates, S splits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.special

from slategym.benchmarks.ope_bandit import BanditLog, Tamed, doubly_robust
from slategym.benchmarks.ope_estimate import Estimate
from slategym.errors import DataError

FloatArray = npt.NDArray[np.float64]

# One-sided error probability of the widths SLOPE compares and of the bound on the bias.
DELTA = 0.1
SPLITS = 20


@dataclass(frozen=True)
class Tuned:
    """A chosen hyperparameter.

    Attributes:
        setting: the number chosen.
        estimate: the estimate with it, on all rounds.
        scores: what was compared, one number for each candidate (L,).
    """

    setting: float
    estimate: Estimate
    scores: FloatArray


def slope(
    estimator: Tamed, log: BanditLog, candidates: Sequence[float] = (), *, delta: float = DELTA
) -> Tuned:
    """Return the estimate SLOPE chooses (Su, Srinath and Krishnamurthy 2020, algorithm 1).

    Candidates go from the widest confidence width to the narrowest. The walk stops before the
    first that differs from one kept earlier by more than
    ``width_i + (sqrt(6) - 1) width_j``; the last one kept is chosen. Of candidates with equal
    widths, the later in the list comes first. Widths are one-sided Student t:
    ``t_{N-1}(1 - delta) * sd / sqrt(N - 1)``, sd with divisor N. ``Tuned.scores`` are the widths.

    Args:
        estimator: what is tuned.
        log: the rounds, at least two.
        candidates: what is tried; empty means the estimator's own.
        delta: error probability in (0, 1).

    Raises:
        DataError: a single round.
    """
    estimates = _estimates(estimator, log, candidates)
    values = np.array([one.value for one in estimates])
    size = len(log.rewards)
    spread = np.array([one.base.std() for one in estimates])
    widths = spread / np.sqrt(size - 1) * scipy.special.stdtrit(size - 1, 1.0 - delta)
    order = np.argsort(widths, kind="stable")[::-1]
    kept = [int(order[0])]
    for i in order[1:]:
        allowed = widths[i] + (np.sqrt(6.0) - 1.0) * widths[kept]
        if (np.abs(values[kept] - values[i]) > allowed).any():
            break
        kept.append(int(i))
    return _tuned(estimates, kept[-1], widths)


def error_bound(
    estimator: Tamed, log: BanditLog, candidates: Sequence[float] = (), *, delta: float = DELTA
) -> Tuned:
    """Return the estimate with the smallest bound on its mean squared error.

    ``variance / N + B^2`` with the high-probability bound on the bias of Su, Dimakopoulou,
    Krishnamurthy and Dudik 2020 ("Doubly robust off-policy evaluation with
    shrinkage"): ``B = |mean((w - w')(r - q))| + sqrt(2 mean(w^2) log(2 / delta) / N) +
    2 max(w) log(2 / delta) / (3 N)``, q = 0 without a model. The first of equals wins.
    ``Tuned.scores`` are the bounds.

    Args:
        estimator: what is tuned.
        log: the rounds, at least two.
        candidates: what is tried; empty means the estimator's own.
        delta: error probability in (0, 1).

    Raises:
        DataError: a single round.
    """
    estimates = _estimates(estimator, log, candidates)
    size, weights = len(log.rewards), log.weights
    left = log.residuals if estimator.modelled else log.rewards
    nats = np.log(2.0 / delta)
    slack = np.sqrt(2.0 * np.square(weights).mean() * nats / size)
    slack += 2.0 * weights.max() * nats / (3.0 * size)
    scores = []
    for one in estimates:
        bias = abs(float(((weights - estimator.reweight(weights, one.setting)) * left).mean()))
        scores.append(one.base.var() / size + (bias + slack) ** 2)
    bounds = np.array(scores)
    return _tuned(estimates, int(bounds.argmin()), bounds)


def cross_validated(
    estimator: Tamed,
    log: BanditLog,
    candidates: Sequence[float] = (),
    *,
    splits: int = SPLITS,
    seed: int = 0,
) -> Tuned:
    """Return the estimate that agrees best with an unbiased one on rounds held out.

    In each of S random splits every candidate is computed on one part and compared with plain
    DR (IPW if there is no model) on the other. The parts are sized so that both numbers have
    about the same variance, and the loss of a candidate is the mean squared difference plus its
    standard error over the splits, after Cief, Kveton and Kompan 2025, "Cross-validated
    off-policy evaluation". The first of equals wins. ``Tuned.scores`` are the losses.

    Args:
        estimator: what is tuned.
        log: the rounds, at least ten.
        candidates: what is tried; empty means the estimator's own.
        splits: S, at least 2.
        seed: seed of the splits.

    Raises:
        DataError: fewer than ten rounds.
    """
    estimates = _estimates(estimator, log, candidates, fewest=10)
    validator = doubly_robust(log)
    size = len(log.rewards)
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(size) for _ in range(splits)]
    losses = []
    for one in estimates:
        spread, against = float(one.base.var()), float(validator.base.var())
        share = spread / (spread + against) if spread + against > 0 else 0.5
        cut = int(np.clip(round(share * size), size // 10, size - size // 10))
        gaps = [
            (one.base[order[:cut]].mean() - validator.base[order[cut:]].mean()) ** 2
            for order in orders
        ]
        losses.append(np.mean(gaps) + np.std(gaps, ddof=1) / np.sqrt(splits))
    scores = np.array(losses)
    return _tuned(estimates, int(scores.argmin()), scores)


def _estimates(
    estimator: Tamed, log: BanditLog, candidates: Sequence[float], fewest: int = 2
) -> list[Estimate]:
    """Return the estimate with each candidate."""
    if len(log.rewards) < fewest:
        raise DataError(
            f"{len(log.rewards)} rounds were given to tune {estimator.name!r}; "
            f"tuning needs at least {fewest}."
        )
    return [estimator(log, setting) for setting in (candidates or estimator.candidates)]


def _tuned(estimates: Sequence[Estimate], best: int, scores: FloatArray) -> Tuned:
    """Return the chosen one."""
    return Tuned(estimates[best].setting, estimates[best], scores)
