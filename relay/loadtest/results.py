"""The report of a run as values: what JSON, text and HTML are made from. docs/loadtest.md describes every field.

Rule: `version` grows when a field changes its meaning or goes; new fields may come without it. Times are in
milliseconds where the name ends in `_ms`, else in seconds; `None` stands for what was not measured.
"""

import msgspec

FORMAT, VERSION = "relay-loadtest", 1


class Latency(msgspec.Struct, frozen=True):
    """How long something took: percentiles of `count` times."""

    count: int
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None


class Reason(msgspec.Struct, frozen=True):
    """`reason` is ours or a NIP-01 prefix; `example` is the relay's first text, cut."""

    reason: str
    count: int
    example: str = ""


class Connections(msgspec.Struct, frozen=True):
    """`docs/loadtest.md`, figures.connections."""

    tried: int
    opened: int
    failed: int
    success_percent: float | None
    connect: Latency
    failures: list[Reason]
    closed_by_relay: list[Reason]
    reopened: int = 0


class Events(msgspec.Struct, frozen=True):
    """`docs/loadtest.md`, figures.events."""

    sent: int
    accepted: int
    refused: int
    unanswered: int
    withheld: int
    accepted_percent: float | None
    per_second: float | None
    ok: Latency
    refused_by_reason: list[Reason]


class ShapeFigures(msgspec.Struct, frozen=True):
    """The queries of one filter shape."""

    shape: str
    answered: int
    per_second: float
    events_per_query: float
    latency: Latency


class Queries(msgspec.Struct, frozen=True):
    """`docs/loadtest.md`, figures.queries."""

    asked: int
    answered: int
    rejected: int
    unanswered: int
    answered_percent: float | None
    per_second: float | None
    geometric_mean_per_second: float | None
    eose: Latency
    rejected_by_reason: list[Reason]
    by_shape: list[ShapeFigures]


class Deliveries(msgspec.Struct, frozen=True):
    """`docs/loadtest.md`, figures.deliveries."""

    subscribers: int
    delivered: int
    lost: int
    repeated: int
    delivered_percent: float | None
    per_second: float | None
    all_received_ms: float | None
    latency: Latency


class Other(msgspec.Struct, frozen=True):
    """`docs/loadtest.md`, figures.other."""

    notices: list[Reason]
    auth_challenges: int
    garbage: int
    unexpected: int
    foreign_events: int
    pings: int


class Generator(msgspec.Struct, frozen=True):
    """CPU of this program: 100 is one core. `behind_ms`: the most that sending was late against the rate."""

    cpu_percent_by_process: list[float]
    cpu_percent: float
    is_bottleneck: bool
    behind_ms: float
    missing_processes: int


class Check(msgspec.Struct, frozen=True):
    """A threshold and what was measured; `met` is None when there was nothing to measure."""

    name: str
    limit: float
    measured: float | None
    met: bool | None


class Second(msgspec.Struct, frozen=True):
    """One slot of the run. `second` is its end since the start; rates are of the slot, p95 in milliseconds."""

    second: float
    events_per_second: float
    queries_per_second: float
    deliveries_per_second: float
    ok_p95_ms: float | None = None
    eose_p95_ms: float | None = None
    delivery_p95_ms: float | None = None


class Distribution(msgspec.Struct, frozen=True):
    """Points (milliseconds, percent of all that took no longer), at most 200."""

    ok: list[tuple[float, float]]
    eose: list[tuple[float, float]]
    delivery: list[tuple[float, float]]


class Run(msgspec.Struct, frozen=True):
    """The plan as it was carried out."""

    url: str
    scenario: str
    started_at: int
    seconds: float
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
    interrupted: bool
    urls: list[str] = []


class Figures(msgspec.Struct, frozen=True):
    """What was measured, before it is judged."""

    connections: Connections
    events: Events
    queries: Queries
    deliveries: Deliveries
    other: Other
    generator: Generator


class Report(msgspec.Struct, frozen=True):
    """All of it."""

    run: Run
    figures: Figures
    checks: list[Check]
    passed: bool
    recommendations: list[str]
    over_time: list[Second]
    distribution: Distribution
    format: str = FORMAT
    version: int = VERSION


def to_json(report: Report) -> bytes:
    """One JSON object, indented, with a line end."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
