"""How well vectors tell classes: neighbours and linear probes whose settings are chosen apart.

Letters: I items, D numbers per item, C classes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from slategym.encoders.align import unit

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # ridge penalties, in mean variances
NEIGHBOURS = 5


def concatenated(parts: Sequence[npt.ArrayLike], weights: Sequence[float]) -> FloatArray:
    """Return modalities side by side, each of length 1 times its weight."""
    return np.concatenate(
        [weight * unit(part).astype(np.float64) for part, weight in zip(parts, weights, strict=True)
         if weight], axis=1,
    )  # fmt: skip


def neighbour_hits(rows: npt.ArrayLike, labels: IntArray, k: int = NEIGHBOURS) -> BoolArray:
    """Return whether the vote of the ``k`` nearest other items is right, (I,), by cosine.

    The nearer class wins a draw.
    """
    x = unit(rows).astype(np.float64)
    scores = x @ x.T
    np.fill_diagonal(scores, -np.inf)
    nearest = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    votes = np.zeros((len(x), int(labels.max()) + 1))
    near = np.take_along_axis(scores, nearest, axis=1)
    np.add.at(votes, (np.arange(len(x))[:, None], labels[nearest]), 1 + 1e-3 * near)
    return votes.argmax(axis=1) == labels


def neighbour_accuracy(tables: Sequence[npt.ArrayLike], labels: IntArray, seed: int = 0) -> float:
    """Return leave-one-out accuracy; with several tables, each half's is chosen on the other.

    The choice for a half sees neither its items nor their labels.
    """
    whole = [neighbour_hits(table, labels) for table in tables]
    if len(tables) == 1:
        return float(whole[0].mean())
    order = np.random.default_rng(seed).permutation(len(labels))
    right = np.zeros(len(labels), np.bool_)
    for judged, other in (np.array_split(order, 2), np.array_split(order, 2)[::-1]):
        found = [neighbour_hits(np.asarray(t)[other], labels[other]).mean() for t in tables]
        right[judged] = whole[int(np.argmax(found))][judged]
    return float(right.mean())


def probe_accuracy(
    tables: Mapping[str, npt.ArrayLike], labels: IntArray, *, folds: int, seeds: Sequence[int]
) -> float:
    """Return the accuracy of a ridge probe in ``folds`` folds, the mean over seeds.

    Table and penalty are chosen anew inside the training part of every fold, in four folds.
    """
    accuracies = []
    for seed in seeds:
        part = stratified(labels, folds, seed)
        right = np.zeros(len(labels), np.bool_)
        for fold in range(folds):
            train, test = np.flatnonzero(part != fold), np.flatnonzero(part == fold)
            table, strength = _choose(tables, labels, train, seed)
            scores = _ridge(np.asarray(tables[table]), labels, train, test, (strength,))[0]
            right[test] = scores.argmax(axis=1) == labels[test]
        accuracies.append(right.mean())
    return float(np.mean(accuracies))


def stratified(labels: IntArray, folds: int, seed: int) -> IntArray:
    """Return the fold of each item; every class is spread evenly over them."""
    rng = np.random.default_rng(seed)
    part = np.zeros(len(labels), np.int64)
    start = 0
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        part[rows] = (np.arange(len(rows)) + start) % folds
        start += len(rows)
    return part


def _choose(
    tables: Mapping[str, npt.ArrayLike], labels: IntArray, train: IntArray, seed: int
) -> tuple[str, float]:
    """Return the table and the penalty with most right answers inside the training items."""
    part = stratified(labels[train], 4, seed + 1000)
    best, chosen = -1, ("", 0.0)
    for name, table in tables.items():
        rows = np.asarray(table)
        right = np.zeros(len(STRENGTHS), np.int64)
        for fold in range(4):
            inner, held = train[part != fold], train[part == fold]
            for number, scores in enumerate(_ridge(rows, labels, inner, held, STRENGTHS)):
                right[number] += int((scores.argmax(axis=1) == labels[held]).sum())
        if right.max() > best:
            best, chosen = int(right.max()), (name, STRENGTHS[int(right.argmax())])
    return chosen


def _ridge(
    rows: FloatArray, labels: IntArray, train: IntArray, test: IntArray,
    strengths: Sequence[float],
) -> list[FloatArray]:  # fmt: skip
    """Return class scores (T, C) of test items for each penalty; columns standardised on train."""
    x = rows.astype(np.float64)
    mean, spread = x[train].mean(axis=0), x[train].std(axis=0)
    x = (x - mean) / np.where(spread > 1e-8, spread, np.inf)
    wanted = np.eye(int(labels.max()) + 1)[labels[train]]
    offset = wanted.mean(axis=0)
    gram = x[train] @ x[train].T
    values, basis = np.linalg.eigh(gram)
    turned, cross = basis.T @ (wanted - offset), x[test] @ x[train].T @ basis
    level = np.trace(gram) / len(train)
    return [cross @ (turned / (values + s * level)[:, None]) + offset for s in strengths]
