"""Retention in the store: brings its classes to what the rules say, and removes what they hide (sql/retention.sql).

Runs in a job, on Django's connection; may be killed at any moment and run several times at once.
"""

import time
from typing import NamedTuple

from django.db import connection

from relay.protocol.retention import HOUR, Retention, Span
from relay.storage.schema import multirange

STEP_EVENTS = 500
"""Events looked at by one transaction: some milliseconds, 15 to 35 ms if all of them are removed."""

STEP_SECONDS = 50.0
"""Of one run."""


class Floor(NamedTuple):
    """Events of these kinds that were created before `before` (Unix seconds) are not kept; with `others` those of keys
    that are not on the list of allowed keys alone.
    """

    kinds: tuple[Span, ...]
    others: bool
    before: int


def floors(retention: Retention, now: int) -> list[Floor]:
    """What is not kept at `now`, each time rounded down to the hour, so that the log gets an entry an hour for each."""
    found = []
    for kept in retention.kept:
        if kept.all is not None:
            found.append(Floor(kept.kinds, False, _hour(now - kept.all)))
        if kept.others is not None and kept.others != kept.all:
            found.append(Floor(kept.kinds, True, _hour(now - kept.others)))
    return found


def _hour(seconds: int) -> int:
    return seconds // HOUR * HOUR


def put_in_force(retention: Retention, now: int) -> int:
    """Hide what the rules do not keep at `now` (Unix seconds); returns how many entries the log got for it."""
    wanted = floors(retention, now)
    with connection.cursor() as cursor:
        if (
            not wanted
        ):  # each minute, on most relays: the lock of the order would be held for a look at all allowed keys
            cursor.execute("SELECT EXISTS (SELECT FROM relay_retention)")
            if not cursor.fetchone()[0]:
                return 0
        cursor.execute(
            "SELECT relay_retention_set(%s::int4multirange[], %s::bigint[], %s::boolean[])",
            [
                [multirange(floor.kinds) for floor in wanted],
                [floor.before for floor in wanted],
                [floor.others for floor in wanted],
            ],
        )
        return int(cursor.fetchone()[0])


def remove(seconds: float = STEP_SECONDS) -> int:
    """Remove what retention hides until nothing is left, or for `seconds`; returns the transactions."""
    deadline = time.monotonic() + seconds
    done = 0
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute("SELECT relay_retention_step(%s)", [STEP_EVENTS])
            (has_worked,) = cursor.fetchone()
        if not has_worked:
            break
        done += 1
    return done
