"""Every number of the leaderboard against answers worked out by hand or by another library."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slategym.benchmarks import metrics
from slategym.benchmarks.metric_list import METRICS

Numbers = npt.NDArray[np.int64]
counts = hnp.arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 50))


def test_diversity_of_known_slates() -> None:
    vectors = np.array([[1.0, 0], [2.0, 0], [0, 1], [-1, 0], [0, 0]])
    slates = np.array([[0, 1, -1], [0, 2, -1], [0, 3, -1], [0, 1, 2], [0, -1, -1], [0, 1, 4]])
    diversity = metrics.intra_list_diversity(slates, vectors)
    assert diversity[:4] == pytest.approx([0.0, 1.0, 2.0, 2 / 3])
    assert np.isnan(diversity[4]), "a slate of one has no pair"
    assert diversity[5] == pytest.approx(0.0), "an item without content is left out"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_diversity_is_the_mean_over_pairs_whatever_the_order(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(20, 5))
    slate = rng.choice(20, size, replace=False)
    unit = vectors[slate] / np.linalg.norm(vectors[slate], axis=1, keepdims=True)
    pairs = [1 - unit[i] @ unit[j] for i in range(size) for j in range(i)]
    both = metrics.intra_list_diversity(np.stack([slate, slate[::-1]]), vectors)
    assert both == pytest.approx(np.mean(pairs))
    assert ((both >= 0) & (both <= 2)).all()


def test_gini_of_known_exposures() -> None:
    assert metrics.gini(np.array([5, 5, 5, 5])) == pytest.approx(0.0)
    assert metrics.gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75), "1 - 1/n at the extreme"
    assert metrics.gini(np.array([1, 2, 3, 4])) == pytest.approx(0.25)
    assert metrics.gini(np.zeros(4)) == 0.0


@given(counts, st.integers(1, 9))
def test_gini_is_a_share_and_ignores_scale_and_order(values: Numbers, scale: float) -> None:
    result = float(metrics.gini(values))
    assert 0.0 <= result < 1.0
    assert result == pytest.approx(float(metrics.gini(values[::-1] * scale)), abs=1e-9)


@given(counts)
def test_coverage_is_the_share_of_the_whole_catalogue(values: Numbers) -> None:
    assert metrics.coverage(values) == np.count_nonzero(values) / len(values)


@given(counts)
def test_the_lorenz_curve_rises_below_the_diagonal_and_encloses_gini(values: Numbers) -> None:
    items, exposure = metrics.lorenz(values, points=len(values) + 1)
    assert exposure[0] == 0.0
    assert (np.diff(exposure) >= -1e-12).all()
    assert (exposure <= items + 1e-9).all()
    if values.sum():
        area = float(np.trapezoid(exposure, items))
        assert 1 - 2 * area == pytest.approx(float(metrics.gini(values)), abs=1e-9)


def test_self_information_in_bits_with_a_floor_of_one() -> None:
    popularity = np.array([8, 4, 4, 0])
    assert metrics.self_information(popularity) == pytest.approx([1.0, 2.0, 2.0, 4.0])
    assert metrics.self_information(popularity, total=8) == pytest.approx([0.0, 1.0, 1.0, 3.0])


@given(counts)
def test_novelty_is_never_negative_and_rarer_is_newer(values: Numbers) -> None:
    bits = metrics.self_information(values)
    assert (bits >= 0).all()
    order = np.argsort(values)
    assert (np.diff(bits[order]) <= 1e-12).all()


# Times each of 60 items was recommended to 40 users (lists of ten), and how many users each
# item had in the log; RecTools 0.19 gave coverage and novelty, a separate script the Gini.
_RECOMMENDED = """6 4 0 6 3 6 6 3 9 5 5 6 7 10 6 4 5 6 9 5 8 3 5 8 11 4 1 10 11 2 4 6 10 4 11
3 6 7 3 4 6 23 9 3 8 21 5 6 7 13 11 6 4 10 10 8 3 4 5 6"""
_LOGGED = """1 7 1 1 5 1 8 1 0 2 5 3 1 9 9 2 1 9 5 4 1 2 1 2 20 4 4 1 0 2 5 4 7 4 3 2 1 3 3 2 4 10
5 2 5 16 6 1 4 10 13 7 11 4 1 32 5 4 3 1"""


def test_numbers_of_other_libraries_on_the_same_lists() -> None:
    recommended = np.array(_RECOMMENDED.split(), int)
    bits = metrics.self_information(np.array(_LOGGED.split(), int), total=40)
    assert metrics.coverage(recommended) == pytest.approx(0.9833333333333333)
    assert metrics.gini(recommended) == pytest.approx(0.2959166666666668)
    novelty = np.average(bits, weights=recommended)
    assert novelty == pytest.approx(3.385924853077975), "MeanInvUserFreq"


def test_topic_entropy_of_what_was_clicked() -> None:
    topics = np.array([[1.0, 0], [0, 1.0], [0.5, 0.5], [0, 0]])
    shown = np.array([[[0, 1], [0, 0], [2, 3], [3, -1], [1, 0]]])  # (T=1, B=5, K=2)
    clicked = np.array([[[1, 1], [1, 1], [1, 1], [1, 0], [0, 0]]], bool)
    entropy = metrics.topic_entropy(shown, clicked, topics)
    assert entropy[:3] == pytest.approx([1.0, 0.0, 1.0])
    assert np.isnan(entropy[3]), "only an item without topics was clicked"
    assert np.isnan(entropy[4]), "nothing was clicked"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_topic_entropy_is_between_nothing_and_all_topics_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    topics = rng.dirichlet(np.ones(5), 12)
    shown = rng.integers(-1, 12, (4, 7, 3))
    entropy = metrics.topic_entropy(shown, rng.random(shown.shape) < 0.5, topics)
    known = entropy[np.isfinite(entropy)]
    assert ((known >= 0) & (known <= np.log2(5) + 1e-9)).all()


def test_exposure_counts_every_shown_item_and_no_empty_slot() -> None:
    shown = np.array([[[0, 1], [2, -1]], [[0, 2], [-1, -1]]])  # (T=2, B=2, K=2)
    assert metrics.exposure_matrix(shown, 4).toarray().tolist() == [[2, 1, 1, 0], [0, 0, 1, 0]]


def test_means_over_a_session_leave_empty_slots_out() -> None:
    shown = np.array([[[0, 1], [-1, -1]], [[1, -1], [-1, -1]]])
    means = metrics.mean_over_shown(shown, np.array([3.0, 6.0]))
    assert means[0] == pytest.approx(5.0)
    assert np.isnan(means[1])
    diversity = metrics.session_diversity(shown, np.eye(2))
    assert diversity[0] == pytest.approx(1.0)
    assert np.isnan(diversity[1])


def test_every_metric_states_its_convention() -> None:
    assert len({metric.key for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert metric.convention.endswith("."), metric.key
