"""Pictures and sounds are read the same whatever they are stored as; features are what they say."""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import soundfile
from PIL import Image

from slategym.encoders.base import make_encoder
from slategym.encoders.image import prepare
from slategym.encoders.media import read_picture, read_sound, sound_problem
from slategym.encoders.musicnn import TAGS, mel_filters, mel_power, patches
from slategym.encoders.weights import ensure_weights
from slategym.errors import DataError, MissingModelError


def tone(pitch: float, seconds: float, rate: int) -> npt.NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * pitch * np.arange(int(seconds * rate)) / rate)


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3"])
def test_every_kind_of_sound_is_read_as_mono_at_the_rate_asked_for(
    kind: str, tmp_path: Path
) -> None:
    file = tmp_path / f"a.{kind}"
    soundfile.write(file, np.stack([tone(440, 1.0, 44100)] * 2, axis=1), 44100)
    samples = read_sound(file, 16000, 30.0)
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(16000, abs=1200)  # mp3 pads at its ends
    strongest = np.abs(np.fft.rfft(samples)).argmax() * 16000 / len(samples)
    assert strongest == pytest.approx(440, abs=3)


def test_a_long_sound_is_cut(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440, 5.0, 8000), 8000)
    assert len(read_sound(tmp_path / "a.wav", 16000, 2.0)) == 32000


def test_a_sound_that_is_none_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    assert sound_problem(tmp_path / "empty.wav") == "is a sound without a single sample"
    soundfile.write(tmp_path / "nan.wav", np.array([0, np.nan]), 8000, subtype="FLOAT")
    with pytest.raises(DataError, match=r"nan\.wav holds samples that are not finite"):
        read_sound(tmp_path / "nan.wav", 8000, 1.0)


def test_every_kind_of_picture_becomes_rgb_and_transparency_white(tmp_path: Path) -> None:
    for mode in ("1", "L", "P", "LA", "RGBA", "CMYK", "I;16"):
        file = tmp_path / f"{mode.replace(';', '')}.{'tiff' if mode == 'CMYK' else 'png'}"
        Image.new(mode, (6, 4)).save(file)
        assert read_picture(file).mode == "RGB"
    Image.new("RGBA", (6, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert read_picture(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)


def test_a_picture_is_turned_as_its_tag_says(tmp_path: Path) -> None:
    tag = Image.Exif()
    tag[0x0112] = 6
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg", exif=tag)
    assert read_picture(tmp_path / "a.jpg").size == (4, 6)


def test_a_picture_cut_short_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"a\.jpg cannot be read: it is damaged"):
        read_picture(tmp_path / "a.jpg")


def test_the_middle_square_of_a_poster_is_seen() -> None:
    poster = Image.new("RGB", (96, 144), "black")
    poster.paste((255, 255, 255), (0, 0, 96, 12))  # a white strip at the very top
    pixels = prepare(poster, 224)
    assert pixels.shape == (3, 224, 224)
    np.testing.assert_allclose(pixels, (0 - 127) / 128)
    white = prepare(Image.new("RGB", (300, 200), "white"), 224)
    np.testing.assert_allclose(white, (255 - 127) / 128)


def test_a_tone_excites_the_mel_band_around_it() -> None:
    power = mel_power(tone(1000, 1.0, 16000).astype(np.float32), 16000, 512, 256, 96)
    assert power.shape == (63, 96)
    filters = mel_filters(16000, 512, 96)
    centre = filters[power.mean(axis=0).argmax()].argmax() * 16000 / 512
    assert centre == pytest.approx(1000, abs=40)


@pytest.mark.parametrize(("seconds", "count"), [(0.01, 1), (1.0, 1), (3.1, 1), (6.5, 2)])
def test_a_sound_is_cut_into_patches_of_three_seconds(seconds: float, count: int) -> None:
    mel = patches(tone(440, seconds, 16000).astype(np.float32))
    assert mel.shape == (count, 187, 96)
    assert mel.max() > 0


def files_of(data: Path, archive: str, tmp_path: Path, names: Sequence[str]) -> list[Path]:
    with zipfile.ZipFile(data / archive) as packed:
        for name in names:
            packed.extract(name, tmp_path)
    return [tmp_path / name for name in names]


def neighbour_accuracy(vectors: npt.NDArray[np.float32], labels: Sequence[str], k: int) -> float:
    """The share of items whose label wins among their k nearest by cosine, themselves left out."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2)
    near = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
    found = np.asarray(labels)[near]
    votes = [pd.Series(row).value_counts(sort=False) for row in found]
    won = [
        next(name for name in row if v[name] == v.max())
        for row, v in zip(found, votes, strict=True)
    ]
    return float(np.mean(np.asarray(won) == np.asarray(labels)))


def weighted(name: str) -> None:
    try:
        ensure_weights(name)
    except MissingModelError as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_efficientnet_tells_clothes_apart_and_better_than_colours_and_edges(
    data_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    weighted("efficientnet-lite0")
    folder = data_dir("clothing_cc0")
    table = pd.read_csv(folder / "items.csv").groupby("label").head(20)
    files = files_of(folder, "images.zip", tmp_path, table["image"].tolist())

    def accuracy(name: str) -> float:
        encoder = make_encoder(name, modality="image")
        parts = [encoder.encode_files(files[at : at + 20]) for at in range(0, len(files), 20)]
        return neighbour_accuracy(np.concatenate(parts), table["label"].tolist(), 5)

    # 10 kinds, 20 pictures each. On all 500 pictures 0.76; 0.73 with the whole squeezed square.
    pretrained = accuracy("efficientnet-lite0")
    assert pretrained > 0.62
    assert 0.15 < accuracy("hsv-hog") < pretrained - 0.2


@pytest.mark.slow
def test_musicnn_tells_sounds_apart_and_better_than_cepstra(
    data_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    weighted("musicnn")
    folder = data_dir("audio_clips_cc0")
    table = pd.read_csv(folder / "items.csv")
    table = table[table.groupby("category")["category"].transform("size") >= 8]
    files = files_of(folder, "clips.zip", tmp_path, [f"{name}.flac" for name in table["clip"]])

    def accuracy(name: str) -> float:
        vectors = make_encoder(name, modality="audio").encode_files(files)
        standard = (vectors - vectors.mean(axis=0)) / (vectors.std(axis=0) + 1e-6)
        return neighbour_accuracy(standard, table["category"].tolist(), 1)

    cepstra = accuracy("mfcc")
    assert cepstra > 0.45  # the commonest of 11 kinds alone gives 0.15
    assert accuracy("musicnn") > cepstra + 0.05


def test_musicnn_hears_a_struck_string_as_a_string_and_not_as_a_voice(tmp_path: Path) -> None:
    """Karplus and Strong (1983): noise that goes round a damped delay line sounds plucked."""
    import torch

    weighted("musicnn")
    rng = np.random.default_rng(0)
    played = []
    for delay in (109, 97, 86, 73, 65, 73):
        line = rng.uniform(-0.5, 0.5, delay)
        note = np.empty(8000)
        for at in range(8000):
            note[at] = line[at % delay]
            line[at % delay] = 0.498 * (line[at % delay] + line[(at + 1) % delay])
        played.append(note)
    soundfile.write(tmp_path / "string.wav", np.concatenate(played), 16000)
    encoder = make_encoder("musicnn")
    mel = patches(read_sound(tmp_path / "string.wav", 16000, 30.0))
    with torch.inference_mode():
        network = encoder._network
        odds = network.logits(network(torch.from_numpy(mel))).mean(dim=0).numpy()
    tags = dict(zip(TAGS, odds.tolist(), strict=True))
    strings = max(tags[name] for name in ("guitar", "harp", "sitar", "harpsichord", "strings"))
    voices = max(tags[name] for name in ("vocal", "singing", "male voice", "female voice"))
    assert strings > voices + 1
