"""Counters of the hot path: plain integers, read when metrics are published.

Rule: counting is an addition to an integer (50 ns), or a search in a short list and two additions (300 ns). A
prometheus_client counter costs 1 to 4 us, ten of which are as much as a whole frame, so none is used here.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

SECONDS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LAG_BOUNDS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
BATCH_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)

OPERATIONS = ("req",)
"""Kinds of queries: `req` is a REQ, from its arrival to its EOSE."""

SOURCES = ("l1", "l2", "none")
"""Which layer of the caches had the answer; `none`: the database."""


@dataclass(slots=True)
class Counters:
    """The counts of one process since it started."""

    connections_opened: int = 0
    connections_refused: int = 0
    messages: int = 0
    reqs: int = 0  # REQ messages that can be read
    closes: int = 0  # CLOSE messages
    events_received: int = 0  # EVENT messages that can be read
    events_stored: int = 0
    events_ephemeral: int = 0
    events_duplicate: int = 0
    rejections: Counter[str] = field(default_factory=Counter)  # by prefix
    rate_limited: Counter[str] = field(default_factory=Counter)  # by limit (relay.services.rates)
    refused_by: Counter[str] = field(default_factory=Counter)  # events, by name of the policy
    refusals: Counter[str] = field(default_factory=Counter)  # messages not processed, by name of the answer
    queries: int = 0
    queries_answered: int = 0  # with EOSE
    queries_failed: int = 0  # with CLOSED
    stored_sent: int = 0  # events in answers to queries
    subscriptions_ended: int = 0  # with CLOSED, other than for a failed query
    log_reads: int = 0
    log_changes: int = 0
    seam_log_reads: int = 0  # for subscriptions whose answer ended after the ring had moved on
    outbox_closures: int = 0
    deliveries: int = 0  # live events handed to a subscription
    delivery_slices: int = 0  # turns of the loop in which a delivery, or work on the index, went on
    filters_refused: int = 0  # REQs whose filters took too much memory
    internal_errors: int = 0
    logins: int = 0  # AUTH messages that proved a key
    logins_failed: int = 0
    challenges: int = 0  # AUTH messages sent
    auth_required: int = 0  # answers that ask for a login
    authenticated_begun: int = 0  # connections that proved a key
    authenticated_ended: int = 0  # those of them that have ended
    events_shadowed: int = 0  # OK true, and dropped by the operator's policy
    policy_timeouts: int = 0  # events for which the operator's policy reached no verdict in time
    policy_failures: int = 0  # verdicts that could not be read, and exceptions
    plugin_restarts: int = 0
    geoip_broken: int = 0  # databases of addresses that cannot be used as they are now; not a total
    geoip_lookups: Counter[str] = field(default_factory=Counter)  # by outcome: found, unknown, failed
    routes: Counter[str] = field(default_factory=Counter)  # clients told their region, by `<reason>/<region>`

    def refused(self, reply: bytes) -> None:
        """Count a message that is answered only with this frame."""
        self.refusals[reply[2 : reply.index(b'"', 2)].decode()] += 1

    def totals(self) -> dict[str, int]:
        """Every plain count, by name."""
        return {name: getattr(self, name) for name in _PLAIN}


_PLAIN = tuple(each.name for each in fields(Counters) if each.type is int)

counters = Counters()
"""The counters of this process."""


class Histogram:
    """Counts of values by bucket: `counts[i]` of those up to `bounds[i]`, the last of those above all.

    `counts` are not cumulative; `sum` is the sum of the values.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sum: float = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


query_latency = {(operation, source): Histogram(SECONDS_BOUNDS) for operation in OPERATIONS for source in SOURCES}
"""By operation and cache_hit; use `query_answered`."""

ok_latency = Histogram(SECONDS_BOUNDS)
"""From the arrival of an EVENT to its OK, for events that went to the database."""

loop_lag = Histogram(LAG_BOUNDS)
"""How late a timer of the event loop fires."""

policy_latency = Histogram(SECONDS_BOUNDS)
"""Of the operator's own policies, the wait for their turn included."""

batch_events = Histogram(BATCH_BOUNDS)
"""Events of one transaction."""


def query_answered(operation: str, cache_hit: str, seconds: float) -> None:
    """Count a query that ended, successfully or not, `seconds` after its arrival.

    `operation` is one of OPERATIONS, `cache_hit` one of SOURCES.
    """
    query_latency[operation, cache_hit].observe(seconds)


def histograms() -> dict[str, Histogram]:
    """All histograms of this process by name: `query/<operation>/<cache_hit>`, `ok`, `batch`, `loop`, `policy`."""
    found = {f"query/{operation}/{source}": each for (operation, source), each in query_latency.items()}
    return {**found, "ok": ok_latency, "batch": batch_events, "loop": loop_lag, "policy": policy_latency}
