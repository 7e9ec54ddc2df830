"""Celery jobs of the replication. Each may run twice or be killed at any moment: leases keep two senders apart.

The jobs that follow the log take a thread for a minute each: they have a queue and a process of their own, so that no
number of peers keeps other jobs waiting.
"""

import logging
from typing import Any

from celery import current_app, shared_task
from celery.signals import worker_ready, worker_shutting_down
from django.db.models import Q
from django.utils import timezone

from relay.storage.store import current_store
from replication.job_queue import QUEUE
from replication.models import Region
from replication.reconcile import jobs, session
from replication.send import again
from replication.send import push as sending

log = logging.getLogger("relay.replication")

PUSH = "replication.tasks.push"
AGAIN = "replication.tasks.send_letters"
EXPIRES_SECONDS = 10
"""How long a job waits for a free thread; the schedule sends it again."""


@worker_ready.connect  # type: ignore[untyped-decorator]
def _begin_runs(sender: Any, **_rest: object) -> None:
    """Go on at once where the process before this one was killed."""
    if QUEUE in sender.app.amqp.queues.consume_from:
        sending.release_dead()
        start_pushes()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _end_runs(**_rest: object) -> None:
    sending.stopping.set()
    session.stopping.set()


@shared_task(name="replication.tasks.start_pushes")  # type: ignore[untyped-decorator]
def start_pushes() -> int:
    """Start what follows the log, for each peer without a sender; returns for how many."""
    if Region.local() is None:
        return 0
    free = Q(lanes__lease_until=None) | Q(lanes__lease_until__lt=timezone.now()) | Q(lanes=None)
    peers = Region.peers().filter(free).distinct()
    for peer in peers:
        _send(PUSH, peer.pk, expires=EXPIRES_SECONDS)
    return len(peers)


@shared_task(name=PUSH)  # type: ignore[untyped-decorator]
def push(origin: int) -> None:
    """Follow the log for a peer, then hand on to the next run."""
    if sending.push(origin):
        _send(PUSH, origin, expires=EXPIRES_SECONDS)


@shared_task(name="replication.tasks.reconcile_recent")  # type: ignore[untyped-decorator]
def reconcile_recent() -> int:
    """Compare recent events with all peers, and everything with those it is asked for; returns healed events."""
    return jobs.reconcile_recent()


@shared_task(name="replication.tasks.reconcile_whole")  # type: ignore[untyped-decorator]
def reconcile_whole() -> int:
    """Compare everything with all peers; returns how many events were healed."""
    return jobs.reconcile_whole()


@shared_task(name=AGAIN)  # type: ignore[untyped-decorator]
def send_letters(ids: list[int]) -> int:
    """Send dead letters again; returns how many are done with."""
    with sending.connect() as connection:
        return again.send_again(connection, ids)


def send_letters_again(ids: list[int]) -> None:
    """Have a job send these dead letters. Raises kombu's OperationalError without a broker."""
    _send(AGAIN, ids)


def _send(task: str, argument: object, **options: object) -> None:
    """To the workers of this store, by the name that it has now."""
    prefix = {"global_keyprefix": current_store().broker_prefix}
    with current_app.connection_for_write(transport_options=prefix) as broker:
        current_app.send_task(task, args=[argument], queue=QUEUE, connection=broker, **options)
