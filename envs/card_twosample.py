"""A classifier that tries to tell real people from simulated ones; .5 says that it cannot.

Letters: N examples, P features, G users or sequences, L events of a sequence.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit
from scipy.stats import rankdata

from slategym.cf_baselines.logistic import area_under_curve
from slategym.envs.arrays import BoolArray, DoubleArray, IntArray, LongArray
from slategym.envs.card_rows import Held
from slategym.envs.card_scores import interval
from slategym.envs.card_sequences import Sequences
from slategym.envs.world import World

FOLDS = 5
LENGTH = 5  # L
LEAST_ROWS = 6  # of a user whose responses are judged
_RIDGES = (1.0, 10.0, 100.0)
_TOPICS = 8
_DRAWS = 500
_DEALS = 60
_COPIES = 4


def classifier_auc(
    real: DoubleArray,
    simulated: Sequence[DoubleArray],
    groups: tuple[LongArray, LongArray],
    seed: int,
) -> dict[str, Any]:
    """Return the AUC with which a classifier tells two sets of examples apart.

    A ridge logistic regression on the standardised features and their squares. It is fitted on
    four of five folds of groups and judged on the fifth, so no example and no user helps to
    judge itself; the penalty is the one that does best on a fold left out of the other four. The
    interval resamples groups (Lopez-Paz and Oquab 2017, "Revisiting classifier two-sample
    tests").

    Args:
        real: (N, P) features of real examples.
        simulated: (N', P) of simulated ones, once or more: AUCs against each are averaged, for
            one simulation is as much a matter of luck as one log.
        groups: the user or sequence of each example, (N,) and (N',); examples with the same
            number stay together.
        seed: of folds and resamples.

    Returns:
        ``auc`` with its interval, ``chance``, the AUC below which 95 % fall when who is real is
        dealt at random, and the ``real`` and ``simulated`` counts.
    """
    found, place = np.unique(np.concatenate(groups), return_inverse=True)
    said: dict[str, Any] = {"real": len(real), "simulated": len(simulated[0])}
    if len(found) < 2 * FOLDS or min(len(real), len(simulated[0])) < 2 * FOLDS:
        return said | {"auc": interval(np.nan, np.zeros(0)), "chance": None}
    rng = np.random.default_rng((seed, 21))
    fold = rng.permutation(np.arange(len(found)) % FOLDS)[place]
    weights = rng.multinomial(len(found), np.full(len(found), 1 / len(found)), size=_DRAWS)
    label = np.concatenate([np.ones(len(real)), np.zeros(len(simulated[0]))])
    estimates, drawn, dealt = [], [], []
    for copy in simulated:
        x = np.concatenate([real, copy])
        score = _judged_scores(x, label, fold)
        estimates.append(area_under_curve(score, label))
        drawn.append([_weighted_auc(score, label, weight[place]) for weight in weights])
        for _ in range(max(1, _DEALS // len(simulated))):
            other = _dealt(label, place, len(found), rng)
            dealt.append(area_under_curve(_judged_scores(x, other, fold), other))
    return said | {
        "auc": interval(float(np.mean(estimates)), np.mean(drawn, axis=0)),
        "chance": round(float(np.quantile(dealt, 0.95)), 6),
    }


def _judged_scores(x: DoubleArray, label: DoubleArray, fold: LongArray) -> DoubleArray:
    """Return a score of each example (N,) in (0, 1), by a model that has not seen its fold."""
    score = np.zeros(len(x))
    for number in range(FOLDS):
        test, check = fold == number, fold == (number + 1) % FOLDS
        rest = ~(test | check)
        found = {
            ridge: area_under_curve(_score(x, label, rest, check, ridge), label[check])
            for ridge in _RIDGES
        }
        scored = _score(x, label, ~test, test, max(found, key=lambda ridge: found[ridge]))
        # Ranks, for the scores of one fold are on another scale than those of the next.
        score[test] = rankdata(scored) / (len(scored) + 1)
    return score


def _dealt(
    label: DoubleArray, place: LongArray, count: int, rng: np.random.Generator
) -> DoubleArray:
    """Return labels dealt anew: swapped within a user who has both kinds, else among groups."""
    kinds = np.bincount(place, label, count) / np.bincount(place, minlength=count)
    both = (kinds > 0) & (kinds < 1)
    single = np.flatnonzero(~both)
    flip = both & (rng.random(count) < 0.5)
    new = np.where(flip[place], 1 - label, label)
    kinds[single] = rng.permutation(kinds[single])
    return np.where(both[place], new, kinds[place])


def _score(
    x: DoubleArray,
    label: DoubleArray,
    fitted: BoolArray,
    judged: BoolArray,
    ridge: float,
) -> DoubleArray:
    """Return the log odds of judged examples under a model of the fitted ones."""
    centre, spread = x[fitted].mean(axis=0), x[fitted].std(axis=0)
    z = np.clip((x - centre) / np.where(spread > 1e-12, spread, 1.0), -5.0, 5.0)
    square = z**2 - (z[fitted] ** 2).mean(axis=0)
    design = np.column_stack([np.ones(len(x)), z, square])
    return np.asarray(design[judged] @ _logistic(design[fitted], label[fitted], ridge))


def _logistic(design: DoubleArray, label: DoubleArray, ridge: float) -> DoubleArray:
    """Return the weights of a ridge logistic regression, by Newton; the constant is free."""
    weights = np.zeros(design.shape[1])
    penalty = np.full(design.shape[1], ridge)
    penalty[0] = 1e-6
    for _ in range(30):
        p = expit(design @ weights)
        gradient = design.T @ (p - label) + penalty * weights
        hessian = (design * (p * (1 - p))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        weights = weights - step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    return weights


def _weighted_auc(score: DoubleArray, label: DoubleArray, weight: IntArray) -> float:
    """Return the AUC of examples that count so many times each."""
    order = np.argsort(score, kind="stable")
    value, good = score[order], (weight * label)[order].astype(np.float64)
    bad = (weight * (1 - label))[order].astype(np.float64)
    starts = np.flatnonzero(np.r_[True, value[1:] > value[:-1]])
    good, bad = np.add.reduceat(good, starts), np.add.reduceat(bad, starts)
    below = np.cumsum(bad) - bad
    total = float(good.sum() * bad.sum())
    return float((good * (below + 0.5 * bad)).sum() / total) if total else float("nan")


def response_examples(
    held: Held, world: World, seed: int
) -> tuple[DoubleArray, list[DoubleArray], tuple[LongArray, LongArray]]:
    """Return features of users' real responses, and of four simulations of them on the same items.

    For each held-out user with enough later rows: how often they respond, whether more to
    popular items, to items liked by all, to long ones, early or late; how often two responses in
    a row are alike; and by how much each of the frequent topics moves them. What depends on the
    number and the order of negatives is left out where these were sampled.
    """
    order = np.argsort(held.rows.users, kind="stable")
    users = held.rows.users[order]
    items = held.rows.items[order].astype(np.int64)
    rng = np.random.default_rng((seed, 22))
    labels = [held.rows.label[order]]
    for _ in range(_COPIES):
        p = held.click.probability(held.drawn(rng)).astype(np.float64)
        labels.append((rng.random(len(p)) < p).astype(np.float64)[order])
    _, owner, counts = np.unique(users, return_inverse=True, return_counts=True)
    kept = counts >= LEAST_ROWS
    tables = [
        _response_features(label, items, owner, len(counts), held, world)[kept] for label in labels
    ]
    number = np.flatnonzero(kept)
    return tables[0], tables[1:], (number, number)


def _response_features(
    label: DoubleArray, items: LongArray, owner: LongArray, count: int, held: Held, world: World
) -> DoubleArray:
    """Return the features (G, P) of each owner's responses."""
    rows = np.bincount(owner, minlength=count).astype(np.float64)
    place = np.arange(len(owner)) - (np.cumsum(rows) - rows)[owner]
    rate = np.bincount(owner, label, count) / rows
    gap = label - rate[owner]
    popular = np.log1p(world.item_popularity[items].astype(np.float64))
    moved = [
        popular,
        held.model.item_bias[items].astype(np.float64),
        np.log(world.item_duration[items].astype(np.float64)),
    ]
    topics = world.item_topics[items].astype(np.float64)
    frequent = np.argsort(-topics.sum(axis=0), kind="stable")[:_TOPICS]
    moved += [topics[:, z] for z in frequent]
    columns = []
    if not world.log.implicit:  # else how many negatives there are, and where, is our own doing
        same = np.zeros(len(label))
        same[1:] = (label[1:] == label[:-1]) & (owner[1:] == owner[:-1])
        columns = [rate, np.bincount(owner, same, count) / np.maximum(rows - 1, 1)]
        moved.append(place / rows[owner])
    for feature in moved:
        centred = feature - (np.bincount(owner, feature, count) / rows)[owner]
        spread = np.sqrt(np.bincount(owner, centred**2, count) / rows)
        slope = np.bincount(owner, gap * centred, count) / rows
        columns.append(slope / np.maximum(spread, 1e-6))
    return np.stack(columns, axis=1)


def sequence_examples(
    sequences: Sequences, world: World, seed: int, first_group: int
) -> tuple[DoubleArray, LongArray]:
    """Return features (N, P) of `LENGTH` events in a row of each sequence that has as many.

    A random stretch of each sequence: mean and spread of popularity, public item bias, duration
    and likeness of neighbours; topic shares, their entropy, and how often a topic repeats.

    Args:
        sequences: of the log or the simulator.
        world: the world.
        seed: of the stretches.
        first_group: number of the first sequence, so that two sets do not share numbers.
    """
    rng = np.random.default_rng((seed, 23, first_group))
    lengths = sequences.lengths()
    long = np.flatnonzero(lengths >= LENGTH)
    start = (np.cumsum(lengths) - lengths)[long] + rng.integers(0, lengths[long] - LENGTH + 1)
    items = sequences.items[start[:, None] + np.arange(LENGTH)].astype(np.int64)  # (N, L)
    popular = np.log1p(world.item_popularity[items].astype(np.float64))
    bias = world.public_item_bias[items].astype(np.float64)
    minutes = np.log(world.item_duration[items].astype(np.float64))
    topics = world.item_topics[items].astype(np.float64)  # (N, L, Z)
    direction = world.directions[items]
    alike = (direction[:, 1:] * direction[:, :-1]).sum(axis=2).astype(np.float64)
    shared = (topics[:, 1:] * topics[:, :-1]).sum(axis=2)
    mass = topics.mean(axis=1)
    entropy = -(mass * np.log(np.maximum(mass, 1e-12))).sum(axis=1)
    frequent = np.argsort(-world.item_topics.sum(axis=0), kind="stable")[:_TOPICS]
    columns = [f(table, axis=1) for table in (popular, bias, minutes) for f in (np.mean, np.std)]
    columns += [alike.mean(axis=1), shared.mean(axis=1), entropy, *mass[:, frequent].T]
    return np.stack(columns, axis=1), first_group + long
