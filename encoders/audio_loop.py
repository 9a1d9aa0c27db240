"""musicnn for one-shot sounds: heard once, and heard again and again until the patch is full."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from slategym.encoders import musicnn
from slategym.encoders.audio import Musicnn
from slategym.encoders.base import FloatArray, encode_present, fingerprint_of
from slategym.encoders.catalog import Catalog, Modality
from slategym.encoders.hub import inference
from slategym.encoders.media import read_sound
from slategym.encoders.weights import MUSICNN, WEIGHTS, ensure_weights

# Samples that give one whole patch, its frames being centred.
_WHOLE = musicnn.RATE * 3 + 300


@dataclass(frozen=True)
class LoopedMusicnn:
    """musicnn's vector of a sound, and of the sound repeated to three seconds: 3,012 numbers.

    The network was trained on music without gaps; a drum hit followed by silence is to it mostly
    silence. A sound of three seconds or more gives the same numbers twice.

    Attributes:
        once: The encoder of the sound as it is.
    """

    once: Musicnn = field(default_factory=Musicnn)

    @property
    def modality(self) -> Modality:
        """Audio."""
        return "audio"

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return 2 * musicnn.DIM

    @property
    def fingerprint(self) -> str:
        """What the vector of the sound as it is depends on."""
        return fingerprint_of("musicnn-looped", once=self.once.fingerprint, version=1)

    def encode(self, catalog: Catalog) -> FloatArray:
        """Return the vectors of the sounds, (I, 3012)."""
        return encode_present(catalog, self, self.encode_files)

    def encode_files(self, files: Sequence[Path]) -> FloatArray:
        """Return the vectors of B sound files, (B, 3012)."""
        import torch

        network = self._network
        first = self.once.encode_files(files)
        second = first.copy()
        for row, file in enumerate(files):
            samples = read_sound(file, musicnn.RATE, self.once.seconds)
            if 0 < len(samples) < _WHOLE:
                mel = musicnn.patches(np.resize(samples, _WHOLE))
                with inference("float32"):
                    second[row] = network(torch.from_numpy(mel)).mean(dim=0).numpy()
        return np.concatenate([first, second], axis=1)

    @cached_property
    def _network(self) -> Any:  # noqa: ANN401
        from safetensors.torch import load_file

        network = musicnn.build()
        network.load_state_dict(load_file(ensure_weights(MUSICNN.name) / WEIGHTS), strict=True)
        return network.requires_grad_(False)
