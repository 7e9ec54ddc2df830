"""The live part of the dashboard: formats the workers' figures for cards and tables.

Rule: pure; the caller reads the snapshot and the other figures (`Read`); an unknown value is None.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from analytics.dashboard.cards import card_texts
from analytics.dashboard.number_format import count, duration, latency, percent, rate, size
from analytics.models import Minute
from relay.caching.registry import Layer
from relay.services.cache_server import CacheServer
from relay.services.figures import ClusterSnapshot
from relay.services.worker_figures import PoolFigures, WorkerFigures

LAG_SECONDS = 5.0
"""A longer replication lag is a problem."""

FOREIGN_PER_SECOND = 0.5
"""More bus messages of another epoch or generation are a problem: each process there sends at least one a second."""

GOOD, BAD = "good", "bad"


@dataclass(slots=True)
class Row:
    """A table row: `key` identifies it across updates, `level` is "" or BAD."""

    key: str
    cells: list[str]
    level: str = ""


@dataclass(slots=True)
class Live:
    """`figures`: formatted, by the names in CARDS; `tables`: rows by name; `faults`: sentences about problems."""

    figures: dict[str, str]
    tables: dict[str, list[Row]]
    faults: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """As dashboard.js reads it."""
        return {**asdict(self), "level": self.level, "summary": self.summary}

    @property
    def level(self) -> str:
        """GOOD or BAD."""
        return BAD if self.faults else GOOD

    @property
    def summary(self) -> str:
        """The faults as one text, or "Healthy"."""
        return " ".join(self.faults) or "Healthy"


@dataclass(frozen=True, slots=True)
class Read:
    """What the dashboard reads besides the snapshot: the length of the job queue, the last minute of the history, the
    number of stored events, and the server of L2. None: not known.
    """

    waiting_jobs: int | None = None
    newest: Minute | None = None
    events: int | None = None
    cache_server: CacheServer | None = None


def live(snapshot: ClusterSnapshot, read: Read, now: float) -> Live:
    """Figures and tables at `now` (Unix seconds)."""
    waiting_jobs = read.waiting_jobs
    figures = card_texts(snapshot, waiting_jobs, read.newest, read.events)
    tables = {
        "workers": [_worker(worker, now) for worker in snapshot.workers],
        "layers": _layers(snapshot.total, read.cache_server),
        "servers": _servers(snapshot.total),
    }
    return Live(figures, tables, list(_faults(snapshot, waiting_jobs)))


def _worker(worker: WorkerFigures, now: float) -> Row:
    problem = _problem(worker)
    return Row(
        key=f"{worker.instance}/{worker.worker}/{worker.pid}",
        cells=[
            worker.instance,
            worker.worker,
            str(worker.pid),
            worker.version,
            duration(now - worker.started_at),
            count(worker.connections),
            rate(worker.events_per_second),
            rate(worker.queries_per_second),
            percent(worker.cpu_percent),
            size(worker.memory.get("rss")),
            problem or "healthy",
        ],
        level=BAD if problem else "",
    )


def _problem(worker: WorkerFigures) -> str:
    if not worker.database_up:
        return "database unreachable"
    if not worker.bus_up:
        return "bus unreachable"
    if not worker.shared_up:
        return "shared cache unreachable"
    if not worker.ready:
        return "not ready"
    return "replication lag" if worker.lag_seconds > LAG_SECONDS else ""


def _layers(total: WorkerFigures, server: CacheServer | None) -> list[Row]:
    """L1: entries and bytes of all workers; L2: keys and memory of its whole server."""
    rows = []
    for name in sorted({cache.layer for cache in total.caches} | set(total.layers)):
        caches = [cache for cache in total.caches if cache.layer == name]
        recent = total.layers.get(name)
        entries: int | None = sum(cache.size for cache in caches)
        memory: int | None = sum(cache.bytes for cache in caches)
        if name == Layer.L2:
            entries, memory = (server.keys, server.memory_bytes) if server else (None, None)
        rows.append(
            Row(
                key=name,
                cells=[
                    name,
                    percent(recent.percent if recent else None),
                    rate(recent.lookups_per_second if recent else None),
                    count(entries),
                    size(memory),
                ],
            )
        )
    return rows


def _servers(total: WorkerFigures) -> list[Row]:
    """The primary and its replicas: state, lag, and the share of the queries that each answered since the start."""
    if not total.replicas:
        return []
    answers = total.by_label.get("answers", {})
    asked = sum(answers.values())

    def share(server: str) -> str:
        return percent(100.0 * answers.get(server, 0) / asked if asked else None)

    rows = [Row("primary", ["primary", "in use" if total.database_up else "unreachable", "", "", share("primary")])]
    for alias, found in total.replicas.items():
        state, lag = found.why or "in use", latency(found.lag_seconds) if found.lag_seconds else "0 ms"
        rows.append(Row(alias, [alias, state, count(found.lag_changes), lag, share(alias)], "" if found.up else BAD))
    return rows


def _faults(snapshot: ClusterSnapshot, waiting_jobs: int | None) -> Iterable[str]:
    if not snapshot.whole:
        yield "The shared cache does not answer: these are the figures of one worker."
    if snapshot.whole and not snapshot.workers:
        yield "No worker has reported in the last five seconds."
    for worker in snapshot.workers:
        if problem := _problem(worker):
            yield f"Worker {worker.worker} of {worker.instance}: {problem}."
    if any(worker.foreign_per_second > FOREIGN_PER_SECOND for worker in snapshot.workers):
        yield "Another epoch or generation of this store uses the Redis server: its messages on the bus are dropped."
    for alias, replica in snapshot.total.replicas.items():
        if not replica.up:
            yield f"Read replica {alias} is not used: {replica.why}."
    if waiting_jobs is None and snapshot.whole:
        yield "The Celery broker does not answer."
    yield from _exhausted(snapshot.total.pools)


def _exhausted(pools: dict[str, PoolFigures]) -> Iterable[str]:
    for name, pool in pools.items():
        if pool.waiting > 5 and not pool.idle:
            yield f"{pool.waiting} queries wait for a database connection ({name})."
