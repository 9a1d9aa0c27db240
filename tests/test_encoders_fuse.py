"""The fused table is whitened, balanced between modalities, and fair to items that lack one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slategym.encoders.fuse import fuse
from slategym.encoders.pipeline import ItemVectors
from slategym.errors import DataError, UsageError


def vectors(items: int = 200, gaps: float = 0.0, seed: int = 0) -> ItemVectors:
    """Text and image vectors that share four hidden factors, on very different scales."""
    rng = np.random.default_rng(seed)
    hidden = rng.standard_normal((items, 4))
    text = hidden @ rng.standard_normal((4, 12)) + 0.1 * rng.standard_normal((items, 12))
    image = 1000 * (hidden @ rng.standard_normal((4, 30))) + 5000
    there = rng.random(items) >= gaps
    image[~there] = 0
    return ItemVectors(
        {"text": text.astype(np.float32), "image": image.astype(np.float32)},
        {"text": np.ones(items, bool), "image": there},
        {"text": "t-1", "image": "i-1"},
    )


def test_columns_have_mean_zero_deviation_one_and_no_correlation() -> None:
    table = fuse(vectors(), 6).table
    assert table.shape == (200, 6)
    assert table.dtype == np.float32
    np.testing.assert_allclose(table.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.cov(table.T, bias=True), np.eye(6), atol=1e-4)


def test_the_first_columns_hold_what_the_modalities_share() -> None:
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((200, 4))
    fused = fuse(vectors(), 4)
    left = hidden - fused.table @ np.linalg.lstsq(fused.table, hidden, rcond=None)[0]
    assert (left**2).sum() < 0.05 * (hidden**2).sum()
    assert fused.explained > 0.95


def test_a_modality_on_a_large_scale_does_not_drown_another() -> None:
    alone = fuse(vectors(), 4).table
    loud = vectors()
    louder = replace(loud, vectors={**loud.vectors, "image": loud.vectors["image"] * 50})
    np.testing.assert_allclose(fuse(louder, 4).table, alone, atol=1e-3)


def test_items_without_a_picture_lie_as_far_out_as_others_and_around_the_same_centre() -> None:
    given_vectors = vectors(2000, gaps=0.5)
    table = fuse(given_vectors, 4).table
    there = given_vectors.present["image"]
    lengths = np.linalg.norm(table, axis=1)
    assert lengths[~there].mean() == pytest.approx(lengths[there].mean(), rel=0.15)
    apart = np.linalg.norm(table[there].mean(axis=0) - table[~there].mean(axis=0))
    assert apart < 0.15 * lengths.mean()


def test_an_item_with_nothing_is_a_zero_row() -> None:
    some = vectors(50)
    nothing = np.arange(50) != 7
    gone = ItemVectors(some.vectors, dict.fromkeys(some.present, nothing), some.fingerprints)
    table = fuse(gone, 4).table
    assert not table[7].any()
    np.testing.assert_allclose(table[nothing].std(axis=0), 1, atol=1e-4)


def test_items_are_projected_by_the_kept_map() -> None:
    known = vectors(100)
    fused = fuse(known, 4)
    np.testing.assert_allclose(fused.transform(known), fused.table, atol=1e-5)
    only_text = ItemVectors(
        {"text": known.vectors["text"][:3]},
        {"text": np.ones(3, bool)},
        {"text": "t-1"},
    )
    near = fused.transform(only_text)
    cosine = (near * fused.table[:3]).sum(axis=1)
    cosine /= np.linalg.norm(near, axis=1) * np.linalg.norm(fused.table[:3], axis=1)
    assert (cosine > 0.8).all()


def test_vectors_of_another_encoder_are_refused() -> None:
    fused = fuse(vectors(), 3)
    other = replace(vectors(), fingerprints={"text": "t-2", "image": "i-1"})
    with pytest.raises(DataError, match="text vectors were made by t-2, but the table by t-1"):
        fused.transform(other)


def test_more_columns_than_the_items_span_are_zero() -> None:
    table = fuse(vectors(5), 16).table
    assert table.shape == (5, 16)
    np.testing.assert_allclose(table[:, :4].std(axis=0), 1, atol=1e-4)
    assert not table[:, 4:].any()


def test_the_gram_matrix_of_few_items_gives_the_directions_of_many() -> None:
    wide = vectors(30)  # fewer items than the 42 numbers of each
    rows = fuse(wide, 4)
    twice = ItemVectors(
        {name: np.concatenate([v, v]) for name, v in wide.vectors.items()},
        {name: np.concatenate([v, v]) for name, v in wide.present.items()},
        wide.fingerprints,
    )
    np.testing.assert_allclose(fuse(twice, 4).table[:30], rows.table, atol=1e-3)


def test_a_weight_turns_the_table_towards_its_modality() -> None:
    rng = np.random.default_rng(1)
    parts = {"text": rng.standard_normal((300, 8)), "image": rng.standard_normal((300, 8))}
    own = ItemVectors(
        {name: part.astype(np.float32) for name, part in parts.items()},
        {name: np.ones(300, bool) for name in parts},
        {"text": "t", "image": "i"},
    )

    def share(**weights: float) -> float:
        components = fuse(own, 8, weights=weights).components
        return float((components[:8] ** 2).sum() / (components**2).sum())

    assert share(text=9.0) > 0.8 > 0.2 > share(image=9.0)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 1 column, not 0"):
        fuse(vectors(), 0)
    with pytest.raises(UsageError, match="weights of modalities must be positive"):
        fuse(vectors(), 3, weights={"text": -1.0})
    with pytest.raises(DataError, match="at least two items"):
        fuse(vectors(1), 3)
    with pytest.raises(DataError, match="at least two items"):
        fuse(ItemVectors({}, {}, {}), 3)


@settings(max_examples=30, deadline=None)
@given(items=st.integers(2, 40), dim=st.integers(1, 50), gaps=st.sampled_from([0.0, 0.3, 1.0]))
def test_the_table_is_always_finite_and_the_same_twice(items: int, dim: int, gaps: float) -> None:
    made = vectors(items, gaps)
    first, second = fuse(made, dim), fuse(made, dim)
    assert first.table.shape == (items, dim)
    assert np.isfinite(first.table).all()
    assert np.abs(first.table).max() <= np.sqrt(items) + 1e-3
    np.testing.assert_array_equal(first.table, second.table)
