"""Poster scenes of growing and rising things: forest, mountain, garden."""

import math

from slategym.cf_baselines.synthetic_canvas import Canvas, Colour, mix, shade


def draw_forest(canvas: Canvas) -> None:
    """Draw rows of trees in mist, with a fox, a cabin or an owl."""
    colours = canvas.palette
    canvas.sky(colours.sky, colours.low, 0.75)
    canvas.sun(canvas.uniform(0.3, 0.7), canvas.uniform(0.16, 0.28), 0.09)
    leafy = canvas.chance(0.4)
    for row, (base, size, colour) in enumerate(
        ((0.56, 0.34, colours.far), (0.66, 0.5, colours.mid), (0.80, 0.66, colours.near))
    ):
        spacing = 0.085 + 0.05 * row
        x = canvas.uniform(-0.08, 0.0)
        while x < 1.08:
            gap = row == 2 and 0.25 < x < 0.72  # the clearing where the figure stands
            if not gap:
                tall = size * canvas.uniform(0.75, 1.1)
                tint = shade(colour, canvas.uniform(0.88, 1.08))
                (_leaf_tree if leafy else _conifer)(canvas, x, base, tall, tint)
            x += spacing * canvas.uniform(0.75, 1.25)
        canvas.ridge(base, 0.012, colour, 0.6)
    motif = canvas.choose(3)
    if motif == 0:
        _fox(canvas, canvas.uniform(0.42, 0.56), 0.78)
    elif motif == 1:
        _cabin(canvas, canvas.uniform(0.42, 0.55), 0.79)
    else:
        _owl(canvas, canvas.uniform(0.42, 0.56), 0.70)


def _conifer(canvas: Canvas, x: float, y: float, size: float, colour: Colour) -> None:
    canvas.around(
        x, y, size, [(-0.03, -0.2), (0.03, -0.2), (0.03, 0.05), (-0.03, 0.05)], (66, 44, 32)
    )
    for tier in range(4):
        wide, foot = 0.2 - 0.038 * tier, -0.1 - 0.21 * tier
        points = [(-wide, foot), (0, foot - 0.36), (wide, foot)]
        canvas.around(x, y, size, points, mix(colour, (255, 255, 255), 0.04 * tier))


def _leaf_tree(canvas: Canvas, x: float, y: float, size: float, colour: Colour) -> None:
    trunk = shade(canvas.palette.subject, 0.8)
    canvas.around(x, y, size, [(-0.035, -0.6), (0.035, -0.6), (0.05, 0.05), (-0.05, 0.05)], trunk)
    for dx, dy, r in ((-0.1, -0.6, 0.13), (0.11, -0.62, 0.13), (0, -0.8, 0.15), (0, -0.6, 0.14)):
        canvas.disc(
            x + dx * size, y + dy * size * 2 / 3, r * size, shade(colour, 1.0 + 0.3 * (dy < -0.7))
        )


def _fox(canvas: Canvas, x: float, y: float) -> None:
    fur, size = (214, 104, 42), 0.34
    canvas.around(
        x, y, size, [(0.1, -0.1), (0.55, -0.5), (0.75, -0.45), (0.6, -0.1), (0.3, 0)], fur
    )
    canvas.around(x, y, size, [(0.64, -0.48), (0.75, -0.45), (0.7, -0.3)], (250, 244, 232))
    canvas.around(x, y, size, [(-0.25, 0), (-0.2, -0.5), (0.1, -0.55), (0.25, 0)], fur)
    canvas.around(
        x, y, size, [(-0.18, 0), (-0.14, -0.38), (0.02, -0.4), (0.06, 0)], (250, 244, 232)
    )
    head = [
        (-0.42, -0.95),
        (-0.28, -0.78),
        (0.06, -0.78),
        (0.2, -0.95),
        (0.2, -0.6),
        (-0.11, -0.36),
        (-0.42, -0.6),
    ]
    canvas.around(x, y, size, head, fur)
    canvas.around(
        x, y, size, [(-0.38, -0.58), (-0.11, -0.5), (0.16, -0.58), (-0.11, -0.36)], (250, 244, 232)
    )
    for side in (-0.24, 0.02):
        canvas.disc(x + side * size, y - 0.655 * size * 2 / 3, 0.011, (20, 16, 16))
    canvas.disc(x - 0.11 * size, y - 0.38 * size * 2 / 3, 0.013, (20, 16, 16))


def _cabin(canvas: Canvas, x: float, y: float) -> None:
    wood, size = canvas.palette.subject, 0.4
    canvas.around(x, y, size, [(-0.45, 0), (-0.45, -0.45), (0.45, -0.45), (0.45, 0)], wood)
    for plank in range(1, 5):
        level = -0.09 * plank
        canvas.around(
            x,
            y,
            size,
            [(-0.45, level), (0.45, level), (0.45, level + 0.015), (-0.45, level + 0.015)],
            shade(wood, 0.7),
        )
    canvas.around(
        x, y, size, [(0.2, -0.9), (0.32, -0.9), (0.32, -0.5), (0.2, -0.5)], shade(wood, 0.5)
    )
    canvas.around(x, y, size, [(-0.6, -0.42), (0, -0.9), (0.6, -0.42)], shade(wood, 0.55))
    canvas.around(
        x,
        y,
        size,
        [(-0.3, -0.12), (-0.3, -0.33), (-0.08, -0.33), (-0.08, -0.12)],
        canvas.palette.light,
    )
    canvas.around(x, y, size, [(0.1, 0), (0.1, -0.34), (0.3, -0.34), (0.3, 0)], shade(wood, 0.45))
    canvas.glow(x - 0.08, y - 0.06, 0.12, canvas.palette.light, 0.5)


def _owl(canvas: Canvas, x: float, y: float) -> None:
    brown = canvas.palette.subject
    canvas.line(
        [(x - 0.42, y + 0.05), (x, y + 0.035), (x + 0.42, y + 0.06)], shade(brown, 0.55), 13
    )
    canvas.oval(x, y - 0.07, 0.15, 0.2, brown)
    canvas.oval(x, y - 0.045, 0.095, 0.14, mix(brown, (255, 240, 214), 0.45))
    for side in (-1, 1):
        canvas.around(
            x, y, 0.5, [(side * 0.28, -0.74), (side * 0.05, -0.56), (side * 0.28, -0.4)], brown
        )
        canvas.disc(x + side * 0.062, y - 0.14, 0.062, (250, 240, 214))
        canvas.disc(x + side * 0.062, y - 0.14, 0.034, canvas.palette.accent)
        canvas.disc(x + side * 0.062, y - 0.14, 0.02, (18, 14, 14))
    canvas.around(x, y, 0.5, [(-0.04, -0.37), (0.04, -0.37), (0, -0.27)], (230, 160, 50))


def draw_mountain(canvas: Canvas) -> None:
    """Draw snowy peaks, with a tent, an eagle or a flag on the summit."""
    colours = canvas.palette
    canvas.sky(colours.sky, colours.low, 0.7)
    canvas.sun(canvas.uniform(0.15, 0.85), canvas.uniform(0.13, 0.22), 0.07)
    for _ in range(3):
        _peak(canvas, canvas.uniform(0.0, 1.0), canvas.uniform(0.34, 0.44), 0.75, colours.far)
    summit = canvas.uniform(0.35, 0.65)
    top = canvas.uniform(0.2, 0.27)
    _peak(canvas, summit, top, 0.8, colours.mid)
    side = summit + (0.42 if summit < 0.5 else -0.42)
    _peak(canvas, side, canvas.uniform(0.4, 0.48), 0.85, shade(colours.mid, 0.85))
    canvas.ridge(0.76, 0.03, colours.near, 0.7)
    motif = canvas.choose(3)
    if motif == 0:
        canvas.line([(summit, top + 0.01), (summit, top - 0.09)], shade(colours.near, 0.6), 3)
        canvas.around(summit, top - 0.09, 0.16, [(0, 0), (0.9, 0.25), (0, 0.5)], colours.accent)
    elif motif == 1:
        x = canvas.uniform(0.3, 0.7)
        canvas.around(x, 0.765, 0.34, [(-0.6, 0), (0, -0.75), (0.6, 0)], colours.accent)
        canvas.around(
            x, 0.765, 0.34, [(-0.2, 0), (0, -0.75), (0.16, 0)], shade(colours.accent, 0.5)
        )
        canvas.glow(x, 0.74, 0.09, colours.light, 0.55)
    else:
        wings = [(-1, -0.28), (-0.5, -0.4), (-0.12, -0.16), (0, -0.26), (0.12, -0.16), (0.5, -0.4)]
        wings += [
            (1, -0.28),
            (0.5, -0.1),
            (0.14, 0.06),
            (0.08, 0.26),
            (-0.08, 0.26),
            (-0.14, 0.06),
            (-0.5, -0.1),
        ]
        canvas.around(1 - summit, canvas.uniform(0.3, 0.4), 0.2, wings, (46, 34, 30))
    canvas.ridge(0.86, 0.03, shade(colours.near, 0.75), 0.7)


def _peak(canvas: Canvas, x: float, top: float, base: float, colour: Colour) -> None:
    wide = (base - top) * canvas.uniform(0.85, 1.05)
    left, right = (x - wide, base), (x + wide, base)
    fold = x + canvas.uniform(-0.04, 0.08)
    canvas.poly([left, (x, top), right], colour)
    canvas.poly([(x, top), right, (fold, base)], shade(colour, 0.8))
    snow = top + (base - top) * canvas.uniform(0.32, 0.42)
    share = (snow - top) / (base - top)
    jags = [
        (x - wide * share * (1 - step / 3), snow + (0.025 if step % 2 else 0)) for step in range(7)
    ]
    canvas.poly([(x, top), *jags[::-1]], canvas.palette.subject)
    shaded = [(x, top), *[point for point in jags[::-1] if point[0] >= x], (x + 0.01, snow)]
    canvas.poly(shaded, mix(canvas.palette.subject, canvas.palette.sky, 0.35))


def draw_garden(canvas: Canvas) -> None:
    """Draw flower beds, with a watering can, a butterfly or a greenhouse."""
    colours = canvas.palette
    canvas.sky(colours.sky, colours.low, 0.6)
    canvas.sun(canvas.uniform(0.15, 0.85), canvas.uniform(0.13, 0.2), 0.1)
    canvas.ridge(0.5, 0.03, colours.far, 0.3)
    motif = canvas.choose(3)
    if motif == 2:
        _greenhouse(canvas, canvas.uniform(0.35, 0.65), 0.58)
    canvas.ridge(0.58, 0.02, colours.mid, 0.3)
    for row, base in enumerate((0.66, 0.76, 0.88)):
        for _ in range(9 - row):
            tone = canvas.choose(4)
            petals = (
                colours.subject,
                colours.accent,
                (240, 240, 250),
                mix(colours.subject, (90, 60, 200), 0.6),
            )[tone]
            size = (0.042 + 0.02 * row) * canvas.uniform(0.8, 1.2)
            _flower(
                canvas,
                canvas.uniform(0, 1),
                base - canvas.uniform(0.0, 0.12),
                base + 0.1,
                size,
                petals,
            )
    if motif == 0:
        _watering_can(canvas, canvas.uniform(0.4, 0.6), 0.52)
    elif motif == 1:
        _butterfly(canvas, canvas.uniform(0.35, 0.65), canvas.uniform(0.3, 0.38), 0.3)


def _flower(canvas: Canvas, x: float, y: float, foot: float, size: float, petals: Colour) -> None:
    canvas.line([(x, y), (x + canvas.uniform(-0.01, 0.01), foot)], canvas.palette.near, 4)
    canvas.oval(x + size * 0.7, (y + foot) / 2, size * 0.7, size * 0.28, canvas.palette.near)
    if canvas.chance(0.3):  # a tulip
        cup = [
            (-1, -1),
            (-0.5, -0.4),
            (0, -1.1),
            (0.5, -0.4),
            (1, -1),
            (0.8, 0.6),
            (0, 1),
            (-0.8, 0.6),
        ]
        canvas.around(x, y, size, cup, petals)
        return
    for petal in range(6):
        angle = petal * math.pi / 3
        canvas.disc(
            x + size * math.cos(angle), y + size * math.sin(angle) * 2 / 3, size * 0.62, petals
        )
    canvas.disc(
        x,
        y,
        size * 0.55,
        canvas.palette.accent if petals != canvas.palette.accent else (110, 66, 30),
    )


def _watering_can(canvas: Canvas, x: float, y: float) -> None:
    tin, size = mix(canvas.palette.subject, (70, 130, 160), 0.75), 0.34
    canvas.ring(x + 0.13, y - 0.08, 0.1, shade(tin, 0.7), 8)
    canvas.around(x, y, size, [(-0.4, 0.2), (-0.36, -0.5), (0.36, -0.5), (0.4, 0.2)], tin)
    canvas.around(
        x, y, size, [(-0.38, 0), (-0.95, -0.62), (-0.85, -0.7), (-0.36, -0.25)], shade(tin, 0.85)
    )
    canvas.around(
        x, y, size, [(-1.08, -0.55), (-0.8, -0.85), (-0.74, -0.76), (-1.0, -0.48)], shade(tin, 0.7)
    )
    for _ in range(9):
        dx, dy = canvas.uniform(-0.44, -0.3), canvas.uniform(-0.1, 0.08)
        canvas.oval(x + dx, y + dy, 0.006, 0.014, (190, 226, 245))


def _butterfly(canvas: Canvas, x: float, y: float, size: float) -> None:
    wing, spot = canvas.palette.accent, canvas.palette.subject
    for side in (-1, 1):
        canvas.oval(x + side * size * 0.42, y - size * 0.22, size * 0.38, size * 0.36, wing)
        canvas.oval(
            x + side * size * 0.34, y + size * 0.2, size * 0.28, size * 0.26, shade(wing, 0.85)
        )
        canvas.disc(x + side * size * 0.48, y - size * 0.24, size * 0.16, spot)
        canvas.line(
            [(x, y - size * 0.25), (x + side * size * 0.2, y - size * 0.55)], (40, 30, 34), 3
        )
    canvas.oval(x, y, size * 0.06, size * 0.42, (40, 30, 34))


def _greenhouse(canvas: Canvas, x: float, y: float) -> None:
    glass, frame = mix(canvas.palette.low, (255, 255, 255), 0.45), (244, 250, 246)
    house = [(-0.6, 0.1), (-0.6, -0.5), (0, -0.95), (0.6, -0.5), (0.6, 0.1)]
    canvas.around(x, y, 0.5, house, glass)
    for bar in range(-3, 4):
        px = x + bar * 0.1
        canvas.line(
            [(px, y + 0.03), (px, y - 0.165 - (0.3 - abs(bar) * 0.1) * 0.5)], shade(frame, 0.8), 3
        )
    canvas.line([(x + px * 0.5, y + py * 0.5 * 2 / 3) for px, py in house], (70, 110, 84), 5)
    for _ in range(6):
        canvas.disc(
            x + canvas.uniform(-0.24, 0.24),
            y - canvas.uniform(0.0, 0.08),
            0.04,
            canvas.palette.near,
        )
