"""Where the value of each metric comes from, among the figures that workers publish.

Rule: a value is computed from the figures of one worker and from nothing else; what is shown is the sum over workers,
or the highest or lowest.
"""

from collections.abc import Callable, Iterator, Mapping

from analytics.exposition_kinds import Labels, Values
from relay.protocol.errors import Prefix
from relay.services.rates import RATE_LIMITS
from relay.services.worker_figures import ReplicaFigures, WorkerFigures
from relay.transport.counters import HTTP_REFUSALS

Names = Mapping[Labels, str]
"""From the values of labels to names of `WorkerFigures.counts`."""

BYTES: Names = {("in",): "bytes_in", ("out",): "bytes_out"}
BUS_MESSAGES: Names = {("in",): "bus_received", ("out",): "bus_sent"}
_ABORTED = ("slow_readers", "ping_timeout", "close_deadline", "unfinished", "unread")
ABORTED: Names = {(reason,): f"aborted_{reason}" for reason in _ABORTED}
LOGINS: Names = {("accepted",): "logins", ("refused",): "logins_failed"}
FLIGHTS: Names = {(outcome,): f"flights_{outcome}" for outcome in ("fetched", "joined")}


def figure(value: Callable[[WorkerFigures], float]) -> Callable[[WorkerFigures], Values]:
    """One value without labels."""
    return lambda figures: [((), value(figures))]


def count(name: str) -> Callable[[WorkerFigures], Values]:
    """One of `WorkerFigures.counts`, without labels."""
    return counts({(): name})


def counts(names: Names) -> Callable[[WorkerFigures], Values]:
    """Several of `WorkerFigures.counts`, by the values of their labels."""
    return lambda figures: [(labels, figures.counts.get(name, 0)) for labels, name in names.items()]


def authenticated(figures: WorkerFigures) -> Values:
    """Open connections that have proved a key."""
    of = figures.counts.get
    return [((), of("authenticated_begun", 0) - of("authenticated_ended", 0))]


def events_received(total: WorkerFigures) -> int:
    """EVENT messages whose event has an id: those that were looked at, and those whose shape is wrong."""
    return total.counts.get("events_received", 0) + refused(total, "OK")


def refused(total: WorkerFigures, answer: str) -> int:
    """Messages that got just this answer and went no further."""
    return total.by_label.get("refusals", {}).get(answer, 0)


def messages(figures: WorkerFigures) -> Values:
    """By direction and type; each message counts once."""
    of = figures.counts.get
    logins = of("logins", 0) + of("logins_failed", 0)
    read = {"EVENT": events_received(figures), "REQ": of("reqs", 0), "CLOSE": of("closes", 0), "AUTH": logins}
    for kind, number in read.items():
        yield ("in", kind), number
    yield ("in", "other"), max(0, of("messages", 0) - sum(read.values()))
    yield ("out", "EVENT"), of("deliveries", 0) + of("stored_sent", 0)
    answered = of("events_stored", 0) + of("events_duplicate", 0) + of("events_ephemeral", 0)
    yield ("out", "OK"), answered + logins + sum(number for _, number in rejections(figures))
    yield ("out", "AUTH"), of("challenges", 0)
    yield ("out", "EOSE"), of("queries_answered", 0)
    ended = of("queries_failed", 0) + of("subscriptions_ended", 0)
    yield ("out", "CLOSED"), ended + refused(figures, "CLOSED")
    yield ("out", "NOTICE"), refused(figures, "NOTICE")


def rejections(figures: WorkerFigures) -> Iterator[tuple[Labels, int]]:
    """Events by the prefix of their OK false; one of a wrong shape is invalid."""
    found = figures.by_label.get("rejections", {})
    for reason in sorted({*map(str, Prefix), *found}):
        shape = refused(figures, "OK") if reason == Prefix.INVALID else 0
        yield (reason,), found.get(reason, 0) + shape


def refused_by(figures: WorkerFigures) -> Values:
    """Events by the policy that refused them."""
    return [((policy,), number) for policy, number in sorted(figures.by_label.get("refused_by", {}).items())]


def list_sizes(figures: WorkerFigures) -> Values:
    """Entries by list of the operators."""
    return [((name,), number) for name, number in sorted(figures.by_label.get("lists", {}).items())]


def closes(figures: WorkerFigures) -> Values:
    """Connections by close code."""
    return [((code,), number) for code, number in sorted(figures.by_label.get("closes", {}).items())]


def http_refused(figures: WorkerFigures) -> Values:
    """Connections and HTTP requests that were refused, by reason."""
    found = figures.by_label.get("http_refused", {})
    return [((reason,), found.get(reason, 0)) for reason in sorted({*HTTP_REFUSALS, *found})]


def rate_limited(figures: WorkerFigures) -> Values:
    """What was refused or paused, by limit."""
    found = figures.by_label.get("rate_limited", {})
    return [((limit,), found.get(limit, 0)) for limit in sorted({*RATE_LIMITS, *found})]


def slow_queries(figures: WorkerFigures) -> Values:
    """Slow statements by the fields of their filters."""
    return [((fields,), number) for fields, number in sorted(figures.by_label.get("slow_queries", {}).items())]


def slow_query_seconds(figures: WorkerFigures) -> Values:
    """How long they ran, by the same."""
    return [((fields,), ms / 1_000) for fields, ms in sorted(figures.by_label.get("slow_query_ms", {}).items())]


def pool_states(figures: WorkerFigures) -> Values:
    """Connections to the database by pool and state."""
    for name, pool in figures.pools.items():
        yield (name, "in_use"), pool.in_use
        yield (name, "idle"), pool.idle
        yield (name, "total"), pool.total
        yield (name, "limit"), pool.most
        yield (name, "waiting"), pool.waiting


def answers_by_server(figures: WorkerFigures) -> Values:
    """Queries by the server of PostgreSQL that answered."""
    return [((server,), number) for server, number in sorted(figures.by_label.get("answers", {}).items())]


def fallbacks(figures: WorkerFigures) -> Values:
    """Answers of replicas that were not used, by reason."""
    return [((reason,), number) for reason, number in sorted(figures.by_label.get("fallbacks", {}).items())]


def geoip_lookups(figures: WorkerFigures) -> Values:
    """Look-ups of the place of an address, by outcome."""
    found = figures.by_label.get("geoip_lookups", {})
    return [((outcome,), found.get(outcome, 0)) for outcome in ("found", "unknown", "failed")]


def routes(figures: WorkerFigures) -> Values:
    """Clients that were told their region, by region and by why it was chosen."""
    for name, number in sorted(figures.by_label.get("routes", {}).items()):
        reason, _, region = name.partition("/")
        yield (region, reason), number


def replica(value: Callable[[ReplicaFigures], float]) -> Callable[[WorkerFigures], Values]:
    """A value of each replica."""
    return lambda figures: [((alias,), value(found)) for alias, found in figures.replicas.items()]


def memory_kinds(figures: WorkerFigures) -> Values:
    """Bytes by what they are for."""
    return [((kind,), number) for kind, number in figures.memory.items()]


def hit_rates(figures: WorkerFigures) -> Values:
    """By layer of the caches."""
    return [((layer,), rate) for layer, rate in figures.layers.items()]


def cache_number(name: str) -> Callable[[WorkerFigures], Values]:
    """A number of every cache, by layer and name."""
    return lambda figures: [((cache.layer, cache.name), getattr(cache, name)) for cache in figures.caches]


def evictions(figures: WorkerFigures) -> Values:
    """By layer, name and reason."""
    for cache in figures.caches:
        for reason, number in sorted(cache.evictions.items()):
            yield (cache.layer, cache.name, reason), number


def versions(figures: WorkerFigures) -> Values:
    """One for this worker, by its version."""
    return [((figures.version,), 1)]


def query_latency(figures: WorkerFigures) -> Values:
    """Seconds by operation and by what had the answer."""
    for name, found in figures.histograms.items():
        kind, _, labels = name.partition("/")
        if kind == "query":
            operation, _, cache_hit = labels.partition("/")
            yield (operation, cache_hit), found


def histogram(name: str) -> Callable[[WorkerFigures], Values]:
    """One of `WorkerFigures.histograms`, without labels."""
    return lambda figures: [((), figures.histograms[name])] if name in figures.histograms else []
