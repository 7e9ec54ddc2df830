"""Line charts as inline SVG: no script, no resource from elsewhere; colours come from the page's style sheet.

Rule: nothing here is text of the relay's; labels are ours. A gap in the data is a gap in the line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

from relay.loadtest.wording import number

WIDTH, HEIGHT = 460, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 10, 32
_STEPS = (1, 2, 5, 10)
_TICKS = 5


@dataclass(frozen=True, slots=True)
class Line:
    """Points (x, y) in growing x; y None is a gap. `style`: the class of its colour."""

    name: str
    style: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to pixels. `logarithmic` for a range of several powers of ten."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """The pixel of a value."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = log10(low), log10(high), log10(max(value, self.low))
        share = (value - low) / (high - low) if high > low else 0.0
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """Values to be labelled: five or so, or the powers of ten."""
        if self.logarithmic:
            return [10.0**power for power in range(round(log10(self.low)), round(log10(self.high)) + 1)]
        step = nice_step((self.high - self.low) / _TICKS)
        return [round(self.low + step * i, 10) for i in range(floor((self.high - self.low) / step + 1e-9) + 1)]


def nice_step(rough: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least `rough`."""
    power = 10.0 ** floor(log10(rough)) if rough > 0 else 1.0
    return next(step * power for step in _STEPS if step * power >= rough * (1 - 1e-9))


def line_chart(lines: Sequence[Line], label: str, *, x_unit: str, y_unit: str, x_log: bool = False) -> str:
    """An `<svg>`; `label` says to those who do not see it what it shows. Empty text without a point."""
    lines = [line for line in lines if any(y is not None for _, y in line.points)]
    if not lines:
        return ""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points if y is not None]
    across = _log_axis(xs) if x_log else Axis(0.0, max(xs) or 1.0, LEFT, WIDTH - RIGHT)
    up = Axis(0.0, _top(max(ys)), HEIGHT - BOTTOM, TOP)
    parts = [*_grid(across, up, x_unit), *(_path(line, across, up) for line in lines)]
    parts += [_points(line, across, up, x_unit, y_unit) for line in lines]
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def _log_axis(xs: Sequence[float]) -> Axis:
    low = floor(log10(max(min(xs), 0.01)))
    high = max(ceil(log10(max(*xs, 0.01))), low + 1)
    return Axis(10.0**low, 10.0**high, LEFT, WIDTH - RIGHT, logarithmic=True)


def _top(highest: float) -> float:
    step = nice_step(highest / _TICKS) if highest > 0 else 1.0
    return step * max(1, ceil(highest / step - 1e-9))


def _grid(across: Axis, up: Axis, x_unit: str) -> list[str]:
    parts = []
    for tick in up.ticks():
        y = up.place(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 3.5}" text-anchor="end">{number(tick)}</text>')
    for tick in across.ticks():
        x = across.place(tick)
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{number(tick)}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{escape(x_unit)}</text>')
    return parts


def _path(line: Line, across: Axis, up: Axis) -> str:
    commands, drawing = [], False
    for x, y in line.points:
        if y is None:
            drawing = False
            continue
        commands.append(f"{'L' if drawing else 'M'}{across.place(x)} {up.place(y)}")
        drawing = True
    return f'<path class="line {line.style}" d="{"".join(commands)}"/>'


def _points(line: Line, across: Axis, up: Axis, x_unit: str, y_unit: str) -> str:
    """What a pointer over the line finds: the browser shows a circle's title."""
    return "".join(
        f'<circle class="{line.style}" cx="{across.place(x)}" cy="{up.place(y)}" r="5">'
        f"<title>{escape(line.name)}: {number(y)} {escape(y_unit)} at {number(x)} {escape(x_unit)}</title></circle>"
        for x, y in line.points
        if y is not None
    )
