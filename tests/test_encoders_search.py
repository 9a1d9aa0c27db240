"""Search finds items across modalities; users' states move with each response, in a batch."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slategym.cli import run
from slategym.encoders.catalog import Catalog
from slategym.encoders.classical import HashedNgrams
from slategym.encoders.pipeline import ItemVectors, encode_catalog
from slategym.encoders.search import SearchIndex
from slategym.encoders.users import (
    AttentionPooling,
    RecencyPooling,
    encode_profiles,
    fit_attention,
)
from slategym.envs.tiny import tiny_world
from slategym.envs.world import OPTIONAL_ARRAYS
from slategym.errors import DataError, UsageError

TEXTS = ("a red apple", "a slow film about the sea", "storms at sea", "guitar music", "")


def text_vectors(cache: Path) -> ItemVectors:
    nothing = (None,) * len(TEXTS)
    names = tuple("abcde")
    catalog = Catalog("c", names, names, TEXTS, nothing, nothing, ((),) * len(TEXTS))
    return encode_catalog(catalog, encoders={"text": "hashed-ngrams"}, cache=cache)


def crossed(count: int = 200) -> ItemVectors:
    """Text and pictures that see the same hidden numbers; the last half has pictures only."""
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((count, 5))
    text = (hidden @ rng.standard_normal((5, 10))).astype(np.float32)
    image = (hidden @ rng.standard_normal((5, 16))).astype(np.float32)
    there = np.arange(count) < count // 2
    text[~there] = 0
    present = {"text": there, "image": np.ones(count, np.bool_)}
    return ItemVectors({"text": text, "image": image}, present, {"text": "t-1", "image": "i-1"})


def test_words_find_the_texts_that_share_them(tmp_path: Path) -> None:
    index = SearchIndex.build(text_vectors(tmp_path))
    found = index.search(text="films about the sea", encoders={"text": "hashed-ngrams"}, k=9)
    assert found.items[0] == 1
    assert len(found.items) == 4  # an item without a text cannot be found by one
    assert (np.diff(found.scores) <= 0).all()


def test_a_text_finds_an_item_that_has_only_a_picture() -> None:
    vectors = crossed()
    index = SearchIndex.build(vectors)
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((200, 5))
    asked = hidden[150] @ rng.standard_normal((5, 10))  # what the text of item 150 would be
    assert 150 in index.nearest("text", asked, 3).items


def test_a_query_is_a_point_among_the_items(tmp_path: Path) -> None:
    found = SearchIndex.build(text_vectors(tmp_path)).search(
        text="the sea", encoders={"text": "hashed-ngrams"}, k=2
    )
    table = np.arange(10.0).reshape(5, 2)
    context = found.context(table)
    low, high = np.sort(table[found.items], axis=0)
    assert ((low <= context) & (context <= high)).all()


def test_a_search_that_cannot_be_is_refused(tmp_path: Path) -> None:
    index = SearchIndex.build(text_vectors(tmp_path))
    with pytest.raises(UsageError, match="got none"):
        index.search()
    with pytest.raises(UsageError, match="got text, sound"):
        index.search(text="a", sound="b.wav")
    with pytest.raises(UsageError, match="is empty"):
        index.search(text=" ")
    with pytest.raises(DataError, match="does not exist"):
        index.search(picture=tmp_path / "no.jpg")
    with pytest.raises(UsageError, match="cannot be searched by image"):
        index.nearest("image", np.zeros(7))
    with pytest.raises(DataError, match="the query has 3 numbers"):
        index.nearest("text", np.zeros(3))
    with pytest.raises(UsageError, match="at least 1"):
        index.nearest("text", np.zeros(512), 0)
    other = ItemVectors(text_vectors(tmp_path).vectors, {"text": np.ones(5, bool)}, {"text": "x"})
    with pytest.raises(DataError, match="encoded by x"):
        SearchIndex.build(other).search(text="sea", encoders={"text": "hashed-ngrams"})
    nobody = ItemVectors({"text": np.zeros((2, 3), np.float32)}, {"text": np.zeros(2, bool)}, {})
    with pytest.raises(DataError, match="nothing to search"):
        SearchIndex.build(nobody)


def histories(users: int = 7, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    items = rng.integers(0, 12, (users, 6))
    items[np.arange(6) < rng.integers(0, 6, users)[:, None]] = -1
    return items, rng.random((users, 6)).astype(np.float32), rng.standard_normal((12, 4))


def test_a_state_moved_item_by_item_is_the_state_of_the_whole_history() -> None:
    items, values, table = histories()
    pooling = RecencyPooling(0.8)
    state = pooling.start(7, 4)
    for column in range(6):
        state = pooling.update(state, items[:, column], values[:, column], table)
    np.testing.assert_allclose(state.vectors, pooling.pool(items, values, table).vectors, atol=1e-5)


def test_recency_pooling_is_its_formula() -> None:
    table = np.eye(3)
    state = RecencyPooling(0.5).pool([[-1, 0, 1]], [[9.0, 1.0, 2.0]], table)
    np.testing.assert_allclose(state.vectors, [np.array([0.5, 2.0, 0]) / np.sqrt(4.25)], rtol=1e-6)
    assert not RecencyPooling().start(2, 3).vectors.any()


def test_attention_looks_at_what_resembles_the_candidate() -> None:
    table = np.eye(3, dtype=np.float32)
    pooling = AttentionPooling(np.eye(3, dtype=np.float32), 5.0, 0.0, 0.0)
    pooled = pooling.pool([[0, 1], [-1, -1]], np.ones((2, 2)), table, [[0, 1], [0, 1]])
    assert pooled[0, 0, 0] > 0.95
    assert pooled[0, 1, 1] > 0.95
    assert not pooled[1].any()
    recent = AttentionPooling(np.zeros((3, 1), np.float32), 0.0, 4.0, 0.0)
    assert recent.pool([[0, 1]], np.ones((1, 2)), table, [[2]])[0, 0, 1] > 0.95


def test_fitted_attention_learns_that_the_next_item_is_like_one_of_its_kind() -> None:
    rng = np.random.default_rng(0)
    kind = np.arange(40) % 4
    table = (np.eye(4)[kind] + 0.1 * rng.standard_normal((40, 4))).astype(np.float32)
    # Half of a history is of the kind of its newest item, half of another.
    last = rng.integers(0, 40, 300)
    own = np.stack([rng.choice(np.flatnonzero(kind == kind[i]), 3) for i in last])
    other = np.stack([rng.choice(np.flatnonzero(kind == (kind[i] + 1) % 4), 3) for i in last])
    items = np.concatenate([own, other, last[:, None]], axis=1)
    fitted = fit_attention(items, np.ones_like(items), table, rank=4, negatives=6, epochs=12)
    weights = fitted.weights(items[:, :-1], np.ones((300, 6), np.float32), table, last[:, None])
    assert weights[:, 0, :3].sum(axis=1).mean() > 0.8
    again = fit_attention(items, np.ones_like(items), table, rank=4, negatives=6, epochs=12)
    np.testing.assert_array_equal(fitted.metric, again.metric)


def test_profiles_are_encoded_as_texts_are() -> None:
    found = encode_profiles(("old man", "", "old man"), encoder="hashed-ngrams", cache=False)
    np.testing.assert_array_equal(found[0], found[2])
    assert not found[1].any()
    with pytest.raises(DataError, match="nothing is told"):
        encode_profiles(("", " "))


def test_histories_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="one shape"):
        RecencyPooling().pool([[0, 1]], [[1.0]], np.eye(3))
    with pytest.raises(DataError, match="name item 5"):
        RecencyPooling().pool([[5]], [[1.0]], np.eye(3))
    with pytest.raises(UsageError, match="decay"):
        RecencyPooling(0.0)
    with pytest.raises(DataError, match="needs 20 users"):
        fit_attention([[0, 1]], [[1.0, 1.0]], np.eye(3))


def test_the_command_lists_the_nearest_items(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_world(items=40, users=30).save(tmp_path / "town")
    picture = tmp_path / "a.png"
    Image.new("RGB", (8, 8), "red").save(picture)
    # The tiny world's encodings are drawn, so no encoder has their length.
    assert run(["search", str(folder), "the sea", "--encoder", "text=hashed-ngrams"]) == 3
    assert "the query has 512 numbers" in capsys.readouterr().err
    assert run(["search", str(folder), "the sea", "--picture", str(picture)]) == 2
    assert "got text, picture" in capsys.readouterr().err
    world = replace(
        tiny_world(items=40, users=30),
        item_text=HashedNgrams().encode_texts([f"item {n}" for n in range(40)]),
        user_text=None,
    )
    asked = world.search("item 17", k=3, encoders={"text": "hashed-ngrams"})
    assert asked.items[0] == 17
    folder = world.save(tmp_path / "other")
    assert run(["search", str(folder), "item 17", "--encoder", "text=hashed-ngrams", "-k", "3",
                "--json"]) == 0  # fmt: skip
    found = json.loads(capsys.readouterr().out)["items"]
    assert found[0]["item_id"] == str(world.items["item_id"].iloc[17])
    assert len(found) == 3
    assert run(["search", str(folder), "item 17", "--encoder", "text=hashed-ngrams"]) == 0
    assert "nearest items" in capsys.readouterr().out


def test_a_world_without_encodings_cannot_be_searched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = replace(tiny_world(items=30, users=20), **dict.fromkeys(OPTIONAL_ARRAYS))
    assert run(["search", str(older.save(tmp_path / "old")), "sea"]) == 3
    assert "keeps no encodings" in capsys.readouterr().err
