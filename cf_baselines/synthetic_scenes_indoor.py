"""Poster scenes under a roof: kitchen and library."""

import math

from slategym.cf_baselines.synthetic_canvas import Canvas, mix, shade


def draw_kitchen(canvas: Canvas) -> None:
    """Draw a tiled wall and a laid table, with a pot, a teapot or a loaf."""
    colours = canvas.palette
    canvas.sky(colours.sky, colours.low, 0.7)
    for row in range(10):
        for column in range(8):
            if (row + column) % 2:
                canvas.box(
                    column / 8, row * 0.07, (column + 0.96) / 8, row * 0.07 + 0.067, colours.far
                )
    canvas.line([(0, 0.13), (1, 0.13)], shade(colours.near, 0.6), 6)
    for hook in range(5):
        _utensil(canvas, 0.12 + 0.19 * hook, 0.13, canvas.choose(4))
    canvas.box(0, 0.62, 1, 1, colours.mid)
    canvas.box(0, 0.62, 1, 0.64, shade(colours.mid, 1.25))
    for plank in range(4):
        canvas.box(0, 0.70 + 0.075 * plank, 1, 0.703 + 0.075 * plank, shade(colours.mid, 0.8))
    x = canvas.uniform(0.38, 0.5)
    (_pot, _teapot, _loaf)[canvas.choose(3)](canvas, x, 0.645)
    for _ in range(3 + canvas.choose(2)):
        fruit = ((214, 60, 48), colours.accent, (236, 176, 58))[canvas.choose(3)]
        px = canvas.uniform(0.66, 0.94)
        canvas.disc(px, canvas.uniform(0.63, 0.66), 0.06, shade(fruit, 0.95))
        canvas.disc(px - 0.018, 0.62, 0.014, shade(fruit, 1.5))


def _utensil(canvas: Canvas, x: float, y: float, kind: int) -> None:
    metal = shade(canvas.palette.near, 0.85)
    long = canvas.uniform(0.1, 0.14)
    canvas.line([(x, y), (x, y + long)], metal, 5)
    if kind == 0:
        canvas.oval(x, y + long + 0.02, 0.04, 0.05, metal)
    elif kind == 1:
        canvas.disc(x, y + long + 0.03, 0.075, metal)
        canvas.disc(x, y + long + 0.03, 0.06, (196, 112, 66))
    elif kind == 2:
        canvas.box(x - 0.035, y + long - 0.01, x + 0.035, y + long + 0.05, metal)
    else:
        for tine in (-0.025, 0, 0.025):
            canvas.line(
                [(x, y + long - 0.01), (x + tine, y + long), (x + tine, y + long + 0.05)], metal, 4
            )


def _steam(canvas: Canvas, x: float, y: float) -> None:
    for strand in (-0.07, 0.0, 0.07):
        wave = [
            (x + strand + 0.02 * math.sin(k / 2.2 + strand * 30), y - 0.013 * k) for k in range(14)
        ]
        canvas.line(wave, (252, 250, 246), 5)


def _pot(canvas: Canvas, x: float, y: float) -> None:
    copper, size = canvas.palette.subject, 0.5
    _steam(canvas, x, y - 0.25)
    canvas.line([(x - 0.31, y - 0.12), (x + 0.31, y - 0.12)], shade(copper, 0.5), 14)
    canvas.around(x, y, size, [(-0.5, -0.62), (0.5, -0.62), (0.46, 0.06), (-0.46, 0.06)], copper)
    canvas.around(
        x, y, size, [(0.2, -0.62), (0.5, -0.62), (0.46, 0.06), (0.22, 0.06)], shade(copper, 0.8)
    )
    canvas.around(
        x, y, size, [(-0.4, -0.55), (-0.3, -0.55), (-0.28, 0), (-0.37, 0)], shade(copper, 1.35)
    )
    canvas.oval(x, y - 0.207, 0.27, 0.045, shade(copper, 0.65))
    canvas.oval(x, y - 0.214, 0.03, 0.03, shade(copper, 0.45))


def _teapot(canvas: Canvas, x: float, y: float) -> None:
    glaze = canvas.palette.subject
    _steam(canvas, x - 0.27, y - 0.2)
    canvas.ring(x + 0.2, y - 0.08, 0.1, shade(glaze, 0.75), 12)
    canvas.around(
        x, y, 0.5, [(-0.3, -0.1), (-0.62, -0.5), (-0.5, -0.56), (-0.25, -0.32)], shade(glaze, 0.85)
    )
    canvas.oval(x, y - 0.075, 0.22, 0.17, glaze)
    canvas.oval(x - 0.07, y - 0.12, 0.06, 0.04, shade(glaze, 1.4))
    canvas.oval(x, y - 0.185, 0.11, 0.03, shade(glaze, 0.7))
    canvas.disc(x, y - 0.21, 0.028, shade(glaze, 0.55))
    for dot in range(5):
        canvas.disc(x - 0.14 + 0.07 * dot, y - 0.06, 0.018, canvas.palette.light)


def _loaf(canvas: Canvas, x: float, y: float) -> None:
    crust = (190, 120, 58)
    canvas.box(x - 0.32, y - 0.012, x + 0.3, y + 0.012, (120, 78, 48))
    canvas.oval(x, y - 0.08, 0.27, 0.13, crust)
    canvas.oval(x - 0.02, y - 0.1, 0.22, 0.08, mix(crust, (255, 224, 160), 0.35))
    for cut in (-0.13, -0.03, 0.07):
        canvas.line([(x + cut, y - 0.145), (x + cut + 0.07, y - 0.06)], (246, 222, 176), 8)
    canvas.line([(x - 0.3, y + 0.05), (x - 0.02, y + 0.05)], (214, 218, 224), 12)
    canvas.line([(x - 0.02, y + 0.05), (x + 0.14, y + 0.05)], (70, 46, 36), 14)


def draw_library(canvas: Canvas) -> None:
    """Draw shelves of books, with a lamp, an open book or a ladder."""
    colours = canvas.palette
    canvas.sky(colours.sky, colours.low)
    motif = canvas.choose(3)
    for row in range(5):
        floor = 0.155 + 0.15 * row
        _shelf(canvas, floor)
    canvas.box(0, 0.765, 1, 1, colours.near)
    for post in (0.0, 0.965):
        canvas.box(post, 0, post + 0.035, 0.78, colours.near)
    if motif == 0:
        _desk_lamp(canvas, canvas.uniform(0.35, 0.65), 0.70)
    elif motif == 1:
        _open_book(canvas, 0.5, 0.72)
    else:
        _ladder(canvas, canvas.uniform(0.3, 0.55))


def _shelf(canvas: Canvas, floor: float) -> None:
    colours = canvas.palette
    canvas.box(0, floor - 0.15, 1, floor, shade(colours.near, 0.6))
    spines = (
        (150, 48, 42),
        colours.accent,
        (44, 72, 122),
        (196, 150, 66),
        colours.subject,
        (98, 58, 92),
    )
    x = 0.04
    while x < 0.93:
        wide = canvas.uniform(0.025, 0.06)
        top = floor - canvas.uniform(0.085, 0.132)
        spine = mix(spines[canvas.choose(6)], colours.mid, 0.25)
        canvas.box(x, top, x + wide - 0.006, floor, spine)
        canvas.box(x, top + 0.018, x + wide - 0.006, top + 0.023, mix(spine, colours.light, 0.6))
        x += wide if canvas.chance(0.93) else wide + 0.05
    canvas.box(0, floor, 1, floor + 0.016, colours.mid)


def _desk_lamp(canvas: Canvas, x: float, y: float) -> None:
    brass, shade_colour = (198, 158, 74), canvas.palette.accent
    canvas.glow(x, y - 0.1, 0.35, canvas.palette.light, 0.8)
    canvas.box(x - 0.4, y + 0.015, x + 0.4, y + 0.045, shade(canvas.palette.mid, 1.2))
    canvas.line([(x, y), (x, y - 0.2)], brass, 9)
    canvas.oval(x, y, 0.12, 0.035, brass)
    canvas.around(
        x, y - 0.2, 0.5, [(-0.42, 0.16), (-0.3, -0.12), (0.3, -0.12), (0.42, 0.16)], shade_colour
    )
    canvas.around(
        x,
        y - 0.2,
        0.5,
        [(-0.42, 0.16), (0.42, 0.16), (0.42, 0.2), (-0.42, 0.2)],
        canvas.palette.light,
    )


def _open_book(canvas: Canvas, x: float, y: float) -> None:
    paper = (250, 242, 222)
    canvas.glow(x, y - 0.1, 0.4, canvas.palette.light, 0.75)
    for side in (-1, 1):
        cover = [(0, 0.16), (side * 0.75, 0.02), (side * 0.75, -0.5), (0, -0.36)]
        canvas.around(x, y, 0.5, cover, canvas.palette.accent)
        page = [
            (0, 0.1),
            (side * 0.35, -0.05),
            (side * 0.7, -0.03),
            (side * 0.7, -0.52),
            (side * 0.35, -0.54),
            (0, -0.4),
        ]
        canvas.around(x, y, 0.5, page, shade(paper, 0.93 if side > 0 else 1.0))
        for line in range(5):
            level = -0.4 + 0.08 * line
            text = [
                (x + side * 0.04, y + (level + 0.06) / 3),
                (x + side * 0.17, y + (level - 0.05) / 3),
                (x + side * 0.32, y + (level - 0.04) / 3),
            ]
            canvas.line(text, (120, 108, 96), 3)


def _ladder(canvas: Canvas, x: float) -> None:
    wood = mix(canvas.palette.light, (150, 96, 52), 0.6)
    for rung in range(9):
        y = 0.2 + 0.065 * rung
        lean = x + 0.012 * rung
        canvas.line([(lean, y), (lean + 0.2, y)], wood, 8)
    for side in (0.0, 0.2):
        canvas.line([(x + side - 0.02, 0.1), (x + side + 0.115, 0.82)], wood, 11)
    canvas.glow(x + 0.12, 0.3, 0.3, canvas.palette.light, 0.35)
