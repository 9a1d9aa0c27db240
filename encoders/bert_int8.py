"""BERT in 8-bit integers without padding: all tokens of a batch in one table, text after text."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from slategym.encoders.int8 import (
    ROWS,
    FloatArray,
    Packed,
    Quantised,
    linear,
    pack,
    packable,
    quantise,
)
from slategym.encoders.small_products import COLUMNS, product_tile
from slategym.encoders.small_products import ROWS as TILE_ROWS

IntArray = npt.NDArray[np.int64]

# erf(x) = x P(x^2) / Q(x^2) on [-4, 4] to 2e-7: the coefficients that Eigen and XLA use.
_P = tuple(
    map(
        np.float32,
        (
            -2.72614225801306e-10,
            2.77068142495902e-08,
            -2.10102402082508e-06,
            -5.69250639462346e-05,
            -7.34990630326855e-04,
            -2.95459980854025e-03,
            -1.60960333262415e-02,
        ),
    )
)
_Q = tuple(
    map(
        np.float32,
        (
            -1.45660718464996e-05,
            -2.13374055278905e-04,
            -1.68282697438203e-03,
            -7.37332916720468e-03,
            -1.42647390514189e-02,
        ),
    )
)
_HALF_ROOT = np.float32(0.7071067811865476)


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer: attention and feed-forward, each with its normalisation (weights, biases)."""

    attention: Packed
    mixing: Packed
    mixed: tuple[FloatArray, FloatArray]
    widening: Packed
    narrowing: Packed
    narrowed: tuple[FloatArray, FloatArray]


@dataclass(frozen=True, eq=False)
class Int8Bert:
    """A BERT encoder whose matrix products are in 8 bits; all else is in float32.

    Attributes:
        words: (V, D) vectors of tokens, the vector of the first token type added.
        places: (T, D) vectors of places.
        entered: Normalisation of their sum.
        layers: The layers.
        heads: Attention heads.
        epsilon: What is added to variances.
    """

    words: FloatArray
    places: FloatArray
    entered: tuple[FloatArray, FloatArray]
    layers: tuple[Layer, ...]
    heads: int
    epsilon: float

    def hidden(self, tokens: IntArray, starts: IntArray) -> FloatArray:
        """Return the vectors (N, D) of tokens (N,), of which text b begins at ``starts[b]``."""
        lengths = np.diff(starts, append=len(tokens))
        place = np.arange(len(tokens)) - np.repeat(starts, lengths)
        rows, width = max(len(tokens), ROWS), self.words.shape[1]
        x = np.zeros((rows, width), np.float32)
        summed = self.words[tokens] + self.places[place]
        add_normalise(x[: len(tokens)], summed, *self.entered, self.epsilon)
        room = _Room.of(rows, width, len(self.layers[0].widening.biases))
        ends = np.append(starts, len(tokens)).astype(np.int64)
        for layer in self.layers:
            self._apply(layer, x, ends, room)
        return x[: len(tokens)]

    def _apply(self, layer: Layer, x: FloatArray, ends: IntArray, room: "_Room") -> None:
        """Send x (N, D) through one layer, in place."""
        narrow, wide = room.narrow, room.wide
        quantise(x, narrow.values, narrow.scales, narrow.zeros)
        linear(narrow, layer.attention, room.triple)
        attend(room.triple, ends, self.heads, room.single)
        quantise(room.single, narrow.values, narrow.scales, narrow.zeros)
        linear(narrow, layer.mixing, room.single)
        add_normalise(x, room.single, *layer.mixed, self.epsilon)
        quantise(x, narrow.values, narrow.scales, narrow.zeros)
        linear(narrow, layer.widening, room.fourfold)
        gelu(room.fourfold)
        quantise(room.fourfold, wide.values, wide.scales, wide.zeros)
        linear(wide, layer.narrowing, room.single)
        add_normalise(x, room.single, *layer.narrowed, self.epsilon)


@dataclass(frozen=True, eq=False)
class _Room:
    """Memory of one batch, used again by every layer."""

    single: FloatArray
    triple: FloatArray
    fourfold: FloatArray
    narrow: Quantised
    wide: Quantised

    @classmethod
    def of(cls, rows: int, width: int, wide: int) -> "_Room":
        return cls(
            np.zeros((rows, width), np.float32),
            np.zeros((rows, 3 * width), np.float32),
            np.zeros((rows, wide), np.float32),
            Quantised.empty(rows, width),
            Quantised.empty(rows, wide),
        )


def convertible(config: Any) -> bool:  # noqa: ANN401
    """Return whether a transformers configuration is of a BERT that this file can compute."""
    return bool(
        config.model_type == "bert"
        and config.hidden_act == "gelu"
        and getattr(config, "position_embedding_type", "absolute") in ("absolute", None)
        and not getattr(config, "is_decoder", False)
        and packable(config.hidden_size, config.hidden_size)
        and packable(config.intermediate_size, config.intermediate_size)
        and config.hidden_size // config.num_attention_heads % COLUMNS == 0
    )


def convert(model: Any) -> Int8Bert:  # noqa: ANN401
    """Return a transformers ``BertModel`` in 8 bits."""
    state = {
        name: np.ascontiguousarray(tensor.float().numpy())
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point()
    }

    def norm(name: str) -> tuple[FloatArray, FloatArray]:
        return state[f"{name}.LayerNorm.weight"], state[f"{name}.LayerNorm.bias"]

    def dense(*names: str) -> Packed:
        weights = np.concatenate([state[f"{name}.weight"] for name in names])
        return pack(weights, np.concatenate([state[f"{name}.bias"] for name in names]))

    def layer(at: str) -> Layer:
        own = f"{at}.attention.self"
        return Layer(
            dense(*(f"{own}.{part}" for part in ("query", "key", "value"))),
            dense(f"{at}.attention.output.dense"),
            norm(f"{at}.attention.output"),
            dense(f"{at}.intermediate.dense"),
            dense(f"{at}.output.dense"),
            norm(f"{at}.output"),
        )

    config = model.config
    kind = state["embeddings.token_type_embeddings.weight"][0]
    return Int8Bert(
        state["embeddings.word_embeddings.weight"] + kind,
        state["embeddings.position_embeddings.weight"],
        norm("embeddings"),
        tuple(layer(f"encoder.layer.{depth}") for depth in range(config.num_hidden_layers)),
        config.num_attention_heads,
        config.layer_norm_eps,
    )


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def add_normalise(
    x: FloatArray, more: FloatArray, weights: FloatArray, biases: FloatArray, epsilon: float
) -> None:
    """Add rows (N, D) to x and normalise each (Ba et al. 2016, equation 4), in place."""
    rows, width = x.shape
    share = np.float32(1 / width)
    for row in range(rows):
        total, squares = np.float32(0), np.float32(0)
        for column in range(width):
            x[row, column] += more[row, column]
            total += x[row, column]
        mean = total * share
        for column in range(width):
            squares += (x[row, column] - mean) ** 2
        inverse = np.float32(1) / np.sqrt(squares * share + np.float32(epsilon))
        for column in range(width):
            x[row, column] = (x[row, column] - mean) * inverse * weights[column] + biases[column]


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def gelu(x: FloatArray) -> None:
    """Apply x (1 + erf(x / sqrt 2)) / 2 (Hendrycks and Gimpel 2016), in place."""
    flat = x.reshape(-1)
    for at in range(len(flat)):
        value = flat[at]
        t = min(max(value * _HALF_ROOT, np.float32(-4)), np.float32(4))
        s = t * t
        p = (((((_P[0] * s + _P[1]) * s + _P[2]) * s + _P[3]) * s + _P[4]) * s + _P[5]) * s + _P[6]
        q = (((_Q[0] * s + _Q[1]) * s + _Q[2]) * s + _Q[3]) * s + _Q[4]
        flat[at] = np.float32(0.5) * value * (np.float32(1) + t * p / q)


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def attend(triple: FloatArray, ends: IntArray, heads: int, out: FloatArray) -> None:
    """Write each text's attention (Vaswani et al. 2017, equation 1).

    Args:
        triple: (N, 3 D) queries, keys and values.
        ends: (B + 1,) where texts begin, and the end of the last.
        heads: Attention heads, of a multiple of 16 numbers each.
        out: (N, D).
    """
    width = triple.shape[1] // 3
    depth = width // heads
    longest = np.max(ends[1:] - ends[:-1])
    # Padded to whole tiles; what the padding holds is computed, finite, and never read.
    rows, columns = -(-longest // TILE_ROWS) * TILE_ROWS, -(-longest // COLUMNS) * COLUMNS
    queries = np.zeros((rows, depth), np.float32)
    keys = np.zeros((depth, columns), np.float32)
    values = np.zeros((longest, depth), np.float32)
    scores = np.zeros((rows, columns), np.float32)
    mixed = np.zeros((rows, depth), np.float32)
    scale = np.float32(1) / np.sqrt(np.float32(depth))
    for text in range(len(ends) - 1):
        start, count = ends[text], ends[text + 1] - ends[text]
        for head in range(heads):
            at = head * depth
            for i in range(count):
                row = triple[start + i]
                query, key = row[at : at + depth], row[width + at : width + at + depth]
                value = row[2 * width + at : 2 * width + at + depth]
                for d in range(depth):
                    queries[i, d] = query[d] * scale
                    keys[d, i] = key[d]
                    values[i, d] = value[d]
            _product(queries, keys, count, count, depth, scores)
            for i in range(count):
                _softmax(scores[i, :count])
            _product(scores, values, count, depth, count, mixed)
            for i in range(count):
                target = out[start + i, at : at + depth]
                for d in range(depth):
                    target[d] = mixed[i, d]


@njit(nogil=True, cache=True, inline="always")
def _product(
    left: FloatArray, right: FloatArray, rows: int, columns: int, depth: int, out: FloatArray
) -> None:
    """Write left (rows, depth) @ right (depth, columns), up to whole tiles."""
    for row in range(0, rows, TILE_ROWS):
        for column in range(0, columns, COLUMNS):
            product_tile(
                left.ctypes.data + np.uintp(row * left.shape[1] * 4),
                left.shape[1] * 4,
                right.ctypes.data + np.uintp(column * 4),
                right.shape[1] * 4,
                depth,
                out.ctypes.data + np.uintp((row * out.shape[1] + column) * 4),
                out.shape[1] * 4,
            )


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True, inline="always")
def _softmax(scores: FloatArray) -> None:
    """Turn scores (count,) into shares, in place."""
    top = scores[0]
    for j in range(len(scores)):
        top = max(top, scores[j])
    total = np.float32(0)
    for j in range(len(scores)):
        # exp(x) = exp(x / 64)^64, the inner one by its series: no call, so it runs in vectors.
        x = max(scores[j] - top, np.float32(-20)) * np.float32(1 / 64)
        e6 = np.float32(1 / 720) * x + np.float32(1 / 120)
        e4 = (e6 * x + np.float32(1 / 24)) * x + np.float32(1 / 6)
        y = ((e4 * x + np.float32(0.5)) * x + np.float32(1)) * x + np.float32(1)
        y2 = y * y
        y4 = y2 * y2
        y8 = y4 * y4
        y16 = y8 * y8
        y32 = y16 * y16
        scores[j] = y32 * y32
        total += scores[j]
    inverse = np.float32(1) / total
    for j in range(len(scores)):
        scores[j] *= inverse
