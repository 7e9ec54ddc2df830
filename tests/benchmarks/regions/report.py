"""Tables of what was measured, and their places in docs/regions.md."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.regions.faults import cases
from tests.benchmarks.regions.measured import Fault, Joined, Latency, Priority, Split, Throughput

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/regions.md"
Row = tuple[str, ...]


def latency(found: Sequence[Latency]) -> str:
    """p50 and p99 by way and lane."""
    head = ("from", "round trip, ms", "lane", "published", "arrived", "p50, ms", "p99, ms", "greatest, ms")
    return _table(
        head,
        [
            (one.way.name, str(one.way.round_trip_ms), one.lane, str(one.published), str(len(one.seconds)))
            + (tuple(_ms(one.quantile(share)) for share in (0.5, 0.99, 1.0)) if one.seconds else ("–",) * 3)
            for one in found
        ],
    )


def throughput(found: Sequence[Throughput]) -> str:
    """Events a second by way and loss."""
    head = ("from", "round trip, ms", "packets lost", "events", "events a second")
    return _table(
        head,
        [
            (one.way.name, str(one.way.round_trip_ms), f"{one.loss:.0%}", f"{one.events:,}", f"{one.per_second:,.0f}")
            for one in found
        ],
    )


def split(found: Sequence[Split]) -> str:
    """What a cut left behind."""
    head = (
        "between", "cut for, s", "acknowledged in both", "waiting at the end of the cut",
        "all there after, s", "missing at the end", "repairs that ran",
    )  # fmt: skip
    return _table(
        head,
        [
            (
                one.way.name.replace(" to ", " and "), f"{one.cut_seconds:.0f}", f"{one.acknowledged:,}",
                f"{one.waiting:,}", f"{one.converged_seconds:.1f}", str(one.missing), str(one.repairs),
            )
            for one in found
        ],
    )  # fmt: skip


def priority(found: Sequence[Priority]) -> str:
    """When the urgent events came, and when the backlog had."""
    head = (
        "from", "backlog of reactions", "urgent events after it", "last urgent after, s", "last reaction after, s",
        "reactions before the last urgent", "missing",
    )  # fmt: skip
    return _table(
        head,
        [
            (
                one.way.name, f"{one.backlog:,}", str(one.urgent), f"{one.last_urgent_seconds:.3f}",
                f"{one.last_low_seconds:.1f}", f"{one.low_before:,}", str(one.missing),
            )
            for one in found
        ],
    )  # fmt: skip


def join(found: Sequence[Joined]) -> str:
    """The speed of filling beside that of an import, and of queries meanwhile."""
    head = (
        "from", "round trip, ms", "events", "imported a second", "filled a second", "share of the import",
        "queries meanwhile", "their p50, ms", "p99, ms", "missing",
    )  # fmt: skip
    return _table(
        head,
        [
            (
                one.way.name, str(one.way.round_trip_ms), f"{one.events:,}", f"{one.imported_per_second:,.0f}",
                f"{one.filled_per_second:,.0f}", f"{one.filled_per_second / one.imported_per_second:.2f}",
                str(len(one.asked)), *(_ms(one.asked[int(share * (len(one.asked) - 1))]) for share in (0.5, 0.99)),
                str(one.missing),
            )
            for one in found
        ],
    )  # fmt: skip


def faults(found: Sequence[Fault]) -> str:
    """A row for each part and side, over its trials."""
    head = ("killed", "of", "trials", "acknowledged", "missing", "cursors right", "well after, s (greatest)")
    return _table(
        head,
        [
            (
                trials[0].part, trials[0].where, str(len(trials)), f"{sum(one.acknowledged for one in trials):,}",
                str(sum(one.missing for one in trials)),
                f"{sum(one.cursors_right for one in trials)} of {len(trials)}",
                f"{median(one.seconds for one in trials):.1f} ({max(one.seconds for one in trials):.1f})",
            )
            for trials in cases(found)
        ],
    )  # fmt: skip


TABLES: dict[str, Callable[[Any], str]] = {
    "latency": latency, "throughput": throughput, "split": split, "priority": priority, "join": join, "faults": faults,
}  # fmt: skip


def write(part: str, text: str, document: Path = DOCUMENT) -> None:
    """Put a part's table into the document, in place of the one that is there. Raises ValueError without a place."""
    begin, end = f"<!-- {part}: python -m tests.benchmarks.regions --write -->", f"<!-- end of {part} -->"
    before, found, rest = document.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{document} has no place for {part}")
    document.write_text(f"{before}{begin}\n\n{text}\n{end}{after}")


def _table(head: Row, rows: Sequence[Row]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, ("---",) * len(head), *rows))


def _ms(seconds: float) -> str:
    return f"{seconds * 1_000:,.0f}"
