"""The minute history: figures of all workers in PostgreSQL, for the charts.

Rules: one row for each minute; further samples of a minute enter its means. Past minutes are not written later: a time
without a sample is a gap in the charts.
"""

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import redis
from django.conf import settings
from django.db import connection
from psycopg.types.json import Jsonb

from analytics.latencies import p95, recent_queries
from analytics.statements import statement
from relay import redis_clients
from relay.conf import config
from relay.routers import read_connection
from relay.services.figures import ClusterSnapshot, read_figures_now
from relay.storage.store import current_store

KEEP_DAYS: Final = 30
BROKER_SECONDS: Final = 1.0
QUEUE: Final = "celery"

PERIODS: Final = {"hour": (3_600, 60), "day": (86_400, 300), "month": (30 * 86_400, 7_200)}
"""Name -> (seconds of a chart, seconds of a step): 60, 288 and 360 points."""


@dataclass(frozen=True, slots=True)
class Point:
    """The figures of one step that begins at `at` (UTC). None: no sample. Hit rates are in percent."""

    at: datetime
    workers: float | None
    connections: float | None
    subscriptions: float | None
    events_per_second: float | None
    queries_per_second: float | None
    query_p95_seconds: float | None
    ok_p95_seconds: float | None
    position_lag_seconds: float | None
    pool_used: float | None
    pool_waiting: float | None
    cpu_percent: float | None
    memory_bytes: float | None
    jobs_waiting: float | None
    events: int | None
    store_bytes: int | None
    hit_rate_l1: float | None
    hit_rate_l2: float | None
    hit_rate_l3: float | None


def note_minute(at: datetime) -> int:
    """Add a sample of the current figures to the minute of `at`; returns the number of workers."""
    snapshot = read_figures_now(config().cache_url)
    with connection.cursor() as cursor:
        cursor.execute(statement("note_minute"), {"at": at, **sample(snapshot), "jobs_waiting": jobs_waiting()})
    return len(snapshot.workers)


def sample(snapshot: ClusterSnapshot) -> dict[str, Any]:
    """Column -> value of a minute; all None, and no hit rates, without workers."""
    total = snapshot.total
    rates = {layer: rate.percent for layer, rate in total.layers.items() if rate.percent is not None}
    found = {
        "workers": len(snapshot.workers),
        "connections": total.connections,
        "subscriptions": total.subscriptions,
        "events_per_second": total.events_per_second,
        "queries_per_second": total.queries_per_second,
        "query_p95_seconds": p95(recent_queries(total)),
        "ok_p95_seconds": p95(total.recent.get("ok")),
        "position_lag_seconds": total.lag_seconds,
        "pool_used": sum(pool.in_use for pool in total.pools.values()),
        "pool_waiting": sum(pool.waiting for pool in total.pools.values()),
        "cpu_percent": total.cpu_percent,
        "memory_bytes": total.memory.get("rss"),
    }
    return (found if snapshot.workers else dict.fromkeys(found)) | {"hit_rates": Jsonb(rates)}


def jobs_waiting() -> int | None:
    """The length of Celery's queue; None if the broker does not answer."""
    if not settings.BROKER_URL:
        return None
    client = redis_clients.client(settings.BROKER_URL, BROKER_SECONDS)
    with contextlib.suppress(redis.RedisError, OSError), contextlib.closing(client) as broker:
        return int(broker.llen(current_store().broker_prefix + QUEUE))
    return None


def points(period: str, now: datetime) -> list[Point]:
    """The points of a chart of `period` (a key of PERIODS) up to `now`, oldest first."""
    seconds, step = PERIODS[period]
    end = datetime.fromtimestamp(now.timestamp() // step * step, UTC)
    with read_connection().cursor() as cursor:
        begin = end - timedelta(seconds=seconds - step)
        cursor.execute(statement("history"), {"begin": begin, "end": end, "step": step})
        return [Point(*row) for row in cursor.fetchall()]
