"""Classical features, not pretrained: hashed n-grams, colour and gradients, cepstra.

They need no weights and no network, and they are no substitute for the pretrained encoders:
texts of like meaning but other words are far apart.
"""

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slategym.encoders.base import FloatArray, encode_present, fingerprint_of
from slategym.encoders.catalog import Catalog, Modality
from slategym.encoders.media import longer_than, read_picture, read_sound
from slategym.encoders.musicnn import mel_power

_TINY = 1e-8


@dataclass(frozen=True)
class HashedNgrams:
    """Classical features, not pretrained: character n-grams hashed into signed buckets.

    Weinberger et al. (2009): n-gram g adds sign(g) (1 + ln count) to bucket h(g).

    Attributes:
        dim: Buckets.
        shortest: Characters of the shortest n-grams.
        longest: Characters of the longest.
    """

    dim: int = 512
    shortest: int = 3
    longest: int = 5

    @property
    def modality(self) -> Modality:
        """Text."""
        return "text"

    @property
    def fingerprint(self) -> str:
        """Options."""
        return fingerprint_of(
            "hashed-ngrams", dim=self.dim, n=(self.shortest, self.longest), version=1
        )

    def encode(self, catalog: Catalog) -> FloatArray:
        """Return the features of the texts, (I, D); length 1."""
        return encode_present(catalog, self, self.encode_texts)

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Return the features of B texts, (B, D)."""
        found = np.zeros((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            words = f" {' '.join(text.lower().split())} "
            sizes = range(self.shortest, self.longest + 1)
            grams = Counter(words[at : at + n] for n in sizes for at in range(len(words) - n + 1))
            codes = np.array([zlib.crc32(gram.encode()) for gram in grams], np.int64)
            counts = np.array(list(grams.values()), np.float32)
            signs = np.where(codes >> 31 & 1, 1.0, -1.0)
            np.add.at(found[row], codes % self.dim, signs * (1 + np.log(counts)))
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), _TINY)


@dataclass(frozen=True)
class HsvHog:
    """Classical features, not pretrained: a colour histogram, and a histogram of gradients.

    128 numbers are an HSV histogram of 8 x 4 x 4 bins, 576 the gradient directions (9, unsigned)
    in 8 x 8 cells (Dalal and Triggs 2005), each half of length 1.
    """

    @property
    def modality(self) -> Modality:
        """Image."""
        return "image"

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return 704

    @property
    def fingerprint(self) -> str:
        """The version of these features."""
        return fingerprint_of("hsv-hog", version=1)

    def encode(self, catalog: Catalog) -> FloatArray:
        """Return the features of the pictures, (I, 704)."""
        return encode_present(catalog, self, self.encode_files)

    def encode_files(self, files: Sequence[Path]) -> FloatArray:
        """Return the features of B picture files, (B, 704)."""
        found = []
        for file in files:
            small = read_picture(file).resize((64, 64))
            colours = _colour_histogram(np.asarray(small.convert("HSV"), np.int64))
            edges = _gradient_histogram(np.asarray(small.convert("L"), np.float32))
            found.append(np.concatenate([_unit(np.sqrt(colours)), _unit(edges)]))
        return np.asarray(found, np.float32)


def _colour_histogram(hsv: np.ndarray) -> np.ndarray:
    """Return the shares of 8 x 4 x 4 bins of hue, saturation and value, (128,)."""
    hue, saturation, value = hsv[..., 0] // 32, hsv[..., 1] // 64, hsv[..., 2] // 64
    bins = (hue * 16 + saturation * 4 + value).ravel()
    return np.bincount(bins, minlength=128) / len(bins)


def _gradient_histogram(grey: np.ndarray) -> np.ndarray:
    """Return gradient strength by direction in 8 x 8 cells of a 64 x 64 picture, (576,)."""
    down, right = np.gradient(grey)
    strength = np.hypot(down, right)
    direction = (np.arctan2(down, right) % np.pi) / np.pi * 9
    low = np.floor(direction).astype(np.int64)
    share = direction - low
    rows, columns = np.indices(grey.shape) // 8
    cells = (rows * 8 + columns) * 9
    found = np.zeros(576)
    np.add.at(found, cells + low % 9, strength * (1 - share))
    np.add.at(found, cells + (low + 1) % 9, strength * share)
    cube = found.reshape(8, 8, 9)
    energy = np.pad((cube**2).sum(axis=2), 1, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(energy, (3, 3)).mean(axis=(2, 3))
    return (cube / np.sqrt(around + 1.0)[..., None]).ravel()


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), _TINY)


@dataclass(frozen=True)
class Mfcc:
    """Classical features, not pretrained: 20 mel-frequency cepstral coefficients.

    Mean and deviation over time of the coefficients, then of their change per frame: 80 numbers.

    Attributes:
        seconds: Only the first so many seconds of a sound are heard.
    """

    seconds: float = 30.0

    @property
    def modality(self) -> Modality:
        """Audio."""
        return "audio"

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return 80

    @property
    def fingerprint(self) -> str:
        """Options."""
        return fingerprint_of("mfcc", seconds=self.seconds, version=1)

    def encode(self, catalog: Catalog) -> FloatArray:
        """Return the features of the sounds, (I, 80)."""
        return encode_present(catalog, self, self.encode_files)

    def cut(self, catalog: Catalog) -> npt.NDArray[np.bool_]:
        """Return whose sound is longer than is heard, (I,)."""
        return longer_than(catalog.audio, self.seconds)

    def encode_files(self, files: Sequence[Path]) -> FloatArray:
        """Return the features of B sound files, (B, 80)."""
        from scipy.fft import dct

        found = []
        for file in files:
            power = mel_power(read_sound(file, 16_000, self.seconds), 16_000, 512, 256, 40)
            cepstra = dct(np.log(power + 1e-10), type=2, norm="ortho", axis=1)[:, :20]
            change = np.diff(cepstra, axis=0, prepend=cepstra[:1])
            parts = [part for line in (cepstra, change) for part in (line.mean(0), line.std(0))]
            found.append(np.concatenate(parts))
        return np.asarray(found, np.float32)
