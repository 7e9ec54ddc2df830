"""The Celery worker: a pool of four threads in one process, which costs a quarter of two forked children.

`python -m relayproject.runtime.jobs`, started by the supervisor; SIGTERM lets running jobs end. It takes the jobs of
one store, and ends when that gets another name. Its heartbeat follows the turns of Celery's event loop.
"""

import os
import signal
import sys
import threading
import warnings
from typing import Any

import psycopg
import redis
from celery import bootsteps
from celery.platforms import SecurityWarning

from relay.storage.store import Store
from relayproject.celery import app, use_store
from relayproject.runtime import metrics_folder, store_watch
from relayproject.runtime.heartbeat import INTERVAL_SECONDS, ThreadHeartbeat
from relayproject.runtime.say import say

CONCURRENCY = 4
"""So that a roll-up that has much to do and two slow refreshes leave room for what has a minute to keep."""


def remove_queue(store: Store) -> None:
    """Remove what is left of a store's job queue once it has another name: nothing takes from it any more."""
    from django.conf import settings

    try:
        with redis.from_url(settings.BROKER_URL, socket_timeout=5) as broker:
            keys = list(broker.scan_iter(match=f"{store.broker_prefix}*", count=1_000))
            if keys:
                broker.unlink(*keys)
    except (redis.RedisError, OSError) as error:
        say("jobs", f"the queue of {store.name} was not removed: {error}")


def follow_turns(heartbeat: ThreadHeartbeat) -> None:
    """Have the worker's event loop, which takes the jobs, tell the heartbeat that it goes on."""

    class Turns(bootsteps.StartStopStep):  # type: ignore[misc]  # celery has no types
        requires = ("celery.worker.components:Timer",)

        def start(self, worker: Any) -> None:
            worker.timer.call_repeatedly(INTERVAL_SECONDS, heartbeat.turn)

    app.steps["worker"].add(Turns)


def main() -> None:
    """Run the worker of all jobs but those that have a queue of their own."""
    run("jobs", CONCURRENCY)


def run(place: str, concurrency: int, queue: str | None = None) -> None:
    """Run a Celery worker on a queue of the present store, until SIGTERM or until the store has another name.

    `place` names its metrics; `queue` None for the one of all other jobs.
    """
    follow_turns(ThreadHeartbeat())
    warnings.simplefilter("ignore", SecurityWarning)  # about root: no job is unpickled, no job runs a stranger's code
    metrics_folder.count_as(place)
    from analytics.exposition_tasks import watch_tasks

    try:
        with store_watch.connect() as connection:
            store = store_watch.store_of(connection)
    except psycopg.Error as error:
        say(place, f"the database does not answer: {error}")
        sys.exit(1)
    use_store(store)
    watch_tasks()
    worker = app.Worker(
        pool="threads",
        concurrency=concurrency,
        queues=queue,
        loglevel="WARNING",
        quiet=True,
        redirect_stdouts=False,
        without_gossip=True,
        without_mingle=True,
    )
    renamed = threading.Event()

    def end() -> None:
        renamed.set()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=store_watch.watch, args=(store, end), daemon=True).start()
    worker.start()
    if renamed.is_set() and queue is None:
        remove_queue(store)
    sys.exit(worker.exitcode)


if __name__ == "__main__":
    main()
