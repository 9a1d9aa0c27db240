"""Poster scenes of iron and stone: city and railway."""

from slategym.cf_baselines.synthetic_canvas import Canvas, Colour, mix, shade


def draw_city(canvas: Canvas) -> None:
    """Draw a skyline with lit windows, with a taxi, a bridge or a street lamp."""
    colours = canvas.palette
    canvas.sky(colours.sky, colours.low, 0.7)
    canvas.sun(canvas.uniform(0.2, 0.8), canvas.uniform(0.2, 0.4), 0.1)
    for base, lowest, colour, lit in (
        (0.72, 0.26, mix(colours.far, colours.low, 0.35), 0.0),
        (0.76, 0.30, colours.mid, 0.35),
        (0.80, 0.42, colours.near, 0.5),
    ):
        x = canvas.uniform(-0.1, 0.0)
        while x < 1:
            wide = canvas.uniform(0.11, 0.2)
            _tower(canvas, x, wide, canvas.uniform(lowest, lowest + 0.26), base, colour, lit)
            x += wide + canvas.uniform(0.0, 0.02)
    canvas.box(0, 0.78, 1, 1, shade(colours.near, 0.8))
    motif = canvas.choose(3)
    if motif == 0:
        _taxi(canvas, canvas.uniform(0.35, 0.65), 0.79)
    elif motif == 1:
        _bridge(canvas, 0.74)
    else:
        for x in (canvas.uniform(0.15, 0.3), canvas.uniform(0.7, 0.85)):
            _street_lamp(canvas, x, 0.8)


def _tower(
    canvas: Canvas, x: float, wide: float, top: float, base: float, colour: Colour, lit: float
) -> None:
    canvas.box(x, top, x + wide, base + 0.1, colour)
    crown = canvas.choose(4)
    if crown == 0:
        canvas.line([(x + wide / 2, top), (x + wide / 2, top - 0.06)], colour, 4)
    elif crown == 1:
        canvas.box(x + wide * 0.25, top - 0.03, x + wide * 0.75, top, colour)
    elif crown == 2:
        canvas.poly([(x, top), (x + wide / 2, top - 0.05), (x + wide, top)], colour)
    if lit == 0.0:
        return
    columns, rows = max(int(wide / 0.04), 2), int((base - top) / 0.03)
    step = wide / columns
    on = canvas.rng.random((rows, columns)) < lit
    for row in range(rows):
        for column in range(columns):
            left, high = x + step * (column + 0.28), top + 0.014 + 0.03 * row
            glass = canvas.palette.light if on[row, column] else shade(colour, 1.12)
            canvas.box(left, high, left + step * 0.45, high + 0.014, glass)


def _taxi(canvas: Canvas, x: float, y: float) -> None:
    yellow, size = canvas.palette.accent, 0.44
    canvas.around(
        x, y, size, [(-0.45, -0.28), (-0.28, -0.55), (0.25, -0.55), (0.48, -0.28)], yellow
    )
    canvas.around(
        x,
        y,
        size,
        [(-0.36, -0.29), (-0.24, -0.49), (-0.03, -0.49), (-0.03, -0.29)],
        (190, 220, 235),
    )
    canvas.around(
        x, y, size, [(0.02, -0.29), (0.02, -0.49), (0.21, -0.49), (0.37, -0.29)], (190, 220, 235)
    )
    canvas.around(
        x,
        y,
        size,
        [(-0.8, 0), (-0.78, -0.22), (-0.45, -0.3), (0.5, -0.3), (0.8, -0.2), (0.82, 0)],
        yellow,
    )
    canvas.around(
        x, y, size, [(-0.12, -0.55), (-0.12, -0.66), (0.1, -0.66), (0.1, -0.55)], (250, 250, 240)
    )
    for square in range(12):
        px = -0.6 + 0.1 * square
        canvas.around(
            x,
            y,
            size,
            [(px, -0.19), (px + 0.05, -0.19), (px + 0.05, -0.13), (px, -0.13)],
            (20, 20, 24),
        )
    for side in (-0.45, 0.47):
        canvas.disc(x + side * size, y, 0.062, (22, 22, 26))
        canvas.disc(x + side * size, y, 0.028, (180, 182, 186))
    canvas.glow(x + 0.38, y - 0.03, 0.08, canvas.palette.light, 0.8)


def _bridge(canvas: Canvas, y: float) -> None:
    steel = shade(canvas.palette.accent, 0.75)
    for tower in (0.22, 0.78):
        canvas.box(tower - 0.025, y - 0.3, tower + 0.025, y + 0.06, steel)
    curve = [
        (k / 40, y - 0.02 - 0.27 * min(((k / 40 - 0.5) / 0.28) ** 2, 1.0)) for k in range(9, 32)
    ]
    cable = [(0.0, y - 0.08), (0.22, y - 0.29), *curve, (0.78, y - 0.29), (1.0, y - 0.08)]
    canvas.line(cable, steel, 5)
    for px, py in curve[1:-1]:
        canvas.line([(px, py), (px, y)], steel, 2)
    canvas.box(0, y, 1, y + 0.028, steel)
    canvas.box(0, y + 0.06, 1, y + 0.3, mix(canvas.palette.mid, (40, 90, 130), 0.4))


def _street_lamp(canvas: Canvas, x: float, y: float) -> None:
    iron = (16, 16, 22)
    canvas.line([(x, y + 0.02), (x, y - 0.34)], iron, 8)
    canvas.line([(x, y - 0.34), (x + 0.06, y - 0.37), (x + 0.1, y - 0.35)], iron, 6)
    canvas.disc(x + 0.1, y - 0.335, 0.035, canvas.palette.light)
    canvas.glow(x + 0.1, y - 0.33, 0.2, canvas.palette.light, 0.75)


def draw_railway(canvas: Canvas) -> None:
    """Draw rails to the horizon with a locomotive, or a train on a viaduct."""
    colours = canvas.palette
    canvas.sky(colours.sky, colours.low, 0.6)
    canvas.sun(canvas.uniform(0.15, 0.85), canvas.uniform(0.14, 0.22), 0.07)
    canvas.ridge(0.5, 0.03, colours.far, 0.5)
    if canvas.choose(3) == 0:
        _viaduct(canvas, 0.5)
        return
    canvas.box(0, 0.54, 1, 1, colours.mid)
    _rails(canvas, 0.5)
    for side in (-1, 1):
        _poles(canvas, side)
    _locomotive(canvas, 0.5, 0.74, canvas.uniform(0.44, 0.54))


def _rails(canvas: Canvas, x: float) -> None:
    dark = canvas.palette.near
    canvas.poly(
        [(x - 0.03, 0.54), (x + 0.03, 0.54), (x + 0.62, 1.02), (x - 0.62, 1.02)], shade(dark, 1.25)
    )
    for tie in range(14):
        depth = (tie / 13) ** 1.8
        y, half = 0.55 + 0.45 * depth, 0.04 + 0.52 * depth
        canvas.box(x - half, y, x + half, y + 0.004 + 0.018 * depth, (86, 58, 40))
    for side in (-1, 1):
        canvas.line([(x + side * 0.015, 0.54), (x + side * 0.42, 1.02)], (206, 210, 216), 5)


def _poles(canvas: Canvas, side: int) -> None:
    for step in range(4):
        depth = ((step + 0.5) / 4) ** 1.6
        x, foot, tall = 0.5 + side * (0.1 + 0.5 * depth), 0.55 + 0.22 * depth, 0.08 + 0.34 * depth
        canvas.line([(x, foot), (x, foot - tall)], canvas.palette.near, 2 + int(4 * depth))
        arm = 0.02 + 0.06 * depth
        canvas.line(
            [(x - arm, foot - tall * 0.9), (x + arm, foot - tall * 0.9)],
            canvas.palette.near,
            2 + int(3 * depth),
        )


def _locomotive(canvas: Canvas, x: float, y: float, size: float) -> None:
    black, red = canvas.palette.subject, canvas.palette.accent
    drift = canvas.uniform(-0.05, 0.05)
    for puff in range(7):
        grey = 225 - 9 * puff
        canvas.disc(
            x + drift * puff,
            y - size * 0.62 - 0.035 * puff,
            0.04 + 0.012 * puff,
            (grey, grey, grey + 4),
        )
    canvas.around(
        x,
        y,
        size,
        [(-0.09, -0.7), (0.09, -0.7), (0.07, -1.0), (0.12, -1.05), (-0.12, -1.05), (-0.07, -1.0)],
        black,
    )
    canvas.around(
        x, y, size, [(-0.46, -0.88), (0.46, -0.88), (0.42, -0.1), (-0.42, -0.1)], shade(black, 0.8)
    )
    canvas.disc(x, y - size * 0.3, size * 0.38, mix(black, (255, 255, 255), 0.12))
    canvas.disc(x, y - size * 0.3, size * 0.31, black)
    canvas.ring(x, y - size * 0.3, size * 0.38, mix(red, (230, 190, 90), 0.6), 5)
    canvas.disc(x, y - size * 0.52, size * 0.085, canvas.palette.light)
    canvas.glow(x, y - size * 0.52, 0.14, canvas.palette.light, 0.5)
    canvas.around(x, y, size, [(-0.55, -0.1), (0.55, -0.1), (0.55, 0.08), (-0.55, 0.08)], red)
    for side in (-1, 1):
        canvas.disc(x + side * size * 0.4, y - 0.002, size * 0.08, (210, 210, 214))
    canvas.around(x, y, size, [(-0.42, 0.08), (0.42, 0.08), (0.28, 0.34), (-0.28, 0.34)], black)
    for bar in range(-2, 3):
        canvas.line(
            [(x + bar * size * 0.15, y + size * 0.06), (x + bar * size * 0.11, y + size * 0.21)],
            (150, 150, 156),
            4,
        )


def _viaduct(canvas: Canvas, y: float) -> None:
    colours = canvas.palette
    stone = mix(colours.near, (190, 170, 140), 0.45)
    canvas.ridge(0.72, 0.03, colours.mid, 0.5)
    canvas.box(0, y, 1, y + 0.3, stone)
    for arch in range(5):
        px = 0.02 + arch * 0.205
        canvas.draw.pieslice(
            (px * 320, (y + 0.05) * 480, (px + 0.15) * 320, (y + 0.05) * 480 + 48),
            180,
            360,
            fill=mix(colours.far, colours.low, 0.4),
        )
        canvas.box(px, y + 0.1, px + 0.15, y + 0.32, mix(colours.far, colours.low, 0.4))
    canvas.ridge(0.8, 0.03, shade(colours.mid, 0.75), 0.5)
    canvas.box(0, y - 0.008, 1, y + 0.012, shade(stone, 0.7))
    front = canvas.uniform(0.1, 0.25)
    canvas.box(front, y - 0.075, front + 0.2, y - 0.022, colours.subject)
    canvas.box(front + 0.13, y - 0.11, front + 0.21, y - 0.022, colours.subject)
    canvas.box(front + 0.03, y - 0.11, front + 0.06, y - 0.07, colours.subject)
    for puff in range(6):
        canvas.disc(
            front + 0.045 + 0.05 * puff,
            y - 0.13 - 0.022 * puff,
            0.03 + 0.011 * puff,
            (232, 232, 236),
        )
    for wheel in range(4):
        canvas.disc(front + 0.03 + 0.05 * wheel, y - 0.018, 0.022, (60, 30, 28))
    for car in range(4):
        left = front + 0.23 + 0.2 * car
        canvas.box(left, y - 0.09, left + 0.18, y - 0.018, colours.accent)
        for window in range(4):
            canvas.box(
                left + 0.015 + 0.042 * window,
                y - 0.075,
                left + 0.045 + 0.042 * window,
                y - 0.048,
                colours.light,
            )
