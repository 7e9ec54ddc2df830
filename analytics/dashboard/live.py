"""What happens now, as texts: from the board of the workers to the figures and tables of the page.

Rule: pure. Whoever calls it has read the board, the queue and the newest minute; what is not known is None.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

from msgspec.structs import replace

from analytics.dashboard.wording import count, duration, latency, percent, rate, size
from analytics.models import Minute
from relay.services.figures import Board
from relay.services.worker_figures import NOTHING, HistogramFigures, PoolFigures, WorkerFigures, total

LAG_SECONDS = 5.0
"""A lag that is told as a fault."""

GOOD, BAD = "good", "bad"


@dataclass(slots=True)
class Row:
    """A line of a table: `key` names it while it moves, `level` is "" or bad."""

    key: str
    cells: list[str]
    level: str = ""


@dataclass(slots=True)
class Live:
    """`figures` by name, `tables` by name, and in `faults` what an operator should look at."""

    figures: dict[str, str]
    tables: dict[str, list[Row]]
    faults: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """As the page's script reads it."""
        return {**asdict(self), "level": BAD if self.faults else GOOD, "said": self.said}

    @property
    def said(self) -> str:
        return " ".join(self.faults) or "All is well."


@dataclass(frozen=True, slots=True)
class Figure:
    """A card of the page: `name` in `Live.figures`, its title, and the name of the smaller text under it."""

    name: str
    title: str
    note: str = ""


CARDS: Sequence[Figure] = (
    Figure("connections", "Connections", "subscriptions"),
    Figure("events_per_second", "Events a second", "stored"),
    Figure("queries_per_second", "Queries a second", "queries"),
    Figure("query_p95", "Query, p95", "query_count"),
    Figure("ok_p95", "OK, p95", "ok_count"),
    Figure("hit_rate", "Cache hit rate", "hit_rate_by_layer"),
    Figure("pool", "Database connections", "pool_waiting"),
    Figure("lag", "Behind the order", "lag_changes"),
    Figure("events", "Events stored", "store"),
    Figure("position", "Position in the order", "ring"),
    Figure("queue", "Jobs waiting", "queue_note"),
    Figure("workers", "Workers", "load"),
)


def live(board: Board, waiting_jobs: int | None, newest: Minute | None, now: float) -> Live:
    """The figures and tables at `now` (Unix seconds). `newest`: the last minute of the history, for the store."""
    everything = board.total
    figures = {
        **(_moving(everything) if board.workers else {}),
        **_store(everything if board.workers else None, newest),
        "queue": count(waiting_jobs),
        "queue_note": "the broker does not answer" if waiting_jobs is None else "in Celery's queue",
        "workers": count(len(board.workers) if board.whole else None),
        "load": f"{_many(len(board.instances), 'instance')}, CPU {percent(everything.cpu_percent)}"
        if board.workers
        else "",
    }
    tables = {"workers": [_worker(worker, now) for worker in board.workers], "layers": _layers(everything)}
    return Live(figures, tables, list(_faults(board, waiting_jobs)))


def _moving(all_: WorkerFigures) -> dict[str, str]:
    query, ok = _merged(all_.recent, "query/"), all_.recent.get("ok")
    pools = all_.pools.values()
    in_use = sum(pool.in_use for pool in pools)
    return {
        "connections": count(all_.connections),
        "subscriptions": _many(all_.subscriptions, "subscription"),
        "events_per_second": rate(all_.events_per_second),
        "stored": f"{count(all_.events_stored)} since the start",
        "queries_per_second": rate(all_.queries_per_second),
        "queries": f"{count(all_.counts.get('queries', 0))} since the start",
        "query_p95": latency(query.quantile(0.95) if query else None),
        "query_count": f"{count(query.count if query else 0)} in the last minute",
        "ok_p95": latency(ok.quantile(0.95) if ok else None),
        "ok_count": f"{count(ok.count if ok else 0)} in the last minute",
        **_hit_rates(all_),
        "pool": f"{in_use} of {in_use + sum(pool.idle for pool in pools)}",
        "pool_waiting": f"{sum(pool.waiting for pool in pools)} waiting",
        "lag": latency(all_.lag_seconds) if all_.lag_seconds else "0 ms",
        "lag_changes": _many(all_.lag, "change"),
        "position": count(all_.position),
        "ring": "changes since the first day",
    }


def _many(number: int, what: str) -> str:
    return f"{count(number)} {what}{'' if number == 1 else 's'}"


def _merged(histograms: dict[str, HistogramFigures], prefix: str) -> HistogramFigures | None:
    """Those whose names begin with `prefix` as one."""
    parts = [replace(NOTHING, recent={"": each}) for name, each in histograms.items() if name.startswith(prefix)]
    return total(parts).recent.get("")


def _hit_rates(all_: WorkerFigures) -> dict[str, str]:
    """Of the whole stack of caches: a question that any layer answers is a hit."""
    lookups = max((layer.lookups_per_second for layer in all_.layers.values()), default=0.0)
    hits = sum(layer.hits_per_second for layer in all_.layers.values())
    by_layer = ", ".join(f"{name} {percent(layer.percent)}" for name, layer in sorted(all_.layers.items()))
    return {
        "hit_rate": percent(min(100.0, 100 * hits / lookups) if lookups else None),
        "hit_rate_by_layer": by_layer or "no cache was asked",
    }


def _store(all_: WorkerFigures | None, newest: Minute | None) -> dict[str, str]:
    """The history knows the store; what was committed since moves it on."""
    if newest is None or newest.events is None:
        return {"events": count(None), "store": "known after the first minute"}
    since = all_.position - (newest.position or 0) if all_ and newest.position is not None else 0
    return {"events": count(newest.events + max(0, since)), "store": size(newest.store_bytes)}


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
            problem or "well",
        ],
        level=BAD if problem else "",
    )


def _problem(worker: WorkerFigures) -> str:
    if not worker.database_up:
        return "no database"
    if not worker.bus_up:
        return "no bus"
    if not worker.shared_up:
        return "no shared cache"
    if not worker.ready:
        return "not ready"
    return "behind" if worker.lag_seconds > LAG_SECONDS else ""


def _layers(all_: WorkerFigures) -> list[Row]:
    rows = []
    for name in sorted({cache.layer for cache in all_.caches} | set(all_.layers)):
        caches = [cache for cache in all_.caches if cache.layer == name]
        moving = all_.layers.get(name)
        rows.append(
            Row(
                key=name,
                cells=[
                    name,
                    percent(moving.percent if moving else None),
                    rate(moving.lookups_per_second if moving else None),
                    count(sum(cache.size for cache in caches)),
                    size(sum(cache.bytes for cache in caches)),
                ],
            )
        )
    return rows


def _faults(board: Board, waiting_jobs: int | None) -> Iterable[str]:
    if not board.whole:
        yield "The cache does not answer: the figures are those of the worker that was asked, alone."
    if board.whole and not board.workers:
        yield "No worker has said anything in the last five seconds."
    for worker in board.workers:
        if problem := _problem(worker):
            yield f"Worker {worker.worker} of {worker.instance}: {problem}."
    if waiting_jobs is None and board.whole:
        yield "The broker of the jobs does not answer."
    yield from _starved(board.total.pools)


def _starved(pools: dict[str, PoolFigures]) -> Iterable[str]:
    for name, pool in pools.items():
        if pool.waiting > 5 and not pool.idle:
            yield f"{pool.waiting} wait for a connection to the database ({name})."
