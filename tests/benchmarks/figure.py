"""A measured figure, its yardstick, and the table that a later run is compared with.

Rule: what is compared is the ratio to the yardstick; seconds are shown for a reader, and only for one.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).with_name("results.json")
ROUNDS = 7
NOTABLE = 0.15
"""A ratio that moved by more than this is pointed out; less is noise on a shared machine."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Something per second. `ratio` is `per_second` through the yardstick's; higher is better."""

    name: str
    per_second: float
    yardstick: str
    yardstick_per_second: float
    ratio: float


def paired(name: str, measured: Callable[[], int], yardstick_name: str, yardstick: Callable[[], int]) -> Figure:
    """Run both in turns, each returning how many things it did; medians over the rounds."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(_rate(measured))
        theirs.append(_rate(yardstick))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return Figure(name, statistics.median(ours), yardstick_name, statistics.median(theirs), ratio)


def _rate(work: Callable[[], int]) -> float:
    start = time.perf_counter()
    done = work()
    return done / (time.perf_counter() - start)


def save(figures: Iterable[Figure]) -> None:
    """Keep the figures as those that the next run is compared with; others stay as they were."""
    kept = _earlier() | {figure.name: asdict(figure) for figure in figures}
    RESULTS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def _earlier() -> dict[str, dict[str, float | str]]:
    try:
        found: dict[str, dict[str, float | str]] = json.loads(RESULTS.read_text())
    except FileNotFoundError:
        return {}
    return found


def table(figures: Iterable[Figure]) -> str:
    """The figures as text, each beside its ratio of the run that was kept."""
    earlier = _earlier()
    lines = [f"{'':34}{'per second':>12}  {'ratio':>8}{'before':>8}  yardstick"]
    for figure in figures:
        before = earlier.get(figure.name, {}).get("ratio")
        was = f"{before:8.3f}" if isinstance(before, float) else "       -"
        moved = isinstance(before, float) and abs(figure.ratio / before - 1) > NOTABLE
        sign = ("  better" if figure.ratio > float(before or 0) else "  WORSE") if moved else ""
        lines.append(
            f"{figure.name:34}{figure.per_second:12,.0f}  {figure.ratio:8.3f}{was}  "
            f"{figure.yardstick} {figure.yardstick_per_second:,.0f}/s{sign}"
        )
    return "\n".join(lines)
