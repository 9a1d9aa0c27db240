"""The instruments of the demo's music: voices from stored periods, drums, and sounds of places."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Sound = npt.NDArray[np.float32]

SAMPLE_RATE = 16_000  # samples per second
_TABLE = 2048  # samples of one stored period


@dataclass(frozen=True)
class Voice:
    """An instrument: its partials at first and later in a note, how it swells and dies."""

    start: tuple[float, ...]  # amplitudes of harmonics 1, 2, ... at the attack
    settled: tuple[float, ...]  # the same later in the note
    attack: float  # seconds until full
    decay: float  # seconds until a plucked note has lost 63 % (0: it is sustained)
    vibrato: float = 0.0  # depth, semitones
    breath: float = 0.0  # share of noise


VOICES = {
    "harp": Voice((1, 0.5, 0.3, 0.2, 0.1), (1, 0.2, 0.05), 0.004, 0.7),
    "accordion": Voice((1, 0.7, 0.8, 0.5, 0.5, 0.3), (1, 0.7, 0.8, 0.5, 0.5, 0.3), 0.05, 0, 0.12),
    "pad": Voice((1, 0.5, 0.33, 0.25, 0.2, 0.16), (1, 0.4, 0.2, 0.1), 0.5, 0, 0.1),
    "glass": Voice((1, 0, 0, 0.6, 0, 0, 0.4), (1, 0, 0, 0.2), 0.003, 0.9),
    "flute": Voice((1, 0.25, 0.08), (1, 0.35, 0.1), 0.06, 0, 0.25, 0.10),
    "brass": Voice((1, 0.6, 0.4, 0.2), (1, 0.9, 0.8, 0.6, 0.5, 0.4, 0.3), 0.04, 0, 0.05),
    "electric bass": Voice((1, 0.7, 0.4, 0.2), (1, 0.3, 0.05), 0.006, 0.5),
    "oud": Voice((1, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2), (1, 0.4, 0.2), 0.003, 0.28),
    "reed": Voice((1, 0.1, 0.8, 0.1, 0.5, 0.1, 0.3), (1, 0.1, 0.7, 0.1, 0.4), 0.04, 0, 0.35, 0.03),
    "marimba": Voice((1, 0, 0, 0.5), (1, 0, 0, 0.02), 0.002, 0.16),
    "xylophone": Voice((1, 0, 0.6, 0, 0, 0.4), (1, 0, 0.05), 0.001, 0.10),
    "horn": Voice((1, 0.6, 0.3, 0.1), (1, 0.7, 0.45, 0.25, 0.1), 0.12, 0, 0.05),
    "strings": Voice((1, 0.6, 0.4, 0.35, 0.3, 0.2), (1, 0.6, 0.45, 0.35, 0.3, 0.2), 0.15, 0, 0.2),
    "harmonica": Voice(
        (1, 0.9, 0.5, 0.6, 0.3, 0.4), (1, 0.9, 0.5, 0.6, 0.3, 0.4), 0.04, 0, 0.2, 0.04
    ),
    "guitar": Voice((1, 0.7, 0.5, 0.3, 0.2, 0.1), (1, 0.4, 0.1), 0.004, 0.45),
    "music box": Voice((1, 0, 0.4, 0, 0.3), (1, 0, 0.1), 0.001, 0.5),
    "pizzicato": Voice((1, 0.5, 0.4, 0.2), (1, 0.1), 0.004, 0.12),
    "piano": Voice((1, 0.6, 0.35, 0.25, 0.15, 0.1), (1, 0.35, 0.12, 0.05), 0.004, 0.8),
}


def clock(seconds: float) -> Sound:
    """Return the moments of the samples in a stretch of time, seconds."""
    return np.arange(int(seconds * SAMPLE_RATE), dtype=np.float32) / np.float32(SAMPLE_RATE)


def add(track: Sound, start: float, sound: Sound, level: float) -> None:
    """Mix a sound into a track at ``start`` seconds; what lies past the end is cut."""
    first = int(start * SAMPLE_RATE)
    if first < len(track):
        room = min(len(sound), len(track) - first)
        track[first : first + room] += level * sound[:room]


@lru_cache(maxsize=4096)
def _tables(voice: str, note: int) -> tuple[Sound, Sound]:
    """Return one period of the voice at the attack and later, without partials above 7.5 kHz."""
    frequency = frequency_of(note)
    angle = 2 * np.pi * np.arange(_TABLE) / _TABLE
    periods = []
    for partials in (VOICES[voice].start, VOICES[voice].settled):
        period = np.zeros(_TABLE)
        for harmonic, amplitude in enumerate(partials, start=1):
            if amplitude and harmonic * frequency < 7500:
                period += amplitude * np.sin(harmonic * angle)
        periods.append((period / np.sum(partials)).astype(np.float32))
    return periods[0], periods[1]


def frequency_of(note: float) -> float:
    """Return the frequency of a MIDI note, hertz."""
    return float(440.0 * 2 ** ((note - 69) / 12))


def play(voice: str, note: int, seconds: float, rng: np.random.Generator) -> Sound:
    """Return one note at full loudness."""
    kind = VOICES[voice]
    count = max(int(seconds * SAMPLE_RATE), 64)
    time = np.arange(count, dtype=np.float32) / SAMPLE_RATE
    phase = frequency_of(note) * time
    if kind.vibrato:
        depth = frequency_of(note) * (2 ** (kind.vibrato / 12) - 1) / (2 * np.pi * 5.5)
        phase = phase + depth * np.sin(2 * np.pi * 5.5 * time)
    index = (phase * _TABLE).astype(np.int64) % _TABLE
    bright, mellow = _tables(voice, note)
    settled = 1 - np.exp(-time / (0.12 if kind.decay else 0.25))
    sound = bright[index] * (1 - settled) + mellow[index] * settled
    if kind.breath:
        sound = sound + kind.breath * rng.standard_normal(count).astype(np.float32)
    swell = np.minimum(time / kind.attack, 1)
    if kind.decay:
        swell = swell * np.exp(-time / kind.decay)
    release = np.minimum((seconds - time) / 0.03, 1).clip(0)
    return (sound * swell * release).astype(np.float32)


def noise(seconds: float, rng: np.random.Generator, low: float, high: float) -> Sound:
    """Return noise between two frequencies (hertz), with RMS 1."""
    count = int(seconds * SAMPLE_RATE)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequencies = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    spectrum[(frequencies < low) | (frequencies > high)] = 0
    samples = np.fft.irfft(spectrum, count)
    return (samples / (np.sqrt(np.mean(samples**2)) + 1e-9)).astype(np.float32)


def thump(frequency: float, seconds: float) -> Sound:
    """Return a drum skin: a tone that falls and dies."""
    time = np.arange(int(seconds * SAMPLE_RATE), dtype=np.float32) / SAMPLE_RATE
    phase = frequency * (time + 0.02 * (1 - np.exp(-time / 0.03)))
    return (np.sin(2 * np.pi * phase) * np.exp(-time / (seconds / 4))).astype(np.float32)


def burst(seconds: float, rng: np.random.Generator, low: float, high: float) -> Sound:
    """Return a short noise that dies: a cymbal, a shaker, a puff of steam."""
    hiss = noise(seconds, rng, low, high)
    return hiss * np.exp(-np.arange(len(hiss)) / (len(hiss) / 5)).astype(np.float32)


def _chirp(rng: np.random.Generator) -> Sound:
    time = np.arange(int(0.09 * SAMPLE_RATE), dtype=np.float32) / SAMPLE_RATE
    base, rise = rng.uniform(2600, 4200), rng.uniform(-9000, 9000)
    tone = np.sin(2 * np.pi * (base * time + rise * time**2))
    return (tone * np.sin(np.pi * time / 0.09) ** 2).astype(np.float32)


def _swell(seconds: float, period: float, rng: np.random.Generator) -> Sound:
    """Return a slow rise and fall between 0 and 1."""
    time = clock(seconds)
    return (0.5 + 0.5 * np.sin(2 * np.pi * time / period + rng.uniform(0, 2 * np.pi))).astype(
        np.float32
    )


def _surf(seconds: float, rng: np.random.Generator) -> Sound:
    waves = 0.15 + 0.85 * _swell(seconds, 2.6, rng) ** 2
    return 0.3 * noise(seconds, rng, 200, 4000) * waves


def _wind(seconds: float, rng: np.random.Generator) -> Sound:
    return 0.3 * noise(seconds, rng, 250, 900) * (0.4 + 0.6 * _swell(seconds, 3.1, rng))


def _hum(seconds: float, rng: np.random.Generator) -> Sound:
    low = np.sin(2 * np.pi * 55 * clock(seconds))
    beating = np.sin(2 * np.pi * rng.uniform(82, 84) * clock(seconds))
    return (0.5 * low + 0.3 * beating).astype(np.float32)


def _bees(seconds: float, rng: np.random.Generator) -> Sound:
    wobble = 210 * clock(seconds) + 3 * _swell(seconds, 0.8, rng)
    return (np.sign(np.sin(2 * np.pi * wobble)) * _swell(seconds, 2.5, rng)).astype(np.float32)


def _birds(seconds: float, rng: np.random.Generator) -> Sound:
    track = np.zeros(len(clock(seconds)), dtype=np.float32)
    for start in rng.uniform(0, seconds - 0.6, size=4):
        call = _chirp(rng)
        for repeat in range(int(rng.integers(2, 5))):
            add(track, float(start) + 0.13 * repeat, call, 0.6)
    return track


def _clinks(seconds: float, rng: np.random.Generator) -> Sound:
    track = np.zeros(len(clock(seconds)), dtype=np.float32)
    time = clock(0.2)
    for start in rng.uniform(0, seconds - 0.3, size=5):
        ring = np.sin(2 * np.pi * rng.uniform(2500, 4500) * time) * np.exp(-time / 0.05)
        add(track, float(start), ring.astype(np.float32), 0.7)
    return track


PLACES: dict[str, Callable[[float, np.random.Generator], Sound]] = {
    "surf": _surf,
    "wind": _wind,
    "hum": _hum,
    "bees": _bees,
    "birds": _birds,
    "clinks": _clinks,
}
