"""Smaller and faster ways to the vectors of a catalogue, and what each costs and saves."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slategym.encoders.base import Encoder, FloatArray
from slategym.encoders.onnx import OnnxText
from slategym.encoders.static import StaticText
from slategym.encoders.student import Student
from slategym.encoders.text import TransformerText
from slategym.errors import UsageError, unknown_name

_TINY = 1e-8
_NEIGHBOURS = 10
_PROBE = 1.0  # ridge strength, in units of the number of items


@dataclass(frozen=True)
class Cost:
    """What one way of compressing costs in quality and saves in time and bytes.

    Attributes:
        name: As it was asked for.
        cosine: Mean cosine with the full vectors, in [-1, 1]; where the space is another one,
            after a linear map fitted on every other item, on the items left out.
        overlap: Mean share of the 10 nearest neighbours that stay the same, in [0, 1].
        probe: Mean average precision of topics under a linear probe, each item predicted from
            folds it is not in, in [0, 1]; NaN where the catalogue has no topics.
        rate: Items per CPU-second; NaN where the vectors were cut after encoding.
        setup: CPU-seconds of making it, once per model or catalogue.
        model_bytes: Weights on disk; 0 where there are none of its own.
        item_bytes: Bytes of one vector.
    """

    name: str
    cosine: float
    overlap: float
    probe: float
    rate: float
    setup: float
    model_bytes: int
    item_bytes: int


@dataclass(frozen=True)
class Pca:
    """The first axes of the vectors of a catalogue (Pearson 1901), with what they leave out.

    Attributes:
        mean: (D,) what is taken off.
        axes: (D, d), of length 1.
    """

    mean: FloatArray
    axes: FloatArray

    @classmethod
    def fit(cls, vectors: FloatArray, dim: int) -> "Pca":
        """Return the axes of vectors (I, D) along which they differ most.

        Raises:
            UsageError: more axes than vectors have numbers, or than there are items.
        """
        most = min(vectors.shape)
        if not 1 <= dim <= most:
            raise UsageError(f"pca:{dim} cannot be made: give a number from 1 to {most}.")
        mean = vectors.mean(axis=0)
        centred = (vectors - mean).astype(np.float64)
        _, axes = np.linalg.eigh(centred.T @ centred)
        chosen = axes[:, ::-1][:, :dim]
        chosen = chosen * np.sign(chosen[np.abs(chosen).argmax(axis=0), range(dim)])
        return cls(mean, np.ascontiguousarray(chosen, np.float32))

    def __call__(self, vectors: FloatArray) -> FloatArray:
        """Return vectors (I, D) along the axes, (I, d)."""
        return np.asarray((vectors - self.mean) @ self.axes, np.float32)


WAYS = ("int8", "onnx", "static", "pca:N", "student:N")


def compressed(
    way: str, full: TransformerText, texts: Sequence[str], *, seed: int = 0
) -> TransformerText | StaticText | OnnxText | Student:
    """Return the encoder that a way of compressing makes of a full one.

    Args:
        way: ``int8``, ``onnx``, ``static`` or ``static:N`` (numbers per vector), ``student:N``
            (layers kept).
        full: The encoder to be compressed.
        texts: What a student learns from.
        seed: Order in which the student sees the texts.

    Raises:
        UsageError: no such way, or it does not fit the encoder.
    """
    name, _, number = way.partition(":")
    count = number_of(way)
    if name == "int8" and not number:
        return replace(full, precision="int8")
    if name == "onnx" and not number:
        return OnnxText(full)
    if name == "static":
        return StaticText(full, count or 256)
    if name == "student" and count:
        return Student(full, count, tuple(texts), seed)
    raise unknown_name("way of compressing", way, WAYS)


def number_of(way: str) -> int:
    """Return the number after the colon of ``pca:64``; 0 where there is none.

    Raises:
        UsageError: what stands there is not a whole number above 0.
    """
    _, colon, number = way.partition(":")
    if colon and not (number.isdigit() and int(number)):
        raise UsageError(f"{way!r} needs a whole number above 0 after the colon.")
    return int(number or 0)


def measure(
    texts: Sequence[str],
    full: TransformerText,
    ways: Sequence[str],
    topics: Sequence[Sequence[str]] | None = None,
    *,
    seed: int = 0,
) -> tuple[list[Cost], dict[str, FloatArray]]:
    """Return what each way costs, the full encoder first, and its vectors of the texts.

    Args:
        texts: (I,) texts, none of them empty.
        full: The encoder to be compressed.
        ways: As for `compressed`, or ``pca:N``, which cuts the full vectors.
        topics: (I,) topics of each, for the probe.
        seed: Of students, and of the probe's folds.

    Raises:
        UsageError: an unknown way, or fewer than 20 texts.
    """
    if len(texts) < 2 * _NEIGHBOURS:
        raise UsageError(
            f"what compressing costs cannot be measured on {len(texts)} texts: give at least "
            f"{2 * _NEIGHBOURS}."
        )
    exact = replace(full, precision="float32")
    targets = _topic_matrix(topics or [])
    reference, spent, setup = _run(exact, texts)
    found = {"full": reference}
    whole = _bytes(exact)
    costs = [_cost("full", reference, reference, targets, seed, len(texts) / spent, setup, whole)]
    for way in ways:
        if way.startswith("pca:"):
            begin = time.process_time()
            vectors = Pca.fit(reference, number_of(way))(reference)
            rate, setup, size = float("nan"), time.process_time() - begin, 0
        else:
            encoder = compressed(way, full, texts, seed=seed)
            vectors, spent, setup = _run(encoder, texts)
            rate, size = len(texts) / spent, _bytes(encoder)
        found[way] = vectors
        costs.append(_cost(way, vectors, reference, targets, seed, rate, setup, size))
    return costs, found


def _run(encoder: Encoder, texts: Sequence[str]) -> tuple[FloatArray, float, float]:
    """Return vectors, CPU-seconds of encoding, and CPU-seconds of getting ready."""
    encode: Callable[[Sequence[str]], FloatArray] = encoder.encode_texts  # type: ignore[attr-defined]
    begin = time.process_time()
    encode(texts[:2])
    middle = time.process_time()
    vectors = encode(texts)
    return vectors, max(time.process_time() - middle, 1e-6), middle - begin


def _bytes(encoder: Encoder) -> int:
    """Return how large the weights are on disk, or would be."""
    return int(getattr(encoder, "model_bytes", 0))


def _cost(
    name: str,
    vectors: FloatArray,
    full: FloatArray,
    targets: npt.NDArray[np.bool_],
    seed: int,
    rate: float,
    setup: float,
    model_bytes: int,
) -> Cost:
    return Cost(
        name,
        cosine_to(vectors, full, mapped=name.partition(":")[0] in ("static", "pca", "student")),
        neighbour_overlap(vectors, full),
        topic_probe(vectors, targets, seed),
        rate,
        setup,
        model_bytes,
        vectors.shape[1] * vectors.itemsize,
    )


def cosine_to(vectors: FloatArray, full: FloatArray, *, mapped: bool) -> float:
    """Return the mean cosine of vectors (I, d) with the full ones (I, D).

    With ``mapped``, a ridge regression from the one to the other is fitted on the even items and
    judged on the odd ones.
    """
    if mapped:
        x, y = vectors[::2].astype(np.float64), full[::2]
        middle, goal = x.mean(axis=0), y.mean(axis=0)
        x = x - middle
        ridge = 1e-3 * float((x**2).sum()) / x.shape[1] * np.eye(x.shape[1])
        weights = np.linalg.solve(x.T @ x + ridge, x.T @ (y - goal))
        vectors = ((vectors[1::2] - middle) @ weights + goal).astype(np.float32)
        full = full[1::2]
    return float((_unit(vectors) * _unit(full)).sum(axis=1).mean())


def neighbour_overlap(vectors: FloatArray, full: FloatArray) -> float:
    """Return the mean share of each item's 10 nearest (by cosine) that are the same in both."""
    same = [
        len(np.intersect1d(*pair, assume_unique=True)) / _NEIGHBOURS
        for pair in zip(_nearest(vectors), _nearest(full), strict=True)
    ]
    return float(np.mean(same))


def _nearest(vectors: FloatArray) -> list[npt.NDArray[np.intp]]:
    unit = _unit(vectors)
    found: list[npt.NDArray[np.intp]] = []
    for start in range(0, len(unit), 512):
        close = unit[start : start + 512] @ unit.T
        close[np.arange(len(close)), np.arange(start, start + len(close))] = -np.inf
        found += list(np.argpartition(-close, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS])
    return found


def topic_probe(vectors: FloatArray, targets: npt.NDArray[np.bool_], seed: int = 0) -> float:
    """Return how well topics follow linearly from vectors; NaN without topics.

    Ridge regression in five folds; the mean over topics of average precision.

    Args:
        vectors: (I, D).
        targets: (I, T), which item has which topic.
        seed: Of the folds.
    """
    if not targets.shape[1]:
        return float("nan")
    x = _unit(vectors).astype(np.float64)
    x = np.hstack([(x - x.mean(axis=0)) * np.sqrt(x.shape[1]), np.ones((len(x), 1))])
    fold = np.random.default_rng(seed).permutation(len(x)) % 5
    predicted = np.zeros(targets.shape)
    for left_out in range(5):
        train = x[fold != left_out]
        gram = train.T @ train + _PROBE * len(train) * np.eye(x.shape[1])
        weights = np.linalg.solve(gram, train.T @ targets[fold != left_out])
        predicted[fold == left_out] = x[fold == left_out] @ weights
    return float(np.mean([_precision(p, t) for p, t in zip(predicted.T, targets.T, strict=True)]))


def _precision(scores: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> float:
    """Return the average precision of a ranking."""
    ranked = right[np.argsort(-scores, kind="stable")]
    return float((np.cumsum(ranked) / np.arange(1, len(ranked) + 1))[ranked].mean())


def _topic_matrix(topics: Sequence[Sequence[str]]) -> npt.NDArray[np.bool_]:
    """Return which item has which topic, for topics of at least 10 items and not of all."""
    counts: Mapping[str, int] = {}
    for named in topics:
        counts = {**counts, **{topic: counts.get(topic, 0) + 1 for topic in named}}
    kept = sorted(topic for topic, n in counts.items() if 10 <= n < len(topics))
    found = [[topic in named for topic in kept] for named in topics]
    return np.array(found, np.bool_).reshape(len(topics), len(kept))


def _unit(vectors: FloatArray) -> FloatArray:
    length = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _TINY)
    return np.asarray(vectors / length, np.float32)


def file_bytes(folder: Path) -> int:
    """Return the size of the weights in a model folder."""
    kinds = (".safetensors", ".bin", ".onnx")
    return sum(file.stat().st_size for file in folder.rglob("*") if file.suffix in kinds)
