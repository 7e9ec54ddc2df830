"""Where the value of each metric comes from, among the figures that workers publish.

Rule: a value is computed from the figures of one worker and from nothing else; what is shown is the sum over workers,
or the highest or lowest.
"""

from collections.abc import Callable, Iterator

from analytics.exposition_kinds import Labels, Values
from relay.protocol.errors import Prefix
from relay.services.worker_figures import WorkerFigures

ABORTED = ("slow_readers", "ping_timeout", "close_deadline")
"""Why the transport cut a connection: how the names of its counts end."""


def figure(value: Callable[[WorkerFigures], float]) -> Callable[[WorkerFigures], Values]:
    return lambda figures: [((), value(figures))]


def count(name: str) -> Callable[[WorkerFigures], Values]:
    return lambda figures: [((), figures.counts.get(name, 0))]


def events_received(total: WorkerFigures) -> int:
    """EVENT messages whose event has an id: those that were looked at, and those whose shape is wrong."""
    return total.counts.get("events_received", 0) + refused(total, "OK")


def refused(total: WorkerFigures, answer: str) -> int:
    return total.by_label.get("refusals", {}).get(answer, 0)


def messages(figures: WorkerFigures) -> Values:
    counts = figures.counts.get
    read = {"EVENT": events_received(figures), "REQ": counts("reqs", 0), "CLOSE": counts("closes", 0)}
    for kind, number in read.items():
        yield ("in", kind), number
    yield ("in", "other"), max(0, counts("messages", 0) - sum(read.values()))
    yield ("out", "EVENT"), counts("deliveries", 0) + counts("stored_sent", 0)
    answered = counts("events_stored", 0) + counts("events_duplicate", 0) + counts("events_ephemeral", 0)
    yield ("out", "OK"), answered + sum(number for _, number in rejections(figures))
    yield ("out", "EOSE"), counts("queries_answered", 0)
    ended = counts("queries_failed", 0) + counts("subscriptions_ended", 0)
    yield ("out", "CLOSED"), ended + refused(figures, "CLOSED")
    yield ("out", "NOTICE"), refused(figures, "NOTICE")


def rejections(figures: WorkerFigures) -> Iterator[tuple[Labels, int]]:
    found = figures.by_label.get("rejections", {})
    for reason in sorted({*map(str, Prefix), *found}):
        shape = refused(figures, "OK") if reason == Prefix.INVALID else 0
        yield (reason,), found.get(reason, 0) + shape


def closes(figures: WorkerFigures) -> Values:
    return [((code,), number) for code, number in sorted(figures.by_label.get("closes", {}).items())]


def traffic(figures: WorkerFigures) -> Values:
    return [((way,), figures.counts.get(f"bytes_{way}", 0)) for way in ("in", "out")]


def aborted(figures: WorkerFigures) -> Values:
    return [((reason,), figures.counts.get(f"aborted_{reason}", 0)) for reason in ABORTED]


def bus_messages(figures: WorkerFigures) -> Values:
    return [
        (("in",), figures.counts.get("bus_received", 0)),
        (("out",), figures.counts.get("bus_sent", 0)),
    ]


def flight_outcomes(figures: WorkerFigures) -> Values:
    return [((outcome,), figures.counts.get(f"flights_{outcome}", 0)) for outcome in ("fetched", "joined")]


def pool_states(figures: WorkerFigures) -> Values:
    for name, pool in figures.pools.items():
        yield (name, "in_use"), pool.in_use
        yield (name, "idle"), pool.idle
        yield (name, "waiting"), pool.waiting


def memory_kinds(figures: WorkerFigures) -> Values:
    return [((kind,), number) for kind, number in figures.memory.items()]


def hit_rates(figures: WorkerFigures) -> Values:
    return [((layer,), rate) for layer, rate in figures.layers.items()]


def cache_number(name: str) -> Callable[[WorkerFigures], Values]:
    return lambda figures: [((cache.layer, cache.name), getattr(cache, name)) for cache in figures.caches]


def evictions(figures: WorkerFigures) -> Values:
    for cache in figures.caches:
        for reason, number in sorted(cache.evictions.items()):
            yield (cache.layer, cache.name, reason), number


def versions(figures: WorkerFigures) -> Values:
    return [((figures.version,), 1)]


def query_latency(figures: WorkerFigures) -> Values:
    for name, found in figures.histograms.items():
        kind, _, labels = name.partition("/")
        if kind == "query":
            operation, _, cache_hit = labels.partition("/")
            yield (operation, cache_hit), found


def histogram(name: str) -> Callable[[WorkerFigures], Values]:
    return lambda figures: [((), figures.histograms[name])] if name in figures.histograms else []
