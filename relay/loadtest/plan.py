"""What one run does, decided before it starts, and the share of it that each worker process takes.

Rule: a plan never changes; `planning` makes it and keeps its bounds.
"""

from dataclasses import dataclass
from enum import StrEnum

MAX_SAMPLED_EXACTLY = 10_000  # deliveries; above, every 7th is timed (7 is prime: in step with nothing)
GRACE_SECONDS = 5.0  # for answers that are under way when the time is over


class Scenario(StrEnum):
    """What a run does; docs/loadtest.md describes each."""

    MIXED = "mixed"
    INGEST = "ingest"
    QUERY = "query"
    FANOUT = "fanout"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Share:
    """The part of one worker: `first` is the number of its first event in the whole run."""

    index: int
    connections: int
    subscribers: int
    first: int
    events: int
    event_rate: float
    query_rate: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run: counts, rates a second, times in seconds. `run` is 8 hex digits that no other run has.

    `connections` publish and query; `subscribers` follow live events: some of the same connections in `mixed`,
    connections of their own in `fanout` and `idle`. `existing`: queries are about what the relay holds already.
    """

    url: str
    scenario: Scenario
    connections: int
    subscribers: int
    events: int
    duration: float
    event_rate: float
    query_rate: float
    window: int
    processes: int
    authors: int
    seed: int
    existing: bool
    run: str
    now: int

    def share(self, index: int) -> Share:
        """What worker `index` does. Only worker 0 publishes in fanout and idle, where one publisher is the point."""
        first, last = _part(self.events, self.processes, index)
        connections = _size(self.connections, self.processes, index)
        if self.scenario in (Scenario.FANOUT, Scenario.IDLE):
            first, last, connections = (0, self.events, 1) if index == 0 else (0, 0, 0)
        return Share(
            index=index,
            connections=connections,
            subscribers=_size(self.subscribers, self.processes, index),
            first=first,
            events=last - first,
            event_rate=self.event_rate / self.processes,
            query_rate=self.query_rate / self.processes,
        )

    @property
    def timed_delivery(self) -> int:
        """Every how many deliveries one is timed: timing all would make the generator the bottleneck."""
        return 1 if self.subscribers * self.events <= MAX_SAMPLED_EXACTLY else 7


def _part(total: int, parts: int, index: int) -> tuple[int, int]:
    return total * index // parts, total * (index + 1) // parts


def _size(total: int, parts: int, index: int) -> int:
    first, last = _part(total, parts, index)
    return last - first
