"""musicnn (Pons and Serra 2019), the tagger trained on MagnaTagATune, in torch."""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

FloatArray = npt.NDArray[np.float32]

DIM = 1506  # mean and maximum over time of 753 channels
RATE = 16_000  # samples per second
FRAMES = 187  # spectrogram frames of one patch: 3 seconds
_HOP, _FFT, _MELS = 256, 512, 96
# Timbral filters (kernel: frames x bands), then temporal ones; channels of each.
_FRONT = ((7, 38, 204), (7, 67, 204), (128, 1, 51), (64, 1, 51), (32, 1, 51))
_TAGS = """guitar|classical|slow|techno|strings|drums|electronic|rock|fast|piano|ambient|beat
violin|vocal|synth|female|indian|opera|male|singing|vocals|no vocals|harpsichord|loud|quiet|flute
woman|male vocal|no vocal|pop|soft|sitar|solo|man|classic|choir|voice|new age|dance|male voice
female vocal|beats|harp|cello|no voice|weird|country|metal|female voice|choral"""
TAGS = tuple(_TAGS.replace("\n", "|").split("|"))


def mel_filters(rate: int, fft: int, bands: int) -> FloatArray:
    """Return the area-normalised triangular filters of Slaney's mel scale, (bands, fft/2 + 1).

    Slaney (1998), Auditory Toolbox: linear below 1,000 Hz, then 27 steps per factor of 6.4.
    """
    step, knee = 200 / 3, 1000.0
    log_step = np.log(6.4) / 27

    def to_mel(hertz: float) -> float:
        return hertz / step if hertz < knee else knee / step + np.log(hertz / knee) / log_step

    mels = np.linspace(0.0, to_mel(rate / 2), bands + 2)
    edges = np.where(
        mels < knee / step, mels * step, knee * np.exp(log_step * (mels - knee / step))
    )
    bins = np.linspace(0, rate / 2, fft // 2 + 1)
    width = np.diff(edges)
    ramps = edges[:, None] - bins
    rising, falling = -ramps[:-2] / width[:-1, None], ramps[2:] / width[1:, None]
    filters = np.maximum(0, np.minimum(rising, falling))
    return np.asarray(filters * (2 / (edges[2:] - edges[:-2]))[:, None], np.float32)


_filters = lru_cache(maxsize=4)(mel_filters)


def mel_power(samples: FloatArray, rate: int, fft: int, hop: int, bands: int) -> FloatArray:
    """Return the mel power spectrogram of a sound, (frames, bands); frames are centred."""
    long = len(samples) > fft // 2
    padded = np.pad(samples, fft // 2, mode="reflect" if long else "constant")
    padded = np.pad(padded, (0, max(0, fft - len(padded))))
    window = np.hanning(fft + 1)[:-1].astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, fft)[::hop]
    power = np.abs(np.fft.rfft(frames * window, axis=1)).astype(np.float32) ** 2
    return np.asarray(power @ _filters(rate, fft, bands).T, np.float32)


def patches(samples: FloatArray) -> FloatArray:
    """Return the network's input for a sound at 16 kHz: log-mel patches (P, 187, 96), P >= 1.

    A sound shorter than three seconds is followed by silence; what is left over after the last
    whole patch of a longer one is dropped, as the authors do.
    """
    power = mel_power(samples, RATE, _FFT, _HOP, _MELS)
    log = np.log10(10000 * power + 1)
    log = np.pad(log, ((0, max(0, FRAMES - len(log))), (0, 0)))
    count = len(log) // FRAMES
    return np.asarray(log[: count * FRAMES].reshape(count, FRAMES, _MELS), np.float32)


def rename_weights(
    tensors: Mapping[str, npt.NDArray[np.generic]],
) -> dict[str, "torch.Tensor"]:
    """Return the TensorFlow variables as the state of the module here.

    TensorFlow numbers its layers in order of creation and keeps kernels as (height, width, in,
    out), torch as (out, in, height, width).
    """
    import torch

    parts = {"gamma": "weight", "beta": "bias", "kernel": "weight", "bias": "bias"}
    parts |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    kinds = {"batch_normalization": "norms", "conv2d": "convs", "dense": "denses"}
    state = {}
    for name, value in tensors.items():
        layer, _, part = name.partition("/")
        kind, _, number = layer.rpartition("_") if layer[-1].isdigit() else (layer, "", "0")
        if layer == "conv2d":
            kind, number = "conv2d", "0"
        if kind not in kinds or part not in parts:
            continue  # the optimiser's moments, step counters
        array = np.array(value, np.float32)
        if part == "kernel":
            array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
        state[f"{kinds[kind]}.{number}.{parts[part]}"] = torch.from_numpy(array.copy())
    return state


def build() -> Any:  # noqa: ANN401
    """Return the network as a ``torch.nn.Module``: patches (B, 187, 96) to (B, 1506).

    The output is the maximum, then the mean over time of all 753 channels; ``logits`` gives the
    50 tags from it. Its weights are random until a state is loaded: callers load one, strictly.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    class MusiCNN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            front = sum(channels for *_, channels in _FRONT)
            convs = [nn.Conv2d(1, channels, (time, bands)) for time, bands, channels in _FRONT]
            convs += [nn.Conv2d(1, 64, (7, width)) for width in (front, 64, 64)]
            self.convs = nn.ModuleList(convs)
            planes = [1, *(channels for *_, channels in _FRONT), 64, 64, 64]
            norms: list[nn.Module] = [nn.BatchNorm2d(width, eps=1e-3) for width in planes]
            norms += [nn.BatchNorm1d(width, eps=1e-3) for width in (DIM, 200)]
            self.norms = nn.ModuleList(norms)
            self.denses = nn.ModuleList([nn.Linear(DIM, 200), nn.Linear(200, len(TAGS))])

        def forward(self, mel: torch.Tensor) -> torch.Tensor:
            x = self.norms[0](mel[:, None])  # (B, 1, T, 96)
            padded = functional.pad(x, (0, 0, 3, 3))
            found = []
            for number, (time, bands, _) in enumerate(_FRONT):
                # Temporal kernels are even: TensorFlow's "same" puts the odd frame at the end.
                ends = (0, 0, (time - 1) // 2, time - 1 - (time - 1) // 2)
                seen = padded if bands > 1 else functional.pad(x, ends)
                plane = self.norms[number + 1](functional.relu(self.convs[number](seen)))
                found.append(plane.amax(dim=3))  # (B, channels, T)
            front = torch.cat(found, dim=1)  # (B, 561, T)
            first = self.middle(front, 5)
            second = self.middle(first, 6) + first
            third = self.middle(second, 7) + second
            time_line = torch.cat([front, first, second, third], dim=1)  # (B, 753, T)
            return torch.cat([time_line.amax(dim=2), time_line.mean(dim=2)], dim=1)

        def middle(self, channels: torch.Tensor, number: int) -> torch.Tensor:
            plane = functional.pad(channels.transpose(1, 2)[:, None], (0, 0, 3, 3))
            return self.norms[number + 1](functional.relu(self.convs[number](plane)))[..., 0]

        def logits(self, pooled: torch.Tensor) -> torch.Tensor:
            # The authors interleave: (maximum, mean) of channel 0, of channel 1, ...
            mixed = pooled.reshape(-1, 2, DIM // 2).transpose(1, 2).flatten(1)
            hidden = functional.relu(self.denses[0](self.norms[9](mixed)))
            return self.denses[1](self.norms[10](hidden))

    return MusiCNN().eval()
