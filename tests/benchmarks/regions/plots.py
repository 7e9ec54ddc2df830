"""Plots as SVG files that need no style sheet, made of the load tester's charts."""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from relay.loadtest.charts import LEFT, WIDTH, Line, line_chart
from tests.benchmarks.regions.measured import Latency, Split

IMAGES = Path(__file__).resolve().parents[3] / "docs/images"
COLOURS = {"one": "#2a78d6", "two": "#b4491a", "three": "#0f8a68"}
SHARES = (0.0, *(share / 100 for share in range(5, 100, 5)), 0.99)
HEAD = 24
LANE = "normal"
STYLE = (
    "svg{background:#fff;font:11px system-ui,sans-serif}text{fill:#5c5b57}.grid{stroke:#e3e2dd}"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}circle{opacity:0}"
)


def latency(found: Sequence[Latency]) -> str:
    """The share of the notes that had arrived, by milliseconds since their OK, for each round trip."""
    trips = sorted({one.way.round_trip_ms for one in found})
    lines = []
    for style, trip in zip(COLOURS, trips, strict=False):
        both = [one for one in found if (one.way.round_trip_ms, one.lane) == (trip, LANE)]
        seconds = sorted(value for one in both for value in one.seconds)
        points = (
            [(seconds[int(share * (len(seconds) - 1))] * 1_000, share * 100) for share in SHARES] if seconds else []
        )
        lines.append(Line(f"round trip {trip} ms", style, points))
    return _drawn(lines, "share of notes that have arrived", x_unit="ms after OK", y_unit="%")


def split(found: Sequence[Split]) -> str:
    """Events that had not arrived in the other region, by seconds since the cut."""
    name = f"events not yet in the other region; cut at 0, healed at {found[0].cut_seconds:.0f} s"
    points = [(at, number) for at, number in found[0].timeline if at >= 0]
    return _drawn([Line(name, "one", points)], name, x_unit="s after the cut", y_unit="events")


PLOTS: dict[str, Callable[[Any], str]] = {"latency": latency, "split": split}


def _drawn(lines: Sequence[Line], label: str, *, x_unit: str, y_unit: str) -> str:
    chart = line_chart(lines, label, x_unit=x_unit, y_unit=y_unit)
    _, _, inner = chart.partition(">")
    colours = "".join(
        f".line.{name},.key.{name}{{stroke:{colour}}}circle.{name}{{fill:{colour}}}" for name, colour in COLOURS.items()
    )
    height = 190 + HEAD
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -{HEAD} {WIDTH} {height}" width="{2 * WIDTH}" '
        f'height="{2 * height}" role="img" aria-label="{escape(label)}"><style>{STYLE}{colours}</style>'
        f'<rect y="-{HEAD}" width="{WIDTH}" height="{height}" fill="#fff"/>{_legend(lines, y_unit)}{inner}\n'
    )


def _legend(lines: Sequence[Line], y_unit: str) -> str:
    parts = [f'<text x="{LEFT - 6}" y="-10" text-anchor="end">{escape(y_unit)}</text>']
    for number, line in enumerate(lines):
        x = LEFT + 4 + 130 * number
        parts.append(f'<path class="key {line.style}" stroke-width="3" d="M{x} -13H{x + 14}"/>')
        parts.append(f'<text x="{x + 20}" y="-10">{escape(line.name)}</text>')
    return "".join(parts)


def write(part: str, drawing: str, images: Path = IMAGES) -> None:
    """Write the plot of a part as a file."""
    (images / f"regions-{part}.svg").write_text(drawing)
