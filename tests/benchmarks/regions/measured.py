"""What each part of the benchmark has found."""

from dataclasses import dataclass

from tests.benchmarks.regions.three import NAMES, ROUND_TRIPS_MS


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is done. `seconds` of publishing with `rate` events a second of each lane and region."""

    seconds: float
    rate: float
    notes: int
    cut_seconds: float
    backlog: int
    joined: int
    sources: int


SMALL = Sizes(seconds=8, rate=8, notes=3_000, cut_seconds=10, backlog=5_000, joined=5_000, sources=1)
FULL = Sizes(seconds=60, rate=20, notes=20_000, cut_seconds=60, backlog=100_000, joined=100_000, sources=2)


@dataclass(frozen=True, slots=True)
class Way:
    """From a region to another one."""

    source: int
    target: int

    @property
    def name(self) -> str:
        """As in a table."""
        return f"{NAMES[self.source]} to {NAMES[self.target]}"

    @property
    def round_trip_ms(self) -> int:
        """Of the wire."""
        return ROUND_TRIPS_MS[frozenset({self.source, self.target})]


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from the OK in one region to the arrival at a subscriber in the other, sorted."""

    way: Way
    lane: str
    published: int
    seconds: tuple[float, ...]

    @property
    def missing(self) -> int:
        """Events that have not arrived, of those that must."""
        return 0 if self.lane == "ephemeral" else self.published - len(self.seconds)

    def quantile(self, share: float) -> float:
        """Seconds; nearest rank."""
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


@dataclass(frozen=True, slots=True)
class Throughput:
    """Events a second of the normal lane, from the arrival of the first batch to that of the last."""

    way: Way
    loss: float
    events: int
    per_second: float


@dataclass(frozen=True, slots=True)
class Split:
    """A wire that was cut under load. `timeline`: (seconds since the cut, events that have not arrived)."""

    way: Way
    cut_seconds: float
    acknowledged: int
    waiting: int
    converged_seconds: float
    missing: int
    repairs: int
    timeline: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Priority:
    """A backlog of reactions, and urgent events after it. Seconds since the first arrival of either."""

    way: Way
    backlog: int
    urgent: int
    last_urgent_seconds: float
    last_low_seconds: float
    low_before: int
    missing: int


@dataclass(frozen=True, slots=True)
class Joined:
    """A region that is filled, against an import of the same events. `asked`: seconds of its queries meanwhile."""

    way: Way
    events: int
    imported_per_second: float
    filled_per_second: float
    asked: tuple[float, ...]
    missing: int


@dataclass(frozen=True, slots=True)
class Fault:
    """A process that was killed in the middle of a batch."""

    part: str
    where: str
    acknowledged: int
    missing: int
    cursors_right: bool
    seconds: float
    """From the kill until nothing was missing and all cursors were at the end of the log."""
