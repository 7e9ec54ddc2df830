"""What one run does, decided before it starts, and the share of it that each worker process takes.

Rule: a plan never changes; `planning` makes it and keeps its bounds.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import ceil

MAX_SAMPLED_EXACTLY = 10_000  # deliveries; above, every 7th is timed (7 is prime: in step with nothing)
POOL_EVENTS = 20_000
"""More events of `mixed` are signed as they are sent, and memory holds those of the last SLOT_SECONDS alone."""
SLOT_SECONDS = 120.0
SETTLE_SECONDS = 30.0
"""After this time an event of such a run counts as lost for a subscriber that has not received it."""
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
    """The part of one worker: `first` is the number of its first event in the whole run, and `step` the difference to
    the next. `first_connection`, `first_subscriber`: numbers of its first ones in the whole run.
    """

    index: int
    connections: int
    first_connection: int
    subscribers: int
    first_subscriber: int
    first: int
    step: int
    events: int
    event_rate: float
    query_rate: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run: counts, rates a second, times in seconds. `run` is 8 hex digits that no other run has.

    `connections` publish and query; `subscribers` follow live events: some of the same connections in `mixed`,
    connections of their own in `fanout` and `idle`. `existing`: queries are about what the relay holds already.
    `urls`: addresses of one relay, over which the connections are spread. `interval`: seconds of a line of the log.
    `reopen`: a run of few events streams as well, so that connections which have ended are opened again.
    """

    urls: tuple[str, ...]
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
    interval: float = 0.0
    reopen: bool = False

    @property
    def url(self) -> str:
        """The first address."""
        return self.urls[0]

    @property
    def streams(self) -> bool:
        """Whether events are signed as they are sent, and counted in a window of `slots`."""
        return self.scenario is Scenario.MIXED and (self.reopen or self.events > POOL_EVENTS)

    @property
    def slots(self) -> int:
        """For how many events there is memory."""
        return slots_of(self.event_rate, self.processes) if self.streams else self.events

    def publishing_url(self, number: int) -> str:
        """Where connection `number` of the run goes."""
        return self.url if self._is_one_way else self.urls[number % len(self.urls)]

    def following_url(self, number: int) -> str:
        """Where a connection goes that only follows: to another address than the publisher's, if there is one."""
        others = self.urls[1:] if self._is_one_way and len(self.urls) > 1 else self.urls
        return others[number % len(others)]

    @property
    def _is_one_way(self) -> bool:
        return self.scenario in (Scenario.FANOUT, Scenario.IDLE)

    def share(self, index: int) -> Share:
        """What worker `index` does. Only worker 0 publishes in fanout and idle, where one publisher is the point."""
        first, last = _part(self.events, self.processes, index)
        first_connection, end = _part(self.connections, self.processes, index)
        connections = end - first_connection
        if self._is_one_way:
            first, last, connections = (0, self.events, 1) if index == 0 else (0, 0, 0)
        first_subscriber, end = _part(self.subscribers, self.processes, index)
        return Share(
            index=index,
            connections=connections,
            first_connection=first_connection,
            subscribers=end - first_subscriber,
            first_subscriber=first_subscriber,
            first=index if self.streams else first,
            step=self.processes if self.streams else 1,
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


def slots_of(event_rate: float, processes: int) -> int:
    """For how many events of a run that streams there is memory: a multiple of `processes`, and even. Never fewer, also
    if the run has fewer: a place is cleared half a round ahead.
    """
    return max(2, ceil(event_rate * SLOT_SECONDS / (2 * processes)) * 2) * processes
