"""Reads popular events: the ranking from the materialized view, the event from the relay's table.

Events removed or expired since the last refresh are therefore left out.
"""

from dataclasses import dataclass
from typing import Final

from analytics.models import JobRun
from analytics.popularity import DAY_SECONDS, WINDOW_SECONDS
from analytics.registry import view_named
from analytics.statements import statement
from relay.routers import read_connection

PERIODS: Final = {"hour": 3_600, "day": DAY_SECONDS, "week": WINDOW_SECONDS}
"""Name -> maximum age of a note in seconds."""


@dataclass(frozen=True, slots=True)
class Popular:
    """An event and its numbers of distinct people. `rank`: within the week; `json`: as sent to clients."""

    rank: int
    people: int
    reactions: int
    reposts: int
    replies: int
    zaps: int
    json: str


def popular(kind: int, period: str, limit: int) -> list[Popular]:
    """The first `limit` popular events of `kind`, not older than `period` (a key of PERIODS)."""
    with read_connection().cursor() as cursor:
        cursor.execute(statement("popular"), {"kind": kind, "seconds": PERIODS[period], "limit": limit})
        return [Popular(*row) for row in cursor.fetchall()]


def refreshed_at() -> int | None:
    """When the view was last refreshed (Unix seconds), None before the first time."""
    runs = JobRun.objects.filter(job=view_named("popular_events").job, outcome=JobRun.Outcome.DONE)
    last = runs.order_by("-started_at").values_list("finished_at", flat=True).first()
    return None if last is None else int(last.timestamp())
