"""Every metric of the relay itself: its name, its type, its labels, what it means, and where its value comes from.

Rule: a metric is one entry of `METRICS`, computed from the figures that workers publish and from nothing else;
docs/operations/metrics.md lists the same, which a test compares. Those of jobs stand in exposition_tasks, those of HTTP
are django-prometheus's.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from relay.protocol.errors import Prefix
from relay.services.worker_figures import HistogramFigures, WorkerFigures

Labels = tuple[str, ...]
Samples = Iterable[tuple[Labels, float]]
Histograms = Iterable[tuple[Labels, HistogramFigures]]


@dataclass(frozen=True, slots=True)
class Seen:
    """The workers of one instance that live, and the sum of all that were: of the dead their counts alone."""

    workers: tuple[WorkerFigures, ...]
    total: WorkerFigures


@dataclass(frozen=True, slots=True)
class Counted:
    """A number that only grows; its name ends in `_total`."""

    name: str
    meaning: str
    samples: Callable[[Seen], Samples]
    labels: Labels = ()

    def family(self, seen: Seen) -> Metric:
        family = CounterMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels, value in self.samples(seen):
            family.add_metric(labels, value)
        return family


@dataclass(frozen=True, slots=True)
class Measured:
    """A number as it is now."""

    name: str
    meaning: str
    samples: Callable[[Seen], Samples]
    labels: Labels = ()

    def family(self, seen: Seen) -> Metric:
        family = GaugeMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels, value in self.samples(seen):
            family.add_metric(labels, value)
        return family


@dataclass(frozen=True, slots=True)
class Spread:
    """A histogram."""

    name: str
    meaning: str
    histograms: Callable[[Seen], Histograms]
    labels: Labels = ()

    def family(self, seen: Seen) -> Metric:
        family = HistogramMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels, figures in self.histograms(seen):
            bounds = [*map(_number, figures.bounds), "+Inf"]
            family.add_metric(labels, list(zip(bounds, accumulate(figures.counts), strict=True)), figures.sum)
        return family


def families(seen: Seen) -> Iterator[Metric]:
    """Every metric of the relay itself, those without a value as well."""
    return (metric.family(seen) for metric in METRICS)


def _number(bound: float) -> str:
    return repr(float(bound))


# -- Where values come from -----------------------------------------------------------------------------


def _one(value: Callable[[WorkerFigures], float]) -> Callable[[Seen], Samples]:
    return lambda seen: [((), value(seen.total))]


def _count(name: str) -> Callable[[Seen], Samples]:
    return lambda seen: [((), seen.total.counts.get(name, 0))]


def _events_received(total: WorkerFigures) -> int:
    """EVENT messages whose event has an id: those that were looked at, and those whose shape is wrong."""
    return total.counts.get("events_received", 0) + _refused(total, "OK")


def _refused(total: WorkerFigures, answer: str) -> int:
    return total.by_label.get("refusals", {}).get(answer, 0)


def _messages(seen: Seen) -> Samples:
    total, counts = seen.total, seen.total.counts.get
    read = {"EVENT": _events_received(total), "REQ": counts("reqs", 0), "CLOSE": counts("closes", 0)}
    for kind, number in read.items():
        yield ("in", kind), number
    yield ("in", "other"), max(0, counts("messages", 0) - sum(read.values()))
    yield ("out", "EVENT"), counts("deliveries", 0) + counts("stored_sent", 0)
    answered = counts("events_stored", 0) + counts("events_duplicate", 0) + counts("events_ephemeral", 0)
    yield ("out", "OK"), answered + sum(number for _, number in _rejections(seen))
    yield ("out", "EOSE"), counts("queries_answered", 0)
    ended = counts("queries_failed", 0) + counts("subscriptions_ended", 0)
    yield ("out", "CLOSED"), ended + _refused(total, "CLOSED")
    yield ("out", "NOTICE"), _refused(total, "NOTICE")


def _rejections(seen: Seen) -> Samples:
    found = seen.total.by_label.get("rejections", {})
    for reason in sorted({*map(str, Prefix), *found}):
        shape = _refused(seen.total, "OK") if reason == Prefix.INVALID else 0
        yield (reason,), found.get(reason, 0) + shape


def _closes(seen: Seen) -> Samples:
    return [((code,), number) for code, number in sorted(seen.total.by_label.get("closes", {}).items())]


def _bytes(seen: Seen) -> Samples:
    return [((way,), seen.total.counts.get(f"bytes_{way}", 0)) for way in ("in", "out")]


def _aborted(seen: Seen) -> Samples:
    return [((reason,), seen.total.counts.get(f"aborted_{reason}", 0)) for reason in ABORTED]


def _bus_messages(seen: Seen) -> Samples:
    return [
        (("in",), seen.total.counts.get("bus_received", 0)),
        (("out",), seen.total.counts.get("bus_sent", 0)),
    ]


def _flights(seen: Seen) -> Samples:
    for scope, prefix, outcomes in FLIGHTS:
        for outcome in outcomes:
            yield (scope, outcome), seen.total.counts.get(f"{prefix}_{outcome}", 0)


def _pools(seen: Seen) -> Samples:
    for name, pool in seen.total.pools.items():
        yield (name, "in_use"), pool.in_use
        yield (name, "idle"), pool.idle
        yield (name, "waiting"), pool.waiting


def _memory(seen: Seen) -> Samples:
    return [((kind,), number) for kind, number in seen.total.memory.items()]


def _hit_rates(seen: Seen) -> Samples:
    for layer, rate in seen.total.layers.items():
        if rate.percent is not None:
            yield (layer,), rate.percent


def _cache(name: str) -> Callable[[Seen], Samples]:
    return lambda seen: [((cache.layer, cache.name), getattr(cache, name)) for cache in seen.total.caches]


def _evictions(seen: Seen) -> Samples:
    for cache in seen.total.caches:
        for reason, number in sorted(cache.evictions.items()):
            yield (cache.layer, cache.name, reason), number


def _versions(seen: Seen) -> Samples:
    found = [worker.version for worker in seen.workers]
    return [((version,), found.count(version)) for version in sorted(set(found))]


def _query_latency(seen: Seen) -> Histograms:
    for name, figures in seen.total.histograms.items():
        kind, _, labels = name.partition("/")
        if kind == "query":
            operation, _, cache_hit = labels.partition("/")
            yield (operation, cache_hit), figures


def _histogram(name: str) -> Callable[[Seen], Histograms]:
    return lambda seen: [((), seen.total.histograms[name])] if name in seen.total.histograms else []


# -- The metrics ----------------------------------------------------------------------------------------

CACHE = ("layer", "cache")

FLIGHTS = (
    ("process", "flights", ("fetched", "joined")),
    ("instances", "across", ("led", "waited", "alone")),
)
"""Scope, how the names of its counts begin, and how they end."""

ABORTED = ("slow_readers", "ping_timeout", "close_deadline")
"""Why the transport cut a connection: how the names of its counts end."""

METRICS: tuple[Counted | Measured | Spread, ...] = (
    Spread(
        "nostr_query_latency_seconds",
        "From the arrival of a query to its EOSE or CLOSED, by what had the answer.",
        _query_latency,
        ("operation", "cache_hit"),
    ),
    Spread("nostr_ok_latency_seconds", "From the arrival of an EVENT that was written to its OK.", _histogram("ok")),
    Spread("nostr_write_batch_events", "Events of one transaction.", _histogram("batch")),
    Measured("nostr_events_per_second", "Events stored, over 5 s.", _one(lambda total: total.events_per_second)),
    Measured("nostr_queries_per_second", "Queries begun, over 5 s.", _one(lambda total: total.queries_per_second)),
    Measured("nostr_active_websockets", "Open connections.", _one(lambda total: total.connections)),
    Measured("nostr_active_subscriptions", "Open subscriptions.", _one(lambda total: total.subscriptions)),
    Measured("nostr_workers", "Relay workers that live, by version.", _versions, ("version",)),
    Counted("nostr_websocket_messages_total", "Messages by kind.", _messages, ("direction", "type")),
    Counted("nostr_websocket_bytes_total", "Bytes of messages.", _bytes, ("direction",)),
    Counted("nostr_websocket_closes_total", "Connections that ended, by close code.", _closes, ("code",)),
    Counted("nostr_connections_opened_total", "Connections accepted.", _count("connections_opened")),
    Counted("nostr_connections_refused_total", "Connections refused.", _count("connections_refused")),
    Counted("nostr_handshakes_refused_total", "Bad WebSocket handshakes.", _count("handshakes_refused")),
    Counted("nostr_handshakes_timed_out_total", "Request heads that took too long.", _count("handshakes_timed_out")),
    Counted("nostr_protocol_errors_total", "Connections that broke a rule of WebSocket.", _count("protocol_errors")),
    Counted("nostr_connections_aborted_total", "Connections cut, by reason.", _aborted, ("reason",)),
    Counted("nostr_transport_yields_total", "Times that a busy client had to let others go first.", _count("yields")),
    Counted("nostr_outbox_closures_total", "Clients cut because they did not read.", _count("outbox_closures")),
    Counted(
        "nostr_events_received_total", "Events that clients sent.", lambda seen: [((), _events_received(seen.total))]
    ),
    Counted("nostr_events_stored_total", "Events stored.", _count("events_stored")),
    Counted("nostr_events_ephemeral_total", "Ephemeral events handed on.", _count("events_ephemeral")),
    Counted("nostr_events_duplicate_total", "Events that were stored already.", _count("events_duplicate")),
    Counted("nostr_events_rejected_total", "Events refused, by the prefix of the OK.", _rejections, ("reason",)),
    Counted("nostr_deliveries_total", "Live events handed to a subscription.", _count("deliveries")),
    Counted("nostr_queries_total", "Queries begun.", _count("queries")),
    Counted("nostr_queries_failed_total", "Queries that ended with CLOSED.", _count("queries_failed")),
    Counted("nostr_internal_errors_total", "Faults of the relay itself.", _count("internal_errors")),
    Measured("nostr_db_connections", "Connections to PostgreSQL of workers.", _pools, ("pool", "state")),
    Measured("nostr_database_up", "1: every worker reaches the database.", _one(lambda total: total.database_up)),
    Counted("nostr_db_queries_total", "Queries that PostgreSQL was asked.", _count("read_queries")),
    Counted("nostr_db_read_failures_total", "Statements that failed or timed out.", _count("read_failures")),
    Measured("nostr_write_queue_events", "Events that wait to be written.", _one(lambda total: total.write_queue)),
    Counted("nostr_write_failures_total", "Events that could not be written.", _count("write_failures")),
    Measured("nostr_cache_hit_rate", "Hits in percent of look-ups, over 60 s.", _hit_rates, ("layer",)),
    Counted("nostr_cache_hits_total", "Look-ups that found it.", _cache("hits"), CACHE),
    Counted("nostr_cache_misses_total", "Look-ups that did not.", _cache("misses"), CACHE),
    Counted("nostr_cache_errors_total", "Look-ups that failed.", _cache("errors"), CACHE),
    Counted("nostr_cache_evictions_total", "Entries dropped, by reason.", _evictions, (*CACHE, "reason")),
    Measured("nostr_cache_entries", "Entries held.", _cache("size"), CACHE),
    Measured("nostr_cache_bytes", "Bytes held.", _cache("bytes"), CACHE),
    Counted("relay_flights_total", "Fetches that were shared, or not.", _flights, ("scope", "outcome")),
    Measured("relay_alone", "1: this instance has the store for itself.", _one(lambda total: total.alone)),
    Measured(
        "relay_barrier_apart",
        "1: a worker cannot tell the shared cache what it stored.",
        _one(lambda total: total.apart),
    ),
    Counted("relay_barrier_from_board_total", "Newest numbers known on this machine.", _count("barrier_from_board")),
    Counted("relay_barrier_fetches_total", "Newest numbers asked of the shared cache.", _count("barrier_fetches")),
    Counted(
        "relay_barrier_asked_primary_total", "Newest numbers asked of the database.", _count("barrier_asked_primary")
    ),
    Counted("relay_barrier_repairs_total", "Times that the key was made anew.", _count("barrier_repairs")),
    Counted("relay_barrier_held_total", "Batches whose OKs waited for the shared cache.", _count("barrier_held")),
    Counted(
        "relay_barrier_given_up_total",
        "Batches whose OKs became errors, having waited too long.",
        _count("barrier_given_up"),
    ),
    Counted(
        "relay_barrier_held_for_claim_total",
        "Batches whose OKs waited until an instance knew that it is not alone.",
        _count("barrier_held_for_claim"),
    ),
    Counted(
        "relay_barrier_claims_ended_total", "Claims of other instances that were ended.", _count("barrier_claims_ended")
    ),
    Measured("relay_shared_cache_up", "1: every worker reaches all of it.", _one(lambda total: total.shared_up)),
    Counted("relay_shared_cache_commands_total", "Commands sent.", _count("shared_commands")),
    Counted("relay_shared_cache_failures_total", "Commands without an answer.", _count("shared_failures")),
    Counted("relay_shared_cache_timeouts_total", "Connections given up as slow.", _count("shared_timeouts")),
    Counted("relay_shared_cache_reconnects_total", "Connections made again.", _count("shared_reconnects")),
    Counted("relay_shared_cache_dropped_total", "Commands refused: too many wait.", _count("shared_dropped")),
    Measured(
        "nostr_cpu_utilization_percent",
        "Processor time of the busiest worker, in percent of one core, over 5 s.",
        _one(lambda total: total.busiest_percent),
    ),
    Measured("nostr_memory_utilization_bytes", "Memory of workers.", _memory, ("type",)),
    Measured("relay_position", "The newest change applied.", _one(lambda total: total.position)),
    Measured(
        "relay_position_lag_seconds",
        "Age of the oldest change known and not applied, of the worker that is most behind.",
        _one(lambda total: total.lag_seconds),
    ),
    Measured("relay_position_lag_changes", "Changes known and not applied, likewise.", _one(lambda total: total.lag)),
    Measured("relay_ring_changes", "Changes in the rings of workers.", _one(lambda total: total.ring_changes)),
    Counted("relay_log_reads_total", "Reads of the log to catch up.", _count("log_reads")),
    Counted("relay_log_changes_total", "Changes read from the log.", _count("log_changes")),
    Measured("relay_bus_up", "1: every worker hears the bus.", _one(lambda total: total.bus_up)),
    Counted("relay_bus_reconnects_total", "Times that the bus came back.", _count("bus_reconnects")),
    Counted("relay_bus_messages_total", "Messages of the bus.", _bus_messages, ("direction",)),
    Counted("relay_bus_dropped_total", "Messages of the bus that were dropped.", _count("bus_dropped")),
    Counted("relay_bus_failures_total", "Exchanges with the bus that failed.", _count("bus_failures")),
    Counted("relay_intake_dropped_total", "Batches dropped behind a hole.", _count("intake_dropped")),
    Counted("relay_status_failures_total", "Figures that could not be shown.", _count("status_failures")),
)
