"""BPR, VBPR, SASRec and the content prior of EASE against answers known beforehand."""

import numpy as np
import pytest
from scipy.optimize import minimize

from slategym.cf_baselines.base import make_scorer
from slategym.cf_baselines.bpr_kernels import ranking_steps, settle_users
from slategym.cf_baselines.denoising_ease import content_weights
from slategym.cf_baselines.history_linear import linear_weights
from slategym.cf_baselines.interactions import Interactions
from slategym.errors import UsageError


def test_a_step_over_one_triple_is_the_gradient_of_its_loss() -> None:
    rng = np.random.default_rng(0)
    start = {
        "users": rng.normal(size=(1, 3)),
        "items": rng.normal(size=(2, 2)),
        "bias": rng.normal(size=2),
        "map": rng.normal(size=(4, 1)),
        "map_bias": rng.normal(size=4),
    }
    content = rng.normal(size=(2, 4)).astype(np.float32)
    rate, penalty = 0.01, 0.1

    def loss(flat: np.ndarray) -> float:
        at, parts = 0, {}
        for name, table in start.items():
            parts[name] = flat[at : at + table.size].reshape(table.shape)
            at += table.size
        both = np.column_stack([parts["items"], content @ parts["map"]])
        scores = both @ parts["users"][0] + parts["bias"] + content @ parts["map_bias"]
        return float(np.log1p(np.exp(scores[1] - scores[0])) + penalty / 2 * (flat**2).sum())

    flat = np.concatenate([table.ravel() for table in start.values()])
    steps = [
        (loss(flat + 1e-5 * one) - loss(flat - 1e-5 * one)) / 2e-5 for one in np.eye(len(flat))
    ]
    moved = {name: table.astype(np.float32) for name, table in start.items()}
    one, other = np.array([0], np.int32), np.array([1], np.int32)
    ranking_steps(
        one, one, other, moved["users"], moved["items"], moved["bias"], content, moved["map"],
        moved["map_bias"], rate, penalty,
    )  # fmt: skip
    got = np.concatenate([table.ravel() for table in moved.values()])
    # The map moves before the user does, by a step of its own: a difference of second order.
    assert np.allclose(got, flat - rate * np.array(steps), atol=1e-4)


def test_users_get_the_likeliest_vector_given_the_items() -> None:
    rng = np.random.default_rng(1)
    items = rng.normal(size=(12, 3)).astype(np.float32)
    bias = rng.normal(size=12).astype(np.float32)
    sample, likes = np.arange(4, 12, dtype=np.int32), np.array([0, 2, 3], np.int32)
    out = np.ones((2, 3), np.float32)
    settle_users(np.array([0, 3, 3], np.int32), likes, items, bias, sample, 0.05, out)

    def loss(vector: np.ndarray) -> float:
        scores = items @ vector + bias
        gaps = scores[sample] - scores[likes][:, None]
        return float(np.log1p(np.exp(gaps)).mean() + 0.05 / 2 * vector @ vector)

    best = minimize(loss, np.zeros(3), tol=1e-10)
    assert np.allclose(out[0], best.x, atol=1e-3)
    assert not out[1].any()


def two_tastes(hidden: int) -> Interactions:
    """Return a log where users and items of one parity belong together, the last items unseen."""
    rng = np.random.default_rng(2)
    users, items = np.nonzero(rng.random((60, 40)) < 0.4)
    kept = (users % 2 == items % 2) & (items < 40 - hidden)
    ids = tuple(f"u{row}" for row in range(60)), tuple(f"i{row}" for row in range(40))
    return Interactions(
        *ids,
        users[kept],
        items[kept],
        np.ones(kept.sum()),
        np.zeros(kept.sum(), int),
        implicit=True,
    )


@pytest.mark.parametrize("name", ["vbpr", "als"])
def test_an_item_nobody_liked_is_known_by_its_content(name: str) -> None:
    content = np.eye(2, dtype=np.float32)[np.arange(40) % 2]
    alike = np.add.outer(np.arange(60), np.arange(6)) % 2 == 0
    right = []
    for vectors in (content, np.roll(content, 1, axis=0)):
        scorer = make_scorer(name).fit(
            two_tastes(6), content=content if vectors is content else None
        )
        scores = scorer.score_all(np.arange(60))[:, 34:]
        right.append(scores[alike].mean() - scores[~alike].mean())
    assert right[0] > 0.1
    assert abs(right[1]) < 1e-6


def test_what_always_comes_next_is_expected_next() -> None:
    users, places = np.divmod(np.arange(40 * 12), 12)
    items = (users + places) % 20  # everybody goes round the same circle
    ids = tuple(map(str, range(40))), tuple(map(str, range(20)))
    log = Interactions(*ids, users, items, np.ones(len(items)), places + 1, implicit=True)
    scorer = make_scorer("sasrec", factors=32, blocks=1, epochs=80, dropout=0.1).fit(log)
    state = scorer.fold_in([[3, 4, 5], [11, 12, 13]], np.ones((2, 3)))
    assert scorer.score_all_folded(state).argmax(axis=1).tolist() == [6, 14]
    with pytest.raises(UsageError, match="multiple of heads"):
        make_scorer("sasrec", factors=30, heads=4)


def test_weights_with_a_prior_are_the_least_of_their_objective() -> None:
    rng = np.random.default_rng(3)
    likes = (rng.random((30, 8)) < 0.4).astype(np.float64)
    prior = rng.random((8, 8)) / 8
    np.fill_diagonal(prior, 0)
    gram = likes.T @ likes
    pull = 5.0 + 0.5 * np.diag(gram)  # a dropout of a third
    found = linear_weights(gram.astype(np.float32), 5.0, 1 / 3, prior.astype(np.float32))
    for item in range(8):  # each column by itself, its own row left out
        free = np.arange(8) != item
        system = gram[np.ix_(free, free)] + np.diag(pull[free])
        right = gram[free, item] + pull[free] * prior[free, item]
        assert np.allclose(found[free, item], np.linalg.solve(system, right), atol=1e-4)
    nothing = linear_weights(gram.astype(np.float32), 5.0, 1 / 3, np.zeros((8, 8), np.float32))
    assert np.allclose(nothing, linear_weights(gram.astype(np.float32), 5.0, 1 / 3), atol=1e-5)


def test_content_weights_are_shares_of_the_nearest() -> None:
    content = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1], [0, 0]], np.float32)
    weights = content_weights(content, 1)
    assert np.allclose(weights.sum(axis=0), [1, 1, 1, 1, 0], atol=1e-5)
    assert weights[1, 0] == pytest.approx(1)
    assert weights[3, 2] == pytest.approx(1)
    assert not weights[4].any()
    assert not content_weights(np.zeros((3, 2), np.float32), 2).any()
