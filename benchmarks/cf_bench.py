"""The table of collaborative-filtering models on one data set, settings chosen on validation rows.

Letters: U users, I items.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.base import SCORERS, Scorer, make_scorer, scorer_class
from slategym.cf_baselines.benchmark_data import (
    RankingTask,
    RatingTask,
    load_ranking_task,
    load_rating_task,
)
from slategym.cf_baselines.evaluation import evaluate_ranking, evaluate_ratings
from slategym.cf_baselines.interactions import split_random
from slategym.cf_baselines.tuning import Tuned, tune
from slategym.errors import DataError, UsageError, unknown_name
from slategym.progress import Progress, Silent, stage

FloatArray = npt.NDArray[np.float32]

# What is tried on the validation rows; a model that is not here runs with its own defaults.
RANKING_GRIDS: Mapping[str, Mapping[str, Sequence[Any]]] = {
    "popularity": {"half_life": [0.0, 30.0, 180.0]},
    "item-knn": {
        "weighting": ["none", "tfidf"],
        "neighbours": [50, 150, 400],
        "shrinkage": [0.0, 10.0],
    },
    "user-knn": {"neighbours": [80, 200], "shrinkage": [1.0, 10.0], "power": [1.0, 2.0]},
    "rp3beta": {"alpha": [0.8, 1.0], "beta": [0.3, 0.5, 0.7]},
    "ease": {"penalty": [50.0, 100.0, 200.0, 400.0, 1000.0]},
    "slim": {"l1": [0.5, 2.0], "l2": [20.0, 100.0, 500.0]},
    "denoising-ease": {
        "penalty": [100.0, 300.0],
        "dropout": [0.33, 0.5],
        "user_power": [0.0, 0.75],
    },
    "als": {"factors": [32, 64], "unseen": [0.05, 0.2], "penalty": [0.1, 0.3]},
    "bpr": {"penalty": [0.01, 0.03, 0.1], "user_penalty": [0.01, 0.03, 0.1]},
    "vbpr": {"penalty": [0.01, 0.03], "user_penalty": [0.03, 0.1]},
}
# What is tried in place of that with content, in models that have a weight for it.
CONTENT_GRIDS: Mapping[str, Mapping[str, Sequence[Any]]] = {
    "denoising-ease": {"content_prior": [0.1, 0.25, 0.5]},
    "als": {"content_penalty": [10.0, 30.0, 100.0]},
}
RATING_GRIDS: Mapping[str, Mapping[str, Sequence[Any]]] = {
    "bias": {"damping": [2.0, 5.0, 10.0]},
    "rating-knn": {
        "side": ["item", "user"],
        "similarity": ["baseline", "pearson"],
        "neighbours": [20, 40, 80],
        "shrinkage": [20.0, 100.0],
    },
    "rating-model": {},
    "bayes-svd": {},
}
# Models that rank by a predicted value, which is no way to make lists.
FOR_RATINGS = tuple(RATING_GRIDS)
MEASURES = ("ndcg@10", "recall@20", "ndcg@20", "hit_rate@10", "mrr@10", "map@10")


@dataclass(frozen=True)
class Row:
    """One line of the table, JSON-ready.

    Attributes:
        task: Name of the task.
        model: Name of the model.
        settings: Those chosen; what is not named has its default.
        tried: How many settings were tried on the validation rows.
        validation: What the chosen ones reached there, of the task's measure.
        values: Measure to value on the test rows.
        low: Lower ends of the 95 % intervals over users, where there are any.
        high: Upper ends.
        cpu_seconds: CPU seconds of one fit, and of scoring every item for every user if ranking.
    """

    task: str
    model: str
    settings: dict[str, Any]
    tried: int
    validation: float
    values: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    cpu_seconds: float


@dataclass(frozen=True)
class Table:
    """All rows of one task, and how they were measured."""

    task: str
    protocol: str
    rows: tuple[Row, ...]


def run_bench(
    path: str | Path,
    models: Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    content: bool = False,
) -> list[Table]:
    """Return the tables of a data set: of lists, and of ratings where it has official folds.

    Args:
        path: A folder or log file; see `load_ranking_task`.
        models: Names in `SCORERS`; all by default.
        seed: For models with random starts, and intervals.
        progress: Told of every model.
        content: Run the models that use content once more with that of the data, and once with
            the same shuffled between items, as a control.

    Raises:
        UsageError: no such model, or content is asked for and none of them uses it.
        DataError: there is nothing that is known at ``path``, or no content that is.
    """
    chosen = list(models or SCORERS)
    for name in chosen:
        if name not in SCORERS:
            raise unknown_name("scorer", name, SCORERS)
    told = progress or Silent()
    tables = []
    ranking = [name for name in chosen if name not in FOR_RATINGS or models]
    if ranking:
        task = load_ranking_task(path)
        vectors = _content(path, task, ranking) if content else None
        rows = _each(ranking, told, "rank", lambda name: ranking_row(task, name, seed))
        if vectors is not None:
            rows += content_rows(task, vectors, rows, seed, told)
        tables.append(Table(task.name, task.protocol, tuple(rows)))
    rating = [name for name in chosen if name in FOR_RATINGS]
    if rating and (Path(path) / "u1.base").is_file():
        folds = load_rating_task(path)
        rows = _each(rating, told, "rate", lambda name: rating_row(folds, name, seed))
        said = (
            "Official folds u1 to u5, all test ratings, predictions cut to the range of the "
            "ratings; settings are chosen on a random 10 % of u1.base (seed 0)."
        )
        tables.append(Table(folds.name, said, tuple(rows)))
    if not tables:
        raise DataError(f"{path} has no official folds to test {', '.join(rating)} on.")
    return tables


def _each(
    names: Sequence[str], progress: Progress, what: str, make: Callable[[str], Row]
) -> list[Row]:
    rows = []
    with stage(progress, what, len(names)):
        for name in names:
            rows.append(make(name))
            progress.advance(what)
    return rows


def _content(path: str | Path, task: RankingTask, models: Sequence[str]) -> FloatArray:
    from slategym.benchmarks.cf_content import task_content

    if not any(scorer_class(name).uses_content for name in models):
        raise UsageError(f"none of {', '.join(models)} uses content; leave --content out.")
    return task_content(path, task)


def content_rows(
    task: RankingTask, vectors: FloatArray, plain: Sequence[Row], seed: int, progress: Progress
) -> list[Row]:
    """Return two lines of each model that uses content: with it, and with it shuffled.

    Args:
        task: The task.
        vectors: (I, D) content.
        plain: Lines of the models without content, whose settings are kept; only those that are
            about content are chosen. The control has those, and shows their validation.
        seed: For random starts, intervals and the shuffling.
        progress: Told of every model.
    """
    using = [row for row in plain if scorer_class(row.model).uses_content]
    shuffled = vectors[np.random.default_rng(seed).permutation(len(vectors))]
    rows = []
    with stage(progress, "rank with content", len(using)):
        for row in using:
            name = row.model
            kept: dict[str, Sequence[Any]] = {key: [each] for key, each in row.settings.items()}
            grid = {**kept, **CONTENT_GRIDS.get(name, {})}
            found = _search(task, name, grid, seed, vectors)
            rows.append(_ranked(task, found, seed, vectors, f"{name} + content"))
            rows.append(_ranked(task, found, seed, shuffled, f"{name} + shuffled content"))
            progress.advance("rank with content")
    return rows


def ranking_row(task: RankingTask, model: str, seed: int = 0) -> Row:
    """Return the line of one model: settings by the validation rows, measures by the test rows."""
    grid = _grid(RANKING_GRIDS, model, timed=bool(task.log.times.any()))
    return _ranked(task, _search(task, model, grid, seed), seed)


def _search(
    task: RankingTask,
    model: str,
    grid: Mapping[str, Sequence[Any]],
    seed: int,
    content: FloatArray | None = None,
) -> Tuned:
    return tune(
        model,
        grid,
        task.log,
        task.tune_rows,
        task.validation,
        measure=task.measure,
        positive=task.positive,
        seed=seed,
        content=content,
    )


def _ranked(
    task: RankingTask,
    tuned: Tuned,
    seed: int,
    content: FloatArray | None = None,
    label: str = "",
) -> Row:
    """Return the line of a model with settings found, fitted on all rows but the test's."""
    start = time.process_time()
    scorer = _make(tuned, seed).fit(task.log, task.fit_rows, content=content)
    scorer.score_all(np.arange(len(task.log.user_ids)))
    seconds = time.process_time() - start
    report = evaluate_ranking(scorer, task.log.take(task.test), positive=task.positive)
    estimates = {name: report.estimate(name, seed) for name in MEASURES}
    values = {name: each.mean for name, each in estimates.items()} | report.lists
    low = {name: each.low for name, each in estimates.items()}
    high = {name: each.high for name, each in estimates.items()}
    return _row(task.name, tuned, values, low, high, seconds, label)


def rating_row(task: RatingTask, model: str, seed: int = 0) -> Row:
    """Return the line of one model over all folds, settings chosen inside the first's base."""
    base = task.folds[0][0]
    inner = split_random(task.log.take(base), 0.1, 0, validation=0.0)
    grid = _grid(RATING_GRIDS, model, timed=True)
    tuned = tune(
        model, grid, task.log, base[inner.train], base[inner.test], measure="rmse", seed=seed
    )
    reports, seconds = [], 0.0
    for fit_rows, test in task.folds:
        start = time.process_time()
        scorer = _make(tuned, seed).fit(task.log, fit_rows)
        seconds += time.process_time() - start
        reports.append(evaluate_ratings(scorer, task.log.take(test), seed=seed))
    first = reports[0].rmse_interval
    values = {
        "rmse u1": reports[0].rmse,
        "rmse mean": float(np.mean([report.rmse for report in reports])),
        "mae mean": float(np.mean([report.mae for report in reports])),
    }
    ends = {"rmse u1": first.low}, {"rmse u1": first.high}
    return _row(task.name, tuned, values, *ends, seconds / len(task.folds))


def _grid(
    grids: Mapping[str, Mapping[str, Sequence[Any]]], model: str, *, timed: bool
) -> Mapping[str, Sequence[Any]]:
    grid = grids.get(model, {})
    return grid if timed else {name: each for name, each in grid.items() if name != "half_life"}


def _make(tuned: Tuned, seed: int) -> Scorer:
    seeded = {"seed": seed} if hasattr(make_scorer(tuned.model).config, "seed") else {}
    return make_scorer(tuned.model, **{**seeded, **tuned.best.settings})


def _row(
    task: str,
    tuned: Tuned,
    values: dict[str, float],
    low: dict[str, float],
    high: dict[str, float],
    seconds: float,
    label: str = "",
) -> Row:
    best, tried = tuned.best, len(tuned.trials)
    name = label or tuned.model
    return Row(task, name, best.settings, tried, best.value, values, low, high, seconds)
