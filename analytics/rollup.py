"""Follows the log of changes into the roll-up's tables, a page of changes in each transaction.

Rules: the cursor moves in the transaction that writes the rows, and one run at a time holds it: a run that is killed
leaves neither a gap nor a duplicate. An event has at most one row, which its counts depend on: a page that is processed
twice changes nothing. If the log was pruned beyond the cursor, or the store or its epoch is another one, the roll-up is
rebuilt from the tables, also by pages, and then follows the log from the position at which the rebuild began.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection, transaction

from analytics.cursor import Cursor
from analytics.job_runs import Run, Skipped
from analytics.pages import LogRow, Page, Row, write
from analytics.popularity import AHEAD_SECONDS, REPORT, REPORT_SECONDS, window_begin
from analytics.statements import statement
from relay.changes.change import Purged
from relay.storage.store import read_store

LOG_PAUSE = 4.0
"""Pause after a page of the log, in multiples of the page's duration: the roll-up uses at most a fifth of a core."""

SCAN_PAUSE = 1.0
"""The same after a page of the tables, until whose end no view is refreshed."""

MAX_BACKLOG = 1_000_000
"""Beyond this many unread changes runs do not pause, so that the log is not pruned before it is read."""

PAGE = 1_000
"""Changes per transaction."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Processed `changes` of the log and `events` of the tables; `is_done`: nothing is left.

    `pause`: after the last page, in multiples of its duration.
    """

    changes: int = 0
    events: int = 0
    is_done: bool = False
    pause: float = 0.0

    def plus(self, other: "Progress") -> "Progress":
        """Sums, with `is_done` and `pause` of the later one."""
        return Progress(self.changes + other.changes, self.events + other.events, other.is_done, other.pause)


def roll_up(seconds: float = 10.0, page: int = PAGE, run: Run | None = None, *, rests: bool = True) -> Progress:
    """Process changes until none is left or for `seconds`. Raises Skipped while another run does. `rests`: pause."""
    deadline = time.monotonic() + seconds
    done = Progress()
    while not done.is_done and time.monotonic() < deadline:
        begun = time.monotonic()
        done = done.plus(step(page, run))
        if rests and not done.is_done:
            time.sleep((time.monotonic() - begun) * done.pause)
    with connection.cursor() as cursor:
        cursor.execute(statement("weigh"), {"now": clock()})
    return done


def step(page: int = PAGE, run: Run | None = None) -> Progress:
    """One transaction: a page of the log or of the tables. Raises Skipped while another run holds the cursor."""
    read_store()  # a change of the server is noted in a transaction of its own
    with transaction.atomic():
        cursor = Cursor.held()
        if cursor is None:
            raise Skipped("another run holds the roll-up")
        if run is not None:
            run.has_lock()
        if cursor.is_scanning:
            return _scan(cursor, page)
        rows = _log_after(cursor.position, page)
        if not cursor.fits(rows):
            _begin_rebuild(cursor)
            return Progress()
        _follow(cursor, rows)
        pause = LOG_PAUSE if cursor.newest - cursor.position < MAX_BACKLOG else 0.0
        return Progress(changes=len(rows), is_done=len(rows) < page, pause=pause)


def clock() -> int:
    """The views' current time (Unix seconds)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT analytics_now()")
        return int(cursor.fetchone()[0])


def _log_after(position: int, limit: int) -> list[LogRow]:
    with connection.cursor() as cursor:
        cursor.execute(statement("read_log"), {"position": position, "limit": limit})
        return list(cursor.fetchall())


def _follow(cursor: Cursor, rows: Sequence[LogRow]) -> None:
    if not rows:
        return
    page, now = _page_of(rows), clock()
    write(page, now)
    unlogged = cursor.newest_unlogged - cursor.unlogged
    cursor.move(rows[-1][0], page.added - len(page.removed))
    _note_growth(page, len(page.removed) + unlogged, cursor.events, now)


def _page_of(rows: Sequence[LogRow]) -> Page:
    page = Page()
    for _, op, event_id, created_at, *event in rows:
        if op == "-":
            page.removed.append(bytes(event_id))
        elif op == "v":
            page.vanished.append((bytes(event_id), created_at))
        elif op == "p":
            page.purged.append(Purged.of(0, bytes(event_id), created_at))
        else:
            page.added += 1
            if event[0] is not None:  # None: removed since; the removal follows in the log
                page.rows.append(Row(bytes(event_id), *event))
    return page


def _note_growth(page: Page, removed: int, events: int, now: int) -> None:
    """Add the page's changes to the hour of `now`; `events`: stored after it."""
    figures = {"added": page.added, "removed": removed, "bytes_added": page.bytes_added, "events": events}
    with connection.cursor() as sql:
        sql.execute(statement("grow"), {"now": now, **figures})


def _begin_rebuild(cursor: Cursor) -> None:
    """Truncate the window's tables and start the scan; the next steps read the tables."""
    now = clock()
    with connection.cursor() as sql:
        sql.execute("SET LOCAL lock_timeout = '10s'")
        sql.execute("TRUNCATE analytics_recent, analytics_author_day, analytics_report")
        # Hours before the window cannot be rebuilt and keep their counts.
        sql.execute("DELETE FROM analytics_kind_hour WHERE hour >= %s", [window_begin(now)])
    cursor.begin_scan(now + AHEAD_SECONDS)


def _scan(cursor: Cursor, limit: int) -> Progress:
    """A page of the window's events, then of older reports; at the end of both the scan ends."""
    now = clock()
    begin = window_begin(now)
    is_window = cursor.scan_created_at >= begin
    first = begin if is_window else now - REPORT_SECONDS
    only = "" if is_window else f"AND kind = {REPORT}"
    with connection.cursor() as sql:
        sql.execute(
            statement("read_events").replace("/*only*/", only),
            {"created_at": cursor.scan_created_at, "id": cursor.scan_id, "begin": first, "limit": limit},
        )
        rows = [Row(bytes(event_id), *event) for event_id, *event in sql.fetchall()]
    write(Page(rows=rows), now)
    if len(rows) == limit:
        cursor.scan_to(rows[-1].created_at, rows[-1].event_id)
    elif is_window:
        cursor.scan_to(begin - 1, b"")
    else:
        cursor.end_scan()
    return Progress(events=len(rows), pause=SCAN_PAUSE)
