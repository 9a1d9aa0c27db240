"""Posters of the demo: a scene of the theme, coloured by mood, set in the style of its era."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps

from slategym.cf_baselines.synthetic_canvas import (
    HEIGHT,
    WIDTH,
    Canvas,
    Colour,
    draw_palette,
    mix,
    shade,
)
from slategym.cf_baselines.synthetic_scenes_green import draw_forest, draw_garden, draw_mountain
from slategym.cf_baselines.synthetic_scenes_indoor import draw_kitchen, draw_library
from slategym.cf_baselines.synthetic_scenes_open import draw_desert, draw_sea, draw_space
from slategym.cf_baselines.synthetic_scenes_town import draw_city, draw_railway
from slategym.cf_baselines.synthetic_traits import Traits

POSTER_SIZE = (160, 240)  # pixels, width by height

SCENES: dict[str, Callable[[Canvas], None]] = {
    "sea": draw_sea,
    "space": draw_space,
    "forest": draw_forest,
    "city": draw_city,
    "desert": draw_desert,
    "kitchen": draw_kitchen,
    "mountain": draw_mountain,
    "railway": draw_railway,
    "garden": draw_garden,
    "library": draw_library,
}

_CREAM: Colour = (243, 234, 212)


def draw_poster(title: str, traits: Traits, rng: np.random.Generator) -> Image.Image:
    """Return the poster of an item, 160 by 240 pixels, RGB."""
    canvas = Canvas(draw_palette(traits.theme, traits.mood, rng), rng)
    SCENES[traits.theme](canvas)
    if canvas.chance(0.5):
        canvas.image = ImageOps.mirror(canvas.image)
    picture = _ERA_STYLES[traits.era](canvas, title, traits)
    return picture.resize(POSTER_SIZE, Image.Resampling.LANCZOS)


def save_poster(poster: Image.Image, path: Path) -> None:
    """Write a poster as PNG without any metadata, so that equal pictures are equal bytes."""
    Image.fromarray(np.asarray(poster)).save(path, format="PNG", compress_level=6)


def _wrap(title: str, font: ImageFont.FreeTypeFont, room: float) -> list[str]:
    lines: list[str] = []
    for word in title.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= room:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(word)
    return lines


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType; the demo's posters need it.")
    return font


def _fit(title: str, room: float, tallest: int, height: float) -> tuple[list[str], int]:
    """Return the title's lines and the largest size at which they fit the room."""
    for size in range(tallest, 16, -2):
        font = _font(size)
        lines = _wrap(title, font, room)
        widest = max(font.getlength(line) for line in lines)
        if widest <= room and len(lines) * size * 1.12 <= height:
            return lines, size
    return _wrap(title, _font(16), room), 16


def _letter(
    picture: Image.Image,
    title: str,
    area: tuple[float, float, float, float],
    colour: Colour,
    *,
    tallest: int = 52,
    align: str = "centre",
    edge: Colour | None = None,
) -> None:
    """Write the title into an area (left, top, right, bottom in drawn pixels)."""
    left, top, right, bottom = area
    lines, size = _fit(title, right - left, tallest, bottom - top)
    font, draw = _font(size), ImageDraw.Draw(picture)
    y = top + (bottom - top - len(lines) * size * 1.12) / 2
    for line in lines:
        spare = right - left - font.getlength(line)
        x = left + (spare / 2 if align == "centre" else 0)
        # The embedded font has one weight; a stroke of its own colour makes it bold.
        if edge is not None:
            draw.text((x, y), line, font=font, fill=edge, stroke_width=5, stroke_fill=edge)
        draw.text((x, y), line, font=font, fill=colour, stroke_width=1, stroke_fill=colour)
        y += size * 1.12


def _small(
    picture: Image.Image,
    text: str,
    y: float,
    colour: Colour,
    size: int = 17,
    edge: Colour | None = None,
) -> None:
    font, draw = _font(size), ImageDraw.Draw(picture)
    x = (WIDTH - font.getlength(text)) / 2
    if edge is not None:
        draw.text((x, y), text, font=font, fill=edge, stroke_width=4, stroke_fill=edge)
    draw.text((x, y), text, font=font, fill=colour)


def _fade(picture: Image.Image, colour: Colour, start: float, strength: float) -> None:
    """Darken the bottom of the picture, where the title will stand."""
    ramp = np.clip((np.arange(HEIGHT) / HEIGHT - start) / (1 - start), 0, 1) ** 0.6
    mask = np.broadcast_to((255 * strength * ramp).astype(np.uint8)[:, None], (HEIGHT, WIDTH))
    picture.paste(
        Image.new("RGB", picture.size, colour), (0, 0), Image.fromarray(np.ascontiguousarray(mask))
    )


def _grain(picture: Image.Image, rng: np.random.Generator, amount: float) -> Image.Image:
    pixels = np.asarray(picture).astype(np.float32)
    coarse = rng.standard_normal((HEIGHT // 2, WIDTH // 2, 1)).astype(np.float32) * amount
    noisy = pixels + coarse.repeat(2, axis=0).repeat(2, axis=1)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def _framed(scene: Image.Image, border: Colour, panel: int) -> Image.Image:
    """Put the upper part of a scene on a card, leaving ``panel`` pixels free below it."""
    margin = 16
    inner = (WIDTH - 2 * margin, HEIGHT - margin - panel)
    card = Image.new("RGB", (WIDTH, HEIGHT), border)
    scale = inner[0] / WIDTH
    shrunk = scene.resize((inner[0], round(HEIGHT * scale)), Image.Resampling.BILINEAR)
    top = min(24, shrunk.height - inner[1])
    card.paste(shrunk.crop((0, top, inner[0], top + inner[1])), (margin, margin))
    return card


def _style_1930s(canvas: Canvas, title: str, traits: Traits) -> Image.Image:
    grey = ImageOps.autocontrast(ImageOps.grayscale(canvas.image), cutoff=1)
    sepia = ImageOps.colorize(grey, (34, 22, 14), (250, 236, 204), (150, 112, 74))
    toned = Image.blend(canvas.image, sepia, 0.72)
    card = _framed(_grain(toned, canvas.rng, 11), (236, 222, 190), 124)
    ink = (58, 36, 24)
    ImageDraw.Draw(card).rectangle((8, 8, WIDTH - 9, HEIGHT - 9), outline=ink, width=2)
    _letter(card, title.upper(), (24, 366, WIDTH - 24, 442), ink, tallest=44)
    _small(card, f"{traits.form}  ·  {traits.year}", 444, ink)
    return card


def _style_1960s(canvas: Canvas, title: str, traits: Traits) -> Image.Image:
    flat = ImageOps.posterize(canvas.image, 3)
    bold = Image.blend(canvas.image, flat, 0.75)
    panel = mix(canvas.palette.accent, _CREAM, 0.15)
    dark = sum(panel) < 400
    card = _framed(bold, _CREAM, 122)
    ImageDraw.Draw(card).rectangle((0, HEIGHT - 116, WIDTH, HEIGHT), fill=panel)
    ink = _CREAM if dark else (36, 28, 30)
    _letter(card, title.lower(), (20, 370, WIDTH - 16, 450), ink, tallest=54, align="left")
    _small(card, f"a {traits.mood} {traits.form} of {traits.year}", 452, ink, 16)
    return card


def _style_1980s(canvas: Canvas, title: str, traits: Traits) -> Image.Image:
    pixels = np.asarray(canvas.image).astype(np.float32)
    grey = pixels.mean(axis=2, keepdims=True)
    vivid = np.clip(grey + (pixels - grey) * 1.45, 0, 255)
    vivid[::4] *= 0.80  # scan lines
    picture = Image.fromarray(vivid.astype(np.uint8))
    _fade(picture, (24, 6, 46), 0.62, 0.92)
    neon = ((255, 84, 190), (70, 232, 255), (255, 226, 80))[canvas.choose(3)]
    area = (14.0, 366.0, WIDTH - 14.0, 450.0)
    halo = Image.new("RGB", picture.size)
    _letter(halo, title.upper(), area, neon, tallest=50, edge=shade(neon, 0.45))
    picture = ImageChops.screen(picture, halo.filter(ImageFilter.BoxBlur(6)))
    _letter(picture, title.upper(), area, mix(neon, (255, 255, 255), 0.35), tallest=50)
    _small(picture, f"{traits.year}", 452, neon)
    return picture


def _style_2000s(canvas: Canvas, title: str, traits: Traits) -> Image.Image:
    across = np.linspace(-1, 1, WIDTH)[None, :, None]
    down = np.linspace(-1, 1, HEIGHT)[:, None, None]
    vignette = 1 - 0.42 * np.clip(across**2 * 0.8 + down**2 * 0.7 - 0.25, 0, 1)
    pixels = np.asarray(canvas.image).astype(np.float32) * vignette
    pixels = 128 + (pixels - 128) * 1.08
    picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    _fade(picture, (10, 14, 20), 0.66, 0.9)
    _letter(picture, title, (24, 372, WIDTH - 24, 440), (248, 246, 240), tallest=44)
    ImageDraw.Draw(picture).line((90, 444, WIDTH - 90, 444), fill=(220, 214, 200), width=2)
    _small(picture, f"{traits.form}   {traits.year}".upper(), 450, (220, 214, 200), 14)
    return picture


def _style_2020s(canvas: Canvas, title: str, traits: Traits) -> Image.Image:
    picture = canvas.image
    band = shade(canvas.palette.near, 0.55)
    _fade(picture, band, 0.68, 0.96)
    _letter(
        picture,
        title,
        (20, 362, WIDTH - 20, 462),
        (255, 252, 244),
        tallest=58,
        align="left",
        edge=band,
    )
    note = f"{traits.mood}  /  {traits.form}"
    _small(picture, note, 14, mix(band, (255, 255, 255), 0.9), 17, edge=band)
    return picture


_ERA_STYLES: dict[str, Callable[[Canvas, str, Traits], Image.Image]] = {
    "1930s": _style_1930s,
    "1960s": _style_1960s,
    "1980s": _style_1980s,
    "2000s": _style_2000s,
    "2020s": _style_2020s,
}
