"""Music of the demo: a band of the theme plays in the mood, tempo and sound of the era."""

import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slategym.cf_baselines.synthetic_instruments import (
    PLACES,
    SAMPLE_RATE,
    VOICES,
    Sound,
    add,
    burst,
    frequency_of,
    play,
    thump,
)
from slategym.cf_baselines.synthetic_traits import Traits

SECONDS = 4.0
_LENGTH = int(SAMPLE_RATE * SECONDS)


@dataclass(frozen=True)
class Band:
    """Who plays for a theme."""

    lead: str
    support: str
    register: int  # MIDI note of the lead's tonic
    drum: str  # kind of percussion
    drum_level: float
    place: str  # background sound
    place_level: float


BANDS = {
    "sea": Band("harp", "accordion", 60, "none", 0.0, "surf", 0.22),
    "space": Band("glass", "pad", 72, "none", 0.0, "hum", 0.12),
    "forest": Band("flute", "harp", 72, "none", 0.0, "birds", 0.22),
    "city": Band("brass", "electric bass", 58, "kit", 0.8, "none", 0.0),
    "desert": Band("oud", "reed", 52, "frame drum", 0.7, "none", 0.0),
    "kitchen": Band("marimba", "xylophone", 67, "shaker", 0.35, "clinks", 0.18),
    "mountain": Band("horn", "strings", 53, "none", 0.0, "wind", 0.25),
    "railway": Band("harmonica", "guitar", 64, "train", 0.7, "none", 0.0),
    "garden": Band("music box", "pizzicato", 76, "none", 0.0, "bees", 0.10),
    "library": Band("piano", "piano", 57, "clock", 0.25, "none", 0.0),
}

_SCALES = {  # semitones above the tonic
    "calm": (0, 2, 4, 7, 9),
    "joyful": (0, 2, 4, 5, 7, 9, 11),
    "melancholy": (0, 2, 3, 5, 7, 8, 10),
    "tense": (0, 1, 3, 5, 6, 8, 11),
    "dreamy": (0, 2, 4, 6, 7, 9, 11),
    "fierce": (0, 2, 3, 5, 7, 8, 11),
}
_DESERT_SCALE = (0, 1, 4, 5, 7, 8, 10)
_CHORDS = {  # degrees of the scale on which the harmony of each bar stands
    "calm": (0, 3),
    "joyful": (0, 3, 4, 0),
    "melancholy": (0, 5, 3, 0),
    "tense": (0, 1),
    "dreamy": (0, 1, 4),
    "fierce": (0, 5, 4, 0),
}
_LOUDNESS = {  # RMS of the finished piece, full scale = 1
    "calm": 0.07,
    "joyful": 0.12,
    "melancholy": 0.08,
    "tense": 0.10,
    "dreamy": 0.085,
    "fierce": 0.16,
}


def _degree(scale: Sequence[int], step: int) -> int:
    """Return the semitones of the scale's ``step``-th note; steps go on over octaves."""
    octave, place = divmod(step, len(scale))
    return 12 * octave + scale[place]


def _melody(track: Sound, traits: Traits, band: Band, rng: np.random.Generator) -> None:
    """Write the lead's tune: a walk over the scale, dense when the piece is quick."""
    scale = _DESERT_SCALE if traits.theme == "desert" else _SCALES[traits.mood]
    beat = 60 / traits.bpm
    lengths = {  # of its notes, beats
        "calm": (1, 2),
        "joyful": (0.5, 0.5, 1),
        "melancholy": (1, 1, 2),
        "tense": (0.5, 0.5, 1.5),
        "dreamy": (1, 1, 2),
        "fierce": (0.5, 0.5, 0.25),
    }[traits.mood]
    reach = {"calm": 1, "melancholy": 1, "tense": 2, "dreamy": 3, "joyful": 2, "fierce": 3}
    step, start = int(rng.integers(0, 5)), 0.0
    while start < SECONDS - 0.1:
        length = beat * lengths[int(rng.integers(len(lengths)))]
        note = band.register + _degree(scale, step)
        add(track, start, play(band.lead, note, length + 0.15, rng), 0.5)
        step = int(np.clip(step + rng.integers(-reach[traits.mood], reach[traits.mood] + 1), -3, 9))
        start += length


def _harmony(track: Sound, traits: Traits, band: Band, rng: np.random.Generator) -> None:
    """Write chords of the support: held by sustained voices, broken by plucked ones."""
    scale = _DESERT_SCALE if traits.theme == "desert" else _SCALES[traits.mood]
    beat = 60 / traits.bpm
    degrees = _CHORDS[traits.mood]
    plucked = VOICES[band.support].decay > 0
    base = band.register - (24 if band.support == "electric bass" else 12)
    for bar, start in enumerate(np.arange(0, SECONDS, 2 * beat)):
        root = degrees[bar % len(degrees)]
        chord = [base + _degree(scale, root + step) for step in (0, 2, 4)]
        if not plucked:
            for note in chord:
                add(track, float(start), play(band.support, note, 2 * beat, rng), 0.16)
            continue
        for k in range(4):
            note = chord[(0, 2, 1, 2)[k]]
            add(track, float(start) + k * beat / 2, play(band.support, note, beat, rng), 0.34)


def _pulse(track: Sound, traits: Traits, band: Band) -> None:
    """Mark the beat with a low note, so that every piece can be counted."""
    scale = _DESERT_SCALE if traits.theme == "desert" else _SCALES[traits.mood]
    beat = 60 / traits.bpm
    degrees = _CHORDS[traits.mood]
    level = {"calm": 0.30, "melancholy": 0.30, "dreamy": 0.25, "joyful": 0.45, "tense": 0.5}
    for count, start in enumerate(np.arange(0, SECONDS, beat)):
        note = band.register - 12 + _degree(scale, degrees[count // 2 % len(degrees)])
        note -= 12 * max((note - 36) // 12, 0)  # into the octave above 36
        time = np.arange(int(min(beat, 0.5) * SAMPLE_RATE), dtype=np.float32) / SAMPLE_RATE
        tone = np.sin(2 * np.pi * frequency_of(note) * time) + 0.4 * np.sin(
            4 * np.pi * frequency_of(note) * time
        )
        sound = (tone * np.minimum(time / 0.004, 1) * np.exp(-time / 0.12)).astype(np.float32)
        add(track, float(start), sound, level.get(traits.mood, 0.7) * (1 if count % 2 else 1.3))


def _drums(kind: str, beat: float, rng: np.random.Generator) -> Sound:
    """Return the percussion of the whole piece, in eighths of the beat's tempo."""
    track = np.zeros(_LENGTH, dtype=np.float32)
    if kind == "none":
        return track
    hits: dict[str, tuple[tuple[Sound, str, float], ...]] = {
        # sound, pattern over eight eighth-notes, level
        "kit": (
            (thump(60, 0.3), "x...x.x.", 0.9),
            (burst(0.2, rng, 800, 6000), "..x...x.", 0.22),
            (burst(0.06, rng, 5000, 8000), "x.xxx.xx", 0.12),
        ),
        "frame drum": (
            (thump(85, 0.35), "x..x..x.", 0.8),
            (thump(210, 0.12), ".xx.xx.x", 0.35),
        ),
        "shaker": ((burst(0.07, rng, 3500, 8000), "xxxxxxxx", 0.3),),
        "train": (
            (burst(0.14, rng, 150, 1800), "xxx.xxx.", 0.22),
            (thump(70, 0.2), "x...x...", 0.5),
        ),
        "clock": ((burst(0.03, rng, 1800, 5000), "x...x...", 0.5),),
    }
    # A clock ticks by itself; everyone else keeps the beat.
    eighth = 0.125 if kind == "clock" else beat / 2
    for count, start in enumerate(np.arange(0, SECONDS, eighth)):
        for sound, pattern, level in hits[kind]:
            if pattern[count % 8] == "x":
                add(track, float(start), sound, level * float(rng.uniform(0.8, 1.0)))
    return track


def _band_pass(sound: Sound, low: float, high: float) -> Sound:
    spectrum = np.fft.rfft(sound)
    frequencies = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    gain = 1 / (1 + (frequencies / high) ** 6)
    gain *= 1 - 1 / (1 + (frequencies / low) ** 4)
    return np.fft.irfft(spectrum * gain, len(sound)).astype(np.float32)


def _age(sound: Sound, era: str, rng: np.random.Generator) -> Sound:
    """Return the piece as a recording of its era would sound."""
    if era == "1930s":  # a shellac disc: narrow, with crackle
        crackle = np.where(rng.random(_LENGTH) < 0.0008, rng.uniform(-0.3, 0.3, _LENGTH), 0)
        return _band_pass(sound + crackle.astype(np.float32), 250, 3200)
    if era == "1960s":  # a small studio: tape echo, no top
        echoed = sound.copy()
        for delay, level in ((0.11, 0.35), (0.22, 0.15)):
            shift = int(delay * SAMPLE_RATE)
            echoed[shift:] += level * sound[:-shift]
        return _band_pass(echoed, 80, 5000)
    if era == "1980s":  # chorus and hiss
        time = np.arange(_LENGTH)
        late = time - 160 - (64 * np.sin(2 * np.pi * 0.8 * time / SAMPLE_RATE)).astype(np.int64)
        chorus = 0.7 * sound[np.clip(late, 0, None)]
        return sound + chorus + 0.006 * rng.standard_normal(_LENGTH).astype(np.float32)
    if era == "2000s":  # loud mastering
        return np.tanh(2.0 * sound).astype(np.float32)
    return sound


def synthesise(traits: Traits, rng: np.random.Generator) -> Sound:
    """Return four seconds of music, mono at 16 kHz, inside [-0.95, 0.95]."""
    band = BANDS[traits.theme]
    track = np.zeros(_LENGTH, dtype=np.float32)
    _melody(track, traits, band, rng)
    _harmony(track, traits, band, rng)
    _pulse(track, traits, band)
    track += band.drum_level * _drums(band.drum, 60 / traits.bpm, rng)
    if band.place != "none":
        track += band.place_level * PLACES[band.place](SECONDS, rng)
    if traits.mood == "fierce" and band.drum == "none":
        track += 0.5 * _drums("frame drum", 60 / traits.bpm, rng)
    track = _age(track, traits.era, rng)
    fade = int(0.04 * SAMPLE_RATE)
    track[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
    track[-4 * fade :] *= np.linspace(1, 0, 4 * fade, dtype=np.float32)
    level = _LOUDNESS[traits.mood] / (np.sqrt(np.mean(track**2)) + 1e-9)
    # A soft knee instead of clipping: peaks bend, nothing is cut flat.
    return (0.95 * np.tanh(track * level / 0.95)).astype(np.float32)


def save_sound(sound: Sound, path: Path) -> None:
    """Write a sound as 16-bit mono WAV."""
    samples = np.round(np.clip(sound, -1, 1) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(SAMPLE_RATE)
        stream.writeframes(samples.tobytes())
