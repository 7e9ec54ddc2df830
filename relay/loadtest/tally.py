"""What one worker has counted and timed. It goes to the coordinator as it is, and tallies are added there.

Rule: memory is bounded whatever the relay sends: reasons that a relay words are cut, and so is their number.
"""

import re
from collections import Counter
from dataclasses import dataclass, field

from relay.loadtest.histogram import Histogram

MAX_REASONS = 20
MAX_TEXT = 200
_PREFIX = re.compile(r"([a-z][a-z-]{0,29}):")


@dataclass
class Reasons:
    """How often each reason was given, and the first text of each. Above MAX_REASONS they count as `other`."""

    counts: Counter[str] = field(default_factory=Counter)
    texts: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, text: str = "", number: int = 1) -> None:
        """Count a reason; both texts are cut."""
        reason = reason[:MAX_TEXT]
        if reason not in self.counts and len(self.counts) >= MAX_REASONS:
            reason = "other"
        self.counts[reason] += number
        self.texts.setdefault(reason, text[:MAX_TEXT])

    def add_answer(self, text: object) -> None:
        """The text of an OK false or a CLOSED, counted by its prefix (NIP-01)."""
        text = text if isinstance(text, str) else ""
        found = _PREFIX.match(text)
        self.add(found[1] if found else "no prefix", text)

    def merge(self, other: "Reasons") -> None:
        """Add what another one has counted."""
        for reason, number in other.counts.items():
            self.add(reason, other.texts.get(reason, ""), number)


@dataclass
class Shape:
    """The queries of one filter shape: how many were answered, with how many events, in how many seconds."""

    answered: int = 0
    events: int = 0
    seconds: float = 0.0
    latency: Histogram = field(default_factory=Histogram)


@dataclass
class Moment:
    """Cumulative counts at one moment, in seconds since the start; the first is the start. `cpu` in seconds."""

    second: float
    accepted: int
    answered: int
    delivered: int
    cpu: float


@dataclass
class Track:
    """Latencies of one sort, over all and in slots of `width` seconds since the start."""

    width: float = 1.0
    total: Histogram = field(default_factory=Histogram)
    slots: dict[int, Histogram] = field(default_factory=dict)
    recent: Histogram | None = None
    """Since `take_recent` was last called; None before its first call."""

    def add(self, latency: float, second: float) -> None:
        """`latency` in seconds, which ended `second` seconds after the start."""
        self.total.add(latency)
        if self.recent is not None:
            self.recent.add(latency)
        slot = min(max(int(second / self.width), 0), MAX_SLOTS)
        if slot not in self.slots:
            self.slots[slot] = Histogram()
        self.slots[slot].add(latency)

    def take_recent(self) -> Histogram:
        """The latencies since the last call; from the first one on they are kept for the next."""
        taken, self.recent = self.recent or Histogram(), Histogram()
        return taken


MAX_SLOTS = 200


@dataclass
class Part:
    """One worker's part of a line of the log: counts since the start, latencies since the line before."""

    sent: int
    accepted: int
    answered: int
    delivered: int
    lost: int
    closed: int
    open: int
    ok: Histogram
    eose: Histogram
    delivery: Histogram


def slot_width(duration: float) -> float:
    """Seconds of a slot: about 100 to a run, and none shorter than a quarter of a second."""
    return max(0.25, round(duration / 100, 2))


@dataclass
class Tally:
    """Counts of one worker; times are of time.perf_counter, which all processes of a machine share."""

    width: float = 1.0
    tried: int = 0
    opened: int = 0
    reopened: int = 0  # after they had ended
    failures: Reasons = field(default_factory=Reasons)
    connecting: Histogram = field(default_factory=Histogram)
    closes: Reasons = field(default_factory=Reasons)  # by the relay, or by a broken line

    sent: int = 0
    accepted: int = 0
    refusals: Reasons = field(default_factory=Reasons)
    unanswered: int = 0
    withheld: int = 0  # due by the rate, and not sent: every connection was blocked or closed
    behind: float = 0.0  # seconds, the most that sending was late

    asked: int = 0
    answered: int = 0
    found: int = 0
    rejections: Reasons = field(default_factory=Reasons)
    unfinished: int = 0
    shapes: dict[str, Shape] = field(default_factory=dict)

    followers: int = 0
    lost: int = 0  # deliveries of accepted events that never came
    delivered: int = 0
    repeated: int = 0

    notices: Reasons = field(default_factory=Reasons)
    challenges: int = 0
    garbage: int = 0
    foreign: int = 0
    unexpected: int = 0
    pings: int = 0

    started: float = 0.0
    last_ok: float = 0.0
    last_eose: float = 0.0
    last_delivery: float = 0.0
    moments: list[Moment] = field(default_factory=list)
    problem: str = ""

    def __post_init__(self) -> None:
        self.ok = Track(self.width)
        self.eose = Track(self.width)
        self.delivery = Track(self.width)
