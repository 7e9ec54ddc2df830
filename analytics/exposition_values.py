"""Where the value of each metric comes from, among the figures that workers publish.

Rule: a value is computed from `Seen` and from nothing else.
"""

from collections.abc import Callable

from analytics.exposition_kinds import Histograms, Samples, Seen
from relay.protocol.errors import Prefix
from relay.services.worker_figures import WorkerFigures

FLIGHTS = (
    ("process", "flights", ("fetched", "joined")),
    ("instances", "across", ("led", "waited", "alone")),
)
"""Scope, how the names of its counts begin, and how they end."""

ABORTED = ("slow_readers", "ping_timeout", "close_deadline")
"""Why the transport cut a connection: how the names of its counts end."""


def figure(value: Callable[[WorkerFigures], float]) -> Callable[[Seen], Samples]:
    return lambda seen: [((), value(seen.total))]


def count(name: str) -> Callable[[Seen], Samples]:
    return lambda seen: [((), seen.total.counts.get(name, 0))]


def events_received(total: WorkerFigures) -> int:
    """EVENT messages whose event has an id: those that were looked at, and those whose shape is wrong."""
    return total.counts.get("events_received", 0) + refused(total, "OK")


def refused(total: WorkerFigures, answer: str) -> int:
    return total.by_label.get("refusals", {}).get(answer, 0)


def messages(seen: Seen) -> Samples:
    total, counts = seen.total, seen.total.counts.get
    read = {"EVENT": events_received(total), "REQ": counts("reqs", 0), "CLOSE": counts("closes", 0)}
    for kind, number in read.items():
        yield ("in", kind), number
    yield ("in", "other"), max(0, counts("messages", 0) - sum(read.values()))
    yield ("out", "EVENT"), counts("deliveries", 0) + counts("stored_sent", 0)
    answered = counts("events_stored", 0) + counts("events_duplicate", 0) + counts("events_ephemeral", 0)
    yield ("out", "OK"), answered + sum(number for _, number in rejections(seen))
    yield ("out", "EOSE"), counts("queries_answered", 0)
    ended = counts("queries_failed", 0) + counts("subscriptions_ended", 0)
    yield ("out", "CLOSED"), ended + refused(total, "CLOSED")
    yield ("out", "NOTICE"), refused(total, "NOTICE")


def rejections(seen: Seen) -> Samples:
    found = seen.total.by_label.get("rejections", {})
    for reason in sorted({*map(str, Prefix), *found}):
        shape = refused(seen.total, "OK") if reason == Prefix.INVALID else 0
        yield (reason,), found.get(reason, 0) + shape


def closes(seen: Seen) -> Samples:
    return [((code,), number) for code, number in sorted(seen.total.by_label.get("closes", {}).items())]


def traffic(seen: Seen) -> Samples:
    return [((way,), seen.total.counts.get(f"bytes_{way}", 0)) for way in ("in", "out")]


def aborted(seen: Seen) -> Samples:
    return [((reason,), seen.total.counts.get(f"aborted_{reason}", 0)) for reason in ABORTED]


def bus_messages(seen: Seen) -> Samples:
    return [
        (("in",), seen.total.counts.get("bus_received", 0)),
        (("out",), seen.total.counts.get("bus_sent", 0)),
    ]


def flight_outcomes(seen: Seen) -> Samples:
    for scope, prefix, outcomes in FLIGHTS:
        for outcome in outcomes:
            yield (scope, outcome), seen.total.counts.get(f"{prefix}_{outcome}", 0)


def pool_states(seen: Seen) -> Samples:
    for name, pool in seen.total.pools.items():
        yield (name, "in_use"), pool.in_use
        yield (name, "idle"), pool.idle
        yield (name, "waiting"), pool.waiting


def memory_kinds(seen: Seen) -> Samples:
    return [((kind,), number) for kind, number in seen.total.memory.items()]


def hit_rates(seen: Seen) -> Samples:
    for layer, rate in seen.total.layers.items():
        if rate.percent is not None:
            yield (layer,), rate.percent


def cache_number(name: str) -> Callable[[Seen], Samples]:
    return lambda seen: [((cache.layer, cache.name), getattr(cache, name)) for cache in seen.total.caches]


def evictions(seen: Seen) -> Samples:
    for cache in seen.total.caches:
        for reason, number in sorted(cache.evictions.items()):
            yield (cache.layer, cache.name, reason), number


def versions(seen: Seen) -> Samples:
    found = [worker.version for worker in seen.workers]
    return [((version,), found.count(version)) for version in sorted(set(found))]


def query_latency(seen: Seen) -> Histograms:
    for name, figures in seen.total.histograms.items():
        kind, _, labels = name.partition("/")
        if kind == "query":
            operation, _, cache_hit = labels.partition("/")
            yield (operation, cache_hit), figures


def histogram(name: str) -> Callable[[Seen], Histograms]:
    return lambda seen: [((), seen.total.histograms[name])] if name in seen.total.histograms else []


# -- The metrics ----------------------------------------------------------------------------------------
