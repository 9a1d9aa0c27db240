"""From the sessions of an experiment to tables: who is better, by how much, and how sure we are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.benchmarks.comparison import LEVEL, all_pairs, holm
from slategym.benchmarks.executor import Arrays
from slategym.benchmarks.experiment_tables import curves, metric_intervals
from slategym.benchmarks.statistics import (
    REPLICATES,
    Interval,
    UserBootstrap,
    iqm,
    percentile_interval,
    probability_of_improvement,
    stratified_interval,
)
from slategym.errors import DataError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Contender:
    """Who played a task, and what came of it.

    Attributes:
        name: in tables.
        kind: "agent", "policy" or "reference" (sees what no platform sees; never wins).
        runs: arrays of `run_cell`, one for each training seed; one in all without training.
        training_seeds: of the runs.
    """

    name: str
    kind: str
    runs: tuple[Arrays, ...]
    training_seeds: tuple[int, ...] = ()

    def means(self, key: str) -> FloatArray:
        """Return the mean over sessions of each run (S,); sessions without the number left out."""
        return np.array([_mean(run[key]) for run in self.runs])


@dataclass(frozen=True)
class TaskRuns:
    """All that was played of one task; every contender met the same users with the same luck.

    Attributes:
        name: of the task.
        contenders: in the order of the experiment.
        best: who normalises to 1; None: nothing is normalised.
    """

    name: str
    contenders: tuple[Contender, ...]
    best: str | None = None


def score(tasks: Sequence[TaskRuns], *, seed: int = 0) -> dict[str, Any]:
    """Return the tables of an experiment as JSON.

    Two sources of uncertainty are kept apart. ``interval`` resamples users (a user with all of
    its sessions) and training seeds; ``users`` the users alone, with the trained agents as they
    are; ``seeds`` the training seeds alone, on these users. The estimate is the interquartile
    mean over training seeds of the mean over sessions (Agarwal et al. 2021, section 4.3).

    Args:
        tasks: what was played.
        seed: of the resampling.

    Raises:
        DataError: two contenders of a task did not meet the same users.
    """
    tables = [_table(task, seed) for task in tasks]
    return {"tasks": tables, "overall": _overall(tasks, tables, seed), "replicates": REPLICATES}


def _table(task: TaskRuns, seed: int) -> dict[str, Any]:
    """Return one task's leaderboard, best first."""
    users = task.contenders[0].runs[0]["user"]
    for one in task.contenders:
        if any(not np.array_equal(run["user"], users) for run in one.runs):
            raise DataError(
                f"task {task.name!r}: {one.name!r} and {task.contenders[0].name!r} did not meet "
                "the same users; run the experiment again into a new folder."
            )
    bootstrap = UserBootstrap(users, seed=seed)
    drawn = {one.name: _Drawn(one, bootstrap, seed) for one in task.contenders}
    ranked = sorted(task.contenders, key=lambda one: -drawn[one.name].estimate)
    winner = next((one for one in ranked if one.kind != "reference"), ranked[0])
    rows = [_row(one, drawn, winner, task, bootstrap) for one in ranked]
    rivals = [row for row in rows if row["name"] != winner.name and row["kind"] != "reference"]
    adjusted = holm([row["p"] for row in rivals])
    for row, p in zip(rivals, adjusted, strict=True):
        row["p_holm"] = p
    return {
        "task": task.name,
        "rows": rows,
        "winner": winner.name,
        "sessions": len(users),
        "distinct_users": bootstrap.groups,
        "best": task.best,
        "sentence": _sentence(task.name, winner, drawn, rivals),
        "compared": all_pairs(
            {one.name: drawn[one.name].estimate for one in ranked},
            {one.name: drawn[one.name].both for one in ranked},
            bootstrap.groups,
        ),
        "curves": curves(
            {one.name: one.runs for one in ranked},
            {one.name: one.training_seeds for one in ranked},
        ),
    }


class _Drawn:
    """A contender's mean return, as it is and in each resample."""

    def __init__(self, one: Contender, bootstrap: UserBootstrap, seed: int) -> None:
        by_seed = np.stack([bootstrap.mean_replicates(run["return"]) for run in one.runs])  # (S, R)
        means, count = one.means("return"), len(one.runs)
        rng = np.random.default_rng((seed, sum(one.name.encode())))
        picked = rng.integers(0, count, (by_seed.shape[1], count))
        self.estimate = float(iqm(means))
        self.users = iqm(by_seed, axis=0)
        self.both = iqm(by_seed[picked, np.arange(len(picked))[:, None]])
        self.seeds = iqm(means[picked]) if count > 1 else np.full(len(picked), np.nan)
        if bootstrap.groups == 1:
            self.users = np.full(len(picked), np.nan)
            self.both = self.seeds


def _row(
    one: Contender,
    drawn: Mapping[str, _Drawn],
    winner: Contender,
    task: TaskRuns,
    bootstrap: UserBootstrap,
) -> dict[str, Any]:
    """Return a contender's line."""
    mine, top = drawn[one.name], drawn[winner.name]
    difference = mine.both - top.both
    measured = metric_intervals(one.runs, bootstrap)
    row: dict[str, Any] = {
        "name": one.name,
        "kind": one.kind,
        "training_seeds": len(one.runs) if one.kind == "agent" else 0,
        "return": percentile_interval(mine.estimate, mine.both).to_json(),
        "users": percentile_interval(mine.estimate, mine.users).to_json(),
        "seeds": percentile_interval(mine.estimate, mine.seeds).to_json(),
        "by_seed": one.means("return").tolist(),
        "metrics": {key: interval["estimate"] for key, interval in measured.items()},
        "intervals": measured,
        "minus_winner": percentile_interval(mine.estimate - top.estimate, difference).to_json(),
        "p": _two_sided(difference),
        "improves_on_winner": probability_of_improvement(
            one.means("return"), winner.means("return")
        ),
        "correlation": _correlation(one, winner),
        "normalised": None,
    }
    if task.best is not None:
        low, high = drawn["random"].estimate, drawn[task.best].estimate
        if high > low:
            scaled = percentile_interval(
                (mine.estimate - low) / (high - low), (mine.both - low) / (high - low)
            )
            row["normalised"] = scaled.to_json()
    return row


def _two_sided(difference: FloatArray) -> float:
    """Return the bootstrap p-value of a difference being 0, at least 1 / (R + 1)."""
    known = difference[np.isfinite(difference)]
    if not known.size:
        return 1.0
    tail = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2.0 * (tail + 1) / (known.size + 1))


def _correlation(one: Contender, other: Contender) -> float | None:
    """Return how alike the returns of the same sessions are: what pairing has gained."""
    first = np.mean([run["return"] for run in one.runs], axis=0)
    second = np.mean([run["return"] for run in other.runs], axis=0)
    if not (first.std() > 0 and second.std() > 0):
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _overall(
    tasks: Sequence[TaskRuns], tables: Sequence[dict[str, Any]], seed: int
) -> list[dict[str, Any]]:
    """Return who played every normalised task, by interquartile mean of normalised scores."""
    usable = [
        (task, table)
        for task, table in zip(tasks, tables, strict=True)
        if any(row["normalised"] is not None for row in table["rows"])
    ]
    if len(usable) < 2:
        return []
    strata: dict[str, list[FloatArray]] = {}
    for task, table in usable:
        found = {row["name"]: row["return"]["estimate"] for row in table["rows"]}
        low, high = found["random"], found[str(task.best)]
        for one in task.contenders:
            scaled = (one.means("return") - low) / (high - low)
            strata.setdefault(one.name, []).append(scaled)
    rows = [
        {"name": name, "tasks": len(parts), **stratified_interval(parts, seed=seed).to_json()}
        for name, parts in strata.items()
        if len(parts) == len(usable)
    ]
    return sorted(rows, key=lambda row: -row["estimate"])


def _sentence(
    task: str,
    winner: Contender,
    drawn: Mapping[str, _Drawn],
    rivals: Sequence[dict[str, Any]],
) -> str:
    """Return who won, in words."""
    mean = f"{drawn[winner.name].estimate:.2f}"
    if not rivals:
        return f"{task}: {winner.name} has {mean}; it was run without a rival."
    tied = [row["name"] for row in rivals if row["p_holm"] >= LEVEL]
    closest = rivals[0]
    gap = Interval.from_json(closest["minus_winner"])
    ends = f"[{0 - gap.high:.2f}, {0 - gap.low:.2f}]"
    told = f"{0 - gap.estimate:.2f} {ends} above {closest['name']}, the next"
    if tied:
        return (
            f"{task}: no clear winner. {winner.name} leads with {mean}, {told}, but cannot be told "
            f"from {', '.join(tied)} (Holm, 5 %)."
        )
    return f"{task}: {winner.name} wins with {mean}, {told} (all {len(rivals)} rivals, Holm, 5 %)."


def _mean(values: npt.NDArray[Any]) -> float:
    numbers = np.asarray(values, np.float64)
    known = numbers[np.isfinite(numbers)]
    return float(known.mean()) if known.size else float("nan")
