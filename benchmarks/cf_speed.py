"""CPU seconds of our models beside those of implicit, LensKit, Surprise and myFM, in one run.

    python -m slategym.benchmarks.cf_speed data/ml-100k --peers PYTHON [--peers PYTHON]

Each PYTHON is one that has some of the peers; they are no part of this project. Lists: fit, and
score every item for every user, on the training rows of 4 stars and more. Ratings: fit on u1.base
and predict u1.test. All on one thread, the least of three runs after one that warms up.
"""

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slategym.benchmarks.cf_speed_peers import seconds
from slategym.cf_baselines.base import make_scorer
from slategym.cf_baselines.benchmark_data import load_ranking_task, load_rating_task
from slategym.cf_baselines.evaluation import predict_pairs

# Peer, our model, its settings: the same model as far as both have it.
LISTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("implicit Cosine", "item-knn", {"neighbours": 150, "shrinkage": 0.0}),
    ("implicit TFIDF", "item-knn", {"neighbours": 150, "shrinkage": 0.0, "weighting": "tfidf"}),
    (
        "implicit BM25",
        "item-knn",
        {
            "neighbours": 400,
            "shrinkage": 0.0,
            "weighting": "bm25",
            "similarity": "dot",
            "b": 0.7,
        },
    ),
    ("LensKit ItemKNN", "item-knn", {"neighbours": 100, "shrinkage": 0.0}),
    ("LensKit UserKNN", "user-knn", {"neighbours": 80, "shrinkage": 0.0, "power": 1.0}),
    ("LensKit EASE", "ease", {"penalty": 200.0}),
    ("implicit ALS", "als", {"unseen": 0.1, "penalty": 0.3, "power": 0.0, "rounds": 15}),
    ("implicit BPR", "bpr", {"epochs": 60, "penalty": 0.03}),
)
RATINGS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("Surprise BaselineOnly", "bias", {}),
    ("Surprise KNNBaseline item", "rating-knn", {}),
    (
        "Surprise KNNBaseline user",
        "rating-knn",
        {"side": "user", "similarity": "pearson", "neighbours": 60},
    ),
    ("myFM Bayesian SVD++", "bayes-svd", {"factors": 16, "sweeps": 200, "likelihood": "normal"}),
)
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Pair:
    """CPU seconds of a peer and of our model, and ours as a share of theirs."""

    peer: str
    model: str
    theirs: float
    ours: float

    @property
    def ratio(self) -> float:
        """Return ours / theirs; below 1 ours is faster."""
        return self.ours / self.theirs


def compare(data: str | Path, peers: Sequence[str], only: Sequence[str] = ()) -> list[Pair]:
    """Return the comparison on a folder with lists and official folds (MovieLens 100K).

    Args:
        data: The folder.
        peers: Pythons that have implicit, LensKit, Surprise or myFM.
        only: Names of the peers' models to run; all if empty.
    """
    task, folds = load_ranking_task(data), load_rating_task(data)
    fit_rows, test = folds.folds[0]
    likes = task.fit_rows[task.log.values[task.fit_rows] >= (task.positive or 0)]
    rated = [_triples(folds.log.take(rows)) for rows in (fit_rows, test)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npz"
        np.savez(
            path,
            shape=np.array([len(task.log.user_ids), len(task.log.item_ids)]),
            users=task.log.users[likes],
            items=task.log.items[likes],
            rated=rated[0],
            asked=rated[1],
        )
        theirs: dict[str, float] = {}
        for python in peers:
            theirs = {**_ask(python, path, only), **theirs}
    pairs = []
    everybody = np.arange(len(task.log.user_ids))
    for peer, name, settings in LISTS:
        run = _lister(name, settings, task.log.take(task.fit_rows), everybody)
        if peer in theirs:
            pairs.append(Pair(peer, name, theirs[peer], seconds(run)))
    for peer, name, settings in RATINGS:
        rater = _rater(name, settings, folds.log.take(fit_rows), folds.log.take(test))
        if peer in theirs:
            pairs.append(Pair(peer, name, theirs[peer], seconds(rater)))
    return pairs


def _triples(log: Any) -> np.ndarray:  # noqa: ANN401 (a log)
    return np.column_stack([log.users, log.items, log.values]).astype(np.float64)


def _ask(python: str, path: Path, only: Sequence[str]) -> dict[str, float]:
    script = Path(__file__).with_name("cf_speed_peers.py")
    done = subprocess.run(
        [python, str(script), str(path), *only],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **ONE_THREAD},
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _lister(
    name: str,
    settings: dict[str, Any],
    log: Any,  # noqa: ANN401 (a log)
    users: np.ndarray,
) -> Callable[[], Any]:
    return lambda: make_scorer(name, **settings).fit(log).score_all(users)


def _rater(
    name: str,
    settings: dict[str, Any],
    log: Any,  # noqa: ANN401 (a log)
    test: Any,  # noqa: ANN401 (a log)
) -> Callable[[], Any]:
    return lambda: predict_pairs(make_scorer(name, **settings).fit(log), test.users, test.items)


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="The MovieLens 100K folder.")
    parser.add_argument("--peers", action="append", default=[], help="A Python that has peers.")
    parser.add_argument("--only", action="append", default=[], help="A peer's model, as printed.")
    given = parser.parse_args()
    os.environ.update(ONE_THREAD)
    for pair in compare(given.data, given.peers, given.only):
        print(
            f"{pair.peer:<26} {pair.theirs:7.3f} s   {pair.model:<11} {pair.ours:7.3f} s   "
            f"ratio {pair.ratio:.2f}"
        )


if __name__ == "__main__":
    main()
