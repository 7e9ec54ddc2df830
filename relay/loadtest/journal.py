"""The log of a run: a file of JSON lines, one for each interval, that can be read while the run lasts and after it.

Rule: the first line says what is run, the last one how it ended; a file may hold several runs, one after the other.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import time
from typing import BinaryIO, Protocol

import msgspec

from relay.loadtest.evaluation import milliseconds
from relay.loadtest.histogram import Histogram
from relay.loadtest.plan import Plan
from relay.loadtest.tally import Part

FORMAT, VERSION = "relay-loadtest-log", 1


class Head(msgspec.Struct, frozen=True, tag="begin"):
    """What is run. `at`: seconds since 1970."""

    at: int
    urls: list[str]
    scenario: str
    connections: int
    subscribers: int
    event_rate: float
    query_rate: float
    duration: float
    interval: float
    format: str = FORMAT
    version: int = VERSION


class Line(msgspec.Struct, frozen=True, tag="interval"):
    """One interval. `second` is its end since the start; rates and p95 are of the interval, the other counts of the run
    until then. `lost`: deliveries that never came; `closed`: connections that the relay ended; `open`: those open now.
    """

    at: int
    second: float
    events_per_second: float
    queries_per_second: float
    deliveries_per_second: float
    ok_p95_ms: float | None
    eose_p95_ms: float | None
    delivery_p95_ms: float | None
    sent: int
    accepted: int
    lost: int
    closed: int
    open: int


class End(msgspec.Struct, frozen=True, tag="end"):
    """How it ended."""

    at: int
    seconds: float
    passed: bool
    interrupted: bool


Entry = Head | Line | End


class Source(Protocol):
    """A worker: the parts that it has handed over, and whether no more are to come."""

    parts: dict[int, Part]

    @property
    def settled(self) -> bool:
        """Whether nothing more is to come from it."""


class Journal:
    """Appends to `path`. Raises OSError when it cannot be opened; later, a full disk ends no run."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self._interval = plan.interval
        self._next = 1
        self._before = (0, 0, 0)
        self._file: BinaryIO = path.open("ab")
        fields = {name: getattr(plan, name) for name in Head.__struct_fields__ if hasattr(plan, name)}
        self._write(Head(**{**fields, "at": plan.now, "urls": list(plan.urls)}))

    def collect(self, workers: Sequence[Source]) -> None:
        """Write the lines for which every worker that still runs has handed over its part."""
        while all(worker.settled or self._next in worker.parts for worker in workers):
            parts = [worker.parts.pop(self._next) for worker in workers if self._next in worker.parts]
            if not parts:
                return
            self._write(self._line(parts))
            self._next += 1

    def end(self, seconds: float, *, passed: bool, interrupted: bool) -> None:
        """The last line."""
        self._write(End(int(time()), seconds, passed, interrupted))
        self._file.close()

    def _line(self, parts: Sequence[Part]) -> Line:
        counts = [sum(getattr(part, name) for part in parts) for name in ("accepted", "answered", "delivered")]
        rates = [round((now - then) / self._interval, 1) for now, then in zip(counts, self._before, strict=True)]
        self._before = counts[0], counts[1], counts[2]
        p95 = [
            milliseconds(Histogram().merge(getattr(part, name) for part in parts).quantile(0.95))
            for name in ("ok", "eose", "delivery")
        ]
        rest = [sum(getattr(part, name) for part in parts) for name in ("sent", "accepted", "lost", "closed", "open")]
        return Line(int(time()), round(self._next * self._interval, 3), *rates, *p95, *rest)

    def _write(self, entry: Entry) -> None:
        try:
            self._file.write(msgspec.json.encode(entry) + b"\n")
            self._file.flush()
        except OSError:  # a full disk
            return


def read(lines: Iterator[bytes]) -> Iterator[Entry]:
    """The entries; a line that is cut off or of another kind is left out."""
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=Entry)
        except msgspec.DecodeError:
            continue
