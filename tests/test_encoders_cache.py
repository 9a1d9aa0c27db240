"""Encoded vectors are kept by content, survive damage and killing, and are encoded once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slategym.encoders.base import FloatArray, encode_present
from slategym.encoders.cache import VectorCache, content_keys
from slategym.encoders.catalog import Catalog, Modality
from slategym.encoders.pipeline import encode_catalog
from slategym.errors import DataError, UsageError


@dataclass
class Counting:
    """An encoder that counts what it is asked, and can be killed."""

    fingerprint: str = "counting-1"
    dim: int = 3
    modality: Modality = "text"
    seen: list[str] = field(default_factory=list)
    dies_at: int | None = None

    def encode(self, catalog: Catalog) -> FloatArray:
        """Return length, sum of letters and a third of each text."""
        return encode_present(catalog, self, self._encode)

    def _encode(self, texts: Sequence[str]) -> FloatArray:
        if self.dies_at is not None and len(self.seen) >= self.dies_at:
            raise KeyboardInterrupt
        self.seen += texts
        return np.array([[len(text), hash_of(text), 1 / 3] for text in texts], np.float32)


def hash_of(text: str) -> int:
    return sum(map(ord, text))


def catalogue(*texts: str) -> Catalog:
    ids = tuple(map(str, range(len(texts))))
    none = (None,) * len(texts)
    return Catalog("texts", ids, ids, texts, none, none, ((),) * len(texts))


def encode(catalog: Catalog, encoder: Counting, cache: Path) -> FloatArray:
    return encode_catalog(catalog, encoders={"text": encoder}, cache=cache).vectors["text"]


def test_only_new_contents_are_encoded_and_each_once(tmp_path: Path) -> None:
    encoder = Counting()
    encode(catalogue("one", "two"), encoder, tmp_path)
    vectors = encode(catalogue("three", "two", "", "three"), encoder, tmp_path)
    assert encoder.seen == ["one", "two", "three"]
    np.testing.assert_array_equal(vectors[0], vectors[3])
    assert vectors[0, 0] == 5
    assert not vectors[2].any()


def test_the_key_is_the_content_not_the_id_or_the_path(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (4, 4), "red").save(tmp_path / name)
    ids, files = ("1", "2"), (tmp_path / "a.png", tmp_path / "b.png")
    twins = Catalog("twins", ids, ids, ("", ""), files, (None, None), ((), ()))
    keys = content_keys(twins, "image")
    assert keys[0] == keys[1] != b""
    Image.new("RGB", (4, 4), "blue").save(files[1])
    assert content_keys(twins, "image")[1] != keys[0]
    files[1].unlink()
    with pytest.raises(DataError, match=r"b\.png cannot be read \(No such file"):
        content_keys(twins, "image")


def test_another_encoder_has_its_own_vectors(tmp_path: Path) -> None:
    encode(catalogue("one"), Counting(), tmp_path)
    other = Counting(fingerprint="counting-2")
    encode(catalogue("one"), other, tmp_path)
    assert other.seen == ["one"]


def test_a_killed_run_loses_at_most_a_batch(tmp_path: Path) -> None:
    texts = catalogue(*(f"text {row}" for row in range(600)))
    with pytest.raises(KeyboardInterrupt):
        encode(texts, Counting(dies_at=512), tmp_path)
    second = Counting()
    vectors = encode(texts, second, tmp_path)
    assert len(second.seen) == 600 - 512
    np.testing.assert_array_equal(vectors, Counting().encode(texts))


def test_a_damaged_shard_is_dropped_and_its_items_encoded_again(tmp_path: Path) -> None:
    expected = encode(catalogue("one", "two"), Counting(), tmp_path)
    (shard,) = VectorCache(tmp_path, "counting-1").shards.iterdir()
    content = bytearray(shard.read_bytes())
    content[-5] ^= 1
    shard.write_bytes(content)
    encoder = Counting()
    np.testing.assert_array_equal(encode(catalogue("one", "two"), encoder, tmp_path), expected)
    assert encoder.seen == ["one", "two"]
    assert encode(catalogue("one"), Counting(dies_at=0), tmp_path).shape == (1, 3)


def test_two_processes_may_add_the_same_items(tmp_path: Path) -> None:
    texts = catalogue("one", "two")
    keys = content_keys(texts, "text")
    vectors = Counting().encode(texts)
    first, second = (VectorCache(tmp_path, "counting-1") for _ in range(2))
    first.add(keys, vectors)
    second.add(keys, vectors)
    second.add(keys[:1], vectors[:1])
    np.testing.assert_array_equal(first.read(keys)[keys[1]], vectors[1])


def test_half_the_space_keeps_three_digits(tmp_path: Path) -> None:
    texts = catalogue("one")
    keys, vectors = content_keys(texts, "text"), Counting().encode(texts)
    cache = VectorCache(tmp_path, "counting-1", "float16")
    cache.add(keys, vectors)
    kept = cache.read(keys)[keys[0]]
    assert kept.dtype == np.float32
    np.testing.assert_allclose(kept, vectors[0], rtol=1e-3)
    assert not VectorCache(tmp_path, "counting-1").read(keys)


def test_a_modality_is_encoded_if_one_item_has_it_and_it_is_not_left_out(tmp_path: Path) -> None:
    vectors = encode_catalog(catalogue("one", ""), encoders={"text": Counting()}, cache=tmp_path)
    assert list(vectors.vectors) == ["text"]
    assert vectors.present["text"].tolist() == [True, False]
    assert vectors.fingerprints == {"text": "counting-1"}
    with pytest.raises(DataError, match="nothing to encode"):
        encode_catalog(catalogue("one"), encoders={"text": ""}, cache=tmp_path)


def test_a_wrong_choice_of_encoders_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown modality 'txt'. Did you mean 'text'"):
        encode_catalog(catalogue("one"), encoders={"txt": "minilm"}, cache=tmp_path)
    with pytest.raises(UsageError, match="'mfcc' encodes audio, not text"):
        encode_catalog(catalogue("one"), encoders={"text": "mfcc"}, cache=tmp_path)
    with pytest.raises(UsageError, match="given for text encodes image"):
        encode_catalog(catalogue("one"), encoders={"text": Counting(modality="image")})


def test_progress_is_told_of_every_batch(tmp_path: Path) -> None:
    class Told:
        lines: list[str] = []

        def start(self, stage: str, total: int | None = None) -> None:
            self.lines.append(f"start {stage} {total}")

        def advance(self, stage: str, units: int = 1) -> None:
            self.lines.append(f"{stage} {units}")

        def finish(self, stage: str) -> None:
            self.lines.append(f"finish {stage}")

        def note(self, message: str) -> None:
            self.lines.append(message)

    texts = catalogue(*(f"text {row}" for row in range(300)))
    encode_catalog(texts, encoders={"text": Counting()}, cache=tmp_path, progress=Told())
    expected = ["start encode text 300", "encode text 256", "encode text 44", "finish encode text"]
    assert Told.lines == expected
    encode_catalog(texts, encoders={"text": Counting()}, cache=tmp_path, progress=Told())
    assert Told.lines == expected
