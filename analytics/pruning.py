"""Deletes old rows of the analytics' tables, in batches. Rule: counts of past hours do not change."""

from datetime import timedelta
from typing import Final

from django.db import connection
from django.utils import timezone

from analytics import job_runs
from analytics.history import KEEP_DAYS
from analytics.models import JobRun, Minute
from analytics.popularity import GROWTH_SECONDS, HOURS_SECONDS, REPORT_SECONDS, window_begin
from analytics.rollup import clock

BATCH: Final = 10_000
BATCHES: Final = 200
"""Per run."""

RUNS_KEEP_DAYS: Final = 7


def prune() -> int:
    """Delete old rows and mark lost job runs; returns the number of deleted rows."""
    now = clock()
    deleted = _prune_recent(window_begin(now))
    for table, column, begin in (
        ("analytics_author_day", "day", window_begin(now)),
        ("analytics_kind_hour", "hour", now - HOURS_SECONDS),
        ("analytics_report", "created_at", now - REPORT_SECONDS),
        ("analytics_growth", "hour", now - GROWTH_SECONDS),
    ):
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {table} WHERE {column} < %s", [begin])  # noqa: S608  constant text
            deleted += cursor.rowcount
    job_runs.mark_lost()
    deleted += Minute.objects.filter(minute__lt=timezone.now() - timedelta(days=KEEP_DAYS)).delete()[0]
    deleted += JobRun.objects.filter(started_at__lt=timezone.now() - timedelta(days=RUNS_KEEP_DAYS)).delete()[0]
    return deleted


def _prune_recent(begin: int) -> int:
    """Delete rows of events created before `begin` (Unix seconds)."""
    deleted = 0
    for _ in range(BATCHES):
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM analytics_recent WHERE ctid = ANY (ARRAY("
                "SELECT ctid FROM analytics_recent WHERE created_at < %s LIMIT %s))",
                [begin, BATCH],
            )
            deleted += cursor.rowcount
            if cursor.rowcount < BATCH:
                break
    return deleted
