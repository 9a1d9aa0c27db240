"""How figures look and how they are saved: one drawing, as PNG, SVG, and SVG for the report."""

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from slategym.files import write_atomic, write_text

# In the report's SVG these become CSS variables, so that a figure follows the page's theme.
INK, MUTED, GRID, PAPER = "#1b1d23", "#6a7080", "#e3e5ea", "#fefefd"
_THEMED = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--line)", PAPER: "var(--card)"}

# Legible on white and on near-black, told apart by lightness too (after Okabe and Ito 2008).
_KNOWN = {
    "random": "#8b909b",
    "popularity": "#b5852a",
    "quality": "#8a6d4b",
    "threshold": "#7a8f2e",
    "sequence": "#4f6d7a",
    "cf-greedy": "#3b82c4",
    "cf-mmr": "#1a9b8a",
    "cf-dpp": "#2f6f9f",
    "cf-calibrated": "#5c7fd6",
    "cf-rested": "#5f9e3a",
    "linucb": "#c77a9b",
    "oracle-myopic": "#9a7bd0",
    "ppo": "#d9482b",
    "supervised": "#8c5a2b",
    "kale": "#5f9e3a",
    "choc": "#8a6d4b",
    "myopic": "#c77a9b",
    "planner": "#3b82c4",
    "ratio": "#1a9b8a",
    "prior": "#b5852a",
    "bayes": "#3b82c4",
    "oracle:optimal": "#9a7bd0",
    "oracle:ratio": "#9a7bd0",
    "oracle:oracle_affinity": "#9a7bd0",
}
_AGENTS = ("#d9482b", "#c2479b", "#e08a1e", "#a83246")
MARKERS = "osD^vPX*<>"

_STYLE: Any = {  # Matplotlib's type lists every key there is
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "svg.fonttype": "path",
    "svg.hashsalt": "slategym",
}


@dataclass(frozen=True)
class Drawing:
    """A saved figure.

    Attributes:
        name: file name without its ending.
        title: what it shows, one line.
        caption: how to read it.
        svg: markup to put into a page: themed, without width, ids of its own.
    """

    name: str
    title: str
    caption: str
    svg: str


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the house style for the length of a ``with`` block."""
    with mpl.rc_context(_STYLE):
        yield


def canvas(width: float = 5.6, height: float = 3.5) -> tuple[Figure, Axes]:
    """Return a figure of that size in inches with one pair of axes, bound to no window."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def colours(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each policy name; the same name has the same colour everywhere."""
    free = iter(_AGENTS * (len(names) // len(_AGENTS) + 1))
    return {name: _KNOWN[name] if name in _KNOWN else next(free) for name in names}


def save(figure: Figure, folder: Path, name: str, title: str, caption: str) -> Drawing:
    """Write ``name.png`` and ``name.svg`` and return the figure for the page."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # settled once, not again for each format
    write_atomic(
        folder / f"{name}.png",
        lambda path: figure.savefig(path, format="png", dpi=160, facecolor="white"),
    )
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    write_text(folder / f"{name}.svg", svg.replace("<svg ", '<svg style="background: white" ', 1))
    return Drawing(name, title, caption, _for_page(svg, name, title))


def _for_page(svg: str, name: str, title: str) -> str:
    """Return the markup of an SVG file made fit for standing among others in a page."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    opening, rest = body.split(">", 1)
    opening = re.sub(r'\s(?:width|height|version)="[^"]*"', "", opening)
    rest = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', rest)
    rest = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', rest)
    rest = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", rest)
    # The global rule that Matplotlib writes would reach every other drawing of the page.
    rest = re.sub(r"<style[^>]*>.*?</style>", "", rest, flags=re.DOTALL)
    for colour, variable in _THEMED.items():
        rest = rest.replace(colour, variable)
    safe = title.replace("&", "&amp;").replace("<", "&lt;")
    return f'{opening} class="plot" role="img"><title>{safe}</title>{rest}'.strip()


def place_labels(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    texts: Sequence[str],
    tints: Sequence[str],
    lines: Sequence[tuple[float, float, float, float]] = (),
) -> list[Annotation]:
    """Write a label beside each point so that none is clipped or covers another or a point.

    Places around a point are tried from near to far; the first free one inside the axes is
    taken, else the one that collides least.

    Args:
        axes: with its final limits.
        points: data coordinates.
        texts: a label for each point.
        tints: a colour for each label.
        lines: upright or level lines to keep clear of, as x0, y0, x1, y1 in data coordinates.
    """
    figure = axes.figure
    figure.canvas.draw()  # settles the layout before measuring
    frame = axes.get_window_extent()
    pixels = figure.dpi / 72.0
    dots = [axes.transData.transform(point) for point in points]
    half = 6.0 * pixels
    taken = [Bbox.from_extents(x - half, y - half, x + half, y + half) for x, y in dots]
    for x0, y0, x1, y1 in lines:
        ends = axes.transData.transform([(x0, y0), (x1, y1)])
        taken.append(Bbox(ends).padded(1.5 * pixels))
    labels = []
    for point, (x, y), text, tint in zip(points, dots, texts, tints, strict=True):
        label = axes.annotate(
            text,
            point,
            (0.0, 0.0),
            textcoords="offset points",
            ha="center",
            va="center",
            color=tint,
            fontsize=8.5,
            fontweight="bold",
        )
        dx, dy, box = _free_place(x, y, Text.get_window_extent(label), taken, frame, pixels)
        label.set_position((dx / pixels, dy / pixels))
        taken.append(box)
        labels.append(label)
    return labels


def _free_place(
    x: float, y: float, size: Bbox, taken: Sequence[Bbox], frame: Bbox, pixels: float
) -> tuple[float, float, Bbox]:
    """Return the shift of the cheapest place round a point, near ones first, and its box."""
    best: tuple[float, float, float, Bbox] | None = None
    for dx, dy in _offsets(size.width, size.height, pixels):
        box = _around(x + dx, y + dy, size)
        cost = _cost(box, taken, frame)
        if best is None or cost < best[0]:
            best = (cost, dx, dy, box)
    if best is None:
        raise AssertionError("there is always a place to try")
    return best[1:]


def _offsets(width: float, height: float, pixels: float) -> Iterator[tuple[float, float]]:
    """Yield shifts in pixels of a label's centre from its point, near ones first.

    Args:
        width: of the label, in pixels.
        height: of the label, in pixels.
        pixels: in a point.
    """
    for gap in (8.0, 14.0, 22.0, 32.0, 44.0, 58.0, 74.0):
        across, up = gap * pixels + width / 2.0, gap * pixels + height / 2.0
        for angle in (0.0, 0.5, 1.0, 1.5, 0.25, 0.75, 1.25, 1.75, 0.125, 0.875, 1.125, 1.875):
            yield across * math.cos(math.pi * angle), up * math.sin(math.pi * angle)


def _around(x: float, y: float, size: Bbox) -> Bbox:
    """Return a box of a size about a centre, with a little air."""
    wide, high = size.width / 2.0 + 2.0, size.height / 2.0 + 1.0
    return Bbox.from_extents(x - wide, y - high, x + wide, y + high)


def _cost(box: Bbox, taken: Sequence[Bbox], frame: Bbox) -> float:
    """Return how many square pixels of a label are covered or outside the axes."""
    return sum(_shared(box, other) for other in taken) + 4.0 * max(
        0.0, box.width * box.height - _shared(box, frame) - 1e-6
    )


def _shared(box: Bbox, other: Bbox) -> float:
    """Return the area two boxes have in common."""
    wide = min(box.x1, other.x1) - max(box.x0, other.x0)
    high = min(box.y1, other.y1) - max(box.y0, other.y0)
    return float(max(0.0, wide) * max(0.0, high))
