"""The minute history: what all workers say of themselves, written down in PostgreSQL and read back for charts.

Rule: a minute has one row, whoever writes it and however often: a second sample of it becomes part of its
means. Nobody writes minutes that have passed: while no job ran the figures were not seen, and the charts show
that as a gap.
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
from relay.conf import config
from relay.services.figures import Board, read_figures_now
from relay.storage.store import current_store

KEEP_DAYS: Final = 30
BROKER_SECONDS: Final = 1.0
QUEUE: Final = "celery"

PERIODS: Final = {"hour": (3_600, 60), "day": (86_400, 300), "month": (30 * 86_400, 7_200)}
"""Name -> seconds that a chart covers, and seconds of a step: 60, 288 and 360 points."""


@dataclass(frozen=True, slots=True)
class Point:
    """The figures of one step from `at` on (UTC). None: nothing was seen then. Units are in the names; hit rates are in
    percent.
    """

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
    """Write a sample of the figures of now into the minute of `at`; returns how many workers were seen."""
    board = read_figures_now(config().cache_url)
    with connection.cursor() as cursor:
        cursor.execute(statement("note_minute"), {"at": at, **sample(board), "jobs_waiting": jobs_waiting()})
    return len(board.workers)


def sample(board: Board) -> dict[str, Any]:
    """The columns of a minute that the board knows; None each, and no hit rates, when nobody is on it."""
    total = board.total
    rates = {layer: rate.percent for layer, rate in total.layers.items() if rate.percent is not None}
    found = {
        "workers": len(board.workers),
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
    return (found if board.workers else dict.fromkeys(found)) | {"hit_rates": Jsonb(rates)}


def jobs_waiting() -> int | None:
    """How many jobs wait in the broker's queue; None when it does not answer."""
    if not settings.BROKER_URL:
        return None
    timeouts = {"socket_timeout": BROKER_SECONDS, "socket_connect_timeout": BROKER_SECONDS}
    with contextlib.suppress(redis.RedisError, OSError), redis.from_url(settings.BROKER_URL, **timeouts) as broker:
        return int(broker.llen(current_store().broker_prefix + QUEUE))
    return None


def points(period: str, now: datetime) -> list[Point]:
    """The points of a chart over `period` (a key of PERIODS) that ends at `now`, oldest first."""
    seconds, step = PERIODS[period]
    end = datetime.fromtimestamp(now.timestamp() // step * step, UTC)
    with connection.cursor() as cursor:
        begin = end - timedelta(seconds=seconds - step)
        cursor.execute(statement("history"), {"begin": begin, "end": end, "step": step})
        return [Point(*row) for row in cursor.fetchall()]
