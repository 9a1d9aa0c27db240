"""An episode as one animated GIF."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from slategym.envs.render_picture import Picture
from slategym.errors import UsageError
from slategym.files import write_atomic

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST = 3_000_000  # bytes: what a mail or a README will bear
# Tried in turn until the file is small enough: colours, and the scale of the picture.
_TRIES = ((128, 1.0), (64, 1.0), (64, 0.75), (32, 0.5), (16, 0.35))


def save_gif(
    frames: Sequence[Picture], path: str | Path, fps: float = 2.0, *, largest: int = LARGEST
) -> Path:
    """Write frames as a GIF that repeats for ever, whole or not at all, and return its path.

    One palette serves all frames, so that what does not change costs nothing. Where the file
    would be larger than ``largest``, colours and then size are reduced. The last frame stays
    three times as long.

    Args:
        frames: T pictures (H, W, 3) uint8, all of one shape, as ``env.render()`` returns them.
        path: the file, named ``.gif``.
        fps: frames per second, in [0.1, 50].
        largest: bytes aimed at.

    Raises:
        UsageError: no frames, frames of different or wrong shapes, another file ending, or a
            rate out of range.
    """
    target = Path(path)
    _check(frames, target, fps)
    data = b""
    for colours, scale in _TRIES:
        data = _encoded(frames, colours, scale, fps)
        if len(data) <= largest:
            break

    def write(temporary: Path) -> None:
        temporary.write_bytes(data)

    write_atomic(target, write)
    return target


def _check(frames: Sequence[Picture], path: Path, fps: float) -> None:
    """Refuse what cannot become a GIF."""
    if len(frames) == 0:
        raise UsageError("a GIF needs at least one frame; got none: render after each step.")
    if path.suffix.lower() != ".gif":
        raise UsageError(f"{path} must be named .gif; it is an animated GIF.")
    if not 0.1 <= fps <= 50:
        raise UsageError(f"fps is {fps!r}; it must be in [0.1, 50] frames per second.")
    first = np.asarray(frames[0])
    for number, frame in enumerate(frames):
        given = np.asarray(frame)
        if given.dtype != np.uint8 or given.ndim != 3 or given.shape[2] != 3:
            raise UsageError(
                f"frame {number} is {given.dtype} of shape {given.shape}; frames are uint8 "
                "(H, W, 3), as render_mode='rgb_array' gives."
            )
        if given.shape != first.shape:
            raise UsageError(
                f"frame {number} has shape {given.shape}, frame 0 {first.shape}; "
                "frames of one GIF are of one size."
            )


def _encoded(frames: Sequence[Picture], colours: int, scale: float, fps: float) -> bytes:
    """Return the bytes of a GIF with so many colours at that scale."""
    from PIL import Image

    images = list(_scaled(frames, scale))
    palette = _sample(images).quantize(colors=colours)
    # Without dithering: areas of one colour stay so, and compress.
    indexed = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    shown = round(1000 / fps)
    buffer = io.BytesIO()
    indexed[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=indexed[1:],
        duration=[*[shown] * (len(indexed) - 1), 3 * shown],
        loop=0,
        optimize=False,
    )
    return buffer.getvalue()


def _scaled(frames: Sequence[Picture], scale: float) -> Iterator["Image"]:
    from PIL import Image

    for frame in frames:
        image = Image.fromarray(np.asarray(frame))
        if scale != 1.0:
            size = (round(image.width * scale), round(image.height * scale))
            image = image.resize(size, Image.Resampling.LANCZOS)
        yield image


def _sample(images: "Sequence[Image]") -> "Image":
    """Return a picture of up to eight frames, spread evenly, to choose a palette from."""
    from PIL import Image

    chosen = images[:: max(len(images) // 8, 1)][:8]
    wide, high = chosen[0].size
    sheet = Image.new("RGB", (wide, high * len(chosen)))
    for row, image in enumerate(chosen):
        sheet.paste(image, (0, row * high))
    return sheet
