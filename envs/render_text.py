"""Text in pictures: fonts that are installed with the library, wrapping, and cutting to a width."""

import importlib.util
import re
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont
    from PIL.ImageFont import ImageFont as BitmapFont

    Font = FreeTypeFont | BitmapFont

ELLIPSIS = "…"
_YEAR = re.compile(r"^\d{4}\)?$")


@lru_cache(maxsize=1)
def _font_folder() -> Path | None:
    """Return the folder of DejaVu Sans that matplotlib brings, without importing matplotlib."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "mpl-data" / "fonts" / "ttf"
    return folder if (folder / "DejaVuSans-Bold.ttf").is_file() else None


@lru_cache(maxsize=32)
def font(size: int, *, bold: bool = False) -> "Font":
    """Return a font of ``size`` pixels that is the same on every machine.

    DejaVu Sans (Latin, Greek, Cyrillic, and more) where matplotlib is installed; else Pillow's
    own, which has plain ASCII only.
    """
    from PIL import ImageFont

    folder = _font_folder()
    if folder is None:
        return ImageFont.load_default(size=size)
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    # The basic layout, so that it does not depend on an optional shaping library.
    return ImageFont.truetype(str(folder / name), size=size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=4096)
def _has(character: str) -> bool:
    """Return whether the font draws a character as itself and not as a box."""
    if character == " " or character.isascii():
        return True
    face = font(16)
    return bytes(face.getmask(character)) != bytes(face.getmask("\uffff"))


@lru_cache(maxsize=4096)
def drawable(text: str) -> str:
    r"""Return ``text`` with what the font lacks written in plain letters, or ``?`` if it has none.

    Line breaks and other control characters become spaces.

    Example:
        >>> drawable("two\nlines")
        'two lines'
    """
    drawn = []
    for character in text:
        if unicodedata.category(character).startswith("C"):
            drawn.append(" " if character.isspace() else "")
        elif _has(character):
            drawn.append(character)
        else:
            plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
            drawn.append(plain or "?")
    return " ".join("".join(drawn).split())


def width(text: str, face: "Font") -> float:
    """Return the width of one line in pixels."""
    return float(face.getlength(text))


def fit(text: str, face: "Font", limit: float) -> str:
    """Return ``text``, cut with an ellipsis if it is wider than ``limit`` pixels."""
    text = drawable(text)
    if width(text, face) <= limit:
        return text
    mark = drawable(ELLIPSIS)
    low, high = 0, len(text)  # the longest prefix that fits lies in [low, high]
    while low < high:
        middle = (low + high + 1) // 2
        if width(text[:middle].rstrip() + mark, face) <= limit:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + mark


def wrap(text: str, face: "Font", limit: float, lines: int) -> list[str]:
    """Return at most ``lines`` lines, each at most ``limit`` pixels wide.

    A word wider than a line is broken; what does not fit is replaced by an ellipsis.
    """
    rest = drawable(text).split(" ")
    made: list[str] = []
    while rest and rest[0] and len(made) < lines - 1:
        made.append(_take_line(rest, face, limit))
    if rest and rest[0]:
        made.append(fit(" ".join(rest), face, limit))
    return made


def _take_line(rest: list[str], face: "Font", limit: float) -> str:
    """Move the words of one line out of ``rest``; a first word too wide is split."""
    line = rest.pop(0)
    if width(line, face) > limit:
        kept = len(line)
        while kept > 1 and width(line[:kept], face) > limit:
            kept -= 1
        if line[kept:]:
            rest.insert(0, line[kept:])
        return line[:kept]
    while rest and width(f"{line} {rest[0]}", face) <= limit:
        line = f"{line} {rest.pop(0)}"
    return line


def initials(title: str) -> str:
    """Return up to two capital letters or digits that stand for a title.

    Example:
        >>> initials("the Godfather (1972)"), initials("document 3"), initials("...")
        ('TG', 'D3', '?')
    """
    words = [word for word in drawable(title).replace("(", " ").split() if word[0].isalnum()]
    plain = [word for word in words if not _YEAR.match(word)] or words
    return "".join(word[0].upper() for word in plain[:2]) or "?"
