"""Settings of a model chosen by seeded search on validation rows; the test is never looked at."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.base import make_scorer
from slategym.cf_baselines.evaluation import evaluate_ranking, evaluate_ratings
from slategym.cf_baselines.interactions import Interactions
from slategym.errors import UsageError

Grid = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Trial:
    """One choice of settings and what it reached on the validation rows."""

    settings: dict[str, Any]
    value: float


@dataclass(frozen=True)
class Tuned:
    """The outcome of a search.

    Attributes:
        model: Name of the model.
        measure: What was looked at, ``ndcg@10`` (more is better) or ``rmse`` (less is).
        best: The best trial; of equal ones the first.
        trials: All of them, in the order they were run.
    """

    model: str
    measure: str
    best: Trial
    trials: tuple[Trial, ...]


def tune(
    model: str,
    grid: Grid,
    log: Interactions,
    train: npt.ArrayLike,
    validation: npt.ArrayLike,
    *,
    measure: str = "ndcg@10",
    positive: float | None = None,
    trials: int | None = None,
    seed: int = 0,
    content: npt.ArrayLike | None = None,
) -> Tuned:
    """Return the settings in a grid that do best on validation rows.

    Args:
        model: Name in `SCORERS`.
        grid: Setting to the values to try; {} tries the defaults.
        log: The log.
        train: Rows to fit on.
        validation: Rows to measure on; must not be test rows.
        measure: ``name@k`` of a ranking, or ``rmse`` or ``mae``.
        positive: Validation values from here on are positives; all rows if None.
        trials: Try this many, drawn without replacement; the whole grid if None.
        seed: For the draw, and for a model with a setting ``seed`` that the grid leaves open.
        content: (I, D) for models that use it.

    Raises:
        UsageError: ``measure`` is not one, or the grid holds a name without values.
    """
    empty = [name for name, values in grid.items() if not len(values)]
    if empty:
        raise UsageError(f"the grid has no values for {empty[0]!r}; give at least one.")
    choices = [dict(zip(grid, chosen, strict=True)) for chosen in itertools.product(*grid.values())]
    if trials is not None and trials < len(choices):
        drawn = np.random.default_rng(seed).choice(len(choices), trials, replace=False)
        choices = [choices[row] for row in np.sort(drawn).tolist()]
    held, rows = log.take(validation), np.asarray(train)
    done = []
    for settings in choices:
        kind = make_scorer(model)
        seeded = {"seed": seed} if hasattr(kind.config, "seed") else {}
        scorer = make_scorer(model, **{**seeded, **settings}).fit(log, rows, content=content)
        done.append(Trial(settings, measured(scorer, held, measure, positive)))
    sign = -1.0 if measure in ("rmse", "mae") else 1.0
    best = max(done, key=lambda trial: sign * trial.value)
    return Tuned(model, measure, best, tuple(done))


def measured(scorer: Any, held: Interactions, measure: str, positive: float | None) -> float:  # noqa: ANN401
    """Return one measure of a fitted model on rows held out.

    Raises:
        UsageError: there is no such measure.
    """
    if measure in ("rmse", "mae"):
        report = evaluate_ratings(scorer, held)
        return report.rmse if measure == "rmse" else report.mae
    _, mark, length = measure.partition("@")
    if not mark or not length.isdigit():
        raise UsageError(f"measure {measure!r}: give rmse, mae, or a ranking's, such as ndcg@10.")
    return evaluate_ranking(scorer, held, positive=positive, at=(int(length),))[measure]
