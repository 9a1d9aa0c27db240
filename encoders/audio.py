"""Audio encoders: the embedded musicnn, and any transformers audio model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.encoders import musicnn
from slategym.encoders.base import FloatArray, encode_present, fingerprint_of
from slategym.encoders.catalog import Catalog, Modality
from slategym.encoders.hub import Precision, Source, inference, library, pooled, quiet, settle
from slategym.encoders.media import longer_than, read_sound
from slategym.encoders.weights import MUSICNN, WEIGHTS, ensure_weights


@dataclass(frozen=True)
class Musicnn:
    """musicnn trained on MagnaTagATune: 1,506 numbers per sound, the mean over its patches.

    It knows music; on speech and animals its vectors mean little.

    Attributes:
        seconds: Only the first so many seconds of a sound are heard.
        patches: Patches of three seconds per forward pass.
    """

    seconds: float = 30.0
    patches: int = 10

    @property
    def modality(self) -> Modality:
        """Audio."""
        return "audio"

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return musicnn.DIM

    @property
    def fingerprint(self) -> str:
        """Weights and seconds."""
        return fingerprint_of(
            MUSICNN.name, weights=MUSICNN.weights_hash, seconds=self.seconds, version=1
        )

    def encode(self, catalog: Catalog) -> FloatArray:
        """Return the vectors of the sounds, (I, 1506)."""
        return encode_present(catalog, self, self.encode_files)

    def cut(self, catalog: Catalog) -> npt.NDArray[np.bool_]:
        """Return whose sound is longer than is heard, (I,)."""
        return longer_than(catalog.audio, self.seconds)

    def encode_files(self, files: Sequence[Path]) -> FloatArray:
        """Return the vectors of B sound files, (B, 1506)."""
        return np.stack([self._encode_file(file) for file in files])

    def _encode_file(self, file: Path) -> FloatArray:
        import torch

        mel = musicnn.patches(read_sound(file, musicnn.RATE, self.seconds))
        with inference("float32"):
            parts = [
                self._network(torch.from_numpy(mel[start : start + self.patches]))
                for start in range(0, len(mel), self.patches)
            ]
            pooled_patches = torch.cat(parts).mean(dim=0)
        return np.asarray(pooled_patches.numpy(), np.float32)

    @cached_property
    def _network(self) -> Any:  # noqa: ANN401
        from safetensors.torch import load_file

        network = musicnn.build()
        state = load_file(ensure_weights(MUSICNN.name) / WEIGHTS)
        network.load_state_dict(state, strict=True)
        return network.requires_grad_(False)


@dataclass(frozen=True)
class TransformerAudio:
    """A transformers model that hears sounds, through its own feature extractor.

    A sound is cut into windows of at most what the model takes at once; the vector is the mean
    over windows of ``get_audio_features`` (CLAP), else of the mean over time of the last layer
    (AST, Wav2Vec2, the encoder of Whisper).

    Attributes:
        source: Where the model comes from.
        name: Its name in the fingerprint.
        seconds: Only the first so many seconds of a sound are heard.
        precision: As for text.
    """

    source: Source
    name: str = "audio"
    seconds: float = 30.0
    precision: Precision = "auto"

    @property
    def modality(self) -> Modality:
        """Audio."""
        return "audio"

    @cached_property
    def dim(self) -> int:
        """Length of a vector."""
        return len(self._encode_samples(np.zeros(self._rate, np.float32)))

    @cached_property
    def fingerprint(self) -> str:
        """Weights, seconds, arithmetic and library."""
        return fingerprint_of(
            self.name,
            weights=self.source.identity,
            seconds=self.seconds,
            precision=settle(self.precision),
            library=library(),
        )

    def encode(self, catalog: Catalog) -> FloatArray:
        """Return the vectors of the sounds, (I, D)."""
        return encode_present(catalog, self, self.encode_files)

    def cut(self, catalog: Catalog) -> npt.NDArray[np.bool_]:
        """Return whose sound is longer than is heard, (I,)."""
        return longer_than(catalog.audio, self.seconds)

    def encode_files(self, files: Sequence[Path]) -> FloatArray:
        """Return the vectors of B sound files, (B, D)."""
        return np.stack(
            [self._encode_samples(read_sound(file, self._rate, self.seconds)) for file in files]
        )

    def _encode_samples(self, samples: FloatArray) -> FloatArray:
        # One window at a time: padding would change what models without a mask hear.
        shortest = self._rate // 2
        starts = range(0, max(len(samples) - shortest, 1), self._window)
        parts = [self._encode_window(samples[start : start + self._window]) for start in starts]
        return np.asarray(np.mean(parts, axis=0), np.float32)

    def _encode_window(self, samples: FloatArray) -> FloatArray:
        padded = np.pad(samples, (0, max(0, self._rate - len(samples))))
        model = self._model
        with quiet(), inference(settle(self.precision)):
            features = self._extractor(padded, sampling_rate=self._rate, return_tensors="pt")
            if hasattr(model, "get_audio_features"):
                vectors = pooled(model.get_audio_features(**features))
            else:
                key = model.main_input_name
                vectors = model(**{key: features[key]}).last_hidden_state.mean(dim=1)
        return np.asarray(vectors[0].float().numpy(), np.float32)

    @property
    def _rate(self) -> int:
        return int(self._extractor.sampling_rate)

    @property
    def _window(self) -> int:
        """Samples the extractor takes at once; a longer sound it would cut, CLAP at random."""
        for name in ("nb_max_samples", "n_samples"):
            if getattr(self._extractor, name, None):
                return int(getattr(self._extractor, name))
        frames = getattr(self._extractor, "max_length", None)  # AST: frames of 10 ms
        return self._rate * (frames // 100 if frames else 10)

    @cached_property
    def _model(self) -> Any:  # noqa: ANN401
        model = self.source.load_model()
        return model.get_encoder() if model.config.is_encoder_decoder else model

    @cached_property
    def _extractor(self) -> Any:  # noqa: ANN401
        from transformers import AutoFeatureExtractor

        return self.source.load(AutoFeatureExtractor)


def hub_audio(
    place: str,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    seconds: float = 30.0,
    precision: Precision = "auto",
) -> TransformerAudio:
    """Return the encoder of an audio model on the hub or in a folder."""
    name = "hf-" + place.rstrip("/").split("/")[-1]
    return TransformerAudio(Source(place, revision, local_files_only), name, seconds, precision)
