"""Poster scenes of wide spaces: sea, desert, space."""

import math

from slategym.cf_baselines.synthetic_canvas import Canvas, Colour, mix, shade


def draw_sea(canvas: Canvas) -> None:
    """Draw waves below a sun, with a sailing boat, a lighthouse or a whale."""
    colours = canvas.palette
    horizon = canvas.uniform(0.42, 0.50)
    canvas.sky(colours.sky, colours.low, horizon)
    canvas.sun(canvas.uniform(0.2, 0.8), canvas.uniform(0.16, horizon - 0.02), 0.11)
    for _ in range(3 + canvas.choose(4)):
        _gull(canvas, canvas.uniform(0.1, 0.9), canvas.uniform(0.1, 0.35))
    canvas.box(0, horizon, 1, 1, colours.far)
    motif = canvas.choose(3)
    if motif == 1:
        _lighthouse(canvas, canvas.uniform(0.25, 0.75), horizon + 0.06)
    for row in range(7):
        y = horizon + 0.03 + row * 0.085
        if row == 2 and motif == 0:
            _sailing_boat(canvas, canvas.uniform(0.35, 0.65), y + 0.02, 0.34)
        if row == 3 and motif == 2:
            _whale_tail(canvas, canvas.uniform(0.35, 0.65), y + 0.02)
        _wave(canvas, y, mix(colours.mid, colours.near, row / 6), 0.012 + 0.002 * row)


def _wave(canvas: Canvas, y: float, colour: Colour, height: float) -> None:
    phase, length = canvas.uniform(0, 6), canvas.uniform(3, 4.5)
    crest = [
        (x / 60, y - height * abs(math.sin(length * math.pi * x / 60 + phase)) ** 0.7)
        for x in range(61)
    ]
    canvas.poly([*crest, (1, 1), (0, 1)], colour)
    canvas.line(crest, mix(colour, (255, 255, 255), 0.45), 2)


def _gull(canvas: Canvas, x: float, y: float) -> None:
    wing = canvas.uniform(0.025, 0.045)
    points = [(x - wing, y - 0.012), (x - wing / 2, y - 0.018), (x, y)]
    points += [(x + wing / 2, y - 0.018), (x + wing, y - 0.012)]
    canvas.line(points, shade(canvas.palette.near, 0.7), 3)


def _sailing_boat(canvas: Canvas, x: float, y: float, size: float) -> None:
    colours = canvas.palette
    canvas.around(x, y, size, [(-0.03, -1.25), (-0.03, -0.15), (-0.55, -0.15)], colours.subject)
    sail = shade(colours.subject, 0.85) if canvas.chance(0.5) else colours.accent
    canvas.around(x, y, size, [(0.02, -1.15), (0.02, -0.15), (0.5, -0.15)], sail)
    canvas.around(x, y, size, [(-0.04, -1.3), (0.0, -1.3), (0.0, 0), (-0.04, 0)], colours.near)
    canvas.around(x, y, size, [(-0.6, -0.1), (0.6, -0.1), (0.4, 0.2), (-0.42, 0.2)], (92, 52, 36))


def _lighthouse(canvas: Canvas, x: float, y: float) -> None:
    colours = canvas.palette
    beam = mix(colours.light, colours.sky, 0.45)
    side = 1 if x < 0.5 else -1
    canvas.poly([(x, y - 0.33), (x + side, y - 0.44), (x + side, y - 0.26)], beam)
    rock = shade(colours.near, 0.55)
    canvas.poly(
        [(x - 0.28, y + 0.06), (x - 0.12, y - 0.03), (x + 0.14, y - 0.04), (x + 0.3, y + 0.06)],
        rock,
    )
    for stripe in range(6):
        low, high = y - 0.02 - 0.047 * stripe, y - 0.02 - 0.047 * (stripe + 1)
        wide, thin = 0.085 - 0.007 * stripe, 0.085 - 0.007 * (stripe + 1)
        colour = colours.accent if stripe % 2 else colours.subject
        canvas.poly([(x - wide, low), (x + wide, low), (x + thin, high), (x - thin, high)], colour)
    canvas.box(x - 0.055, y - 0.315, x + 0.055, y - 0.302, rock)
    canvas.box(x - 0.032, y - 0.35, x + 0.032, y - 0.315, colours.light)
    canvas.poly([(x - 0.05, y - 0.35), (x + 0.05, y - 0.35), (x, y - 0.385)], colours.accent)
    canvas.glow(x, y - 0.33, 0.12, colours.light, 0.7)


def _whale_tail(canvas: Canvas, x: float, y: float) -> None:
    body = shade(canvas.palette.near, 0.6)
    fluke = [(-0.05, 0.3), (-0.04, -0.1), (-0.16, -0.26), (-0.55, -0.42), (-0.62, -0.62)]
    fluke += [(-0.3, -0.58), (-0.08, -0.45), (0, -0.34)]
    right = [(-px, py) for px, py in reversed(fluke[:-1])]
    canvas.around(x, y, 0.42, fluke + right, body)
    for _ in range(14):
        canvas.disc(
            x + canvas.uniform(-0.2, 0.2), y - canvas.uniform(0, 0.05), 0.008, (240, 248, 250)
        )


def draw_desert(canvas: Canvas) -> None:
    """Draw dunes under a large sun, with cacti, camels or pyramids."""
    colours = canvas.palette
    canvas.sky(colours.sky, colours.low, 0.62)
    canvas.sun(canvas.uniform(0.2, 0.8), canvas.uniform(0.22, 0.36), canvas.uniform(0.13, 0.19))
    motif = canvas.choose(3)
    if motif == 0:
        for _ in range(2 + canvas.choose(2)):
            _pyramid(canvas, canvas.uniform(0.15, 0.85), canvas.uniform(0.25, 0.42))
    crest = canvas.ridge(0.55, 0.04, colours.far, 0.3)
    if motif == 1:
        for step in range(3):
            x, y = crest[14 + 13 * step]
            _camel(canvas, x, y - 0.005, 0.2)
    _shadowed_dune(canvas, 0.64, colours.mid)
    if motif == 2:
        _cactus(canvas, canvas.uniform(0.25, 0.42), 0.72, canvas.uniform(0.34, 0.44))
        _cactus(canvas, canvas.uniform(0.65, 0.85), 0.70, canvas.uniform(0.16, 0.26))
    _shadowed_dune(canvas, 0.77, mix(colours.mid, colours.near, 0.6))
    canvas.ridge(0.9, 0.03, colours.near, 0.3)


def _shadowed_dune(canvas: Canvas, base: float, colour: Colour) -> None:
    crest = canvas.ridge(base, 0.04, colour, 0.25)
    peak = min(crest, key=lambda point: point[1])
    foot = min(max(peak[0] + canvas.uniform(-0.2, 0.2), 0), 1)
    falling = [point for point in crest if point[0] >= peak[0]]
    canvas.poly([*falling, (1.02, 1.0), (foot, 1.0)], shade(colour, 0.86))


def _pyramid(canvas: Canvas, x: float, size: float) -> None:
    stone = canvas.palette.near
    canvas.around(
        x, 0.60, size, [(-0.75, 0), (0, -0.95), (0.75, 0)], mix(stone, (255, 230, 180), 0.3)
    )
    canvas.around(x, 0.60, size, [(0, -0.95), (0.75, 0), (0.2, 0)], shade(stone, 0.75))


def _camel(canvas: Canvas, x: float, y: float, size: float) -> None:
    dark = shade(canvas.palette.near, 0.4)
    body = [
        (-0.42, -0.42),
        (-0.3, -0.55),
        (-0.2, -0.82),
        (-0.06, -0.55),
        (0.06, -0.82),
        (0.2, -0.55),
    ]
    body += [(0.34, -0.5), (0.46, -0.86), (0.66, -0.92), (0.7, -0.8), (0.56, -0.78), (0.44, -0.34)]
    body += [(0.3, -0.3), (-0.36, -0.3)]
    canvas.around(x, y, size, body, dark)
    for leg in (-0.34, -0.24, 0.2, 0.3):
        canvas.around(
            x, y, size, [(leg, -0.4), (leg + 0.08, -0.4), (leg + 0.06, 0.05), (leg, 0.05)], dark
        )


def _cactus(canvas: Canvas, x: float, y: float, size: float) -> None:
    green = canvas.palette.subject
    thick = max(int(size * 44), 5)
    tall = size * 0.75
    arms = [[(x, y + 0.03), (x, y - tall)]]
    arms.append(
        [(x, y - tall * 0.3), (x - size * 0.3, y - tall * 0.36), (x - size * 0.3, y - tall * 0.7)]
    )
    arms.append(
        [
            (x, y - tall * 0.45),
            (x + size * 0.28, y - tall * 0.5),
            (x + size * 0.28, y - tall * 0.85),
        ]
    )
    for arm in arms:
        canvas.line(arm, green, thick)
        for px, py in arm:
            canvas.disc(px, py, thick / 640, green)
    canvas.line([(x - 0.008, y), (x - 0.008, y - tall)], mix(green, (255, 255, 255), 0.3), 2)


def draw_space(canvas: Canvas) -> None:
    """Draw planets among stars, with a rocket, a satellite or an astronaut."""
    colours = canvas.palette
    canvas.sky(colours.sky, colours.low)
    for _ in range(3):
        canvas.glow(
            canvas.uniform(0, 1),
            canvas.uniform(0.1, 0.8),
            canvas.uniform(0.2, 0.4),
            colours.mid,
            0.4,
        )
    canvas.stars(150, 1.0, (245, 244, 255))
    x = canvas.uniform(0.25, 0.75)
    _planet(canvas, x, canvas.uniform(0.22, 0.34), canvas.uniform(0.16, 0.24), canvas.chance(0.6))
    canvas.disc(1 - x, canvas.uniform(0.12, 0.2), 0.05, mix(colours.light, (170, 170, 190), 0.5))
    if canvas.chance(0.5):
        canvas.disc(0.5, 1.28, 0.95, colours.near)
        canvas.disc(0.5, 1.30, 0.95, mix(colours.near, colours.accent, 0.35))
    motif = canvas.choose(3)
    where = 0.28 if x > 0.5 else 0.72
    if motif == 0:
        _rocket(canvas, where, 0.6)
    elif motif == 1:
        _satellite(canvas, where, 0.58)
    else:
        _astronaut(canvas, where, 0.58)


def _planet(canvas: Canvas, x: float, y: float, radius: float, ringed: bool) -> None:
    colours = canvas.palette
    body = (colours.accent, colours.mid, (88, 160, 190))[canvas.choose(3)]
    canvas.glow(x, y, radius * 1.6, body, 0.45)
    canvas.disc(x, y, radius, shade(body, 0.55))
    for step in range(5):  # lit from the upper left
        shift = radius * 0.055 * step
        lit = shade(body, 0.65 + 0.12 * step)
        canvas.disc(x - shift, y - shift * 2 / 3, radius * (0.97 - 0.1 * step), lit)
    if ringed:
        band = [
            (
                x + 1.75 * radius * math.cos(t / 30 * math.pi),
                y + (0.12 + 0.45 * math.sin(t / 30 * math.pi)) * radius * 0.6,
            )
            for t in range(-3, 34)
        ]
        canvas.line(band, mix(colours.light, body, 0.3), 7)
        canvas.line(
            [(px * 0.97 + x * 0.03, py - 0.008) for px, py in band],
            mix(colours.light, body, 0.6),
            3,
        )


def _rocket(canvas: Canvas, x: float, y: float) -> None:
    hull, red, size = canvas.palette.subject, canvas.palette.accent, 0.42
    canvas.glow(x, y + 0.2, 0.14, (255, 170, 60), 0.8)
    canvas.around(x, y, size, [(-0.13, 0.5), (0, 1.15), (0.13, 0.5)], (255, 180, 60))
    canvas.around(x, y, size, [(-0.07, 0.5), (0, 0.85), (0.07, 0.5)], (255, 244, 190))
    for side in (-1, 1):
        canvas.around(
            x, y, size, [(side * 0.18, 0.1), (side * 0.42, 0.6), (side * 0.14, 0.46)], red
        )
    body = [(0, -0.85), (0.12, -0.6), (0.2, -0.25), (0.21, 0.15), (0.14, 0.5)]
    canvas.around(x, y, size, body + [(-px, py) for px, py in reversed(body[1:])], hull)
    canvas.around(x, y, size, [*body, (0.06, 0.5), (0.08, -0.3)], shade(hull, 0.75))
    canvas.around(x, y, size, [(0, -0.85), (0.115, -0.6), (-0.115, -0.6)], red)
    canvas.disc(x, y - 0.07, 0.042, shade(hull, 0.5))
    canvas.disc(x, y - 0.07, 0.031, (120, 200, 230))


def _satellite(canvas: Canvas, x: float, y: float) -> None:
    metal, size = canvas.palette.subject, 0.42
    canvas.line([(x - 0.38, y + 0.06), (x + 0.38, y - 0.06)], shade(metal, 0.6), 6)
    for side in (-1, 1):
        tilt = -side * 0.1
        panel = [
            (side * 0.32, -0.22 + tilt),
            (side * 0.95, -0.22 + tilt * 2),
            (side * 0.95, 0.2 + tilt * 2),
            (side * 0.32, 0.2 + tilt),
        ]
        canvas.around(x, y, size, panel, (52, 92, 170))
        for cell in range(1, 4):
            px = side * (0.32 + 0.158 * cell)
            rise = tilt * (1 + cell / 4)
            canvas.around(
                x,
                y,
                size,
                [
                    (px, -0.22 + rise),
                    (px + 0.02, -0.22 + rise),
                    (px + 0.02, 0.2 + rise),
                    (px, 0.2 + rise),
                ],
                (180, 206, 240),
            )
    canvas.around(x, y, size, [(-0.2, -0.3), (0.2, -0.3), (0.2, 0.3), (-0.2, 0.3)], metal)
    canvas.around(
        x, y, size, [(0.05, -0.3), (0.2, -0.3), (0.2, 0.3), (0.05, 0.3)], shade(metal, 0.7)
    )
    canvas.around(
        x,
        y,
        size,
        [(-0.28, -0.52), (0.28, -0.52), (0.1, -0.32), (-0.1, -0.32)],
        canvas.palette.accent,
    )


def _astronaut(canvas: Canvas, x: float, y: float) -> None:
    suit, size = canvas.palette.subject, 0.4
    dark = shade(suit, 0.7)
    canvas.line(
        [(x + 0.1, y), (x + 0.3, y + 0.1), (x + 0.25, y + 0.3), (x + 0.5, y + 0.42)], dark, 4
    )
    canvas.around(x, y, size, [(-0.34, -0.3), (0.34, -0.3), (0.34, 0.3), (-0.34, 0.3)], dark)
    for side in (-1, 1):
        canvas.line(
            [(x + side * 0.08, y - 0.05), (x + side * 0.2, y + 0.0), (x + side * 0.24, y - 0.08)],
            suit,
            24,
        )
        canvas.line(
            [(x + side * 0.05, y + 0.06), (x + side * 0.09, y + 0.15), (x + side * 0.08, y + 0.23)],
            suit,
            28,
        )
        canvas.disc(x + side * 0.24, y - 0.08, 0.042, canvas.palette.accent)
        canvas.disc(x + side * 0.08, y + 0.235, 0.048, dark)
    canvas.oval(x, y + 0.01, 0.12, 0.16, suit)
    canvas.disc(x, y - 0.15, 0.115, suit)
    canvas.oval(x, y - 0.15, 0.085, 0.072, (36, 52, 92))
    canvas.oval(x - 0.03, y - 0.162, 0.028, 0.02, (150, 190, 230))
    canvas.box(x - 0.05, y + 0.0, x + 0.05, y + 0.035, canvas.palette.accent)
