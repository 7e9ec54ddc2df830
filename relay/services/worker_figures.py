"""The figures that one worker publishes once a second, and their sum over workers.

Rule: summing is pure, independent of order, and accepts figures of another version: unknown fields count nothing, and
counts with unknown names are summed all the same.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import TypeVar

from msgspec import Struct, field

from relay.caching.registry import CacheFigures, Layer
from relay.storage.slow_queries import SlowShape, merged

Value = TypeVar("Value")
Counts = dict[str, int]


class HistogramFigures(Struct, frozen=True):
    """`counts[i]` values fell between the bounds before and at `i`, the last ones above all. `sum` is the sum of the
    values.
    """

    bounds: list[float]
    counts: list[int]
    sum: float

    @property
    def count(self) -> int:
        """The number of values."""
        return sum(self.counts)

    def minus(self, earlier: "HistogramFigures") -> "HistogramFigures":
        """The values since an earlier reading of the same worker; all of them if that had other buckets."""
        if self.bounds != earlier.bounds:
            return self
        counts = [max(0, a - b) for a, b in zip(self.counts, earlier.counts, strict=True)]
        return HistogramFigures(self.bounds, counts, max(0.0, self.sum - earlier.sum))

    def quantile(self, share: float) -> float | None:
        """The value below which the share (0 to 1) of all lies, interpolated in its bucket as Prometheus does.

        None without values; the highest bound if it is above all.
        """
        rank = share * self.count
        if not self.count:
            return None
        upto = list(accumulate(self.counts))
        place = bisect_left(upto, rank)
        if place >= len(self.bounds):
            return self.bounds[-1]
        low = self.bounds[place - 1] if place else 0.0
        before = upto[place - 1] if place else 0
        inside = self.counts[place]
        return low + (self.bounds[place] - low) * ((rank - before) / inside if inside else 0.0)


class PoolFigures(Struct, frozen=True):
    """Connections to the database in use and idle, queries waiting for one, and how many connections there may be."""

    in_use: int = 0
    idle: int = 0
    waiting: int = 0
    most: int = 0

    @property
    def total(self) -> int:
        """Connections."""
        return self.in_use + self.idle


class ReplicaFigures(Struct, frozen=True):
    """A read replica as a worker sees it: `why` it is not used, "" if it is `up`; how far it is behind."""

    up: bool = False
    why: str = ""
    lag_changes: int = 0
    lag_seconds: float = 0.0


class LayerRate(Struct, frozen=True):
    """Lookups in a layer of the caches in the last minute, per second."""

    hits_per_second: float = 0.0
    lookups_per_second: float = 0.0

    @property
    def percent(self) -> float | None:
        """The hit rate, None without lookups."""
        return 100.0 * self.hits_per_second / self.lookups_per_second if self.lookups_per_second else None


class WorkerFigures(Struct, frozen=True):
    """The figures of one worker, or the sum of several. Times are Unix seconds, sizes bytes.

    counts: totals since the start of the worker, by the names of `relay.metrics.Counters` and these: bus_sent,
        bus_received, bus_dropped, bus_failures, bus_reconnects, intake_dropped, intake_refused, position_losses,
        ephemerals_dropped, write_batches, write_failures (events), rate_grants, rate_failures
        (relay.caching.shared_buckets), read_queries (queries that PostgreSQL was asked), read_failures,
        read_asked_again (too long for the quick lane), read_cancelled (expensive, ended early), read_refused (too many
        waited), connect_failures, read_pieces (statements for texts of large answers), read_second_attempts,
        read_too_broad (queries that would have to read too much), piece_waits, connections_opened, status_failures,
        logging_repeated and logging_dropped (lines); of the transport (relay.transport.counters) bytes_in, bytes_out,
        handshakes_refused, handshakes_timed_out, protocol_errors, yields, aborted_slow_readers, aborted_ping_timeout,
        aborted_close_deadline, aborted_unfinished, aborted_unread; barrier_from_memory (answers), barrier_looks
        (statements to the primary, each for a group of answers), barrier_held (batches whose OKs waited for the end of
        a lease);
        bus_foreign (messages of another epoch or generation), cache_faults, task_failures; flights_fetched,
        flights_joined; shared_ and each name of `relay.caching.shared.Counters`.
    by_label: totals by name and label: rejections (by prefix), refusals (by answer), closes (by close code),
        http_refused (by relay.transport.counters.HTTP_REFUSALS), rate_limited (by limit), refused_by (events, by
        policy), lists (entries), slow_queries and slow_query_ms (by relay.storage.slow_queries.fields_of), answers
        (queries, by the server that answered: "primary" or a replica's alias), fallbacks (answers of replicas that were
        not used, by reason), geoip_lookups (by outcome), routes (clients told their region, by `<reason>/<region>`).
    replicas: by alias.
    histograms: since the start, by name: `query/<operation>/<cache_hit>`, `ok`, `batch`, `loop`
        (relay.metrics.histograms).
    recent: the same of the last minute.
    pools: `read` (quick queries), `slow` (expensive ones), `coordination` and `write`. layers: by "L1", "L2", ... of
        the last minute.
    memory: by type: rss, ring, write_queue, query_queue, filters, undelivered (changes that wait for delivery), pieces,
        receiving (messages that are being received), sending (frames that are not read), rate_buckets,
        caches.

    In a sum, counts, sizes, rates and `cpu_percent` are added; position, lag, lag_seconds,
    loop_lag_seconds, busiest_percent and `at` are
    the highest, started_at the lowest; `ready` and `..._up` hold if they do for all workers, single_instance if it does
    for one; instance, worker, version and pid are those that all have in common, else empty.
    """

    connections: int
    subscriptions: int
    events_stored: int  # since it started
    events_per_second: float
    position: int  # the last change it has applied
    started_at: float
    instance: str = ""
    worker: str = ""  # its number in its instance
    version: str = ""
    pid: int = 0
    at: float = 0.0  # when it was published
    queries_per_second: float = 0.0
    foreign_per_second: float = 0.0  # messages of another epoch or generation, over the last minute
    cpu_percent: float = 0.0  # of one core
    busiest_percent: float = 0.0  # cpu_percent of the busiest worker
    lag: int = 0  # changes known to exist and not applied
    lag_seconds: float = 0.0  # age of the oldest of them
    loop_lag_seconds: float = 0.0  # how late a timer of the event loop fired, the worst of the last seconds
    ready: bool = True
    bus_up: bool = True
    database_up: bool = True
    shared_up: bool = True  # the shared cache; True without one
    single_instance: bool = False  # its instance held the lease at the last statement
    ring_changes: int = 0
    write_queue: int = 0  # events
    memory: Counts = field(default_factory=dict)
    pools: dict[str, PoolFigures] = field(default_factory=dict)
    replicas: dict[str, ReplicaFigures] = field(default_factory=dict)
    caches: list[CacheFigures] = field(default_factory=list)
    layers: dict[str, LayerRate] = field(default_factory=dict)
    counts: Counts = field(default_factory=dict)
    by_label: dict[str, Counts] = field(default_factory=dict)
    histograms: dict[str, HistogramFigures] = field(default_factory=dict)
    recent: dict[str, HistogramFigures] = field(default_factory=dict)
    slow_queries: list[SlowShape] = field(default_factory=list)  # those that took PostgreSQL the longest in all


NOTHING = WorkerFigures(0, 0, 0, 0.0, 0, 0.0)
"""The sum of no workers."""


def total(workers: Iterable[WorkerFigures]) -> WorkerFigures:
    """The sum of workers in any order; NOTHING for none."""
    parts = list(workers)
    if not parts:
        return NOTHING
    return WorkerFigures(
        **{name: sum(getattr(part, name) for part in parts) for name in _ADDED},
        **{name: max(getattr(part, name) for part in parts) for name in _HIGHEST},
        **{name: all(getattr(part, name) for part in parts) for name in _EVERYWHERE},
        instance=_common([part.instance for part in parts], ""),
        worker=_common([part.worker for part in parts], ""),
        version=_common([part.version for part in parts], ""),
        pid=_common([part.pid for part in parts], 0),
        started_at=min(part.started_at for part in parts),
        memory=added(part.memory for part in parts),
        counts=added(part.counts for part in parts),
        by_label=_joined([part.by_label for part in parts], added),
        pools=_joined([part.pools for part in parts], _pools),
        replicas=_joined([part.replicas for part in parts], _replicas),
        layers=_joined([part.layers for part in parts], _layers),
        histograms=_joined([part.histograms for part in parts], _histograms),
        recent=_joined([part.recent for part in parts], _histograms),
        caches=_caches(cache for part in parts for cache in part.caches),
        slow_queries=merged(shape for part in parts for shape in part.slow_queries),
    )


_ADDED = (
    "connections",
    "subscriptions",
    "events_stored",
    "events_per_second",
    "queries_per_second",
    "foreign_per_second",
    "cpu_percent",
    "ring_changes",
    "write_queue",
)
_HIGHEST = ("position", "lag", "lag_seconds", "loop_lag_seconds", "busiest_percent", "at", "single_instance")
_EVERYWHERE = ("ready", "bus_up", "database_up", "shared_up")


def added(tables: Iterable[Mapping[str, int]]) -> Counts:
    """The sum of tables of counts."""
    out: Counts = {}
    for table in tables:
        for name, number in table.items():
            out[name] = out.get(name, 0) + number
    return out


def _common(values: Sequence[Value], none: Value) -> Value:
    return values[0] if all(value == values[0] for value in values) else none


def _joined(tables: Iterable[Mapping[str, Value]], join: Callable[[list[Value]], Value]) -> dict[str, Value]:
    found: dict[str, list[Value]] = {}
    for table in tables:
        for name, value in table.items():
            found.setdefault(name, []).append(value)
    return {name: join(values) for name, values in sorted(found.items())}


def _pools(parts: list[PoolFigures]) -> PoolFigures:
    return PoolFigures(
        sum(part.in_use for part in parts),
        sum(part.idle for part in parts),
        sum(part.waiting for part in parts),
        sum(part.most for part in parts),
    )


def _replicas(parts: list[ReplicaFigures]) -> ReplicaFigures:
    """Up if it is for all workers; the lag of the worker that sees most."""
    return ReplicaFigures(
        all(part.up for part in parts),
        next((part.why for part in parts if part.why), ""),
        max(part.lag_changes for part in parts),
        max(part.lag_seconds for part in parts),
    )


def _layers(parts: list[LayerRate]) -> LayerRate:
    return LayerRate(sum(part.hits_per_second for part in parts), sum(part.lookups_per_second for part in parts))


def _histograms(parts: list[HistogramFigures]) -> HistogramFigures:
    """Those with the same buckets; another version may have others: then the buckets that most values were put in."""
    groups: dict[tuple[float, ...], list[HistogramFigures]] = {}
    for part in parts:
        groups.setdefault(tuple(part.bounds), []).append(part)
    sums = [
        HistogramFigures(
            list(bounds),
            [sum(counts) for counts in zip(*(part.counts for part in group), strict=True)],
            sum(part.sum for part in group),
        )
        for bounds, group in groups.items()
    ]
    return max(sums, key=lambda figures: (figures.count, figures.bounds))


def _caches(parts: Iterable[CacheFigures]) -> list[CacheFigures]:
    found: dict[tuple[str, str], list[CacheFigures]] = {}
    for part in parts:
        found.setdefault((part.layer, part.name), []).append(part)
    return [_cache(group) for _, group in sorted(found.items())]


def _cache(parts: list[CacheFigures]) -> CacheFigures:
    # All workers share the entries below L1: they count once.
    size = sum if parts[0].layer == Layer.L1 else max
    return CacheFigures(
        name=parts[0].name,
        layer=parts[0].layer,
        size=size(part.size for part in parts),
        bytes=size(part.bytes for part in parts),
        hits=sum(part.hits for part in parts),
        misses=sum(part.misses for part in parts),
        errors=sum(part.errors for part in parts),
        evictions=added(part.evictions for part in parts),
    )
