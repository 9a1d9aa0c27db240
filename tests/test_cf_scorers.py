"""What every baseline promises, checked on each in the register."""

import numpy as np
import pytest
import scipy.sparse as sparse

from slategym.cf_baselines.base import SCORERS, Scorer, make_scorer
from slategym.cf_baselines.interactions import Interactions
from slategym.errors import UsageError

USERS, ITEMS = 40, 30
# These order items alike for everybody, whatever a user likes.
TASTELESS = {"popularity", "bias"}
# These explain how values differ: where all values are 1 there is nothing to explain.
OF_VALUES = {"rating-knn"}


def checkerboard(hold_out: bool = True) -> tuple[Interactions, np.ndarray]:
    """Return a log where even users love even items and odd users odd ones, and held-out cells.

    Each user has a few pairs left out, marked in (U, I): what a scorer has to fill in.
    """
    rng = np.random.default_rng(0)
    board = np.add.outer(np.arange(USERS), np.arange(ITEMS)) % 2 == 0
    hidden = rng.random((USERS, ITEMS)) < (0.25 if hold_out else 0)
    users, items = np.nonzero(~hidden)
    values = np.where(board[users, items], 5.0, 1.0)
    log = Interactions(
        tuple(f"u{i}" for i in range(USERS)),
        tuple(f"i{i}" for i in range(ITEMS)),
        users,
        items,
        values,
        [0] * len(users),
    )
    return log, hidden


@pytest.fixture(params=sorted(SCORERS), scope="module")
def scorer(request: pytest.FixtureRequest) -> Scorer:
    return make_scorer(request.param).fit(checkerboard()[0])


def every_item(n: int) -> np.ndarray:
    return np.tile(np.arange(ITEMS), (n, 1))


def histories(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the training histories of the first users, padded on the left."""
    log, _ = checkerboard()
    items, values = np.full((n, ITEMS), -1), np.zeros((n, ITEMS))
    for user in range(n):
        rows = np.flatnonzero(log.users == user)
        items[user, ITEMS - len(rows) :] = log.items[rows]
        values[user, ITEMS - len(rows) :] = log.values[rows]
    return items, values


def test_the_registered_name_is_the_scorers_own(scorer: Scorer) -> None:
    assert scorer.name in SCORERS
    assert isinstance(scorer, Scorer)


def test_left_out_cells_of_a_checkerboard_are_filled_in(scorer: Scorer) -> None:
    if scorer.name in TASTELESS:
        pytest.skip("it cannot know taste; what popularity answers is tested below")
    _, hidden = checkerboard()
    scores = scorer.score(np.arange(USERS), every_item(USERS))
    board = np.add.outer(np.arange(USERS), np.arange(ITEMS)) % 2 == 0
    for user in range(USERS):
        loved, other = scores[user, hidden[user] & board[user]], scores[user, ~board[user]]
        assert loved.size == 0 or loved.min() > other.max()


def test_shapes_and_types(scorer: Scorer) -> None:
    out = scorer.score(np.array([3, 1]), np.array([[0, 5, 5], [9, 2, 29]]))
    assert out.shape == (2, 3)
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert out[0, 1] == out[0, 2]
    assert scorer.score(np.zeros(0, int), np.zeros((0, 4), int)).shape == (0, 4)


def test_a_batch_is_many_single_users(scorer: Scorer) -> None:
    users = np.array([5, 0, 5, 17])
    together = scorer.score(users, every_item(4))
    for row, user in enumerate(users):
        alone = scorer.score(np.array([user]), every_item(1))[0]
        assert np.allclose(alone, together[row], atol=1e-5)


def test_folding_in_a_known_history_ranks_like_the_known_user(scorer: Scorer) -> None:
    state = scorer.fold_in(*histories(6))
    folded = scorer.score_folded(state, every_item(6))
    known = scorer.score(np.arange(6), every_item(6))
    spread = known.max() - known.min()
    assert np.abs(folded - known).max() < 0.1 * spread
    again = scorer.score_folded(scorer.fold_in(*histories(6)), every_item(6))
    assert np.array_equal(again, folded)


def test_padding_may_stand_anywhere(scorer: Scorer) -> None:
    left = (np.array([[-1, -1, 4, 7]]), np.array([[0.0, 0.0, 5.0, 1.0]]))
    apart = (np.array([[4, -1, 7, -1, -1]]), np.array([[5.0, 9.0, 1.0, 9.0, 9.0]]))
    first, second = (scorer.score_folded(scorer.fold_in(*h), every_item(1)) for h in (left, apart))
    assert np.allclose(first, second, atol=1e-5)


def test_unknown_users_and_empty_histories_score_alike(scorer: Scorer) -> None:
    unknown = scorer.score(np.array([-1, 2, -1]), every_item(3))
    empty = scorer.fold_in(np.full((2, 3), -1), np.zeros((2, 3)))
    out = scorer.score_folded(empty, every_item(2))
    assert np.allclose(unknown[[0, 2]], out, atol=1e-6)
    assert np.isfinite(out).all()
    assert not np.allclose(unknown[1], unknown[0]) or scorer.name == "popularity"


def test_a_second_fit_gives_the_same_scores(scorer: Scorer) -> None:
    again = make_scorer(scorer.name).fit(checkerboard()[0])
    users = np.arange(USERS)
    assert np.array_equal(
        again.score(users, every_item(USERS)), scorer.score(users, every_item(USERS))
    )


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_only_the_rows_given_are_learned_from(name: str) -> None:
    log, _ = checkerboard()
    rows = np.flatnonzero(log.items < 20)
    out = make_scorer(name).fit(log, rows).score(np.array([0]), every_item(1))
    alone = make_scorer(name).fit(log.take(rows)).score(np.array([0]), every_item(1))
    assert np.array_equal(out, alone)


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_an_implicit_log_is_fine(name: str) -> None:
    users, items = np.nonzero(np.add.outer(np.arange(USERS), np.arange(ITEMS)) % 2 == 0)
    keep = np.arange(len(users)) % 4 > 0
    log = Interactions(
        tuple(map(str, range(USERS))),
        tuple(map(str, range(ITEMS))),
        users[keep],
        items[keep],
        np.ones(keep.sum()),
        np.zeros(keep.sum(), int),
        implicit=True,
    )
    scores = make_scorer(name).fit(log).score(np.array([0, 1]), every_item(2))
    assert np.isfinite(scores).all()
    if name not in TASTELESS | OF_VALUES:
        assert scores[0, ::2].mean() > scores[0, 1::2].mean()
        assert scores[1, ::2].mean() < scores[1, 1::2].mean()


def test_popularity_is_the_share_of_positives() -> None:
    log = Interactions(
        ("a", "b", "c"), ("x", "y", "z"), [0, 1, 2, 0], [0, 0, 1, 2], [5, 5, 4, 1], [0] * 4
    )
    # At most 60 % of the rows may be positive: here those of 5 stars.
    scores = make_scorer("popularity").fit(log).score(np.array([1]), np.array([[0, 1, 2]]))
    assert scores.tolist() == [[1.0, 0.0, 0.0]]


def test_both_ways_to_solve_ease_agree_with_its_definition() -> None:
    log, _ = checkerboard()
    rng = np.random.default_rng(0)
    noisy = Interactions(
        log.user_ids, log.item_ids, log.users, log.items, rng.integers(1, 6, len(log)), log.times
    )
    users, items = np.arange(USERS), every_item(USERS)
    primal, dual = (
        make_scorer("ease", penalty=7.0, solve=solve).fit(noisy) for solve in ("primal", "dual")
    )
    likes = primal.likes.toarray().astype(float)
    inverse = np.linalg.inv(likes.T @ likes + 7.0 * np.eye(ITEMS))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    assert np.allclose(primal.score(users, items), likes @ weights, atol=1e-5)
    assert np.allclose(dual.score(users, items), likes @ weights, atol=1e-5)


def test_item_knn_is_the_shrunk_cosine() -> None:
    log = Interactions(
        ("a", "b", "c"), ("x", "y", "z"), [0, 0, 1, 1, 2], [0, 1, 0, 1, 2], [1] * 5, [0] * 5, True
    )
    scorer = make_scorer("item-knn", neighbours=1, shrinkage=2.0).fit(log)
    scores = scorer.score_folded(
        scorer.fold_in(np.array([[0]]), np.array([[1.0]])), np.array([[0, 1, 2]])
    )
    assert scores.tolist() == [[0.0, pytest.approx(2 / (2 + 2)), 0.0]]
    assert sparse.issparse(scorer.likeness)


def test_wrong_names_and_options_are_told() -> None:
    with pytest.raises(UsageError, match="Did you mean 'item-knn'"):
        make_scorer("itemknn")
    with pytest.raises(UsageError, match="lambda_"):
        make_scorer("ease", lambda_=3)
    with pytest.raises(UsageError, match="penalty=0"):
        make_scorer("ease", penalty=0)
    with pytest.raises(UsageError, match="neighbours=0"):
        make_scorer("item-knn", neighbours=0)
    with pytest.raises(UsageError, match="not fitted"):
        make_scorer("rating-model").score(np.array([0]), np.array([[0]]))
