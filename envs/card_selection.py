"""How much the answer would change if popular items had not been rated more often than others.

A log holds what people chose to rate, and not what they were shown: its rows are missing not at
random. Weighting rows by the inverse of how often their item is rated is one guess at an
unselected log (Schnabel et al. 2016, "Recommendations as treatments", equation 6; Saito et al.
2020, "Unbiased recommender learning from missing-not-at-random implicit feedback", section 6,
for the power of the popularity). It corrects for popularity, and for nothing else.

Letters: N rows, U users, I items.
"""

from typing import Any

import numpy as np
from scipy.stats import rankdata

from slategym.cf_baselines.calibration import ClickModel, fit_click_model, labelled
from slategym.cf_baselines.factorization import RatingModel
from slategym.cf_baselines.interactions import Interactions
from slategym.cf_baselines.logistic import log_losses
from slategym.envs.arrays import DoubleArray, FloatArray, LongArray
from slategym.envs.build_models import fit_with_content
from slategym.envs.card_rows import MOST_FITTED, MOST_JUDGED, capped_rows, split_rows
from slategym.envs.card_scores import Clusters, interval
from slategym.envs.scenario_make import click_threshold, content_of, fit_settings
from slategym.envs.world import World
from slategym.envs.world_log import PUBLIC, TEST, VALIDATION

POWER = 0.5
MOST_WEIGHT = 10.0  # of a row, in mean weights
_USERS, _ITEMS, _TOP = 200, 300, 10


def selection_sensitivity(world: World, *, draws: int, seed: int) -> dict[str, Any]:
    """Return what changes when the public model is fitted on reweighted rows.

    Three models of the same kind are fitted on the public rows: as they are (``plain``), repeated
    in proportion to ``(most rated item's rows / own item's rows) ** 0.5`` (``weighted``), and
    repeated by the same weights dealt out at random (``control``: it loses as many rows, and
    says nothing of popularity). All are calibrated on the validation rows and judged on the test
    rows, as logged and reweighted in the same way.

    Returns:
        ``power``, ``effective_share`` of the rows after weighting (Kish 1965); for ``as_logged``
        and ``reweighted`` test rows the log loss of each fit, and the ``difference`` weighted
        less control; under ``random_pairs`` of user and item, most of them never rated, how
        ``weighted`` and ``control`` agree with plain: the mean per-user rank ``correlation``,
        and the ``overlap`` of the ten best items; and mean click probabilities.
    """
    log, threshold = world.log, click_threshold(world)
    factors, fit_seed, _ = fit_settings(world)
    content = content_of(world)
    public = capped_rows(log, split_rows(world, PUBLIC), seed, MOST_FITTED)
    check = capped_rows(log, split_rows(world, VALIDATION), seed, MOST_JUDGED)
    test = labelled(log, capped_rows(log, split_rows(world, TEST), seed), threshold, seed=seed)
    counts = log.item_counts(public)
    weight = row_weights(counts, log.items[public])
    dealt = np.random.default_rng((seed, 33)).permutation(weight)
    fits = {"plain": np.ones(len(public)), "weighted": weight, "control": dealt}
    models: _Models = {}
    for name, each in fits.items():
        rows = repeated(public, each, seed)
        model, _ = fit_with_content(log, rows, content, factors, fit_seed)
        models[name] = (model, fit_click_model(model, log, check, positive=threshold, seed=seed))
    share = float(weight.sum() ** 2 / (len(weight) * (weight @ weight)))
    ways = {"as_logged": np.ones(len(test)), "reweighted": row_weights(counts, test.items)}
    clusters = Clusters(test.users, draws, seed)
    return {
        "power": POWER,
        "effective_share": round(share, 6),
        **{name: _losses(models, test, way, clusters) for name, way in ways.items()},
        "random_pairs": _on_random_pairs(models, log, seed),
    }


_Models = dict[str, tuple[RatingModel, ClickModel]]


def _losses(
    models: _Models, test: Interactions, weight: DoubleArray, clusters: Clusters
) -> dict[str, Any]:
    """Return the weighted mean log loss of each model, and of one less another."""
    label = test.values.astype(np.float64)
    total = clusters.sums(weight)
    full, drawn = {}, {}
    for name, (model, click) in models.items():
        loss = log_losses(click.probability(model.predict_rows(test)).astype(np.float64), label)
        full[name] = float(weight @ loss / weight.sum())
        drawn[name] = clusters.sums(weight * loss) / total
    said = {name: interval(full[name], drawn[name]) for name in models}
    change = drawn["weighted"] - drawn["control"]
    return said | {"difference": interval(full["weighted"] - full["control"], change)}


def row_weights(counts: LongArray, items: Any) -> DoubleArray:  # noqa: ANN401 - integer rows
    """Return the weight of each row (N,), mean 1, at most `MOST_WEIGHT`.

    Args:
        counts: (I,) public rows of each item; an item without any counts as half a row.
        items: (N,) item of each row.
    """
    rated = np.maximum(counts.astype(np.float64), 0.5)
    weight = (rated.max() / rated[items]) ** POWER
    weight = np.minimum(weight / weight.mean(), MOST_WEIGHT)
    return np.asarray(weight / weight.mean())


def repeated(rows: LongArray, weight: DoubleArray, seed: int) -> LongArray:
    """Return rows repeated so often that each counts by its weight, in expectation, ascending."""
    whole = np.floor(weight)
    more = np.random.default_rng((seed, 31)).random(len(rows)) < weight - whole
    return np.repeat(rows, (whole + more).astype(np.int64))


def _on_random_pairs(models: _Models, log: Interactions, seed: int) -> dict[str, Any]:
    """Return how far fits agree with the plain one on pairs drawn at random."""
    rng = np.random.default_rng((seed, 32))
    users = rng.permutation(len(log.user_ids))[:_USERS]
    items = rng.permutation(len(log.item_ids))[:_ITEMS]
    grid = np.tile(items, (len(users), 1))
    scores = {name: model.score(users, grid) for name, (model, _) in models.items()}
    said: dict[str, Any] = {
        name: {
            "correlation": round(_rank_correlation(scores["plain"], scores[name]), 6),
            "overlap": round(_overlap(scores["plain"], scores[name]), 6),
        }
        for name in ("weighted", "control")
    }
    said["click"] = {
        name: round(float(click.probability(scores[name]).mean()), 6)
        for name, (_, click) in models.items()
    }
    return said


def _rank_correlation(first: FloatArray, second: FloatArray) -> float:
    """Return Spearman's rank correlation of each row of two tables (B, K), on average."""
    ranks = [rankdata(table, axis=1) for table in (first, second)]
    a, b = (table - table.mean(axis=1, keepdims=True) for table in ranks)
    lengths = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return float(((a * b).sum(axis=1) / np.maximum(lengths, 1e-12)).mean())


def _overlap(first: FloatArray, second: FloatArray) -> float:
    """Return the share of the best `_TOP` columns of each row that two tables agree on."""
    best = [
        np.argsort(-table, axis=1, kind="stable")[:, :_TOP].tolist() for table in (first, second)
    ]
    return float(np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(*best, strict=True)]))
