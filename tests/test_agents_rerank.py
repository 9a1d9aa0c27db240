"""Re-rankings against the plain words of their definitions, one candidate at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slategym.agents.rerank import calibrated, greedy_dpp, min_max, mmr, unit_rows
from slategym.errors import UsageError

seeds = st.integers(0, 10_000)


def problem(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(3, 7)), unit_rows(rng.normal(size=(3, 7, 9)))


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from([0.0, 0.3, 0.8, 1.0]))
def test_mmr_fills_each_slot_with_the_best_margin(seed: int, trade_off: float) -> None:
    scores, vectors = problem(seed)
    found = mmr(scores, vectors, 5, trade_off=trade_off)
    for row, relevance, unit in zip(found, min_max(scores), vectors, strict=True):
        taken = [int(relevance.argmax())]
        while len(taken) < 5:
            rest = [i for i in range(7) if i not in taken]
            margin = [
                trade_off * relevance[i] - (1 - trade_off) * max(unit[i] @ unit[j] for j in taken)
                for i in rest
            ]
            taken.append(rest[int(np.argmax(margin))])
        assert row.tolist() == taken


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from([0.0, 0.3, 0.7, 0.95]))
def test_greedy_dpp_maximises_the_determinant_of_the_list(seed: int, theta: float) -> None:
    scores, vectors = problem(seed)
    found = greedy_dpp(scores, vectors, 5, theta=theta)
    for row, relevance, unit in zip(found, min_max(scores), vectors, strict=True):
        quality = np.exp(theta / (2 * (1 - theta)) * relevance)
        cosines = unit @ unit.T
        np.fill_diagonal(cosines, 1.0)  # not 1 up to rounding: with theta 0 the first are equal
        kernel = quality[:, None] * cosines * quality
        taken: list[int] = []
        for _ in range(5):
            rest = [i for i in range(7) if i not in taken]
            volume = [np.linalg.slogdet(kernel[np.ix_([*taken, i], [*taken, i])])[1] for i in rest]
            taken.append(rest[int(np.argmax(volume))])
        assert row.tolist() == taken


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from([0.0, 0.5, 0.99]))
def test_calibrated_lists_trade_score_for_divergence(seed: int, trade_off: float) -> None:
    scores, _ = problem(seed)
    rng = np.random.default_rng(seed + 1)
    topics, target = rng.dirichlet(np.ones(4), (3, 7)), rng.dirichlet(np.ones(4), 3)
    found = calibrated(scores, topics, target, 4, trade_off=trade_off)
    relevance = min_max(scores)
    for b, row in enumerate(found):
        taken: list[int] = []
        for _ in range(4):
            rest = [i for i in range(7) if i not in taken]
            gain = []
            for i in rest:
                mixed = 0.99 * topics[b, [*taken, i]].mean(axis=0) + 0.01 * target[b]
                divergence = float((target[b] * np.log(target[b] / mixed)).sum())
                gain.append((1 - trade_off) * relevance[b, i] - trade_off * divergence)
            taken.append(rest[int(np.argmax(gain))])
        assert row.tolist() == taken


def test_a_list_longer_than_the_space_of_vectors_goes_on_by_score() -> None:
    scores = np.array([[6.0, 5, 4, 3, 2, 1]])
    vectors = np.array([[1.0, 0], [1, 0], [1, 0], [0, 1], [1, 0], [0, 0]])
    found = greedy_dpp(scores, vectors, 6, theta=0.5)
    assert found.tolist() == [[0, 3, 1, 2, 4, 5]]


def test_theta_near_one_is_the_order_of_scores_without_overflow() -> None:
    scores, vectors = problem(5)
    found = greedy_dpp(scores, vectors, 7, theta=1 - 1e-9)
    assert (found == np.argsort(-scores, axis=1)).all()


def test_candidates_of_minus_infinity_are_never_taken() -> None:
    scores, vectors = problem(6)
    scores[:, [0, 4]] = -np.inf
    topics, target = np.full((7, 3), 1 / 3), np.full((3, 3), 1 / 3)
    for found in (
        mmr(scores, vectors, 5, trade_off=0.0),
        greedy_dpp(scores, vectors, 5, theta=0.0),
        calibrated(scores, topics, target, 5, trade_off=1.0),
    ):
        assert [sorted(row) for row in found.tolist()] == [[1, 2, 3, 5, 6]] * 3


def test_a_user_without_a_target_and_equal_scores_keep_the_order() -> None:
    scores = np.zeros((1, 4))
    assert calibrated(scores, np.eye(4), np.zeros((1, 4)), 3).tolist() == [[0, 1, 2]]
    assert mmr(scores, np.ones((4, 1)), 4).tolist() == [[0, 1, 2, 3]]


def test_wrong_numbers_are_named() -> None:
    scores, vectors = problem(7)
    with pytest.raises(UsageError, match=r"trade_off is 1\.5; it must be in \[0, 1\]"):
        mmr(scores, vectors, 3, trade_off=1.5)
    with pytest.raises(UsageError, match=r"theta is 1\.0; it must be in \[0, 1\)"):
        greedy_dpp(scores, vectors, 3, theta=1.0)
    with pytest.raises(UsageError, match="8 slots were asked of a row with 7 candidates"):
        mmr(scores, vectors, 8)
    with pytest.raises(UsageError, match="smoothing is 0"):
        calibrated(scores, np.eye(7), np.ones((3, 7)) / 7, 3, smoothing=0.0)
