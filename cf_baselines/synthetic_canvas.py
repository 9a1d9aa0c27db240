"""A small canvas with a palette: the drawing tools that the demo's poster scenes share."""

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

WIDTH, HEIGHT = 320, 480  # drawn twice as large as stored, so that halving smooths the edges


@dataclass(frozen=True)
class Palette:
    """Colours of one poster, from the theme and tinted by the mood."""

    sky: Colour  # top of the background
    low: Colour  # background at the horizon
    far: Colour
    mid: Colour
    near: Colour
    subject: Colour  # main figure
    accent: Colour  # small bright parts
    light: Colour  # sun, lamp, window


_THEME_COLOURS = {  # sky, low, far, mid, near, subject, accent, light
    "sea": "5aa9d6 cfe8ee 3f86b0 2a6c9a 174a73 f4efe2 d9483b fff3c4",
    "space": "0a0b2a 2b1f57 4a3a86 6a4fa3 120f33 d8dbe8 f0783c fff2b8",
    "forest": "a9cfa0 e6efc9 6f9f6b 3d7445 1e4a2c 6b4528 e0b13f fff7cf",
    "city": "2f3f66 e59a6c 5a5f80 3a4060 1f2438 14172a f4c63d ffe08a",
    "desert": "7fc0d8 f8dfae e8b872 d89a50 b9743a 4b7a4a b8402c fff1b0",
    "kitchen": "f2d7b0 f9e9cf e2b98c c98f5f a5633a d9653b 5f9a56 fff6dc",
    "mountain": "4f86c0 d5e6f2 9ab3cd 6a86a6 3d5470 f7f9fc d64b3a fff4d2",
    "railway": "8f97a6 d9cdb8 7d8078 5c5a52 3c3833 2b2c33 b8352e ffdf8c",
    "garden": "9fd6ea eaf6d8 a5d078 6cb04f 3d7f38 e85a8a f6c233 fff6c0",
    "library": "4b2f22 8a5c38 6d4428 573420 39210f e9dcc0 2f7a5a ffdf9a",
}
_MOOD_TINT = {  # tint, how much of it, saturation factor, brightness factor
    "calm": ("bcd4d6", 0.22, 0.75, 1.06),
    "joyful": ("ffd34d", 0.20, 1.25, 1.10),
    "melancholy": ("46597a", 0.38, 0.60, 0.78),
    "tense": ("3a0d16", 0.42, 1.05, 0.66),
    "dreamy": ("c792e0", 0.38, 0.95, 1.02),
    "fierce": ("e8401c", 0.36, 1.35, 0.92),
}


def hex_colour(text: str) -> Colour:
    """Return the colour of six hexadecimal digits."""
    return int(text[0:2], 16), int(text[2:4], 16), int(text[4:6], 16)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour that is ``share`` (in [0, 1]) of ``second`` and the rest of ``first``."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def shade(colour: Colour, factor: float) -> Colour:
    """Return the colour made darker (factor < 1) or lighter (factor > 1)."""
    if factor <= 1:
        return mix((0, 0, 0), colour, factor)
    return mix(colour, (255, 255, 255), min(factor - 1, 1))


def draw_palette(theme: str, mood: str, rng: np.random.Generator) -> Palette:
    """Return the palette of a theme under a mood, with a hue of its own for every item."""
    tint, share, saturation, brightness = _MOOD_TINT[mood]
    shift = float(rng.uniform(-0.035, 0.035))
    colours = []
    for position, text in enumerate(_THEME_COLOURS[theme].split()):
        # The figures (last three) keep more of their own colour, to stand out.
        force = 1.0 if position < 5 else 0.35
        hue, full, value = colorsys.rgb_to_hsv(*(part / 255 for part in hex_colour(text)))
        rgb = colorsys.hsv_to_rgb(
            (hue + shift) % 1,
            min(full * (1 + force * (saturation - 1)), 1),
            min(value * (1 + force * (brightness - 1)), 1),
        )
        base = (round(rgb[0] * 255), round(rgb[1] * 255), round(rgb[2] * 255))
        colours.append(mix(base, hex_colour(tint), share * force))
    return Palette(*colours)


class Canvas:
    """A picture being drawn, in fractions: x and radii of its width, y of its height."""

    def __init__(self, palette: Palette, rng: np.random.Generator) -> None:
        self.palette = palette
        self.rng = rng
        self.image = Image.new("RGB", (WIDTH, HEIGHT), palette.low)
        self.draw = ImageDraw.Draw(self.image)

    def uniform(self, low: float, high: float) -> float:
        """Return a number between ``low`` and ``high``."""
        return float(self.rng.uniform(low, high))

    def chance(self, odds: float) -> bool:
        """Return true with the given probability."""
        return bool(self.rng.random() < odds)

    def choose(self, count: int) -> int:
        """Return a number in [0, count)."""
        return int(self.rng.integers(count))

    def sky(self, top: Colour, bottom: Colour, until: float = 1.0) -> None:
        """Fill from the top down to ``until`` with a vertical gradient."""
        rows = max(int(HEIGHT * until), 1)
        share = np.linspace(0, 1, rows)[:, None]
        column = (np.array(top) * (1 - share) + np.array(bottom) * share).astype(np.uint8)
        block = np.broadcast_to(column[:, None, :], (rows, WIDTH, 3))
        self.image.paste(Image.fromarray(np.ascontiguousarray(block)), (0, 0))

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
        """Lay a soft light around a point."""
        across = (np.arange(WIDTH) / WIDTH - x)[None, :]
        down = ((np.arange(HEIGHT) / HEIGHT - y) * HEIGHT / WIDTH)[:, None]
        alpha = strength * np.exp(-(across**2 + down**2) / radius**2)
        mask = Image.fromarray((255 * alpha).astype(np.uint8))
        self.image.paste(Image.new("RGB", self.image.size, colour), (0, 0), mask)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Draw a filled circle."""
        self.oval(x, y, radius, radius, colour)

    def oval(self, x: float, y: float, wide: float, high: float, colour: Colour) -> None:
        """Draw a filled ellipse; both half axes are in widths."""
        px, py = x * WIDTH, y * HEIGHT
        rx, ry = wide * WIDTH, high * WIDTH
        self.draw.ellipse((px - rx, py - ry, px + rx, py + ry), fill=colour)

    def ring(self, x: float, y: float, radius: float, colour: Colour, thick: int = 3) -> None:
        """Draw a circle's outline."""
        px, py, r = x * WIDTH, y * HEIGHT, radius * WIDTH
        self.draw.ellipse((px - r, py - r, px + r, py + r), outline=colour, width=thick)

    def poly(self, points: Sequence[Point], colour: Colour) -> None:
        """Draw a filled polygon."""
        self.draw.polygon([(x * WIDTH, y * HEIGHT) for x, y in points], fill=colour)

    def line(self, points: Sequence[Point], colour: Colour, thick: int = 3) -> None:
        """Draw a line through points; its width is in drawn pixels."""
        self.draw.line(
            [(x * WIDTH, y * HEIGHT) for x, y in points], fill=colour, width=thick, joint="curve"
        )

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Draw a filled rectangle."""
        self.draw.rectangle(
            (left * WIDTH, top * HEIGHT, right * WIDTH, bottom * HEIGHT), fill=colour
        )

    def around(
        self, x: float, y: float, size: float, shape: Sequence[Point], colour: Colour
    ) -> None:
        """Draw a polygon given in units of ``size`` widths around a point, y down."""
        self.poly([(x + px * size, y + py * size * WIDTH / HEIGHT) for px, py in shape], colour)

    def ridge(self, base: float, height: float, colour: Colour, rough: float = 0.5) -> list[Point]:
        """Fill everything below a hilly line and return the line.

        Args:
            base: height of the line's mean, fraction from the top.
            height: how far it swings.
            colour: of the hills.
            rough: weight of the short waves against the long ones, in [0, 1].
        """
        xs = np.linspace(-0.02, 1.02, 60)
        ys = np.full_like(xs, base)
        for octave in range(1, 5):
            swing = height * rough ** (octave - 1) / octave
            ys += swing * np.sin(2 * math.pi * (octave * xs * 0.9 + self.rng.random()))
        crest = [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]
        self.poly([*crest, (1.02, 1.05), (-0.02, 1.05)], colour)
        return crest

    def stars(self, count: int, until: float, colour: Colour) -> None:
        """Scatter small stars down to the height ``until``."""
        for x, y, size in self.rng.random((count, 3)):
            self.disc(float(x), float(y) * until, 0.002 + 0.005 * float(size) ** 3, colour)

    def sun(self, x: float, y: float, radius: float) -> None:
        """Draw the palette's light as a glowing disc."""
        self.glow(x, y, radius * 3, self.palette.light, 0.55)
        self.disc(x, y, radius, self.palette.light)
