"""Estimates the probabilities of a log that has none: what its behaviour policy may have been.

Letters: N impressions, K slots, C candidates, P features, I items, G folds.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from slategym.agents.slate_laws import PlackettLuceLaw
from slategym.benchmarks.log_schema import AnyArray, BoolArray, FloatArray, Log, LongArray
from slategym.benchmarks.log_writer import propensities
from slategym.errors import DataError, UsageError

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
FOLDS = 3
_BINS = 15
_ITERATIONS = 300


@dataclass(frozen=True)
class BehaviourFit:
    """An estimated behaviour policy, every impression scored by a model that has not seen its user.

    Attributes:
        scores: natural-log odds ``(N, C)``; -inf where there is no candidate.
        penalty: weight of the squared norm, chosen by held-out likelihood.
        temperature: what held-out scores were divided by, so that they are calibrated.
        skill: held-out log-likelihood above that of uniform choice, in nats a slot; 0 is nothing
            learned.
        calibration_error: mean gap between predicted and observed frequency of being shown first,
            over 15 bins of equal mass.
    """

    scores: FloatArray
    penalty: float
    temperature: float
    skill: float
    calibration_error: float

    def to_json(self) -> dict[str, Any]:
        """Return how well it fits, as plain JSON values."""
        names = ("penalty", "temperature", "skill", "calibration_error")
        return {name: round(float(getattr(self, name)), 6) for name in names}


def estimate_propensities(
    log: Log, features: AnyArray | None = None, *, seed: int = 0, folds: int = FOLDS
) -> Log:
    """Return the log with estimated propensities, and marked as such.

    The behaviour policy is taken for Plackett-Luce with scores linear in features of the
    candidates: for K = 1 that is multinomial logistic regression (McFadden 1974). It is fitted by
    maximum likelihood with an L2 penalty, cross-fitted over users so that no impression's
    probability comes from a model that has seen its user, and calibrated by one temperature on
    the held-out users (Guo et al. 2017, "On calibration of modern neural networks").

    What the log's policy knew and ``features`` do not say stays unknown: estimates built on this
    are as good as the guess, which is why they are marked.

    Args:
        log: any; propensities it has are not looked at.
        features: of every candidate ``(N, C, P)``, or of every item ``(I, P)``; None: how often an
            item is shown among all impressions of other users.
        seed: of the folds.
        folds: G, at least 2.

    Raises:
        UsageError: features of another shape.
        DataError: fewer users than folds.
    """
    table = standard_features(log, features)
    fit = fit_behaviour(log, table, seed=seed, folds=folds, shares=features is None)
    told = {"method": "plackett-luce, linear, cross-fitted over users", **fit.to_json()}
    told |= {"features": int(table.shape[2]), "folds": folds, "seed": seed}
    info = replace(log.info, propensities="estimated", behavior=told)
    # -inf scores stand for absent candidates; a law wants numbers.
    law = PlackettLuceLaw(np.maximum(fit.scores, -1e9), log.info.slate_size)
    told_of: dict[str, Any] = dict(propensities(law, log.positions, log.candidates.shape[1]))
    return replace(log, info=info, **told_of)


def standard_features(log: Log, features: AnyArray | None) -> FloatArray:
    """Return standardised features of every candidate ``(N, C, P)``; 0 where there is none.

    Raises:
        UsageError: they have another shape, or items without a row.
    """
    present = log.candidates >= 0
    if features is None:
        return np.zeros((*log.candidates.shape, 1))
    table = np.asarray(features, np.float64)
    if table.ndim == 2:
        if log.candidates.max() >= len(table):
            raise UsageError(
                f"features have {len(table)} rows, but the log shows item {log.candidates.max()}; "
                "give one row per item."
            )
        table = table[log.candidates]
    if table.ndim != 3 or table.shape[:2] != log.candidates.shape:
        raise UsageError(
            f"features have shape {table.shape}; they must be {(*log.candidates.shape, 'P')} or "
            "(items, P)."
        )
    seen = table[present]
    spread = seen.std(0)
    table = (table - seen.mean(0)) / np.where(spread > 0, spread, 1.0)
    return np.where(present[..., None], table, 0.0)


def fit_behaviour(
    log: Log, table: FloatArray, *, seed: int, folds: int, shares: bool = False
) -> BehaviourFit:
    """Return the behaviour policy, cross-fitted over users.

    Args:
        log: what was shown.
        table: features of candidates ``(N, C, P)``.
        seed: of the folds.
        folds: G.
        shares: replace the features by the logarithm of how often other users are shown an item.

    Raises:
        DataError: fewer users than folds.
    """
    fold = user_folds(log.user, folds, seed)
    present = log.candidates >= 0
    found: dict[float, FloatArray] = {}
    for penalty in PENALTIES:
        scores = np.zeros(present.shape)
        for group in range(folds):
            held, kept = fold == group, fold != group
            x = _shown_shares(log, kept) if shares else table
            weights = fit_plackett_luce(x[kept], present[kept], log.positions[kept], penalty)
            scores[held] = x[held] @ weights
        found[penalty] = np.where(present, scores, -np.inf)
    best = max(PENALTIES, key=lambda p: _likelihood(found[p], log.positions))
    scores = found[best]
    temperature = _temperature(scores, log.positions)
    scores = scores / temperature
    uniform = _likelihood(np.where(present, 0.0, -np.inf), log.positions)
    skill = (_likelihood(scores, log.positions) - uniform) / log.positions.shape[1]
    return BehaviourFit(scores, best, temperature, skill, _calibration(scores, log.positions))


def user_folds(users: LongArray, folds: int, seed: int) -> LongArray:
    """Return the fold of each impression (N,); a user's impressions share one.

    Raises:
        DataError: fewer users than folds.
    """
    distinct, code = np.unique(users, return_inverse=True)
    if folds < 2 or len(distinct) < folds:
        raise DataError(
            f"{len(distinct)} users cannot be cut into {folds} folds; at least as many users as "
            "folds, and two folds, are needed."
        )
    order = np.random.default_rng(seed).permutation(len(distinct))
    return np.asarray((order % folds)[code])


def fit_plackett_luce(
    table: FloatArray, present: BoolArray, positions: LongArray, penalty: float
) -> FloatArray:
    """Return the weights ``(P,)`` of largest penalised mean log-likelihood of ordered slates.

    Args:
        table: features ``(N, C, P)``.
        present: which candidates there are ``(N, C)``.
        positions: what was shown ``(N, K)``.
        penalty: weight of the squared norm.
    """

    def objective(weights: FloatArray) -> tuple[float, FloatArray]:
        left = np.where(present, table @ weights, -np.inf)
        rows, value, gradient = np.arange(len(left)), 0.0, np.zeros(len(weights))
        for slot in positions.T:
            log_norm = np.logaddexp.reduce(left, axis=1)
            share = np.exp(left - log_norm[:, None])
            value += float((left[rows, slot] - log_norm).mean())
            pulled = np.einsum("nc,ncp->p", share, table) / len(left)
            gradient += table[rows, slot].mean(0) - pulled
            left[rows, slot] = -np.inf
        value -= penalty * float(weights @ weights)
        return -value, -(gradient - 2 * penalty * weights)

    start = np.zeros(table.shape[2])
    done = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS})
    return np.asarray(done.x)


def _shown_shares(log: Log, rows: BoolArray) -> FloatArray:
    """Return ln(1 + times shown among ``rows``) of every candidate ``(N, C, 1)``."""
    size = int(log.candidates.max()) + 1
    shown = np.bincount(log.items[rows].reshape(-1), minlength=size)
    listed = log.candidates[rows]
    offered = np.bincount(listed[listed >= 0], minlength=size)
    share = np.log((shown + 0.5) / (offered + 1.0))
    return np.asarray(share[np.maximum(log.candidates, 0)][..., None])


def _likelihood(scores: FloatArray, positions: LongArray) -> float:
    """Return the mean log-likelihood of ordered slates in nats."""
    return float(_slot_log_shares(scores, positions).sum(1).mean())


def _slot_log_shares(scores: FloatArray, positions: LongArray) -> FloatArray:
    """Return the conditional log-probabilities ``(N, K)`` of what was shown."""
    return PlackettLuceLaw(np.maximum(scores, -1e9), positions.shape[1]).log_slots(positions)


def _temperature(scores: FloatArray, positions: LongArray) -> float:
    """Return the temperature of largest held-out likelihood."""

    def loss(log_temperature: float) -> float:
        return -_likelihood(scores / np.exp(log_temperature), positions)

    found = minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded")
    return float(np.exp(found.x))


def _calibration(scores: FloatArray, positions: LongArray) -> float:
    """Return the expected calibration error of being shown in the first slot."""
    share = np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))
    first = np.zeros(share.shape, dtype=np.bool_)
    first[np.arange(len(first)), positions[:, 0]] = True
    there = np.isfinite(scores)
    predicted, observed = share[there], first[there]
    order = np.argsort(predicted, kind="stable")
    bins = np.array_split(order, min(_BINS, len(order)))
    gaps = [abs(predicted[b].mean() - observed[b].mean()) * len(b) for b in bins]
    return float(sum(gaps) / len(order))
