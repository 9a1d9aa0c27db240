"""Diversity metrics against answers worked out by hand, their bounds, and fairness."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from slategym.benchmarks import diversity, diversity_fairness, metrics
from slategym.benchmarks.diversity_libraries import Lists, recommenders, rectools, vendi_score
from slategym.errors import DataError, UsageError

seeds = st.integers(0, 10_000)
few = settings(max_examples=30, deadline=None)


def drawn(seed: int, slots: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return lists with holes, vectors and labels."""
    rng = np.random.default_rng(seed)
    lists = np.stack([rng.choice(12, slots, replace=False) for _ in range(6)])
    lists[rng.random(lists.shape) < 0.2] = -1
    return lists, rng.normal(size=(12, 5)), (rng.random((12, 4)) < 0.5).astype(int)


def test_lists_compared_by_labels() -> None:
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]])
    lists = np.array([[0, 1, -1], [0, 2, -1], [0, 1, 2], [3, -1, -1], [3, 0, -1]])
    hamming = diversity.hamming_diversity(lists, labels)
    assert hamming[[0, 1, 2, 4]].tolist() == [1.0, 2.0, 2.0, 1.0]
    jaccard = diversity.jaccard_diversity(lists, labels)
    assert jaccard[[0, 1, 4]].tolist() == [0.5, 1.0, 1.0]
    assert jaccard[2] == pytest.approx((0.5 + 1 + 1) / 3)
    assert np.isnan([hamming[3], jaccard[3]]).all(), "one item has no pair"
    assert diversity.subtopic_recall(lists, labels) == pytest.approx([2 / 3, 2 / 3, 1, 0, 1 / 3])


def test_a_session_that_repeats_one_varied_slate_is_not_varied() -> None:
    vectors = np.eye(4)
    again = np.array([[[0, 1]], [[0, 1]]])  # (T=2, B=1, K=2)
    fresh = np.array([[[0, 1]], [[2, 3]]])
    for shown, pooled in ((again, 4 / 6), (fresh, 1.0)):
        assert metrics.session_diversity(shown, vectors).tolist() == [1.0]
        assert diversity.pooled_diversity(shown, vectors) == pytest.approx([pooled])
    clicked = np.array([[[True, False]], [[True, False]]])
    assert diversity.pooled_diversity(again, vectors, clicked).tolist() == [0.0]
    none = np.zeros_like(clicked)
    assert np.isnan(diversity.pooled_diversity(again, vectors, none)).all()


def test_users_with_the_same_list_have_no_diversity_between_them() -> None:
    assert diversity.inter_user_diversity(np.array([[0, 1], [1, 0]])) == 0.0
    assert diversity.inter_user_diversity(np.array([[0, 1], [2, 3]])) == 1.0
    assert diversity.inter_user_diversity(np.array([[0, 1], [0, 2], [3, 4]])) == pytest.approx(
        1 - (0.5 + 0 + 0) / 3
    )
    assert np.isnan(diversity.inter_user_diversity(np.array([[0, 1]])))


def test_entropy_of_exposure() -> None:
    counts = np.array([[1, 1, 1, 1], [4, 0, 0, 0], [0, 0, 0, 0]])
    assert diversity.entropy(counts).tolist() == [2.0, 0.0, 0.0]
    assert diversity.entropy(counts[0], np.e) == pytest.approx(np.log(4))
    assert diversity.effective_catalogue(counts)[:2] == pytest.approx([4.0, 1.0])


def test_vendi_counts_different_items() -> None:
    vectors = np.array([[1.0, 0, 0], [2, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])
    lists = np.array([[0, 1, -1], [0, 2, 3], [0, 1, 2], [0, 4, -1], [4, -1, -1]])
    found = diversity.vendi(lists, vectors)
    assert found[:2] == pytest.approx([1.0, 3.0])
    shares = np.array([2 / 3, 1 / 3])
    assert found[2] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    assert found[3] == 1.0
    assert np.isnan(found[4]), "an item without content is left out"
    assert diversity.vendi(lists, vectors, order=2.0)[2] == pytest.approx(1 / (shares**2).sum())
    assert diversity.vendi(lists, vectors, order=np.inf)[2] == pytest.approx(1.5)
    assert diversity.vendi(lists, vectors, order=0.0)[2] == pytest.approx(2.0)
    with pytest.raises(UsageError, match="order is -1"):
        diversity.vendi(lists, vectors, order=-1.0)


@few
@given(seeds, st.sampled_from([0.0, 0.5, 1.0, 2.0, np.inf]))
def test_vendi_lies_between_one_and_the_items_and_falls_with_its_order(
    seed: int, order: float
) -> None:
    lists, vectors, _ = drawn(seed)
    found = diversity.vendi(lists, vectors, order)
    size = (lists >= 0).sum(axis=1)
    known = size > 0
    assert (np.isnan(found) == ~known).all()
    assert ((found >= 1.0) & (found <= np.maximum(size, 1)))[known].all()
    higher = diversity.vendi(lists, vectors, order + 1.0)
    assert (higher[known] <= found[known] + 1e-9).all()
    mixed = diversity.vendi(lists[:, ::-1], vectors, order)
    assert mixed[known] == pytest.approx(found[known])


def test_log_volume_of_right_angles_copies_and_long_lists() -> None:
    vectors = np.array([[1.0, 0], [3.0, 0], [0, 1.0], [1, 1], [0, 0]])
    lists = np.array([[0, 2, -1], [0, 1, -1], [0, 2, 3], [0, 4, -1], [-1, -1, -1]])
    found = diversity.log_volume(lists, vectors)
    assert found[0] == pytest.approx(2e-6, abs=1e-8)
    assert found[1] == pytest.approx(np.log((1 + 1e-6) ** 2 - 1), abs=1e-6)
    assert np.isfinite(found[2]), "longer than the vectors, yet a number"
    assert found[3] == pytest.approx(1e-6, abs=1e-8)
    assert np.isnan(found[4])
    with pytest.raises(UsageError, match="jitter is 0"):
        diversity.log_volume(lists, vectors, 0.0)


def test_calibration_by_hand() -> None:
    target = np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 0.0]])
    shares = np.array([[0.5, 0.5], [0.0, 1.0], [1.0, 0.0]])
    kl, js = diversity.calibration_kl(target, shares), diversity.calibration_js(target, shares)
    assert kl[:2] == pytest.approx([0.0, np.log(1 / 0.01)])
    assert js[:2] == pytest.approx([0.0, np.log(2)])
    assert np.isnan([kl[2], js[2]]).all(), "nothing is known of the user"
    with pytest.raises(UsageError, match="smoothing is 1"):
        diversity.calibration_kl(target, shares, 1.0)


@few
@given(seeds)
def test_calibration_is_bounded_and_js_is_symmetric(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.dirichlet(np.full(5, 0.4), 8), rng.dirichlet(np.full(5, 0.4), 8)
    kl, js = diversity.calibration_kl(first, second), diversity.calibration_js(first, second)
    assert ((kl >= 0) & (kl <= np.log(100) + 1e-9)).all(), "smoothing bounds it by -log a"
    assert ((js >= 0) & (js <= np.log(2))).all()
    assert js == pytest.approx(diversity.calibration_js(second, first))
    assert diversity.calibration_kl(first, first) == pytest.approx(np.zeros(8), abs=1e-12)


def test_topics_of_lists_and_histories() -> None:
    topics = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 0.0]])
    shares = diversity.topic_shares(np.array([[0, 1, -1], [2, -1, -1]]), topics)
    assert shares.tolist() == [[0.75, 0.25], [0.0, 0.0]]
    history = sp.csr_array(np.array([[2.0, 0, 0], [0, 0, 1.0]]))
    assert diversity.history_shares(history, topics).tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_serendipity_is_liking_what_is_unlike_the_past() -> None:
    vectors = np.array([[1.0, 0], [-1.0, 0], [0, 1.0]])
    history = sp.csr_array(np.array([[1.0, 0, 0]] * 4 + [[0, 0, 0]]))
    lists = np.array([[0, -1], [1, -1], [2, 1], [2, 1], [1, 2]])
    relevant = np.array([[1, 1], [1, 1], [1, 0], [0, 0], [1, 1]], bool)
    found = diversity.serendipity(lists, relevant, history, vectors)
    assert found[:4] == pytest.approx([0.0, 1.0, 0.25, 0.0])
    assert np.isnan(found[4]), "a user without a past"


def test_exposure_of_groups() -> None:
    groups = np.array([0, 0, 1, -1])
    lists = np.array([[0, 2], [1, 3], [0, -1]])
    assert diversity_fairness.group_exposure(lists, groups, 2).tolist() == [0.75, 0.25]
    weights = diversity_fairness.attention(2)
    assert weights == pytest.approx([1.0, 1 / np.log2(3)])
    seen = diversity_fairness.group_exposure(lists, groups, 2, weights)
    assert seen[1] == pytest.approx(weights[1] / (3 + weights[1]))
    deserved = diversity_fairness.catalogue_shares(groups, 2)
    assert deserved == pytest.approx([2 / 3, 1 / 3])
    assert diversity_fairness.exposure_gap([0.75, 0.25], deserved) == pytest.approx(1 / 12)
    assert diversity_fairness.exposure_gap(deserved, deserved) == 0.0
    ratio = diversity_fairness.exposure_ratio([0.75, 0.25], deserved)
    assert ratio == pytest.approx(0.75 / 1.125)
    assert np.isnan(diversity_fairness.exposure_ratio([1.0, 0.0], [1.0, 0.0]))
    empty = diversity_fairness.group_exposure(np.full((2, 2), -1), groups, 2)
    assert empty.tolist() == [0.0, 0.0]


def test_gaps_between_user_groups() -> None:
    values, groups = np.array([1.0, 3.0, 5.0, np.nan, 9.0]), np.array([0, 0, 1, 1, -1])
    means = diversity_fairness.group_means(values, groups, 3)
    assert means[:2].tolist() == [2.0, 5.0]
    assert np.isnan(means[2])
    assert diversity_fairness.group_gap(values, groups, 3) == 3.0
    assert np.isnan(diversity_fairness.group_gap(values, np.zeros(5, int), 1))
    with pytest.raises(DataError, match="values has shape"):
        diversity_fairness.group_means(values, groups[:2], 3)


@few
@given(seeds)
def test_nobody_beats_the_pareto_front(seed: int) -> None:
    points = np.random.default_rng(seed).integers(0, 5, (8, 2)).astype(float)
    front = diversity_fairness.pareto_front(points)
    assert front.any()
    for i in range(8):
        beaten = any(
            (points[j] >= points[i]).all() and (points[j] > points[i]).any() for j in range(8)
        )
        assert front[i] == (not beaten)


def test_other_libraries_conventions_by_hand() -> None:
    lists = Lists(
        items=np.array([[0, 1], [2, 0]]),
        train=sp.csr_array(np.array([[0, 1.0, 0], [0, 1.0, 0]])),
        test=sp.csr_array(np.array([[0, 1.0, 0], [1.0, 0, 0]])),
        labels=np.array([[1, 0], [0, 1], [1, 1]]),
        vectors=np.eye(3),
    )
    found = rectools(lists)
    assert found["Recall"] == 1.0
    assert found["Precision"] == 0.5
    assert found["MRR"] == 0.5
    assert found["NDCG"] == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3)))
    # The hit of the first user is the most popular item: rank 2 of 3 is no surprise. That of
    # the second was never seen before: its whole probability, 2 of 3, over two slots.
    assert found["Serendipity"] == pytest.approx((0.0 + 2 / 3 / 2) / 2)
    other = recommenders(lists)
    assert other["catalog_coverage"] == 3.0, "above 1: only one item was in the log"
    assert other["novelty"] == 0.0, "the only item in the log is all of it; cold ones drop out"
    assert other["serendipity_cooccurrence_rel1"] == pytest.approx((0.5 + 1.0) / 2)
    assert vendi_score(lists)["score_K_cos_mean"] == pytest.approx(2.0)
