"""Every registered encoder keeps the same promises; a new one is tested by being registered."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from slategym.encoders.base import ENCODERS, Encoder, make_encoder, register_encoder
from slategym.encoders.catalog import Catalog
from slategym.encoders.pipeline import encode_catalog
from slategym.encoders.weights import PINNED, ensure_weights
from slategym.errors import DataError, MissingModelError, UsageError

TEXTS = (
    "A red cup for tea.",
    "",
    "A song about the sea, long and slow, with a flute.",
    "Red cup",
    "x",
)
OPTIONS = {
    "minilm": {"max_tokens": 3},
    "efficientnet-lite0": {"size": 128},
    "musicnn": {"seconds": 1.0},
    "hashed-ngrams": {"longest": 4},
    "hsv-hog": None,  # it has no option
    "mfcc": {"seconds": 1.0},
}


@pytest.fixture(scope="session")
def items(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Five items; item 1 has no text, item 2 no picture, item 3 no sound."""
    folder = tmp_path_factory.mktemp("items")
    rng = np.random.default_rng(7)
    images: list[Path | None] = []
    audio: list[Path | None] = []
    for item in range(5):
        pixels = rng.integers(0, 256, (30 + 9 * item, 40, 3), dtype=np.uint8)
        images.append(folder / f"{item}.png")
        Image.fromarray(pixels).save(images[-1])
        audio.append(folder / f"{item}.wav")
        tone = np.sin(np.arange(8000 + 9000 * item) * (0.05 + 0.1 * item))
        soundfile.write(audio[-1], 0.5 * tone, 22050)
    images[2] = audio[3] = None
    ids = tuple("abcde")
    return Catalog("five", ids, ids, TEXTS, tuple(images), tuple(audio), ((),) * 5)


@pytest.fixture(params=sorted(ENCODERS))
def name(request: pytest.FixtureRequest) -> str:
    """The name of every encoder in turn; skipped where its weights cannot be fetched."""
    spec: str = request.param
    need(spec)
    return spec


def need(spec: str) -> None:
    """Fetch the weights of an encoder, or skip the test and say why."""
    if spec in PINNED:
        try:
            ensure_weights(spec)
        except MissingModelError as error:
            pytest.skip(str(error))


@pytest.fixture
def encoder(name: str) -> Encoder:
    return make_encoder(name)


def tolerance(encoder: Encoder) -> float:
    """In bfloat16 a batch and a single item differ in the third digit."""
    from slategym.encoders.hub import settle

    return 0.02 if encoder.modality == "text" and settle("auto") == "bfloat16" else 1e-4


def test_vectors_are_finite_float32_rows_of_the_stated_size(
    encoder: Encoder, items: Catalog
) -> None:
    vectors = encoder.encode(items)
    assert vectors.shape == (5, encoder.dim)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()


def test_items_without_the_modality_get_zeros_and_only_they(
    encoder: Encoder, items: Catalog
) -> None:
    vectors = encoder.encode(items)
    np.testing.assert_array_equal((vectors != 0).any(axis=1), items.has(encoder.modality))


def test_different_items_get_different_vectors(encoder: Encoder, items: Catalog) -> None:
    vectors = encoder.encode(items)[items.has(encoder.modality)]
    assert len(np.unique(vectors, axis=0)) == 4


def test_a_second_encoder_gives_the_same_bytes(name: str, encoder: Encoder, items: Catalog) -> None:
    again = make_encoder(name)
    assert again.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(again.encode(items), encoder.encode(items))


def test_a_batch_gives_what_single_items_give(encoder: Encoder, items: Catalog) -> None:
    together = encoder.encode(items)
    single = np.concatenate([encoder.encode(items.subset([row])) for row in range(5)])
    scale = np.abs(together).max()
    np.testing.assert_allclose(single / scale, together / scale, atol=tolerance(encoder))


def test_a_catalogue_without_the_modality_gives_zeros(encoder: Encoder) -> None:
    none = (None, None)
    bare = Catalog("bare", ("a", "b"), ("a", "b"), ("", ""), none, none, ((), ()))
    assert not encoder.encode(bare).any()
    assert encoder.encode(bare).shape == (2, encoder.dim)


def test_an_option_changes_the_fingerprint_and_the_vectors(
    name: str, encoder: Encoder, items: Catalog
) -> None:
    options = OPTIONS.get(name)
    if options is None:
        pytest.skip(f"{name} has no option that changes its vectors")
    other = make_encoder(name, **options)
    assert other.fingerprint != encoder.fingerprint
    assert np.abs(other.encode(items) - encoder.encode(items)).max() > 1e-4


def test_a_second_call_reads_the_cache_and_no_model(
    name: str, items: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {make_encoder(name).modality: name}
    left_out = dict.fromkeys(("text", "image", "audio"), "")
    first = encode_catalog(items, encoders={**left_out, **spec}, cache=tmp_path)

    def refuse(*_: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(type(make_encoder(name)), "encode", refuse)
    monkeypatch.setattr("slategym.encoders.weights.ensure_weights", refuse)
    monkeypatch.setattr("slategym.encoders.hub.ensure_weights", refuse)
    second = encode_catalog(items, encoders={**left_out, **spec}, cache=tmp_path)
    for modality, vectors in first.vectors.items():
        np.testing.assert_array_equal(second.vectors[modality], vectors)


def test_a_damaged_file_is_named(encoder: Encoder, items: Catalog, tmp_path: Path) -> None:
    if encoder.modality == "text":
        pytest.skip("a text is not a file")
    source = items.content(encoder.modality)[0]
    assert isinstance(source, Path)
    cut = tmp_path / f"cut{source.suffix}"
    cut.write_bytes(source.read_bytes()[:30])
    none = (None,)
    kinds = {"image": none, "audio": none, encoder.modality: (cut,)}
    one = Catalog("one", ("a",), ("a",), ("",), kinds["image"], kinds["audio"], ((),))
    with pytest.raises(DataError, match=r"cut\.(png|wav)"):
        encoder.encode(one)


def test_an_unknown_name_or_option_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown encoder 'minlm'. Did you mean 'minilm'"):
        make_encoder("minlm")
    with pytest.raises(UsageError, match=r"option .*'max_token'. Did you mean 'max_tokens'"):
        make_encoder("minilm", max_token=3)
    with pytest.raises(UsageError, match="'mfcc' encodes audio, not image"):
        make_encoder("mfcc", modality="image")
    with pytest.raises(UsageError, match="unknown modality 'smell'"):
        make_encoder("mfcc", modality="smell")


def test_an_encoder_of_ones_own_is_registered_by_name_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slategym.encoders.base.ENCODERS", dict(ENCODERS))
    register_encoder("mine", "slategym.encoders.classical:HashedNgrams")
    assert make_encoder("mine", dim=16).dim == 16
    with pytest.raises(UsageError, match="registered already"):
        register_encoder("mine", "a:b")
    with pytest.raises(UsageError, match="a name does not start with 'hf:'"):
        register_encoder("hf:mine", "a:b")


def test_the_classical_features_say_that_they_are_not_pretrained() -> None:
    for spec in ("hashed-ngrams", "hsv-hog", "mfcc"):
        assert "not pretrained" in (type(make_encoder(spec)).__doc__ or "")


def test_minilm_knows_a_paraphrase_from_other_words() -> None:
    need("minilm")
    pairs = ["A man is eating food.", "A man eats something.", "The girl is carrying a baby."]
    vectors = make_encoder("minilm").encode_texts(pairs)
    cosine = vectors @ vectors.T
    # all-MiniLM-L6-v2 as sentence-transformers runs it gives the same to three digits.
    assert cosine[0, 1] == pytest.approx(0.875, abs=0.01)
    assert cosine[0, 2] == pytest.approx(-0.105, abs=0.01)
