"""Products in 8 bits are close to those in float32, and a BERT made of them is close to itself."""

import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from slategym.encoders.bert_int8 import attend, convert, convertible, gelu
from slategym.encoders.cpu import cpu_flags, fast_int8, threads
from slategym.encoders.int8 import Quantised, linear, pack, quantise
from slategym.encoders.text import minilm
from slategym.errors import UsageError

needs_avx2 = pytest.mark.skipif(not fast_int8(), reason="the processor has no AVX2")


def cosine(some: np.ndarray, others: np.ndarray) -> float:
    return float((some * others).sum() / np.linalg.norm(some) / np.linalg.norm(others))


@needs_avx2
@pytest.mark.parametrize("rows", [3, 4, 7, 100])
def test_a_layer_in_8_bits_is_close_to_the_layer(rng: np.random.Generator, rows: int) -> None:
    x = rng.standard_normal((rows, 48)).astype(np.float32) * np.linspace(0.1, 9, rows)[:, None]
    x = x.astype(np.float32)
    weights = rng.standard_normal((32, 48)).astype(np.float32)
    biases = rng.standard_normal(32).astype(np.float32)
    levels = Quantised.empty(rows, 48)
    quantise(x, levels.values, levels.scales, levels.zeros)
    restored = (levels.values - levels.zeros[:, None]) * levels.scales[:, None]
    assert (np.abs(restored - x) <= levels.scales[:, None]).all()
    out = np.zeros((rows, 32), np.float32)
    linear(levels, pack(weights, biases), out)
    assert cosine(out, x @ weights.T + biases) > 0.999


@needs_avx2
def test_rows_do_not_depend_on_their_neighbours(rng: np.random.Generator) -> None:
    x = rng.standard_normal((50, 16)).astype(np.float32)
    layer = pack(rng.standard_normal((16, 16)).astype(np.float32), np.zeros(16, np.float32))

    def apply(part: np.ndarray) -> np.ndarray:
        levels, out = Quantised.empty(len(part), 16), np.zeros((len(part), 16), np.float32)
        quantise(part, levels.values, levels.scales, levels.zeros)
        linear(levels, layer, out)
        return out

    np.testing.assert_array_equal(apply(x)[7:10], apply(x[7:10]))


def test_gelu_is_the_exact_one() -> None:
    from scipy.special import erf

    x = np.linspace(-6, 6, 1001, dtype=np.float32)
    made = x.reshape(7, 143).copy()
    gelu(made)
    np.testing.assert_allclose(made.ravel(), x * (1 + erf(x / np.sqrt(2))) / 2, atol=2e-6)


@needs_avx2
def test_attention_of_each_text_is_its_own(rng: np.random.Generator) -> None:
    triple = rng.standard_normal((12, 96)).astype(np.float32)
    ends = np.array([0, 1, 8, 12])
    out = np.zeros((12, 32), np.float32)
    attend(triple, ends, 2, out)
    for start, end in pairwise(ends):
        part = triple[start:end]
        for head in (0, 16):
            query, key, value = (part[:, at + head : at + head + 16] for at in (0, 32, 64))
            weights = np.exp(query @ key.T / 4)
            weights /= weights.sum(axis=1, keepdims=True)
            np.testing.assert_allclose(
                out[start:end, head : head + 16], weights @ value, rtol=1e-4, atol=1e-5
            )


def tiny(**changes: Any) -> Any:  # noqa: ANN401
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(1)
    config = BertConfig(
        **{
            "vocab_size": 50,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": 40,
            **changes,
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return BertModel(config).eval()


@needs_avx2
def test_a_bert_in_8_bits_is_close_to_itself_for_texts_of_any_length(
    rng: np.random.Generator,
) -> None:
    import torch

    model = tiny()
    bert = convert(model)
    lengths = [1, 2, 17, 40]
    texts = [rng.integers(0, 50, length) for length in lengths]
    starts = np.cumsum(lengths) - lengths
    hidden = bert.hidden(np.concatenate(texts), starts)
    for text, start in zip(texts, starts, strict=True):
        with torch.inference_mode():
            exact = model(input_ids=torch.from_numpy(text)[None]).last_hidden_state[0].numpy()
        assert cosine(hidden[start : start + len(text)], exact) > 0.998
        alone = bert.hidden(text, np.array([0]))
        np.testing.assert_array_equal(alone, hidden[start : start + len(text)])


def test_only_models_that_are_computed_right_are_converted() -> None:
    assert convertible(tiny().config)
    assert not convertible(tiny(hidden_size=30).config)
    assert not convertible(tiny(hidden_act="relu").config)
    assert not convertible(tiny(num_attention_heads=4).config)


def test_threads_are_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert threads() >= 1


def test_a_processor_without_the_instructions_takes_another_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("slategym.encoders.text.fast_int8", lambda: False)
    monkeypatch.setattr("slategym.encoders.hub.cpu_flags", lambda: frozenset({"avx512_bf16"}))
    assert minilm().arithmetic == "bfloat16"
    monkeypatch.setattr("slategym.encoders.hub.cpu_flags", lambda: frozenset())
    assert minilm().arithmetic == "float32"
    with pytest.raises(UsageError, match="precision 'int8' is for BERT"):
        minilm(precision="int8").fingerprint  # noqa: B018
    assert isinstance(cpu_flags(), frozenset)
