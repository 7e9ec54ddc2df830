"""The cards of the first page: their titles, and their figures as texts.

Rule: pure, as `analytics.dashboard.live`; what is not known is None.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from analytics.dashboard.number_format import count, latency, percent, rate, size
from analytics.latencies import p95, recent_queries
from analytics.models import Minute
from relay.services.figures import Board
from relay.services.worker_figures import WorkerFigures


@dataclass(frozen=True, slots=True)
class Card:
    """A card of the page: the name of its figure, its title, and the name of the smaller text under it."""

    name: str
    title: str
    note: str = ""


CARDS: Sequence[Card] = (
    Card("connections", "Connections", "subscriptions"),
    Card("events_per_second", "Events a second", "stored"),
    Card("queries_per_second", "Queries a second", "queries"),
    Card("query_p95", "Query, p95", "query_count"),
    Card("ok_p95", "OK, p95", "ok_count"),
    Card("hit_rate", "Cache hit rate", "hit_rate_by_layer"),
    Card("pool", "Database connections", "pool_waiting"),
    Card("lag", "Behind the order", "lag_changes"),
    Card("events", "Events stored", "store"),
    Card("position", "Position in the order", "position_note"),
    Card("queue", "Jobs waiting", "queue_note"),
    Card("workers", "Workers", "load"),
)


def card_texts(board: Board, waiting_jobs: int | None, newest: Minute | None) -> dict[str, str]:
    """The figures and the notes of the cards by name. `newest`: the last minute of the history, for the store.

    Without a worker on the board those that only workers know are missing.
    """
    everyone = board.total if board.workers else None
    return {
        **(_of_workers(everyone) if everyone else {}),
        **_store(everyone, newest),
        "queue": count(waiting_jobs),
        "queue_note": "the broker does not answer" if waiting_jobs is None else "in Celery's queue",
        "workers": count(len(board.workers) if board.whole else None),
        "load": f"{_many(len(board.instances), 'instance')}, CPU {percent(everyone.cpu_percent)}" if everyone else "",
    }


def _of_workers(everyone: WorkerFigures) -> dict[str, str]:
    query, ok = recent_queries(everyone), everyone.recent.get("ok")
    pools = everyone.pools.values()
    in_use = sum(pool.in_use for pool in pools)
    return {
        "connections": count(everyone.connections),
        "subscriptions": _many(everyone.subscriptions, "subscription"),
        "events_per_second": rate(everyone.events_per_second),
        "stored": f"{count(everyone.events_stored)} since the start",
        "queries_per_second": rate(everyone.queries_per_second),
        "queries": f"{count(everyone.counts.get('queries', 0))} since the start",
        "query_p95": latency(p95(query)),
        "query_count": f"{count(query.count if query else 0)} in the last minute",
        "ok_p95": latency(p95(ok)),
        "ok_count": f"{count(ok.count if ok else 0)} in the last minute",
        **_hit_rates(everyone),
        "pool": f"{in_use} of {in_use + sum(pool.idle for pool in pools)}",
        "pool_waiting": f"{sum(pool.waiting for pool in pools)} waiting",
        "lag": latency(everyone.lag_seconds) if everyone.lag_seconds else "0 ms",
        "lag_changes": _many(everyone.lag, "change"),
        "position": count(everyone.position),
        "position_note": "changes since the first day",
    }


def _many(number: int, what: str) -> str:
    return f"{count(number)} {what}{'' if number == 1 else 's'}"


def _hit_rates(everyone: WorkerFigures) -> dict[str, str]:
    """Of the whole stack of caches: a question that any layer answers is a hit."""
    lookups = max((layer.lookups_per_second for layer in everyone.layers.values()), default=0.0)
    hits = sum(layer.hits_per_second for layer in everyone.layers.values())
    by_layer = ", ".join(f"{name} {percent(layer.percent)}" for name, layer in sorted(everyone.layers.items()))
    return {
        "hit_rate": percent(min(100.0, 100 * hits / lookups) if lookups else None),
        "hit_rate_by_layer": by_layer or "no cache was asked",
    }


def _store(everyone: WorkerFigures | None, newest: Minute | None) -> dict[str, str]:
    """The history knows the store; what was committed since moves it on."""
    if newest is None or newest.events is None:
        return {"events": count(None), "store": "known after the first minute"}
    since = everyone.position - newest.position if everyone and newest.position is not None else 0
    return {"events": count(newest.events + max(0, since)), "store": size(newest.store_bytes)}
