"""Line plots as SVG, with nothing but the standard library."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 860, 480
LEFT, RIGHT, TOP, BOTTOM = 70, 210, 48, 58
# Distinguishable without colour vision, too: by Okabe and Ito; ours is the first.
COLOURS = ["#d55e00", "#000000", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#888888", "#7a4f9e", "#6b8e23",
           "#8c564b", "#17becf"]


class Axis:
    """Maps values to pixels. `ticks`: (value, text)."""

    def __init__(self, low, high, start, end, *, log, ticks):
        self._convert = math.log10 if log else float
        self._low, self._high = self._convert(low), self._convert(high)
        self._start, self._end = start, end
        self.ticks = [(value, text) for value, text in ticks if low <= value <= high]

    def __call__(self, value):
        part = (self._convert(value) - self._low) / (self._high - self._low or 1)
        return self._start + min(max(part, -0.02), 1.02) * (self._end - self._start)


def decades(low, high, name):
    """Ticks at powers of ten; `name` makes their text."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [(10.0 ** e, name(10.0 ** e)) for e in range(first, last + 1)]


def steps(low, high, name, wanted=8):
    """Ticks at round numbers."""
    rough = (high - low) / wanted
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * m for m in (1, 2, 5, 10) if size * m >= rough)
    return [(step * i, name(step * i)) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _text(x, y, text, anchor="middle", size=12, extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{extra}>{escape(text)}</text>'


def line_plot(title, note, x_name, y_name, x_axis, y_axis, series):
    """`series`: (name, [(x, y)], dashed). x_axis and y_axis are Axis-making functions of (start, end) pixels."""
    x = x_axis(LEFT, WIDTH - RIGHT)
    y = y_axis(HEIGHT - BOTTOM, TOP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
           'font-family="sans-serif" fill="#222">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
           _text(LEFT, 22, title, "start", 15, ' font-weight="bold"'), _text(LEFT, 39, note, "start", 11, ' fill="#666"')]
    for value, text in x.ticks:
        out.append(f'<line x1="{x(value):.1f}" y1="{TOP}" x2="{x(value):.1f}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        out.append(_text(x(value), HEIGHT - BOTTOM + 18, text))
    for value, text in y.ticks:
        out.append(f'<line x1="{LEFT}" y1="{y(value):.1f}" x2="{WIDTH - RIGHT}" y2="{y(value):.1f}" stroke="#ddd"/>')
        out.append(_text(LEFT - 8, y(value) + 4, text, "end"))
    out.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, x_name))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    out.append(_text(18, middle, y_name, extra=f' transform="rotate(-90 18 {middle})"'))
    for number, (name, points, dashed) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        dash = ' stroke-dasharray="6 4"' if dashed else ""
        path = " ".join(f"{x(px):.1f},{y(py):.1f}" for px, py in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{3 if number == 0 else 1.6}"'
                   f'{dash}/>')
        key = TOP + 12 + 20 * number
        out.append(f'<line x1="{WIDTH - RIGHT + 14}" y1="{key - 4}" x2="{WIDTH - RIGHT + 40}" y2="{key - 4}" '
                   f'stroke="{colour}" stroke-width="{3 if number == 0 else 1.6}"{dash}/>')
        out.append(_text(WIDTH - RIGHT + 46, key, name, "start"))
    out.append("</svg>")
    return "\n".join(out) + "\n"
