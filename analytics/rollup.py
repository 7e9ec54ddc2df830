"""Keeps the roll-up at the change log: a page of changes at a time, in the order of their numbers.

Rule: the cursor moves in the transaction that writes the rows, and one run at a time holds it; so a run that is killed
anywhere leaves neither a gap nor a double, and the next one goes on from there. Every event has one row at most, which
counts it, so a page that comes twice changes nothing. When the log no longer holds what comes next, a failover has
begun a new epoch, or this is a restored copy of the store, the roll-up is made anew from the tables, a page at a time
as well, and then follows the log from the position at which that began.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection, transaction

from analytics.cursor import Cursor
from analytics.pages import LogRow, Page, Row, write
from analytics.popularity import AHEAD_SECONDS, REPORT, REPORT_SECONDS, window_begin
from analytics.runlog import Run, Skipped
from analytics.statements import statement
from relay.storage.store import asked_store

REST = 4.0
"""How long a run rests after a page of the log, in times of what that page took: while people publish at full speed the
machine is theirs, and the roll-up comes after."""

SCAN_REST = 1.0
"""The same after a page of the tables: nothing is refreshed before they are read."""

HURRY = 1_000_000
"""Changes that may wait; beyond them a run rests no more, or the log would be pruned before it was read."""

PAGE = 1_000
"""Changes of one transaction: some milliseconds of locks on rows that nobody else writes, and some megabytes."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What a run did. `changes`: of the log; `events`: read from the tables; `is_done`: nothing was left to do.

    `rest`: how long to rest after the last page, in times of what it took.
    """

    changes: int = 0
    events: int = 0
    is_done: bool = False
    rest: float = 0.0

    def plus(self, other: "Progress") -> "Progress":
        """Both; what the later one says of its end holds."""
        return Progress(self.changes + other.changes, self.events + other.events, other.is_done, other.rest)


def roll_up(seconds: float = 10.0, page: int = PAGE, run: Run | None = None, *, rests: bool = True) -> Progress:
    """Take in what has happened until nothing is left, or for `seconds`. Raises Skipped while another one does."""
    deadline = time.monotonic() + seconds
    done = Progress()
    while not done.is_done and time.monotonic() < deadline:
        begun = time.monotonic()
        done = done.plus(step(page, run))
        if rests and not done.is_done:
            time.sleep((time.monotonic() - begun) * done.rest)
    with connection.cursor() as cursor:
        cursor.execute(statement("weigh"), {"now": clock()})
    return done


def step(page: int = PAGE, run: Run | None = None) -> Progress:
    """One transaction: a page of the log, or of the tables. Raises Skipped while another one holds the cursor."""
    asked_store()  # notes another server or epoch, in a transaction of its own
    with transaction.atomic():
        cursor = Cursor.held()
        if cursor is None:
            raise Skipped("another run holds the roll-up")
        if run is not None:
            run.alone()
        if cursor.is_scanning:
            return _scan(cursor, page)
        rows = _log_after(cursor.position, page)
        if not cursor.fits(rows):
            _begin_anew(cursor)
            return Progress()
        _follow(cursor, rows)
        rest = REST if cursor.newest - cursor.position < HURRY else 0.0
        return Progress(changes=len(rows), is_done=len(rows) < page, rest=rest)


def clock() -> int:
    """What the views take as now (Unix seconds)."""
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
    cursor.move(rows[-1][0], page.added - len(page.removed))
    _note_growth(page, cursor.events, now)


def _page_of(rows: Sequence[LogRow]) -> Page:
    page = Page()
    for _, is_added, event_id, *event in rows:
        if not is_added:
            page.removed.append(bytes(event_id))
        else:
            page.added += 1
            if event[0] is not None:  # None: removed since; its removal follows
                page.rows.append(Row(bytes(event_id), *event))
    return page


def _note_growth(page: Page, events: int, now: int) -> None:
    """What the page changed, in the hour of `now`; `events`: how many are stored after it."""
    figures = {"added": page.added, "removed": len(page.removed), "bytes_added": page.bytes_added, "events": events}
    with connection.cursor() as sql:
        sql.execute(statement("grow"), {"now": now, **figures})


def _begin_anew(cursor: Cursor) -> None:
    """Empty what the window holds and note where the order stands now; the next steps read the tables."""
    now = clock()
    with connection.cursor() as sql:
        sql.execute("SET LOCAL lock_timeout = '10s'")
        sql.execute("TRUNCATE analytics_recent, analytics_author_day, analytics_report")
        # What lies before the window cannot be made anew, and stays as it was counted.
        sql.execute("DELETE FROM analytics_kind_hour WHERE hour >= %s", [window_begin(now)])
    cursor.begin_scan(now + AHEAD_SECONDS)


def _scan(cursor: Cursor, limit: int) -> Progress:
    """A page of the stored events of the window, then of older reports; the log is next when both are through."""
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
    return Progress(events=len(rows), rest=SCAN_REST)
