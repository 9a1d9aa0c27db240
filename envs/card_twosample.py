"""A classifier that tries to tell real people from simulated ones; .5 says that it cannot.

Letters: N examples, P features, G users or sequences, L events of a sequence.
"""

from typing import Any

import numpy as np
from scipy.special import expit

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


def classifier_auc(
    real: DoubleArray, simulated: DoubleArray, groups: tuple[LongArray, LongArray], seed: int
) -> dict[str, Any]:
    """Return the AUC with which a classifier tells two sets of examples apart.

    A ridge logistic regression on the standardised features and their squares. It is fitted on
    four of five folds of groups and judged on the fifth, so no example and no user helps to
    judge itself; the penalty is the one that does best on a fold left out of the other four. The
    interval resamples groups (Lopez-Paz and Oquab 2017, "Revisiting classifier two-sample
    tests").

    Args:
        real: (N, P) features of real examples.
        simulated: (N', P) of simulated ones.
        groups: the user or sequence of each example, (N,) and (N',); examples with the same
            number stay together.
        seed: of folds and resamples.

    Returns:
        ``auc`` with its interval, ``real`` and ``simulated`` counts.
    """
    x = np.concatenate([real, simulated])
    label = np.concatenate([np.ones(len(real)), np.zeros(len(simulated))])
    group = np.concatenate(groups)
    found, place = np.unique(group, return_inverse=True)
    said: dict[str, Any] = {"real": len(real), "simulated": len(simulated)}
    if len(found) < 2 * FOLDS or min(len(real), len(simulated)) < 2 * FOLDS:
        return said | {"auc": interval(np.nan, np.zeros(0))}
    rng = np.random.default_rng((seed, 21))
    fold = rng.permutation(np.arange(len(found)) % FOLDS)[place]
    score = np.zeros(len(x))
    for number in range(FOLDS):
        test, check = fold == number, fold == (number + 1) % FOLDS
        rest = ~(test | check)
        ridge = max(
            _RIDGES, key=lambda r: area_under_curve(_score(x, label, rest, check, r), label[check])
        )
        scored = _score(x, label, ~test, test, ridge)
        score[test] = np.argsort(np.argsort(scored, kind="stable")) / len(scored)
    weights = rng.multinomial(len(found), np.full(len(found), 1 / len(found)), size=_DRAWS)
    drawn = np.array([_weighted_auc(score, label, weight[place]) for weight in weights])
    return said | {"auc": interval(area_under_curve(score, label), drawn)}


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
) -> tuple[DoubleArray, DoubleArray, tuple[LongArray, LongArray]]:
    """Return features of users' real responses, and of simulated responses to the same items.

    For each held-out user with enough later rows: how often they respond, whether more to
    popular items, to items liked by all, to long ones, early or late; how often two responses in
    a row are alike; and by how much each of the frequent topics moves them.
    """
    order = np.argsort(held.rows.users, kind="stable")
    users = held.rows.users[order]
    items = held.rows.items[order].astype(np.int64)
    rng = np.random.default_rng((seed, 22))
    p = held.click.probability(held.drawn(rng)).astype(np.float64)
    simulated = (rng.random(len(p)) < p).astype(np.float64)[order]
    _, owner, counts = np.unique(users, return_inverse=True, return_counts=True)
    kept = counts >= LEAST_ROWS
    tables = [
        _response_features(label, items, owner, len(counts), held, world)[kept]
        for label in (held.rows.label[order], simulated)
    ]
    number = np.flatnonzero(kept)
    return tables[0], tables[1], (number, number)


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
        place / rows[owner],
    ]
    topics = world.item_topics[items].astype(np.float64)
    frequent = np.argsort(-topics.sum(axis=0), kind="stable")[:_TOPICS]
    moved += [topics[:, z] for z in frequent]
    same = np.zeros(len(label))
    same[1:] = (label[1:] == label[:-1]) & (owner[1:] == owner[:-1])
    columns = [rate, np.bincount(owner, same, count) / np.maximum(rows - 1, 1)]
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
