"""Any transformers model encodes; one whose weights would partly be random is refused.

The models here are tiny ones made on the spot: what is tested is the loading and the pooling.
"""

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from slategym.encoders.base import make_encoder
from slategym.encoders.hub import quiet
from slategym.errors import DataError, MissingModelError

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "a",
    "cup",
    "that",
    "is",
    "red",
    "blue",
    "loud",
    "song",
]
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TOWER = {**SMALL, "intermediate_size": 16}


def save(folder: Path, config: Any, *parts: Any) -> Path:  # noqa: ANN401
    import torch
    from transformers import AutoModel

    torch.manual_seed(3)
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        AutoModel.from_config(config).save_pretrained(folder)
        for part in parts:
            part.save_pretrained(folder)
    return folder


def tokenizer(padding: str | None = "[PAD]") -> Any:  # noqa: ANN401
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", pad_token=padding)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    from transformers import BertConfig

    config = BertConfig(vocab_size=16, intermediate_size=16, max_position_embeddings=32, **SMALL)
    return save(tmp_path / "bert", config, tokenizer())


@pytest.fixture
def gpt2(tmp_path: Path) -> Path:
    from transformers import GPT2Config

    config = GPT2Config(vocab_size=16, n_embd=16, n_layer=2, n_head=2, n_positions=32)
    return save(tmp_path / "gpt2", config, tokenizer(None))


@pytest.fixture
def t5(tmp_path: Path) -> Path:
    from transformers import T5Config

    config = T5Config(vocab_size=16, d_model=16, d_ff=16, d_kv=8, num_layers=2, num_heads=2)
    return save(tmp_path / "t5", config, tokenizer())


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    from transformers import CLIPConfig, CLIPImageProcessorPil

    text = {"vocab_size": 16, "max_position_embeddings": 32, "eos_token_id": 3, **TOWER}
    vision = {"image_size": 32, "patch_size": 8, **TOWER}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    return save(tmp_path / "clip", config, tokenizer(), CLIPImageProcessorPil(**size))


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    files = [tmp_path / f"{colour}.png" for colour in ("red", "blue")]
    for file in files:
        Image.new("RGB", (40, 60), file.stem).save(file)
    return files


@pytest.fixture
def sounds(tmp_path: Path) -> list[Path]:
    time = np.arange(24000) / 16000
    files = []
    for pitch in (220, 1760):
        files.append(tmp_path / f"{pitch}.wav")
        soundfile.write(files[-1], 0.5 * np.sin(2 * np.pi * pitch * time), 16000)
    return files


TEXTS = ["a red cup that is blue", "a song", "loud loud loud"]


def hidden(folder: Path, text: str) -> np.ndarray:
    """What the model itself gives for one text, (T, D)."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    with quiet(), torch.inference_mode():
        model = AutoModel.from_pretrained(folder)
        model = model.get_encoder() if model.config.is_encoder_decoder else model
        ids = AutoTokenizer.from_pretrained(folder)(text)["input_ids"]
        return model.eval()(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def encode_texts(folder: Path, **options: Any) -> np.ndarray:  # noqa: ANN401
    encoder = make_encoder(f"hf:{folder}", precision="float32", **options)
    return encoder.encode_texts(TEXTS)


@pytest.mark.parametrize("model", ["bert", "t5"])
def test_an_encoder_model_gives_the_mean_of_its_tokens(
    model: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(model)
    vectors = encode_texts(folder)
    for text, vector in zip(TEXTS, vectors, strict=True):
        np.testing.assert_allclose(vector, unit(hidden(folder, text).mean(axis=0)), atol=1e-5)


def test_a_decoder_gives_its_last_token_though_it_has_no_padding_token(gpt2: Path) -> None:
    vectors = encode_texts(gpt2)
    for text, vector in zip(TEXTS, vectors, strict=True):
        np.testing.assert_allclose(vector, unit(hidden(gpt2, text)[-1]), atol=1e-5)


def test_the_pooling_that_a_sentence_transformers_folder_states_is_used(bert: Path) -> None:
    (bert / "1_Pooling").mkdir()
    (bert / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    vectors = encode_texts(bert)
    np.testing.assert_allclose(vectors[1], unit(hidden(bert, TEXTS[1])[0]), atol=1e-5)
    np.testing.assert_allclose(encode_texts(bert, pooling="cls"), vectors)


def test_options_change_the_vectors_and_the_fingerprint(bert: Path) -> None:
    def prints(**options: Any) -> str:  # noqa: ANN401
        return make_encoder(f"hf:{bert}", **options).fingerprint

    ways: list[dict[str, Any]] = [{}, {"max_tokens": 2}, {"prefix": "song "}, {"pooling": "last"}]
    ways += [{"normalise": False}, {"precision": "bfloat16"}]
    assert len({prints(**way) for way in ways}) == len(ways)
    assert np.abs(encode_texts(bert, max_tokens=2) - encode_texts(bert)).max() > 1e-3
    assert np.abs(encode_texts(bert, prefix="song ") - encode_texts(bert)).max() > 1e-3


def test_half_precision_is_close(bert: Path) -> None:
    low = make_encoder(f"hf:{bert}", precision="bfloat16").encode_texts(TEXTS)
    np.testing.assert_allclose(low, encode_texts(bert), atol=0.03)


def test_clip_puts_texts_and_pictures_into_one_space(clip: Path, pictures: list[Path]) -> None:
    import torch
    from transformers import AutoImageProcessor, AutoModel

    words = make_encoder(f"hf:{clip}", modality="text", precision="float32")
    seen = make_encoder(f"hf:{clip}", modality="image", precision="float32")
    assert words.dim == seen.dim == 12
    vectors = seen.encode_files(pictures)
    with quiet(), torch.inference_mode():
        images = [Image.open(file).convert("RGB") for file in pictures]
        processor = AutoImageProcessor.from_pretrained(clip, backend="pil")
        pixels = processor(images=images, return_tensors="pt")["pixel_values"]
        expected = AutoModel.from_pretrained(clip).eval().get_image_features(pixels).pooler_output
    np.testing.assert_allclose(vectors, expected.numpy(), atol=1e-5)
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-4


def test_a_vision_transformer_gives_its_class_token_and_a_convolutional_net_its_mean(
    tmp_path: Path, pictures: list[Path]
) -> None:
    from transformers import ResNetConfig, ViTConfig, ViTImageProcessorPil

    shrink = ViTImageProcessorPil(size={"height": 32, "width": 32})
    vit = save(tmp_path / "vit", ViTConfig(image_size=32, patch_size=8, **TOWER), shrink)
    small = {"embedding_size": 8, "hidden_sizes": [8, 24], "depths": [1, 1], "layer_type": "basic"}
    resnet = save(tmp_path / "resnet", ResNetConfig(**small), shrink)
    for folder, dim in ((vit, 16), (resnet, 24)):
        encoder = make_encoder(f"hf:{folder}", modality="image")
        vectors = encoder.encode_files(pictures)
        assert vectors.shape == (2, encoder.dim) == (2, dim)
        assert np.abs(vectors[0] - vectors[1]).max() > 1e-4


def audio_model(name: str, folder: Path) -> tuple[Path, int]:
    import transformers as t

    if name == "wav2vec2":
        shape = {"conv_dim": (16, 16), "conv_stride": (8, 8), "conv_kernel": (8, 8)}
        positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
        wav = t.Wav2Vec2Config(**TOWER, **shape, **positions, num_feat_extract_layers=2)
        return save(folder, wav, t.Wav2Vec2FeatureExtractor()), 16
    if name == "ast":
        ast = t.ASTConfig(**TOWER, num_mel_bins=32, max_length=128)
        return save(folder, ast, t.ASTFeatureExtractor(num_mel_bins=32, max_length=128)), 16
    if name == "whisper":
        layers = {"encoder_layers": 1, "decoder_layers": 1, "d_model": 16, "vocab_size": 16}
        heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
        ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
        ends |= {"decoder_start_token_id": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
        whisper = t.WhisperConfig(**layers, **heads, **ends, max_source_positions=100)
        return save(folder, whisper, t.WhisperFeatureExtractor(chunk_length=2)), 16
    audio = {"spec_size": 32, "patch_size": 4, "depths": [1, 1], "num_attention_heads": [2, 2]}
    audio |= {"patch_stride": [4, 4], "patch_embeds_hidden_size": 8, "hidden_size": 16}
    audio |= {"num_mel_bins": 8, "window_size": 4}
    text = {"vocab_size": 16, "max_position_embeddings": 32, **TOWER}
    clap = t.ClapConfig(text_config=text, audio_config=audio, projection_dim=12)
    listen = t.ClapFeatureExtractor(
        feature_size=8, max_length_s=1, sampling_rate=16000, truncation="rand_trunc"
    )
    return save(folder, clap, listen), 12


@pytest.mark.parametrize("name", ["wav2vec2", "ast", "whisper", "clap"])
def test_audio_models_hear(name: str, tmp_path: Path, sounds: list[Path]) -> None:
    folder, dim = audio_model(name, tmp_path / name)
    encoder = make_encoder(f"hf:{folder}", modality="audio")
    state = np.random.get_state()[1].tolist()  # noqa: NPY002 - that nobody drew from it is the point
    vectors = encoder.encode_files(sounds)
    assert vectors.shape == (2, encoder.dim) == (2, dim)
    assert np.isfinite(vectors).all()
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-5
    np.testing.assert_array_equal(encoder.encode_files(sounds), vectors)
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002


def remove_weight(folder: Path, key: str) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    del state[key]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_model_with_random_parts_is_refused(bert: Path) -> None:
    remove_weight(bert, "encoder.layer.1.attention.self.query.weight")
    with pytest.raises(DataError, match=r"lacks 1 of its weights, 'encoder.layer.1.*random"):
        encode_texts(bert)


def test_a_pooler_that_is_not_used_may_be_missing(bert: Path) -> None:
    before = encode_texts(bert)
    remove_weight(bert, "pooler.dense.weight")
    np.testing.assert_array_equal(encode_texts(bert), before)


def test_a_checkpoint_of_another_shape_or_without_weights_is_refused(
    bert: Path, gpt2: Path
) -> None:
    shutil.copy(gpt2 / "model.safetensors", bert / "model.safetensors")
    with pytest.raises(DataError, match="lacks"):
        encode_texts(bert)
    (bert / "model.safetensors").unlink()
    with pytest.raises(DataError, match="is not a whole transformers model"):
        encode_texts(bert)


def test_a_folder_that_is_no_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a whole transformers model"):
        encode_texts(tmp_path)
    with pytest.raises(DataError, match=r"model folder .*nowhere does not exist"):
        encode_texts(tmp_path / "nowhere")


def test_a_model_that_is_not_in_the_cache_is_not_asked_for() -> None:
    encoder = make_encoder("hf:nobody/nothing", local_files_only=True)
    with pytest.raises(MissingModelError, match=r"'nobody/nothing' cannot be loaded"):
        encoder.encode_texts(["a"])


def test_the_fingerprint_of_a_folder_follows_its_bytes_not_its_place(
    bert: Path, tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(bert, tmp_path / "elsewhere" / "bert"))
    before = make_encoder(f"hf:{moved}").fingerprint
    assert make_encoder(f"hf:{bert}").fingerprint == before
    (moved / "README.md").write_text("new words")
    assert make_encoder(f"hf:{moved}").fingerprint == before
    remove_weight(moved, "pooler.dense.weight")
    assert make_encoder(f"hf:{moved}").fingerprint != before


def in_cache(folder: Path, home: Path) -> str:
    """Lay a folder down as the hub's cache keeps it, and return its commit."""
    commit = "0123456789" * 4
    base = home / "hub" / "models--me--tiny"
    shutil.copytree(folder, base / "snapshots" / commit)
    (base / "refs").mkdir()
    (base / "refs" / "main").write_text(commit)
    return commit


@pytest.mark.slow
def test_a_model_in_the_hub_cache_is_used_offline_under_its_commit(
    bert: Path, tmp_path: Path
) -> None:
    commit = in_cache(bert, tmp_path / "home")
    code = (
        "import sys; from slategym.encoders.base import make_encoder\n"
        "e = make_encoder('hf:me/tiny', local_files_only=True, precision='float32')\n"
        "print(e.source.identity, e.encode_texts(['a song']).shape, e.fingerprint)"
    )
    env = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith(f"me/tiny@{commit} (1, 16) hf-tiny-")
    assert run.stderr == ""


def test_transformers_is_silenced_only_around_our_calls(
    bert: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    encode_texts(bert)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (level, bars)
    assert capfd.readouterr() == ("", "")
