"""What is removed: expired events, events of keys that have vanished, tag rows of removed events, and the oldest
part of the log.

Runs in jobs, on Django's connection. Every removal of an event is a change in the log; a request to vanish is one for
all its events.
"""

import time

from django.db import connection

from relay.storage.partitions.steps import in_a_short_lock

SWEEP_EVENTS = 500
"""Events removed by one transaction, which holds the order lock for some milliseconds at most."""

SWEEP_BATCHES = 200
"""Transactions of one sweep; the rest is left to the next sweep."""


def sweep_expired(now: int) -> int:
    """Remove events that expired by `now` (Unix seconds), oldest first, at most 100,000; returns how many (40-3)."""
    total = 0
    for _ in range(SWEEP_BATCHES):
        with connection.cursor() as cursor:
            cursor.execute("SELECT relay_sweep_expired(%s, %s)", [now, SWEEP_EVENTS])
            (gone,) = cursor.fetchone()
        total += gone
        if gone < SWEEP_EVENTS:
            break
    return total


COLLECT_ROWS = 1_000
"""Tag rows removed by one transaction, in about 10 ms; it does not take the order lock."""

COLLECT_SECONDS = 50.0
"""Of one run. Rows are removed faster than they are inserted, so a run a minute keeps up."""


def collect_tags(seconds: float = COLLECT_SECONDS) -> int:
    """Remove the tag rows of removed events until none is left, or for `seconds`; returns how many.

    May be killed at any moment and run several times at once.
    """
    deadline = time.monotonic() + seconds
    total = 0
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute("SELECT relay_collect_tags(%s)", [COLLECT_ROWS])
            (removed,) = cursor.fetchone()
        total += removed
        if not removed:
            break
    return total


VANISH_EVENTS = 500
"""Events looked at by one transaction of the removal for a key that has vanished: 15 to 35 ms; no order lock."""

VANISH_SECONDS = 50.0
"""Of one run."""


def remove_vanished(seconds: float = VANISH_SECONDS) -> int:
    """Remove the events of keys that have vanished until none is left, or for `seconds`; returns the transactions.

    May be killed at any moment and run several times at once: each transaction notes how far it came.
    """
    deadline = time.monotonic() + seconds
    done = 0
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute("SELECT relay_vanish_step(NULL, %s)", [VANISH_EVENTS])
            (has_worked,) = cursor.fetchone()
        if not has_worked:
            break
        done += 1
    return done


PRUNE_TRIES = 12
"""In 36 s. Every query reads the log for its position, so on a busy relay one try alone seldom succeeds."""

LONGEST_PAUSE_SECONDS = 4.0
"""Queries and writers wait behind each try, which is in vain while a dump reads the log: 1 s of 300 s in all."""


def prune_change_log(keep_changes: int) -> list[str]:
    """Drop the partitions of the log that hold none of the newest `keep_changes`; returns their names.

    Waits some milliseconds for readers at a time, so that they never wait longer for it. Raises Busy while a dump or an
    export reads the log: it is then left to the next run, and the log grows meanwhile.
    """
    dropped = in_a_short_lock(
        "SELECT array_agg(name) FROM relay_log_prune(relay_position() - %s) AS name",
        [keep_changes],
        PRUNE_TRIES,
        LONGEST_PAUSE_SECONDS,
    )
    return list(dropped or ())
