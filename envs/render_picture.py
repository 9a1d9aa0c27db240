"""A step as a picture: the slate with its items, what the user did, and what it was worth."""

import io
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from slategym.envs.render_text import fit, font, initials, width, wrap
from slategym.envs.render_view import NO_SLATE, Card, Gauge, SlateView, nothing_taken, signed

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

Picture = npt.NDArray[np.uint8]  # (H, W, 3)
Colour = tuple[int, int, int]

WIDTH = 900
_MARGIN, _GAP = 20, 12
_HEADER, _FOOTER = 74, 58
_COLUMNS, _ROWS, _WIDEST = 6, 3, 204
_TALL, _SHORT = 276, 212  # height of a card in one row, and in several

_PAPER: Colour = (247, 246, 242)
_WHITE: Colour = (255, 255, 255)
_LINE: Colour = (214, 211, 203)
_INK: Colour = (29, 32, 38)
_SOFT: Colour = (92, 97, 107)
_TAKEN: Colour = (16, 122, 76)
_TAKEN_PALE: Colour = (214, 238, 225)
_LOST: Colour = (176, 42, 48)
_TRACK: Colour = (226, 224, 217)
# Ten hues dark enough for white letters (contrast at least 4.5).
_HUES: tuple[Colour, ...] = (
    (43, 93, 158), (170, 74, 20), (38, 115, 77), (148, 52, 110), (108, 88, 24),
    (24, 112, 124), (158, 48, 60), (92, 74, 160), (84, 96, 108), (122, 82, 60),
)  # fmt: skip


class _Box(NamedTuple):
    left: int
    top: int
    right: int
    bottom: int

    @property
    def wide(self) -> int:
        return self.right - self.left

    def inset(self, by: int) -> "_Box":
        return _Box(self.left + by, self.top + by, self.right - by, self.bottom - by)


def shape_of(slots: int) -> tuple[int, int, int]:
    """Return the (H, W, 3) of the picture of a slate of ``slots`` places."""
    rows, _ = _grid(slots)
    card = _TALL if rows == 1 else _SHORT
    return _HEADER + rows * card + (rows - 1) * _GAP + _FOOTER + _GAP, WIDTH, 3


def draw_slate(view: SlateView) -> Picture:
    """Return the picture of a step, (H, W, 3) uint8 RGB, on a light ground.

    W is 900 pixels; H is 420 for up to six places and more for longer slates (`shape_of`). The
    first 18 places are drawn, and a line tells how many more there were. Equal views give equal
    bytes.
    """
    from PIL import Image, ImageDraw

    high, wide, _ = shape_of(len(view.cards))
    image = Image.new("RGB", (wide, high), _PAPER)
    pen = ImageDraw.Draw(image)
    pen.fontmode = "L"  # smooth letters, whatever the image's mode
    _draw_header(pen, view)
    if view.reward is None or not view.cards:
        middle = (WIDTH // 2, (_HEADER + high - _FOOTER) // 2)
        pen.text(middle, NO_SLATE, _SOFT, font(20), anchor="mm")
        return np.array(image)
    for place, box in enumerate(_boxes(len(view.cards))):
        _draw_card(image, pen, box, place, view.cards[place])
    _draw_footer(pen, view, high - _FOOTER)
    return np.array(image)


def _grid(slots: int) -> tuple[int, int]:
    """Return rows and columns of cards."""
    rows = min(max(-(-slots // _COLUMNS), 1), _ROWS)
    return rows, min(max(-(-slots // rows), 1), _COLUMNS)


def _boxes(slots: int) -> list[_Box]:
    """Return the card boxes in the order of the slate, each row centred."""
    rows, columns = _grid(slots)
    high = _TALL if rows == 1 else _SHORT
    wide = min((WIDTH - 2 * _MARGIN - (columns - 1) * _GAP) // columns, _WIDEST)
    left = (WIDTH - columns * wide - (columns - 1) * _GAP) // 2
    boxes = []
    for place in range(min(slots, rows * columns)):
        row, column = divmod(place, columns)
        x, y = left + column * (wide + _GAP), _HEADER + row * (high + _GAP)
        boxes.append(_Box(x, y, x + wide, y + high))
    return boxes


def _draw_header(pen: "ImageDraw", view: SlateView) -> None:
    """Write who it was and the context on the left, gauges on the right."""
    gauges = view.gauges[:3]
    right = WIDTH - _MARGIN
    for gauge in reversed(gauges):
        _draw_gauge(pen, gauge, right - 150)
        right -= 150 + _MARGIN
    room = right - _MARGIN
    face = font(21, bold=True)
    pen.text((_MARGIN, 12), fit(view.heading, face, room), _INK, face)
    small = font(14)
    pen.text((_MARGIN, 43), fit(" · ".join(view.facts), small, room), _SOFT, small)


def _draw_gauge(pen: "ImageDraw", gauge: Gauge, left: int) -> None:
    """Draw a labelled bar of 150 pixels at the top."""
    face, right = font(13), left + 150
    pen.text((right, 16), gauge.text, _INK, face, anchor="ra")
    room = 150 - width(gauge.text, face) - 8
    pen.text((left, 16), fit(gauge.label, face, room), _SOFT, face)
    _draw_bar(pen, _Box(left, 40, right, 50), gauge.value, _HUES[0])


def _draw_bar(pen: "ImageDraw", box: _Box, value: float, colour: Colour) -> None:
    """Draw a horizontal bar filled to ``value`` of its width."""
    filled = round(box.wide * min(max(float(value), 0.0), 1.0))
    pen.rectangle((box.left, box.top, box.right - 1, box.bottom - 1), fill=_TRACK)
    if filled:
        pen.rectangle((box.left, box.top, box.left + filled - 1, box.bottom - 1), fill=colour)


def _draw_card(image: "Image", pen: "ImageDraw", box: _Box, place: int, card: Card | None) -> None:
    """Draw one place of the slate."""
    frame = (box.left, box.top, box.right - 1, box.bottom - 1)
    if card is None:
        pen.rectangle(frame, outline=_LINE, width=1)
        middle = ((box.left + box.right) // 2, (box.top + box.bottom) // 2)
        pen.text(middle, "empty", _SOFT, font(15), anchor="mm")
        return
    pen.rectangle(frame, fill=_WHITE, outline=_LINE, width=1)
    inner = box.inset(3)
    high = (box.bottom - box.top) * (46 if box.bottom - box.top == _TALL else 40) // 100
    top = _Box(inner.left, inner.top, inner.right, inner.top + high)
    _draw_picture(image, pen, top, card)
    _draw_badge(pen, top, place)
    foot = _draw_outcome(pen, inner, card)
    _draw_words(pen, _Box(inner.left + 6, top.bottom + 7, inner.right - 6, foot - 4), card)
    if card.taken:
        pen.rectangle(frame, outline=_TAKEN, width=3)


def _draw_picture(image: "Image", pen: "ImageDraw", box: _Box, card: Card) -> None:
    """Draw the item's picture whole on its colour, or its initials where there is none."""
    hue = _HUES[card.group % len(_HUES)]
    size = (box.wide, box.bottom - box.top)
    picture = _decoded(card.picture, size) if card.picture is not None else None
    pen.rectangle((box.left, box.top, box.right - 1, box.bottom - 1), fill=hue)
    if picture is not None:
        left = box.left + (size[0] - picture.width) // 2
        image.paste(picture, (left, box.top + (size[1] - picture.height) // 2))
        return
    middle = ((box.left + box.right) // 2, (box.top + box.bottom) // 2)
    pen.text(middle, initials(card.title), _WHITE, font(size[1] * 2 // 5, bold=True), anchor="mm")


def _decoded(data: bytes, size: tuple[int, int]) -> "Image | None":
    """Return a picture scaled to fit into ``size``; None if it cannot be read."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data)) as opened:
            return ImageOps.contain(opened.convert("RGB"), size)
    except (OSError, ValueError, SyntaxError):  # Pillow raises each of them for damaged data
        return None


def _draw_badge(pen: "ImageDraw", box: _Box, place: int) -> None:
    """Write the place in the slate, counted from one, in the picture's corner."""
    text, face = str(place + 1), font(13, bold=True)
    wide = max(round(width(text, face)) + 10, 20)
    pen.rectangle((box.left, box.top, box.left + wide - 1, box.top + 19), fill=_INK)
    pen.text((box.left + wide // 2, box.top + 10), text, _WHITE, face, anchor="mm")


def _draw_outcome(pen: "ImageDraw", box: _Box, card: Card) -> int:
    """Draw what came of the item at the foot of its card and return where that begins."""
    face = font(12, bold=True)
    lines = wrap(card.outcome, face, box.wide - 12, 3) if card.outcome else []
    if not lines:
        return box.bottom
    bar = 7 if card.share is not None else 0
    top = box.bottom - 16 * len(lines) - 8 - bar
    pen.rectangle(
        (box.left, top, box.right - 1, box.bottom - 1), fill=_TAKEN_PALE if card.taken else _PAPER
    )
    for number, line in enumerate(lines):
        where = (box.left + 6, top + 4 + 16 * number)
        pen.text(where, line, _TAKEN if card.taken else _SOFT, face)
    if card.share is not None:
        track = _Box(box.left, box.bottom - bar, box.right, box.bottom)
        _draw_bar(pen, track, card.share, _TAKEN if card.taken else _SOFT)
    return top


def _draw_words(pen: "ImageDraw", box: _Box, card: Card) -> None:
    """Write title, facts and score into the room between the picture and the outcome."""
    small, large = font(12), font(14, bold=True)
    room = box.bottom - box.top
    score = [] if card.score is None else [(f"score {signed(card.score)}", small, _INK, 16)]
    title = wrap(card.title, large, box.wide, 3)
    # The title's second line before the second of the facts; its third only where all fits.
    spare = room + 3 - 16 * (len(score) + bool(card.facts))
    title = wrap(card.title, large, box.wide, min(len(title), max(spare // 18, 1)))
    left = (room - 18 * len(title) - 16 * len(score)) // 16
    facts = wrap(" · ".join(card.facts), small, box.wide, min(left, 3)) if left > 0 else []
    lines = [(line, large, _INK, 18) for line in title]
    lines += [(line, small, _SOFT, 16) for line in facts]
    y = box.top
    for text, face, colour, step in lines + score:
        if y + step > box.bottom + 3:
            return
        pen.text((box.left, y), text, colour, face)
        y += step


def _draw_footer(pen: "ImageDraw", view: SlateView, top: int) -> None:
    """Write the reward with its terms, and how the step ended."""
    left, right, middle = _MARGIN, WIDTH - _MARGIN, top + 24
    ending, face = _ending(view), font(14, bold=True)
    if ending:
        text = fit(ending, face, 300)
        wide = round(width(text, face)) + 20
        colour = _LOST if view.ending else _SOFT
        pen.rectangle((right - wide, middle - 14, right - 1, middle + 13), fill=colour)
        pen.text((right - wide // 2, middle), text, _WHITE, face, anchor="mm")
        right -= wide + _MARGIN
    large = font(19, bold=True)
    total = f"reward {signed(view.reward or 0.0)}"
    pen.text((left, middle), total, _INK, large, anchor="lm")
    left += round(width(total, large)) + _MARGIN
    small = font(14)
    told = " · ".join(f"{name} {signed(value)}" for name, value in view.terms if value)
    pen.text((left, middle), fit(told, small, right - left), _SOFT, small, anchor="lm")


def _ending(view: SlateView) -> str:
    """Return the words of the label at the lower right."""
    if view.ending:
        return view.ending
    hidden = len(view.cards) - len(_boxes(len(view.cards)))
    if hidden:
        return f"and {hidden} more items"
    return "nothing was taken" if nothing_taken(view) else ""
