"""The peers' side of `cf_speed`: run by a Python that has them, it prints CPU seconds as JSON.

It imports nothing of this project, as that Python need not have it.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sparse

REPEATS = 3


def seconds(run: Callable[[], Any]) -> float:
    """Return the least CPU seconds of a few runs, after one that warms up."""
    run()
    taken = []
    for _ in range(REPEATS):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return min(taken)


def implicit_models(likes: sparse.csr_matrix) -> dict[str, Callable[[], Any]]:
    """Return implicit's neighbour models: fit, and scores of every item for every user."""
    kinds = importlib.import_module("implicit.nearest_neighbours")

    def make(kind: str, **options: Any) -> Callable[[], Any]:  # noqa: ANN401
        def run() -> Any:  # noqa: ANN401
            model = getattr(kinds, kind)(num_threads=1, **options)
            model.fit(likes, show_progress=False)
            return (likes @ model.similarity).toarray()

        return run

    def factors(kind: str, **options: Any) -> Callable[[], Any]:  # noqa: ANN401
        def run() -> Any:  # noqa: ANN401
            module = importlib.import_module(f"implicit.{kind}")
            name = "AlternatingLeastSquares" if kind == "als" else "BayesianPersonalizedRanking"
            model = getattr(module, name)(factors=64, num_threads=1, random_state=0, **options)
            model.fit(likes, show_progress=False)
            return np.asarray(model.user_factors) @ np.asarray(model.item_factors).T

        return run

    return {
        "implicit Cosine": make("CosineRecommender", K=150),
        "implicit TFIDF": make("TFIDFRecommender", K=150),
        "implicit BM25": make("BM25Recommender", K=400, K1=1.2, B=0.7),
        "implicit ALS": factors("als", iterations=15, regularization=3.0, alpha=10.0),
        "implicit BPR": factors("bpr", iterations=60, learning_rate=0.05, regularization=0.03),
    }


def lenskit_models(likes: sparse.csr_matrix) -> dict[str, Callable[[], Any]]:
    """Return LensKit's models, which score one user at a time."""
    data = importlib.import_module("lenskit.data")
    knn = importlib.import_module("lenskit.knn")
    options = importlib.import_module("lenskit.training").TrainingOptions
    pairs = likes.tocoo()
    frame = pd.DataFrame({"user_id": pairs.row, "item_id": pairs.col})

    def make(kind: str, **settings: Any) -> Callable[[], Any]:  # noqa: ANN401
        def run() -> Any:  # noqa: ANN401
            log = data.from_interactions_df(frame)
            model = getattr(knn, kind)(**settings)
            model.train(log, options(rng=0))
            items = data.ItemList(item_ids=np.arange(likes.shape[1]))
            rows = ((user, log.user_row(user)) for user in range(likes.shape[0]))
            return [
                model(data.RecQuery(user_id=user, user_items=row), items).scores()
                for user, row in rows
                if row is not None
            ]

        return run

    return {
        "LensKit ItemKNN": make("ItemKNNScorer", feedback="implicit", max_nbrs=100),
        "LensKit UserKNN": make("UserKNNScorer", feedback="implicit", max_nbrs=80),
        "LensKit EASE": make("EASEScorer", regularization=200.0),
    }


def surprise_models(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, Callable[[], Any]]:
    """Return Surprise's models of ratings: fit, and predictions of the test rows."""
    surprise = importlib.import_module("surprise")
    reader = surprise.Reader(rating_scale=(1, 5))
    fold = surprise.Dataset.load_from_df(train[["user", "item", "value"]], reader)
    rows = list(test[["user", "item", "value"]].itertuples(index=False, name=None))

    def make(kind: str, **options: Any) -> Callable[[], Any]:  # noqa: ANN401
        def run() -> Any:  # noqa: ANN401
            model = getattr(surprise, kind)(verbose=False, **options)
            return model.fit(fold.build_full_trainset()).test(rows)

        return run

    baseline = {"name": "pearson_baseline", "user_based": False}
    people = {"name": "pearson", "user_based": True}
    return {
        "Surprise BaselineOnly": make("BaselineOnly"),
        "Surprise KNNBaseline item": make("KNNBaseline", k=40, sim_options=baseline),
        "Surprise KNNBaseline user": make("KNNBaseline", k=60, sim_options=people),
    }


def myfm_models(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, Callable[[], Any]]:
    """Return myFM's model of ids and histories both ways: fit, and predictions of the test rows."""
    myfm = importlib.import_module("myfm")
    both = pd.concat([train, test])
    users, items = (pd.factorize(both[name])[0] for name in ("user", "item"))
    shape, known = (int(users.max()) + 1, int(items.max()) + 1), len(train)
    had = sparse.csr_matrix((np.ones(known), (users[:known], items[:known])), shape)

    def side(rows: sparse.csr_matrix) -> sparse.csr_matrix:
        count = np.maximum(np.asarray(rows.sum(axis=1)).ravel(), 1)
        return sparse.hstack([sparse.eye(rows.shape[0]), sparse.diags(count**-0.5) @ rows]).tocsr()

    sides = side(had), side(had.T.tocsr())
    groups = [shape[0], shape[1], shape[1], shape[0]]

    def rows(part: slice) -> list[Any]:
        pairs = zip((users[part], items[part]), sides, strict=True)
        return [myfm.RelationBlock(of, block) for of, block in pairs]

    def run() -> Any:  # noqa: ANN401
        model = myfm.MyFMRegressor(rank=16, random_seed=0)
        model.fit(
            None,
            train["value"].to_numpy(float),
            X_rel=rows(slice(known)),
            n_iter=200,
            n_kept_samples=90,
            group_shapes=groups,
        )
        return model.predict(None, rows(slice(known, None)))

    return {"myFM Bayesian SVD++": run}


def main() -> None:
    """Read the rows from the file named, and print CPU seconds of the models named, or all."""
    with np.load(sys.argv[1], allow_pickle=False) as stored:
        shape = tuple(int(size) for size in stored["shape"])
        pairs = (stored["users"], stored["items"])
        likes = sparse.csr_matrix((np.ones(len(pairs[0]), np.float32), pairs), shape)
        frames = [
            pd.DataFrame(stored[part], columns=["user", "item", "value"])
            for part in ("rated", "asked")
        ]
    makers: list[Callable[[], dict[str, Callable[[], Any]]]] = [
        lambda: implicit_models(likes),
        lambda: lenskit_models(likes),
        lambda: surprise_models(*frames),
        lambda: myfm_models(*frames),
    ]
    only = sys.argv[2:]
    found: dict[str, float] = {}
    for make in makers:
        try:
            models = make()
        except ModuleNotFoundError:  # this Python has only some of them
            continue
        wanted = {name: run for name, run in models.items() if not only or name in only}
        found |= {name: seconds(run) for name, run in wanted.items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
