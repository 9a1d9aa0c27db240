"""Pictures and sounds as files: quick checks, and reading them whole."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slategym.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 64_000_000  # a picture of 8,000 x 8,000; a larger one is refused unread


def picture_problem(path: Path) -> str | None:
    """Return what is wrong with a picture file in a few words, or None.

    Only the header is decoded, so a picture cut short can pass; reading it fails later.
    """
    from PIL import Image

    problem = _file_problem(path)
    if problem:
        return problem
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    return f"has {picture.width} x {picture.height} pixels, too many"
                picture.verify()
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        return f"has more than {MAX_PIXELS:,} pixels"
    except Exception:  # Pillow's decoders raise what they like on damaged bytes
        return "is not a picture"
    return None


def sound_problem(path: Path) -> str | None:
    """Return what is wrong with a sound file in a few words, or None."""
    import soundfile

    problem = _file_problem(path)
    if problem:
        return problem
    try:
        info = soundfile.info(str(path))
    except (RuntimeError, OSError):
        return "is not a sound"
    return None if info.frames > 0 else "is a sound without a single sample"


def _file_problem(path: Path) -> str | None:
    if not path.is_file():
        return "is a folder" if path.is_dir() else "does not exist"
    return "is empty" if path.stat().st_size == 0 else None


def read_picture(path: Path) -> "Image":
    """Return a picture in RGB, turned as its EXIF tag says, transparency laid on white.

    Raises:
        DataError: the file cannot be read as a picture.
    """
    from PIL import Image, ImageOps

    problem = picture_problem(path)
    if problem:
        raise DataError(f"the picture {path} {problem}.")
    try:
        with Image.open(path) as stored:
            # A transparent PNG has arbitrary colour where nothing shows.
            picture: Image.Image = ImageOps.exif_transpose(stored)
            if picture.has_transparency_data:
                shown = picture.convert("RGBA")
                ground = Image.new("RGBA", shown.size, "white")
                picture = Image.alpha_composite(ground, shown)
            return picture.convert("RGB")
    except Exception as error:  # as above: any exception means damaged bytes
        raise DataError(f"the picture {path} cannot be read: it is damaged ({error}).") from None


def longer_than(files: Sequence[Path | None], seconds: float) -> npt.NDArray[np.bool_]:
    """Return which sounds last longer than so many seconds, (I,)."""
    import soundfile

    found = np.zeros(len(files), np.bool_)
    for row, file in enumerate(files):
        if file is not None:
            info = soundfile.info(str(file))
            found[row] = info.frames > seconds * info.samplerate
    return found


def read_sound(path: Path, rate: int, seconds: float) -> npt.NDArray[np.float32]:
    """Return the first ``seconds`` of a sound as mono samples in [-1, 1] at ``rate`` per second.

    WAV, FLAC, OGG and MP3 are read. Channels are averaged.

    Raises:
        DataError: the file cannot be read as a sound, or holds samples that are not finite.
    """
    import soundfile
    from scipy.signal import resample_poly

    try:
        with soundfile.SoundFile(str(path)) as sound:
            own = int(sound.samplerate)
            samples = sound.read(int(seconds * own), dtype="float32", always_2d=True)
    except (RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(". ")
        raise DataError(f"the sound {path} cannot be read ({reason}).") from None
    if not len(samples):
        raise DataError(f"the sound {path} has no samples.")
    if not np.isfinite(samples).all():
        raise DataError(f"the sound {path} holds samples that are not finite numbers.")
    mono = samples.mean(axis=1)
    if own != rate:
        shared = int(np.gcd(own, rate))
        mono = resample_poly(mono, rate // shared, own // shared)
    return np.asarray(mono, np.float32)
