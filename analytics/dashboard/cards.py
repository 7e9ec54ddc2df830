"""The cards of the dashboard: titles and formatted figures. Rule: pure; an unknown figure is None."""

from collections.abc import Sequence
from dataclasses import dataclass

from analytics.dashboard.number_format import count, latency, percent, rate, size
from analytics.latencies import p95, recent_queries
from analytics.models import Minute
from relay.services.figures import ClusterSnapshot
from relay.services.worker_figures import WorkerFigures


@dataclass(frozen=True, slots=True)
class Card:
    """A card: name of its figure, title, name of the note below, and help text."""

    name: str
    title: str
    note: str = ""
    help: str = ""


CARDS: Sequence[Card] = (
    Card("connections", "Connections", "subscriptions", "Open WebSocket connections"),
    Card("events_per_second", "Events per second", "stored", "Stored, mean of the last five seconds"),
    Card("queries_per_second", "Queries per second", "queries", "Begun, mean of the last five seconds"),
    Card("query_p95", "Query latency, p95", "query_count", "From REQ to EOSE, last minute"),
    Card("ok_p95", "OK latency, p95", "ok_count", "From EVENT to OK, last minute"),
    Card("hit_rate", "Cache hit rate", "hit_rate_by_layer", "Last minute, all layers"),
    Card("pool", "Database connections", "pool_waiting", "In use, of the open ones"),
    Card("lag", "Replication lag", "lag_changes", "Age of the oldest change that the slowest worker has not applied"),
    Card("events", "Events stored", "store", "Exact, counted from the log of changes"),
    Card("position", "Log position", "position_note", "Number of the newest change"),
    Card("queue", "Jobs queued", "queue_note", "Length of the queue in the Celery broker"),
    Card("workers", "Workers", "load", "Relay processes that reported in the last five seconds"),
)


def card_texts(
    snapshot: ClusterSnapshot, waiting_jobs: int | None, newest: Minute | None, events: int | None
) -> dict[str, str]:
    """Figures and notes by name; without workers theirs are missing.

    `newest`: the last minute of the history; `events`: stored now, None if not known.
    """
    total = snapshot.total if snapshot.workers else None
    return {
        **(_worker_texts(total) if total else {}),
        **_store(events, newest),
        "queue": count(waiting_jobs),
        "queue_note": "broker unreachable" if waiting_jobs is None else "in Celery's queue",
        "workers": count(len(snapshot.workers) if snapshot.whole else None),
        "load": f"{_plural(len(snapshot.instances), 'instance')}, CPU {percent(total.cpu_percent)}" if total else "",
    }


def _worker_texts(total: WorkerFigures) -> dict[str, str]:
    query, ok = recent_queries(total), total.recent.get("ok")
    pools = total.pools.values()
    in_use = sum(pool.in_use for pool in pools)
    return {
        "connections": count(total.connections),
        "subscriptions": _plural(total.subscriptions, "subscription"),
        "events_per_second": rate(total.events_per_second),
        "stored": f"{count(total.events_stored)} since the start",
        "queries_per_second": rate(total.queries_per_second),
        "queries": f"{count(total.counts.get('queries', 0))} since the start",
        "query_p95": latency(p95(query)),
        "query_count": f"{count(query.count if query else 0)} in the last minute",
        "ok_p95": latency(p95(ok)),
        "ok_count": f"{count(ok.count if ok else 0)} in the last minute",
        **_hit_rates(total),
        "pool": f"{in_use} of {in_use + sum(pool.idle for pool in pools)}",
        "pool_waiting": f"{sum(pool.waiting for pool in pools)} waiting",
        "lag": latency(total.lag_seconds) if total.lag_seconds else "0 ms",
        "lag_changes": _plural(total.lag, "change"),
        "position": count(total.position),
        "position_note": "newest change",
    }


def _plural(number: int, what: str) -> str:
    return f"{count(number)} {what}{'' if number == 1 else 's'}"


def _hit_rates(total: WorkerFigures) -> dict[str, str]:
    """Over all layers: a lookup that any layer answers is a hit."""
    lookups = max((layer.lookups_per_second for layer in total.layers.values()), default=0.0)
    hits = sum(layer.hits_per_second for layer in total.layers.values())
    by_layer = ", ".join(f"{name} {percent(layer.percent)}" for name, layer in sorted(total.layers.items()))
    return {
        "hit_rate": percent(min(100.0, 100 * hits / lookups) if lookups else None),
        "hit_rate_by_layer": by_layer or "no lookups",
    }


def _store(events: int | None, newest: Minute | None) -> dict[str, str]:
    size_note = (
        f"{size(newest.store_bytes)} on disk" if newest and newest.store_bytes else "size known after one minute"
    )
    return {"events": count(events), "store": size_note}
