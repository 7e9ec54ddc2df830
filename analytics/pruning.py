"""Takes away what the operators' tables no longer need, some rows at a time.

Rule: rows of events that leave the window go without being taken out of the counts: an hour that has passed
stays as it was.
"""

from datetime import timedelta
from typing import Final

from django.db import connection
from django.utils import timezone

from analytics import runlog
from analytics.history import KEEP_DAYS
from analytics.models import JobRun, Minute
from analytics.popularity import GROWTH_SECONDS, HOURS_SECONDS, REPORT_SECONDS, window_begin
from analytics.rollup import clock

BATCH: Final = 10_000
BATCHES: Final = 200
"""Of one run; what is left goes with the next."""

RUNS_KEEP_DAYS: Final = 7


def prune() -> int:
    """Take away what is too old; returns how many rows went."""
    now = clock()
    gone = _prune_recent(window_begin(now))
    for table, column, begin in (
        ("analytics_author_day", "day", window_begin(now)),
        ("analytics_kind_hour", "hour", now - HOURS_SECONDS),
        ("analytics_report", "created_at", now - REPORT_SECONDS),
        ("analytics_growth", "hour", now - GROWTH_SECONDS),
    ):
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {table} WHERE {column} < %s", [begin])  # noqa: S608  constant text
            gone += cursor.rowcount
    runlog.bury_lost()
    gone += Minute.objects.filter(minute__lt=timezone.now() - timedelta(days=KEEP_DAYS)).delete()[0]
    gone += JobRun.objects.filter(started_at__lt=timezone.now() - timedelta(days=RUNS_KEEP_DAYS)).delete()[0]
    return gone


def _prune_recent(begin: int) -> int:
    """Rows of events created before `begin` (Unix seconds)."""
    gone = 0
    for _ in range(BATCHES):
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM analytics_recent WHERE ctid = ANY (ARRAY("
                "SELECT ctid FROM analytics_recent WHERE created_at < %s LIMIT %s))",
                [begin, BATCH],
            )
            gone += cursor.rowcount
            if cursor.rowcount < BATCH:
                break
    return gone
