"""Line charts as SVG, with a logarithmic x axis and y from zero."""

import math

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 80, 20, 40, 50
COLOURS = ("#1f6feb", "#d1572b", "#2b8a3e", "#8250df")


def lines(title, x_name, y_name, series):
    """A chart of `series`: a list of (x, y) for each name."""
    series = {name: sorted(points) for name, points in series.items() if points}
    xs = sorted({x for points in series.values() for x, _ in points})
    top = nice(max(y for points in series.values() for _, y in points))
    low, high = math.log(xs[0]), math.log(xs[-1])

    def place(x, y):
        across = LEFT + (WIDTH - LEFT - RIGHT) * ((math.log(x) - low) / (high - low) if high > low else 0.5)
        return across, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / top

    parts = [text(WIDTH / 2, 22, title, "middle", 15), text(WIDTH / 2, HEIGHT - 10, x_name, "middle")]
    parts.append(text(LEFT - 70, TOP - 12, y_name, "start"))
    for step in range(5):
        y = place(xs[0], top * step / 4)[1]
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(text(LEFT - 8, y + 4, number(top * step / 4), "end"))
    parts += [text(place(x, 0)[0], HEIGHT - BOTTOM + 18, number(x), "middle") for x in xs]
    for (name, points), colour in zip(series.items(), COLOURS):
        places = [place(x, y) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        parts.append(text(places[-1][0] - 4, places[-1][1] - 8, name, "end", colour=colour))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *parts, "</svg>", ""])


def text(x, y, words, anchor, size=12, colour="#333"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{words}</text>'


def nice(value):
    """The next number of 1, 2, 4 or 8 times a power of ten that is not smaller."""
    power = 10 ** math.floor(math.log10(value)) if value > 0 else 1
    return next(step * power for step in (1, 2, 4, 8, 10) if step * power >= value)


def number(value):
    for size, unit in ((1_000_000, " M"), (1_000, " k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
