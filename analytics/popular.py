"""Reads the popular events for those who show them.

Rule: the ranking comes from the view alone and is never computed for a reader; the event itself comes from the relay's
table, so what was removed or has expired since the last refresh is not shown.
"""

from dataclasses import dataclass
from typing import Final

from django.db import connection

from analytics.models import JobRun
from analytics.popularity import DAY_SECONDS, WINDOW_SECONDS
from analytics.registry import view_named
from analytics.statements import statement

PERIODS: Final = {"hour": 3_600, "day": DAY_SECONDS, "week": WINDOW_SECONDS}
"""Name -> how old a note may be, in seconds."""


@dataclass(frozen=True, slots=True)
class Popular:
    """An event and how many distinct people engaged with it. `rank` is that among all of the week; `json` as sent."""

    rank: int
    people: int
    reactions: int
    reposts: int
    replies: int
    zaps: int
    json: str


def popular(kind: int, period: str, limit: int) -> list[Popular]:
    """The first `limit` popular events of `kind`, not older than `period` (a key of PERIODS)."""
    with connection.cursor() as cursor:
        cursor.execute(statement("popular"), {"kind": kind, "seconds": PERIODS[period], "limit": limit})
        return [Popular(*row) for row in cursor.fetchall()]


def refreshed_at() -> int | None:
    """When the view was last refreshed (Unix seconds), None before the first time."""
    runs = JobRun.objects.filter(job=view_named("popular_events").job, outcome=JobRun.Outcome.DONE)
    last = runs.order_by("-started_at").values_list("finished_at", flat=True).first()
    return None if last is None else int(last.timestamp())
