"""Celery beat on one of many machines: the holder of an advisory lock keeps the schedule, the others stand by.

The lock is a transaction's, which stays open: a session's lock would be lost behind a transaction pooler. It has no
snapshot between its statements, so it holds no vacuum back.

`python -m relayproject.runtime.beat`, started by the supervisor. When the lock's connection is lost the process
ends, so that two machines never keep the schedule at once for long, and when the store gets another name, because
that names the queue; the supervisor starts it again as a standby. Its heartbeat follows the ticks of the schedule.
"""

import os
import signal
import sys
import threading
import time
from typing import Any

import django
import psycopg

from relay.storage.store import Store
from relayproject.celery import app, use_store
from relayproject.runtime import metrics_folder
from relayproject.runtime.heartbeat import ThreadHeartbeat
from relayproject.runtime.preparation import BEAT_LOCK
from relayproject.runtime.say import say
from relayproject.runtime.store_watch import LOOK_SECONDS, Connection, connect, store_of

CLOCK_SECONDS = 5.0
"""A clock that is set back by no more delays jobs by no more."""

HELD_SECONDS = 20
"""The server gives the lock of a machine that says nothing any more to another one after so long."""


def wait_for_turn(connection: Connection, heartbeat: ThreadHeartbeat) -> None:
    """Return when this process holds the lock, in an open transaction; says once that it stands by."""
    standing_by = False
    connection.autocommit = False
    while True:
        heartbeat.turn()
        connection.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{HELD_SECONDS}s'".encode())
        row = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [BEAT_LOCK]).fetchone()
        if row is not None and row[0]:
            if standing_by:
                say("beat", "this machine keeps the schedule now")
            return
        connection.rollback()
        if not standing_by:
            say("beat", "another machine keeps the schedule; standing by")
            standing_by = True
        time.sleep(LOOK_SECONDS)


def watch(lock: Connection, watching: Connection, store: Store) -> None:
    """End this process when the transaction that holds the lock is gone, or the store has another name."""
    try:
        while store_of(watching) == store:
            lock.execute("SELECT 1")
            time.sleep(LOOK_SECONDS)
        say("beat", "the store has another name; starting again")
    except psycopg.Error:
        say("beat", "the lock is lost with its connection")
    os.kill(os.getpid(), signal.SIGKILL)  # beat has no state to save, and must not run on


class Clock:
    """Tells whether the system's clock was set back between two looks at it."""

    def __init__(self) -> None:
        self._ahead = self._of_monotonic()

    def seconds_back(self) -> float:
        """By how much it was set back since the last look; below zero: ahead."""
        before, self._ahead = self._ahead, self._of_monotonic()
        return before - self._ahead

    @staticmethod
    def _of_monotonic() -> float:
        return time.time() - time.monotonic()


def forget_future_runs() -> int:
    """Have jobs whose last run lies in the future count from now, and return how many; they would not run before that
    time, which a clock that was set back, or that of another machine, has named.
    """
    from django.utils import timezone
    from django_celery_beat.models import PeriodicTask

    now = timezone.now()
    count: int = PeriodicTask.objects.filter(last_run_at__gt=now).update(last_run_at=now)
    return count


def scheduler(heartbeat: ThreadHeartbeat) -> type:
    """The scheduler of the database, which tells the heartbeat of each tick: every 5 s, or more often.

    The process ends when the clock is set back: what Celery planned by the later time would wait for it.
    """
    django.setup()
    from django_celery_beat.schedulers import DatabaseScheduler

    class Scheduler(DatabaseScheduler):  # type: ignore[misc]  # it has no types
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._clock = Clock()
            if jobs := forget_future_runs():
                say("beat", f"{jobs} jobs have run in the future: the clock was set back, or is wrong")
            super().__init__(*args, **kwargs)

        def tick(self, *args: Any, **kwargs: Any) -> Any:
            heartbeat.turn()
            if (seconds := self._clock.seconds_back()) > CLOCK_SECONDS:
                say("beat", f"the clock was set back by {seconds:.0f} s; starting again")
                os.kill(os.getpid(), signal.SIGKILL)
            return super().tick(*args, **kwargs)

    return Scheduler


def main() -> None:
    """Run beat once its turn has come; exits when the lock is lost or the store has another name."""
    heartbeat = ThreadHeartbeat()
    metrics_folder.count_as("beat")
    try:
        lock, watching = connect(), connect()
        wait_for_turn(lock, heartbeat)
        store = store_of(watching)
    except psycopg.Error as error:
        say("beat", f"the database does not answer: {error}")
        sys.exit(1)
    use_store(store)
    threading.Thread(target=watch, args=(lock, watching, store), daemon=True).start()
    app.Beat(loglevel="WARNING", quiet=True, redirect_stdouts=False, scheduler=scheduler(heartbeat)).run()


if __name__ == "__main__":
    main()
