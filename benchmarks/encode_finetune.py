"""Does fine-tuning on three tasks beat the frozen model and each task alone?

    python -m slategym.benchmarks.encode_finetune --data DIR

MovieLens 100K. The 269 cold items of `slategym.benchmarks.encode_cold` lose all their ratings. Of
the rest, for each seed, an eighth of the eligible items are pseudo-cold for validation; of the
other ratings a tenth is test, a tenth validation. Every arm, the frozen model too, gets the same
readout: rating = biases plus a ridge on its scores, fitted on validation ratings; ranking = a sum
of its scores whose weights are chosen on the pseudo-cold items. The score of the frozen model, the
likeness of an item to the user's history, is among the scores of every arm.

Letters: U users, C items, S scores.
"""

import argparse
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slategym.benchmarks import encode_data
from slategym.benchmarks.encode_cold import LIKED, cold_items, ndcg
from slategym.benchmarks.encode_row import encoded
from slategym.cf_baselines.interactions import Interactions
from slategym.encoders.finetune import finetune
from slategym.encoders.finetune_config import FinetuneConfig
from slategym.encoders.finetune_model import fit_histories
from slategym.encoders.tasks import (
    Biases,
    FinetuneData,
    Ratings,
    choice_factors,
    fit_biases,
    taste_factors,
)
from slategym.files import write_json

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Scores = Callable[[IntArray, IntArray], npt.NDArray[np.float32]]

ALONE: Mapping[str, Mapping[str, float]] = {
    "T1 alone": {"item_features": 0.0, "recommendation_features": 0.0},
    "T2 alone": {"rating": 0.0, "recommendation_features": 0.0},
    "T3 alone": {"rating": 0.0, "item_features": 0.0},
    "all three": {},
}
STEPS = 10  # of the weights of a ranking
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # Student's 97.5 % quantile by number of seeds


@dataclass(frozen=True, eq=False)
class Case:
    """One seed's data.

    Attributes:
        data: For fine-tuning.
        biases: Of the training ratings.
        test: Held-out ratings of warm items.
        pseudo: Pseudo-cold items, for choosing how to rank.
        cold: The cold items of the protocol.
        liked: (U, I) ratings of at least `LIKED`.
    """

    data: FinetuneData
    biases: Biases
    test: Ratings
    pseudo: IntArray
    cold: IntArray
    liked: npt.NDArray[np.bool_]


def make_case(log: Interactions, vectors: npt.NDArray[np.float32], seed: int) -> Case:
    """Return the data of one seed."""
    rng = np.random.default_rng(100 + seed)
    users, items = len(log.user_ids), len(log.item_ids)
    cold, eligible = cold_items(log)
    warm = np.setdiff1d(eligible, cold)
    pseudo = np.sort(rng.choice(warm, len(warm) // 8, replace=False))
    rows = rng.permutation(np.flatnonzero(~np.isin(log.items, np.concatenate([cold, pseudo]))))
    test, validation, train = np.split(rows, [len(rows) // 10, len(rows) // 5])
    parts = [
        Ratings(log.users[part], log.items[part], np.asarray(log.values)[part])
        for part in (train, validation, test)
    ]
    biases = fit_biases(parts[0], users, items)
    data = FinetuneData(
        parts[0], parts[1], vectors, users,
        choice_factors(parts[0], users, items), taste_factors(parts[0], biases, users, items),
    )  # fmt: skip
    liked = np.zeros((users, items), np.bool_)
    liked[log.users, log.items] = np.asarray(log.values) >= LIKED
    return Case(data, biases, parts[2], pseudo, cold, liked)


def frozen_scores(case: Case) -> Scores:
    """Return the frozen model: the cosine of a user's pooled history and an item's vector."""
    vectors = case.data.item_vectors - case.data.item_vectors.mean(axis=0)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    pooled = np.asarray(fit_histories(case.data, case.biases).matrix @ vectors)
    pooled /= np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-6)

    def scores(users: IntArray, items: IntArray) -> npt.NDArray[np.float32]:
        return np.asarray((pooled[users] * vectors[items]).sum(axis=1)[:, None], np.float32)

    return scores


def _beside(first: Scores, second: Scores) -> Scores:
    """Return the scores of two models as columns."""

    def scores(users: IntArray, items: IntArray) -> npt.NDArray[np.float32]:
        return np.concatenate([first(users, items), second(users, items)], axis=1)

    return scores


def measure(case: Case, scores: Scores) -> dict[str, float]:
    """Return the errors and rankings of an arm, on validation and on test."""
    held = case.data.validation
    x = np.column_stack([scores(held.users, held.items), np.ones(len(held))]).astype(np.float64)
    rest = held.values - case.biases.predict(held.users, held.items)
    weights = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ rest)
    test = case.test
    x_test = np.column_stack([scores(test.users, test.items), np.ones(len(test))])
    said = case.biases.predict(test.users, test.items) + x_test @ weights
    error = np.clip(said, 1, 5) - test.values
    pseudo, cold = (_table(scores, case, items) for items in (case.pseudo, case.cold))
    spread = np.maximum(pseudo.std(axis=(0, 1)), 1e-9)
    options = _simplex(pseudo.shape[2])
    found = [_ranking(pseudo / spread * o, case, case.pseudo) for o in options]
    best = options[int(np.argmax(found))]
    return {
        "validation rmse": float(np.sqrt(np.mean((rest - x @ weights) ** 2))),
        "validation ndcg": float(max(found)),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "ndcg": _ranking(cold / spread * best, case, case.cold),
    }


def _table(scores: Scores, case: Case, items: IntArray) -> FloatArray:
    """Return scores of all users for some items, (U, C, S)."""
    users = np.arange(case.data.n_users)
    u, i = (each.ravel() for each in np.meshgrid(users, items, indexing="ij"))
    return scores(u, i).reshape(len(users), len(items), -1).astype(np.float64)


def _ranking(parts: FloatArray, case: Case, items: IntArray) -> float:
    return float(ndcg(parts.sum(axis=2), case.liked[:, items]).mean())


def _simplex(count: int) -> list[FloatArray]:
    """Return weights >= 0 that sum to 1, on a grid."""
    every = itertools.product(range(STEPS + 1), repeat=count)
    return [np.array(each) / STEPS for each in every if sum(each) == STEPS]


def run(
    data: Path, config: FinetuneConfig, seeds: Sequence[int], arms: Sequence[str]
) -> dict[str, list[dict[str, float]]]:
    """Return the measures of each arm for each seed, printed as they come."""
    movies = encode_data.movies(data)
    vectors = encoded(movies.catalog, "text", "minilm")
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in arms}
    for seed in seeds:
        case = make_case(movies.interactions, vectors, seed)
        for arm in arms:
            scores = frozen_scores(case)
            if arm != "frozen":
                chosen = replace(config, seed=seed, **ALONE[arm])  # type: ignore[arg-type]
                scores = _beside(scores, finetune(case.data, chosen).scores)
            found[arm].append(measure(case, scores))
            said = ", ".join(f"{name} {value:.4f}" for name, value in found[arm][-1].items())
            sys.stdout.write(f"seed {seed}, {arm}: {said}\n")
            sys.stdout.flush()
    return found


def table(found: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Return means with 95 % intervals over seeds, and paired differences from all three."""
    lines = ["| arm | RMSE | NDCG@10 cold | RMSE less all three | NDCG less all three |",
             "| --- | --- | --- | --- | --- |"]  # fmt: skip
    for arm, rows in found.items():
        cells = [_interval([row[name] for row in rows]) for name in ("rmse", "ndcg")]
        if "all three" in found:
            for name in ("rmse", "ndcg"):
                pairs = zip(rows, found["all three"], strict=True)
                cells.append(_interval([row[name] - best[name] for row, best in pairs]))
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _interval(values: Sequence[float]) -> str:
    mean = float(np.mean(values))
    if len(values) not in T_95:
        return f"{mean:.4f}"
    half = T_95[len(values)] * float(np.std(values, ddof=1)) / np.sqrt(len(values))
    return f"{mean:.4f} +- {half:.4f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print each arm and seed, then the table."""
    parser = argparse.ArgumentParser(
        prog="python -m slategym.benchmarks.encode_finetune", description=__doc__
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--out", type=Path, help="a JSON file for the measures")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--arms", nargs="*", default=["frozen", *ALONE], choices=["frozen", *ALONE])
    parser.add_argument("--set", nargs="*", default=[], help="settings of fine-tuning, name=number")
    given = parser.parse_args(arguments)
    settings = {name: float(value) for name, value in (each.split("=") for each in given.set)}
    config = FinetuneConfig.from_json(settings)
    found = run(given.data, config, range(given.seeds), given.arms)
    sys.stdout.write("\n" + table(found))
    if given.out is not None:
        write_json(given.out, {"config": config.to_json(), "measures": found})


if __name__ == "__main__":
    main()
