"""Image encoders: the embedded EfficientNet-Lite0, and any transformers vision model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slategym.encoders import efficientnet
from slategym.encoders.base import FloatArray, encode_present, fingerprint_of
from slategym.encoders.catalog import Catalog, Modality
from slategym.encoders.classical import HsvHog
from slategym.encoders.efficientnet_fast import fast_forward
from slategym.encoders.hub import Precision, Source, inference, library, pooled, quiet, settle
from slategym.encoders.media import read_picture
from slategym.encoders.weights import EFFICIENTNET, WEIGHTS, ensure_weights

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class EfficientNetLite0:
    """EfficientNet-Lite0 trained on ImageNet: 1,280 numbers per picture.

    Pictures are treated as in ImageNet: the short side is resized (bicubic) to ``size / 0.875``
    and the middle square is cut out. A poster of 2 : 3 loses its top and bottom sixths and a
    little of its sides; squeezing it whole would show the network shapes it never saw.

    Attributes:
        size: Side of the square the network sees, in pixels; it was trained at 224.
        batch: Pictures per forward pass; eight keep what lies between layers near the processor.
    """

    size: int = efficientnet.SIZE
    batch: int = 8

    @property
    def modality(self) -> Modality:
        """Image."""
        return "image"

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return efficientnet.DIM

    @property
    def fingerprint(self) -> str:
        """Weights and size."""
        return fingerprint_of(
            EFFICIENTNET.name, weights=EFFICIENTNET.weights_hash, size=self.size, version=2
        )

    def encode(self, catalog: Catalog) -> FloatArray:
        """Return the vectors of the pictures, (I, 1280)."""
        return encode_present(catalog, self, self.encode_files, self.batch)

    def encode_files(self, files: Sequence[Path]) -> FloatArray:
        """Return the vectors of B picture files, (B, 1280)."""
        import torch

        pixels = np.stack([prepare(read_picture(file), self.size) for file in files])
        # With channels last, convolutions on a CPU are 1.5 times as fast.
        laid = torch.from_numpy(pixels).contiguous(memory_format=torch.channels_last)
        with inference("float32"):
            vectors = self._forward(laid)
        return np.asarray(vectors.numpy(), np.float32)

    @cached_property
    def network(self) -> Any:  # noqa: ANN401
        """The network with its weights, as a ``torch.nn.Module``."""
        from safetensors.torch import load_file

        network = efficientnet.build()
        state = load_file(ensure_weights(EFFICIENTNET.name) / WEIGHTS)
        network.load_state_dict(state, strict=True)
        return network.requires_grad_(False)

    @cached_property
    def _forward(self) -> Any:  # noqa: ANN401
        return fast_forward(self.network)


@dataclass(frozen=True)
class EfficientNetColour:
    """EfficientNet-Lite0 beside a colour histogram and gradients: 1,984 numbers per picture.

    The network was trained to look past colour; the classical features see it. Each part has
    length 1 before ``weight``.

    Attributes:
        weight: What the classical features are multiplied by.
        size: As of `EfficientNetLite0`.
    """

    weight: float = 0.5
    size: int = efficientnet.SIZE

    @property
    def modality(self) -> Modality:
        """Image."""
        return "image"

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return efficientnet.DIM + HsvHog().dim

    @cached_property
    def fingerprint(self) -> str:
        """Both parts, and the weight."""
        parts = (self._network.fingerprint, HsvHog().fingerprint)
        return fingerprint_of("efficientnet-lite0-colour", parts=parts, weight=self.weight)

    def encode(self, catalog: Catalog) -> FloatArray:
        """Return the vectors of the pictures, (I, 1984)."""
        return encode_present(catalog, self, self.encode_files, 8)

    def encode_files(self, files: Sequence[Path]) -> FloatArray:
        """Return the vectors of B picture files, (B, 1984)."""
        deep = self._network.encode_files(files)
        classical = HsvHog().encode_files(files) / np.float32(np.sqrt(2))  # two halves of length 1
        length = np.maximum(np.linalg.norm(deep, axis=1, keepdims=True), 1e-8)
        return np.hstack([deep / length, np.float32(self.weight) * classical]).astype(np.float32)

    @cached_property
    def _network(self) -> EfficientNetLite0:
        return EfficientNetLite0(self.size)


def prepare(picture: "Image", size: int) -> FloatArray:
    """Return the middle square of an RGB picture as (3, size, size) numbers in [-1, 1]."""
    from PIL import Image

    scale = size / 0.875 / min(picture.size)
    whole = [max(size, round(side * scale)) for side in picture.size]
    resized = picture.resize((whole[0], whole[1]), Image.Resampling.BICUBIC)
    left, top = (whole[0] - size) // 2, (whole[1] - size) // 2
    square = np.asarray(resized.crop((left, top, left + size, top + size)), np.float32)
    # EfficientNet-Lite was trained on (x - 127) / 128, not on ImageNet's means and deviations.
    return np.ascontiguousarray(((square - 127) / 128).transpose(2, 0, 1))


@dataclass(frozen=True)
class TransformerImage:
    """A transformers model that sees pictures, through its own image processor.

    A model with ``get_image_features`` (CLIP, SigLIP) gives those; another gives its class
    token if it has one, else the mean over all places.

    Attributes:
        source: Where the model comes from.
        name: Its name in the fingerprint.
        precision: As for text.
        batch: Pictures per forward pass.
    """

    source: Source
    name: str = "image"
    precision: Precision = "auto"
    batch: int = 16

    @property
    def modality(self) -> Modality:
        """Image."""
        return "image"

    @cached_property
    def dim(self) -> int:
        """Length of a vector."""
        from PIL import Image

        return int(self._encode_pictures([Image.new("RGB", (64, 64))]).shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """Weights, arithmetic and library."""
        return fingerprint_of(
            self.name,
            weights=self.source.identity,
            precision=settle(self.precision),
            library=library(),
        )

    def encode(self, catalog: Catalog) -> FloatArray:
        """Return the vectors of the pictures, (I, D)."""
        return encode_present(catalog, self, self.encode_files, self.batch)

    def encode_files(self, files: Sequence[Path]) -> FloatArray:
        """Return the vectors of B picture files, (B, D)."""
        return self._encode_pictures([read_picture(file) for file in files])

    def _encode_pictures(self, pictures: "list[Image]") -> FloatArray:
        model = self._model
        with quiet(), inference(settle(self.precision)):
            pixels = self._processor(images=pictures, return_tensors="pt")["pixel_values"]
            if hasattr(model, "get_image_features"):
                vectors = pooled(model.get_image_features(pixel_values=pixels))
            else:
                hidden = model(pixel_values=pixels).last_hidden_state
                if hidden.ndim == 4:  # a convolutional network: (B, D, height, width)
                    vectors = hidden.mean(dim=(2, 3))
                elif any(name.endswith("cls_token") for name, _ in model.named_parameters()):
                    vectors = hidden[:, 0]
                else:
                    vectors = hidden.mean(dim=1)
        return np.asarray(vectors.float().numpy(), np.float32)

    @cached_property
    def _model(self) -> Any:  # noqa: ANN401
        return self.source.load_model()

    @cached_property
    def _processor(self) -> Any:  # noqa: ANN401
        from transformers import AutoImageProcessor

        return self.source.load(AutoImageProcessor, backend="pil")


def hub_image(
    place: str,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    precision: Precision = "auto",
    batch: int = 16,
) -> TransformerImage:
    """Return the encoder of a vision model on the hub or in a folder."""
    name = "hf-" + place.rstrip("/").split("/")[-1]
    return TransformerImage(Source(place, revision, local_files_only), name, precision, batch)
