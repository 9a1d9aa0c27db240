"""How figures look and how they are saved: one drawing, as PNG, SVG, and SVG for the report."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from slategym.files import write_atomic, write_text

# In the report's SVG these become CSS variables, so that a figure follows the page's theme.
INK, MUTED, GRID, PAPER = "#1b1d23", "#6a7080", "#e3e5ea", "#fefefd"
_THEMED = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--line)", PAPER: "var(--card)"}

# Legible on white and on near-black, told apart by lightness too (after Okabe and Ito 2008).
_KNOWN = {
    "random": "#8b909b",
    "popularity": "#b5852a",
    "cf-greedy": "#3b82c4",
    "cf-mmr": "#1a9b8a",
    "cf-rested": "#5f9e3a",
    "oracle-myopic": "#9a7bd0",
}
_AGENTS = ("#d9482b", "#c2479b", "#e08a1e", "#a83246")
MARKERS = "osD^vPX*<>"

_STYLE = {
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
    write_atomic(
        folder / f"{name}.png",
        lambda path: figure.savefig(path, format="png", dpi=160, facecolor="white"),
    )
    metadata = {"Date": None, "Creator": None}
    plain, clear = io.StringIO(), io.StringIO()
    figure.savefig(plain, format="svg", facecolor="white", metadata=metadata)
    figure.savefig(clear, format="svg", transparent=True, metadata=metadata)
    write_text(folder / f"{name}.svg", plain.getvalue())
    return Drawing(name, title, caption, _for_page(clear.getvalue(), name, title))


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
    axes: Axes, points: Sequence[tuple[float, float]], texts: Sequence[str], tints: Sequence[str]
) -> list[Annotation]:
    """Write a label beside each point so that none is clipped or covers another or a point.

    Places around a point are tried from near to far; the first free one inside the axes is
    taken, else the one that collides least.

    Args:
        axes: with its final limits.
        points: data coordinates.
        texts: a label for each point.
        tints: a colour for each label.
    """
    figure = axes.figure
    figure.canvas.draw()  # type: ignore[union-attr]  # settles the layout before measuring
    frame = axes.get_window_extent()
    dots = [axes.transData.transform(point) for point in points]
    taken = [Bbox.from_bounds(x - 7, y - 7, 14, 14) for x, y in dots]
    labels = []
    for point, text, tint in zip(points, texts, tints, strict=True):
        best: tuple[float, Annotation] | None = None
        for offset in _offsets():
            label = _annotate(axes, point, text, tint, offset)
            box = label.get_window_extent().expanded(1.02, 1.1)
            cost = _cost(box, taken, frame)
            if best is None or cost < best[0]:
                if best is not None:
                    best[1].remove()
                best = (cost, label)
            else:
                label.remove()
            if cost == 0.0:
                break
        if best is not None:
            taken.append(best[1].get_window_extent())
            labels.append(best[1])
    return labels


def _offsets() -> Iterator[tuple[float, float, str, str]]:
    """Yield places for a label: shift in points, horizontal and vertical alignment."""
    for far in (8.0, 16.0, 26.0, 38.0, 52.0):
        yield from (
            (far, 0.0, "left", "center"),
            (-far, 0.0, "right", "center"),
            (0.0, far, "center", "bottom"),
            (0.0, -far, "center", "top"),
            (far, far, "left", "bottom"),
            (far, -far, "left", "top"),
            (-far, far, "right", "bottom"),
            (-far, -far, "right", "top"),
        )


def _annotate(
    axes: Axes,
    point: tuple[float, float],
    text: str,
    tint: str,
    offset: tuple[float, float, str, str],
) -> Annotation:
    """Return a label at an offset in points, with a thin line to its point when far away."""
    dx, dy, horizontal, vertical = offset
    far = max(abs(dx), abs(dy)) > 12.0
    return axes.annotate(
        text,
        point,
        (dx, dy),
        textcoords="offset points",
        ha=horizontal,
        va=vertical,
        color=tint,
        fontsize=8.5,
        fontweight="bold",
        arrowprops={"arrowstyle": "-", "color": tint, "lw": 0.6, "shrinkB": 4} if far else None,
    )


def _cost(box: Bbox, taken: Sequence[Bbox], frame: Bbox) -> float:
    """Return how many square pixels of a label are covered or outside the axes."""
    area = float(box.width * box.height)
    inside = Bbox.intersection(box, frame)
    outside = area - (float(inside.width * inside.height) if inside is not None else 0.0)
    covered = 0.0
    for other in taken:
        common = Bbox.intersection(box, other)
        covered += float(common.width * common.height) if common is not None else 0.0
    return covered + 4.0 * max(0.0, outside - 1e-6)
