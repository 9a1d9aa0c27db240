"""What compressing costs is measured right, and every way of it gives vectors."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slategym.cli import run
from slategym.encoders.compress import (
    Pca,
    compressed,
    cosine_to,
    measure,
    neighbour_overlap,
    number_of,
    topic_probe,
)
from slategym.encoders.compressed import measured
from slategym.encoders.text import TransformerText, hub_text
from slategym.errors import DataError, MissingModelError, UsageError

WORDS = ["[PAD]", "[UNK]", "a", "b", "c", "d", "e", "f", "g", "h"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, for loading and shapes: its weights are random and mean nothing."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from slategym.encoders.hub import quiet

    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=40,
    )
    torch.manual_seed(2)
    at = tmp_path_factory.mktemp("models") / "tiny"
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        BertModel(config).save_pretrained(at)
        options = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
        PreTrainedTokenizerFast(tokenizer_object=words, **options).save_pretrained(at)
    return at


@pytest.fixture
def tiny(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TransformerText:
    monkeypatch.setenv("SLATEGYM_CACHE", str(tmp_path / "slategym"))
    return hub_text(str(folder), precision="float32", max_tokens=30)


@pytest.fixture
def texts(rng: np.random.Generator) -> list[str]:
    return [" ".join(rng.choice(WORDS[2:], 6)) for _ in range(60)]


def test_the_axes_keep_what_differs_most(rng: np.random.Generator) -> None:
    flat = rng.standard_normal((200, 2)) @ rng.standard_normal((2, 9)) + 3
    vectors = flat.astype(np.float32)
    cut = Pca.fit(vectors, 2)(vectors)
    assert cut.shape == (200, 2)
    gaps = np.linalg.norm(vectors[:50, None] - vectors[None, :50], axis=2)
    np.testing.assert_allclose(
        np.linalg.norm(cut[:50, None] - cut[None, :50], axis=2), gaps, rtol=1e-3, atol=1e-3
    )
    with pytest.raises(UsageError, match="a number from 1 to 9"):
        Pca.fit(vectors, 10)


def test_quality_is_one_for_the_same_and_low_for_noise(rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((300, 12)).astype(np.float32)
    noise = rng.standard_normal((300, 12)).astype(np.float32)
    turned = np.ascontiguousarray(vectors @ np.linalg.qr(rng.standard_normal((12, 12)))[0])
    assert cosine_to(vectors, vectors, mapped=False) == pytest.approx(1)
    assert cosine_to(turned.astype(np.float32), vectors, mapped=True) > 0.999
    assert abs(cosine_to(noise, vectors, mapped=True)) < 0.3
    assert neighbour_overlap(turned.astype(np.float32), vectors) > 0.99
    assert neighbour_overlap(noise, vectors) < 0.1
    targets = vectors[:, :2] > 0
    assert topic_probe(vectors, targets) > 0.9
    assert 0.35 < topic_probe(noise, targets) < 0.65
    assert np.isnan(topic_probe(vectors, targets[:, :0]))


def test_every_way_is_measured_beside_the_full_encoder(
    tiny: TransformerText, texts: list[str]
) -> None:
    topics = [("with a",) if "a" in text else () for text in texts]
    costs, vectors = measure(texts, tiny, ["static:8", "pca:4", "student:2"], topics)
    found = {cost.name: cost for cost in costs}
    assert list(found) == ["full", "static:8", "pca:4", "student:2"]
    assert found["full"].cosine == pytest.approx(1)
    assert found["full"].overlap == 1
    assert [cost.item_bytes for cost in costs] == [128, 32, 16, 128]
    assert found["student:2"].model_bytes < found["full"].model_bytes
    assert found["static:8"].model_bytes == 4 * 8 * len(WORDS)
    assert np.isnan(found["pca:4"].rate)
    assert all(0 <= cost.overlap <= 1 and 0 < cost.probe <= 1 for cost in costs)
    assert vectors["pca:4"].shape == (60, 4)


def test_a_student_learns_from_its_teacher_and_by_its_seed(
    tiny: TransformerText, texts: list[str]
) -> None:
    from dataclasses import replace

    untrained = replace(compressed("student:2", tiny, texts), passes=0)
    trained = replace(untrained, passes=20, step=3e-3)
    full = tiny.encode_texts(texts)

    def near(vectors: np.ndarray) -> float:
        return cosine_to(vectors, full, mapped=False)

    first = trained.encode_texts(texts)
    assert near(first) > near(untrained.encode_texts(texts))
    again = replace(trained).encode_texts(texts)
    np.testing.assert_array_equal(first, again)
    assert trained.fingerprint != replace(trained, seed=1).fingerprint


def test_static_vectors_are_kept_and_a_damaged_table_is_made_anew(
    tiny: TransformerText, tmp_path: Path
) -> None:
    first = compressed("static:4", tiny, [])
    vectors = first.encode_texts(["a b", "b a", "c", ""])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    (table,) = (tmp_path / "slategym").rglob("model.safetensors")
    table.write_bytes(table.read_bytes()[:50])
    again = compressed("static:4", tiny, [])
    np.testing.assert_array_equal(again.encode_texts(["a b", "b a", "c", ""]), vectors)


def test_wrong_ways_are_refused(tiny: TransformerText, texts: list[str]) -> None:
    with pytest.raises(
        UsageError, match=r"unknown way of compressing 'int4'\. Did you mean 'int8'"
    ):
        measure(texts, tiny, ["int4"])
    with pytest.raises(UsageError, match="whole number above 0"):
        number_of("pca:x")
    with pytest.raises(UsageError, match="a number from 1 to 3"):
        compressed("student:9", tiny, texts).encode_texts(["a"])
    with pytest.raises(UsageError, match="cannot be made of 32"):
        compressed("static:99", tiny, texts).encode_texts(["a"])
    with pytest.raises(UsageError, match="at least 20"):
        measure(texts[:5], tiny, [])
    with pytest.raises(UsageError, match="is for transformers models"):
        measured(Path("items.csv"), "hashed-ngrams", ["int8"])


def test_onnx_is_close_to_the_full_encoder_or_says_what_it_needs(
    tiny: TransformerText, texts: list[str]
) -> None:
    import importlib.util

    way = compressed("onnx", tiny, texts)
    if all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")):
        assert cosine_to(way.encode_texts(texts), tiny.encode_texts(texts), mapped=False) > 0.97
    else:
        with pytest.raises(
            UsageError, match=r"needs the package .* pip install 'slategym\[onnx\]'"
        ):
            way.encode_texts(texts)


def test_the_command_prints_costs_and_uses_the_one_way_given(
    folder: Path,
    texts: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLATEGYM_CACHE", str(tmp_path / "slategym"))
    rows = [f"{row},{text},{'x' if row % 2 else 'y'}" for row, text in enumerate(texts)]
    catalog = tmp_path / "items.csv"
    catalog.write_text("\n".join(["id,title,genres", *rows]), encoding="utf-8")
    base = ["encode", str(catalog), "--out", str(tmp_path / "out"), "--text", f"hf:{folder}"]
    assert run([*base, "--compress", "pca:5", "--sample", "40"]) == 0
    shown = capsys.readouterr().out
    assert "what compressing the text encoder costs and saves" in shown
    assert "pca-hf-tiny" in shown
    assert run(["cache", "ls"]) == 0
    assert "pca-hf-tiny" in capsys.readouterr().out
    shard = next((tmp_path / "slategym" / "encodings").rglob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-1])
    assert run(["cache", "verify"]) == 3
    assert "damaged: pca-hf-tiny" in capsys.readouterr().out
    assert run(["cache", "prune", "--older-than", "0", "--encoder", "pca-"]) == 0
    assert "removed 1 encoders' vectors" in capsys.readouterr().out
    assert not shard.exists()


def test_models_are_listed_with_source_and_licence_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLATEGYM_CACHE", str(tmp_path))
    assert run(["models", "ls"]) == 0
    shown = capsys.readouterr().out
    assert "Apache-2.0" in shown
    assert "sentence-transformers/all-MiniLM-L6-v2" in shown
    assert run(["models", "verify"]) == 0
    assert "no model is here" in capsys.readouterr().out
    (tmp_path / "models" / "minilm").mkdir(parents=True)
    assert run(["models", "verify"]) == 3
    assert "minilm: damaged" in capsys.readouterr().out
    assert run(["models", "pull", "minilmm"]) == 2
    assert "Did you mean 'minilm'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_pickle_is_refused_whatever_it_is_called(folder: Path, tmp_path: Path, name: str) -> None:
    import shutil

    import torch

    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "model.safetensors").unlink()
    torch.save({"embeddings": torch.zeros(2)}, copy / name)
    with pytest.raises(DataError, match="is not a whole transformers model") as caught:
        hub_text(str(copy)).encode_texts(["a"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_with_a_missing_file_says_so(folder: Path, tmp_path: Path, missing: str) -> None:
    import shutil

    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / missing).unlink()
    with pytest.raises(DataError, match="is not a whole transformers model"):
        hub_text(str(copy)).encode_texts(["a"])


def test_local_files_only_opens_no_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import socket

    asked: list[Any] = []

    def refuse(*address: Any, **_: Any) -> None:  # noqa: ANN401
        asked.append(address)
        raise OSError("blocked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    encoder = hub_text("nobody/has-this-model", local_files_only=True)
    with pytest.raises(MissingModelError, match="check the id and the network"):
        encoder.encode_texts(["a"])
    assert not asked
