"""Small drawings for the world card, as SVG that follows the page's colours; no scripts."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

Points = Sequence[Mapping[str, Any]]


def reliability(curve: Points, title: str) -> str:
    """Return predicted against observed shares of positives with their intervals.

    Args:
        curve: of each bin ``predicted`` and ``observed`` (estimate, low, high).
        title: what it shows, for readers who do not see it.
    """
    size, left, top = 260.0, 46.0, 10.0

    def x(value: float) -> float:
        return left + size * value

    def y(value: float) -> float:
        return top + size * (1 - value)

    marks = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        at_x, at_y = x(tick), y(tick)
        marks.append(f'<path class="grid" d="M{at_x:.1f} {top}v{size}M{left} {at_y:.1f}h{size}"/>')
        marks.append(_text(at_x, top + size + 16, f"{tick:g}", "middle"))
        marks.append(_text(left - 7, at_y + 4, f"{tick:g}", "end"))
    marks.append(f'<path class="ideal" d="M{x(0)} {y(0)}L{x(1)} {y(1)}"/>')
    for point in curve:
        at, seen = x(point["predicted"]), point["observed"]
        if seen["low"] is not None:
            ends = f"M{at:.1f} {y(seen['low']):.1f}V{y(seen['high']):.1f}"
            marks.append(f'<path class="whisker" d="{ends}"/>')
        marks.append(f'<circle class="dot" cx="{at:.1f}" cy="{y(seen["estimate"]):.1f}" r="3.5"/>')
    middle = left + size / 2
    marks.append(_text(middle, top + size + 34, "predicted probability", "middle"))
    turn = f"rotate(-90 12 {top + size / 2})"
    marks.append(_text(12, top + size / 2, "observed share", "middle", turn))
    return _figure(left + size + 14, top + size + 44, marks, title)


def histogram(levels: Sequence[float], series: Mapping[str, Sequence[float]], title: str) -> str:
    """Return bars side by side for each level, one for each series, with a legend.

    Args:
        levels: what the bars stand on.
        series: name to the share at each level; up to three.
        title: what it shows.
    """
    height, left, top = 190.0, 44.0, 30.0
    group = max(22.0, min(96.0, 560.0 / len(levels)))
    width = group * len(levels)
    most = max(max(shares) for shares in series.values()) or 1.0
    marks = []
    for number in range(5):
        value = most * number / 4
        at = top + height * (1 - number / 4)
        marks.append(f'<path class="grid" d="M{left} {at:.1f}h{width:.1f}"/>')
        marks.append(_text(left - 7, at + 4, f"{100 * value:.0f} %", "end"))
    bar = 0.8 * group / len(series)
    every = 1 if group > 40 else 2
    for place, level in enumerate(levels):
        start = left + group * place + 0.1 * group
        for number, shares in enumerate(series.values()):
            tall = height * shares[place] / most
            marks.append(
                f'<rect class="bar{number}" x="{start + number * bar:.1f}" '
                f'y="{top + height - tall:.1f}" width="{bar:.1f}" height="{tall:.1f}"/>'
            )
        if place % every == 0:
            marks.append(_text(start + 0.4 * group, top + height + 16, f"{level:g}", "middle"))
    at = left
    for number, name in enumerate(series):
        marks.append(f'<rect class="bar{number}" x="{at:.0f}" y="4" width="12" height="12"/>')
        marks.append(_text(at + 18, 14.5, name, "start"))
        at += 34 + 7.4 * len(name)
    return _figure(max(left + width + 10, at), top + height + 26, marks, title)


def gap(value: Mapping[str, float | None], most: float) -> str:
    """Return a mean gap with its interval on an axis from -most to most, as a strip for a table."""
    wide, high = 150.0, 18.0

    def x(number: float) -> float:
        return wide / 2 * (1 + max(-1.0, min(1.0, number / most)))

    marks = [f'<path class="ideal" d="M{wide / 2} 1v{high - 2}"/>']
    estimate, low, up = (value[key] for key in ("estimate", "low", "high"))
    if low is not None and up is not None:
        marks.append(f'<path class="whisker" d="M{x(low):.1f} {high / 2}H{x(up):.1f}"/>')
    if estimate is not None:
        marks.append(f'<circle class="dot" cx="{x(estimate):.1f}" cy="{high / 2}" r="3.5"/>')
    said = "no estimate" if estimate is None else f"gap {estimate:+.3f}"
    return _figure(wide, high, marks, said, "strip")


def _text(x: float, y: float, text: str, anchor: str, transform: str = "") -> str:
    turned = f' transform="{transform}"' if transform else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turned}>{escape(text)}</text>'


def _figure(
    width: float, height: float, marks: Sequence[str], title: str, kind: str = "plot"
) -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'style="max-width:{width:.0f}px" role="img"><title>{escape(title)}</title>'
        f"{''.join(marks)}</svg>"
    )
