"""What content brings to collaborative filtering on MovieLens 100K, each gain beside a control.

The control is the same content shuffled between items (and users), with the same settings.

Letters: U users, I items, D content dimensions.
"""

import argparse
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.benchmarks.cf_content import movie_vectors
from slategym.benchmarks.encode_cold import FOLDS, cold_items
from slategym.cf_baselines.als import AlsScorer
from slategym.cf_baselines.base import Scorer, make_scorer
from slategym.cf_baselines.benchmark_data import load_rating_task, movielens_log
from slategym.cf_baselines.evaluation import evaluate_ranking, evaluate_ratings
from slategym.cf_baselines.gibbs_scorer import BayesScorer
from slategym.cf_baselines.interactions import Interactions, RowArray
from slategym.cf_baselines.logistic import describe
from slategym.cf_baselines.metrics import interval
from slategym.cf_baselines.movielens import load_movielens
from slategym.cf_baselines.movielens_files import read_movielens_files

FloatArray = npt.NDArray[np.float32]
LIKED = 4.0
AGES = (18, 22, 25, 30, 35, 45, 55)
YEARS = (1940, 1955, 1970, 1980, 1988, 1992, 1994, 1995.5, 1996.5)
COLD_FOLDS = 5
PAIRS_AT_ONCE = 2000
# What is tried for users without a history.
USER_CHOICES: tuple[Mapping[str, Any], ...] = tuple(
    {"factors": 16, "unseen": unseen, "content_penalty": penalty}
    for unseen in (0.05, 0.3)
    for penalty in (30.0, 100.0, 300.0)
)


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes:
        part: ``ratings``, ``items`` or ``users``.
        model: The model and what it is given.
        measure: What was measured.
        value: Its mean.
        low: Lower end of the 95 % interval over users.
        high: Upper end.
        seconds: CPU seconds of one fit.
        note: Settings, or further numbers.
    """

    part: str
    model: str
    measure: str
    value: float
    low: float
    high: float
    seconds: float
    note: str = ""


def profile_vectors(profiles: tuple[str, ...]) -> FloatArray:
    """Return (U, D) of ones and zeros: the age band and the words of profile texts."""
    words = [set(re.findall(r"[a-z]{3,}", text)) - {"year", "old"} for text in profiles]
    known = sorted(set().union(*words))
    ages = [re.search(r"\d+", text) for text in profiles]
    out = np.zeros((len(profiles), len(AGES) + 1 + len(known)), np.float32)
    for row, (said, age) in enumerate(zip(words, ages, strict=True)):
        if age:
            out[row, np.searchsorted(AGES, int(age[0]), side="right")] = 1
        out[row, [len(AGES) + 1 + known.index(word) for word in said]] = 1
    return out


def film_vectors(folder: Path) -> FloatArray:
    """Return (I, D): genres, by the root of their number, and the band of years of each movie."""
    catalog = load_movielens(folder).catalog
    genres = sorted({name for named in catalog.topics for name in named})
    out = np.zeros((len(catalog), len(genres) + len(YEARS) + 1), np.float32)
    for row, named in enumerate(catalog.topics):
        out[row, [genres.index(name) for name in named]] = 1 / np.sqrt(max(1, len(named)))
        year = str(catalog.attributes["year"].iloc[row])
        if year.isdigit():
            out[row, len(genres) + np.searchsorted(YEARS, int(year), side="right")] = 1
    return out


def rating_lines(folder: Path, seed: int = 0) -> Iterator[Line]:
    """Yield RMSE of the Bayesian model over the five official folds, by what it is given."""
    task = load_rating_task(folder)
    films, people = film_vectors(folder), profile_vectors(read_movielens_files(folder).profiles)
    rng = np.random.default_rng(seed)
    mixed = rng.permutation(len(films)), rng.permutation(len(people))
    given: dict[str, tuple[FloatArray | None, FloatArray | None]] = {
        "bayes-svd": (None, None),
        "bayes-svd + genres, years, profiles": (films, people),
        "bayes-svd + the same, shuffled": (films[mixed[0]], people[mixed[1]]),
    }
    for name, (items, users) in given.items():
        reports, seconds = [], 0.0
        liked: dict[str, float] = {}
        for fit_rows, test in task.folds:
            start = time.process_time()
            scorer = BayesScorer(seed=seed)
            scorer.fit(task.log, fit_rows, content=items, user_content=users)
            seconds += time.process_time() - start
            reports.append(evaluate_ratings(scorer, task.log.take(test), seed=seed))
            liked = liked or probability_of_liking(scorer, task.log.take(test))
        first, mean = reports[0], float(np.mean([report.rmse for report in reports]))
        note = f"mean of five folds {mean:.4f}; P(4 stars and more) on u1: " + ", ".join(
            f"{key} {value:.4f}" for key, value in liked.items()
        )
        ends = first.rmse_interval
        yield Line("ratings", name, "RMSE u1", first.rmse, ends.low, ends.high, seconds / 5, note)


CHOICES: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "als": tuple(
        {"positive": 0.0, "unseen": 0.05, "penalty": 0.03, "power": 1.0, "content_penalty": each}
        for each in (3.0, 10.0, 30.0, 100.0)
    ),
    "vbpr": tuple(
        {"factors": 16, "content_factors": 32, "penalty": each} for each in (0.003, 0.01)
    ),
}


def probability_of_liking(scorer: BayesScorer, test: Interactions) -> dict[str, float]:
    """Return log loss (nats), Brier score, calibration error and AUC of P(4 stars and more)."""
    chances = []
    for at in range(0, len(test), PAIRS_AT_ONCE):
        users, items = (rows[at : at + PAIRS_AT_ONCE] for rows in (test.users, test.items))
        levels, each = scorer.level_probabilities(users, items[:, None])
        chances.append(each[:, 0, levels >= LIKED].sum(axis=1))
    label = (test.values >= LIKED).astype(np.float64)
    return describe(np.concatenate(chances).astype(np.float64), label)


def item_lines(folder: Path, seed: int = 0) -> Iterator[Line]:
    """Yield NDCG@10 on cold items, by the protocol of `slategym.benchmarks.encode_cold`."""
    log, _ = movielens_log(folder)
    vectors = movie_vectors(folder, log.item_ids)
    cold, eligible = cold_items(log)
    rest = np.random.default_rng(1).permutation(np.setdiff1d(eligible, cold))
    held = np.sort(np.array_split(rest, FOLDS)[0])
    shuffled = vectors[np.random.default_rng(seed).permutation(len(vectors))]
    for name, choices in CHOICES.items():

        def reached(settings: Mapping[str, Any], name: str = name) -> float:
            scorer = make_scorer(name, seed=seed, **settings)
            hidden = np.concatenate([cold, held])
            return _cold(scorer, log, vectors, hidden, held)[0]

        best = max(choices, key=reached)
        for what, content in (("content", vectors), ("shuffled content", shuffled)):
            scorer = make_scorer(name, seed=seed, **best)
            _, by_user, seconds = _cold(scorer, log, content, cold, cold)
            told = interval(by_user, seed)
            note = ", ".join(f"{key} {value:g}" for key, value in best.items())
            yield Line(
                "items",
                f"{name} + {what}",
                "NDCG@10",
                told.mean,
                told.low,
                told.high,
                seconds,
                note,
            )


def _cold(
    scorer: Scorer, log: Interactions, content: FloatArray, hidden: RowArray, asked: RowArray
) -> tuple[float, npt.NDArray[np.float64], float]:
    """Return NDCG@10 over ``asked`` items, its values by user, and the CPU seconds of the fit.

    No row of a ``hidden`` item is fitted on.
    """
    start = time.process_time()
    scorer.fit(log, np.flatnonzero(~np.isin(log.items, hidden)), content=content)
    seconds = time.process_time() - start
    test = log.take(np.flatnonzero(np.isin(log.items, asked)))
    report = evaluate_ranking(scorer, test, positive=LIKED, at=(10,), candidates=asked)
    return report["ndcg@10"], report.by_user["ndcg@10"], seconds


def user_lines(folder: Path, seed: int = 0) -> Iterator[Line]:
    """Yield NDCG@10 over all items for users known by their profile text alone.

    Users are cut into five folds, drawn with the seed; each fold is cold once, so every user
    counts. Settings are chosen for each on another fold, made cold in the same way.
    """
    log, _ = movielens_log(folder)
    profiles = profile_vectors(read_movielens_files(folder).profiles)
    order = np.random.default_rng(seed).permutation(len(log.user_ids))
    folds = np.array_split(order, COLD_FOLDS)
    shuffled = profiles[np.random.default_rng(seed + 1).permutation(len(profiles))]
    popular: npt.NDArray[np.float64] | None = None
    for what, content in (
        ("popularity", None),
        ("als + profiles", profiles),
        ("als + shuffled profiles", shuffled),
    ):
        found, seconds = [], 0.0
        for fold, held in zip(folds, [*folds[1:], folds[0]], strict=True):
            scorer = make_scorer("popularity")
            if content is not None:
                scorer = AlsScorer(seed=seed, **_choose(log, profiles, fold, held, seed))
            by_user, spent = _cold_users(scorer, log, content, fold, fold)
            found.append(by_user)
            seconds += spent / len(folds)
        values = np.concatenate(found)
        popular = values if popular is None else popular
        told, gap = interval(values, seed), interval(values - popular, seed)
        note = f"{gap.mean:+.4f} ({gap.low:+.4f} to {gap.high:+.4f}) over popularity, by user"
        yield Line("users", what, "NDCG@10", told.mean, told.low, told.high, seconds, note)


def _choose(
    log: Interactions, profiles: FloatArray, fold: RowArray, held: RowArray, seed: int
) -> Mapping[str, Any]:
    """Return the settings that do best for users ``held``, those of ``fold`` hidden too."""
    hidden = np.concatenate([fold, held])

    def reached(settings: Mapping[str, Any]) -> float:
        scorer = AlsScorer(seed=seed, **settings)
        return float(_cold_users(scorer, log, profiles, hidden, held)[0].mean())

    return max(USER_CHOICES, key=reached)


def _cold_users(
    scorer: Scorer, log: Interactions, content: FloatArray | None, hidden: RowArray, asked: RowArray
) -> tuple[npt.NDArray[np.float64], float]:
    """Return NDCG@10 of ``asked`` users and the CPU seconds of a fit without ``hidden`` ones."""
    start = time.process_time()
    rows = np.flatnonzero(~np.isin(log.users, hidden))
    if isinstance(scorer, AlsScorer):
        scorer.fit(log, rows, user_content=content)
    else:
        scorer.fit(log, rows)
    seconds = time.process_time() - start
    test = log.take(np.flatnonzero(np.isin(log.users, asked)))
    report = evaluate_ranking(scorer, test, positive=LIKED, at=(10,))
    return report.by_user["ndcg@10"], seconds


PARTS: Mapping[str, Callable[[Path, int], Iterator[Line]]] = {
    "ratings": rating_lines,
    "items": item_lines,
    "users": user_lines,
}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="The MovieLens 100K folder.")
    parser.add_argument("--part", action="append", choices=PARTS, help="Repeatable. Default: all.")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for part in given.part or PARTS:
        for line in PARTS[part](given.data, given.seed):
            print(
                f"{line.part:<8} {line.model:<38} {line.measure} {line.value:.4f} "
                f"({line.low:.4f} to {line.high:.4f})  {line.seconds:.1f} s  {line.note}",
                flush=True,
            )


if __name__ == "__main__":
    main()
