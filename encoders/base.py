"""What an encoder is, the registry of encoders, and how one is made from its name."""

import hashlib
import importlib
import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from slategym.encoders.catalog import MODALITIES, Catalog, Modality
from slategym.errors import UsageError, unknown_name

FloatArray = npt.NDArray[np.float32]

HUB_PREFIX = "hf:"

# Names to "module:attribute" of what makes the encoder; a name is imported when it is asked for.
ENCODERS: dict[str, str] = {
    "minilm": "slategym.encoders.text:minilm",
    "efficientnet-lite0": "slategym.encoders.image:EfficientNetLite0",
    "efficientnet-lite0-colour": "slategym.encoders.image:EfficientNetColour",
    "static-minilm": "slategym.encoders.static:static_minilm",
    "musicnn": "slategym.encoders.audio:Musicnn",
    "hashed-ngrams": "slategym.encoders.classical:HashedNgrams",
    "hsv-hog": "slategym.encoders.classical:HsvHog",
    "mfcc": "slategym.encoders.classical:Mfcc",
}
HUB_ENCODERS: dict[Modality, str] = {
    "text": "slategym.encoders.text:hub_text",
    "image": "slategym.encoders.image:hub_image",
    "audio": "slategym.encoders.audio:hub_audio",
}


class Encoder(Protocol):
    """Turns one modality of a catalogue into vectors."""

    @property
    def modality(self) -> Modality:
        """What is encoded."""

    @property
    def dim(self) -> int:
        """Length of a vector; may load the model."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the vectors would: weights, options, arithmetic. Loads no model."""

    def encode(self, catalog: Catalog) -> FloatArray:
        """Return the vectors, (I, D) float32; rows of items without the modality are zero."""


def register_encoder(name: str, factory: str) -> None:
    """Make ``make_encoder(name)`` call the factory named ``"module:attribute"``.

    Raises:
        UsageError: the name is taken, or is not one.
    """
    if not name or name.startswith(HUB_PREFIX) or ":" not in factory:
        raise UsageError(
            f"cannot register encoder {name!r} as {factory!r}: a name does not start with "
            f"{HUB_PREFIX!r}, a factory is written 'module:attribute'."
        )
    if name in ENCODERS:
        raise UsageError(f"encoder {name!r} is registered already, as {ENCODERS[name]}.")
    ENCODERS[name] = factory


def make_encoder(spec: str, *, modality: Modality | None = None, **options: Any) -> Encoder:  # noqa: ANN401
    """Return the encoder of that name.

    Args:
        spec: A name in `ENCODERS`, or ``hf:`` and the id or folder of a transformers model.
        modality: What it must encode; an ``hf:`` model encodes text unless this says otherwise.
        options: Fields of the encoder, such as ``max_tokens``.

    Raises:
        UsageError: an unknown name or option, or an encoder of another modality.
    """
    if modality is not None and modality not in MODALITIES:
        raise unknown_name("modality", modality, MODALITIES)
    if spec.startswith(HUB_PREFIX):
        factory = _load(HUB_ENCODERS[modality or "text"])
        options = {"place": spec.removeprefix(HUB_PREFIX), **options}
    elif spec in ENCODERS:
        factory = _load(ENCODERS[spec])
    else:
        raise unknown_name("encoder", spec, [*ENCODERS, "hf:<model id or folder>"])
    known = inspect.signature(factory).parameters
    for option in options:
        if option not in known:
            raise unknown_name(f"option of encoder {spec!r}:", option, known)
    encoder: Encoder = factory(**options)
    if modality is not None and encoder.modality != modality:
        raise UsageError(f"encoder {spec!r} encodes {encoder.modality}, not {modality}.")
    return encoder


def _load(target: str) -> Callable[..., Any]:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def fingerprint_of(name: str, **facts: object) -> str:
    """Return a name and 16 hex digits over everything that decides the vectors."""
    text = json.dumps(facts, sort_keys=True, default=str)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def encode_present(
    catalog: Catalog,
    encoder: Encoder,
    encode: Callable[[Sequence[Any]], FloatArray],
    batch: int | None = None,
) -> FloatArray:
    """Return (I, D) vectors: ``encode`` on batches of what is there, zeros elsewhere.

    Args:
        catalog: The items.
        encoder: Whose modality and size are meant.
        encode: Texts or files (B,) to vectors (B, D).
        batch: Items per call; None is one call for all.
    """
    rows = np.flatnonzero(catalog.has(encoder.modality))
    content = catalog.content(encoder.modality)
    size = batch or max(len(rows), 1)
    groups = [rows[start : start + size] for start in range(0, len(rows), size)]
    parts = [encode([content[row] for row in group]) for group in groups]
    width = parts[0].shape[1] if parts else encoder.dim
    vectors = np.zeros((len(catalog), width), np.float32)
    for group, part in zip(groups, parts, strict=True):
        vectors[group] = part
    return vectors
