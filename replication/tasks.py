"""Celery jobs of the replication. Each may run twice or be killed at any moment: leases keep two senders apart.

The jobs that follow the log take a thread for a minute each: they have a queue and a process of their own, so that no
number of peers keeps other jobs waiting.
"""

import logging

from celery import current_app, shared_task
from celery.signals import worker_shutting_down
from django.db.models import Q
from django.utils import timezone

from replication.job_queue import QUEUE
from replication.models import Region
from replication.reconcile import jobs, session
from replication.send import push as sending

log = logging.getLogger("relay.replication")

PUSH = "replication.tasks.push"
EXPIRES_SECONDS = 10
"""A job that found no free thread so long is sent again by the schedule."""


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _end_runs(**_rest: object) -> None:
    sending.stopping.set()
    session.stopping.set()


@shared_task(name="replication.tasks.start_pushes")  # type: ignore[untyped-decorator]
def start_pushes() -> int:
    """Start what follows the log, for each peer that nobody follows; returns for how many."""
    if Region.local() is None:
        return 0
    free = Q(lanes__lease_until=None) | Q(lanes__lease_until__lt=timezone.now()) | Q(lanes=None)
    peers = Region.peers().filter(free).distinct()
    for peer in peers:
        _send(peer.pk)
    return len(peers)


@shared_task(name=PUSH)  # type: ignore[untyped-decorator]
def push(origin: int) -> None:
    """Follow the log for a peer, then hand on to the next run."""
    if sending.push(origin):
        _send(origin)


@shared_task(name="replication.tasks.reconcile_recent")  # type: ignore[untyped-decorator]
def reconcile_recent() -> int:
    """Compare recent events with all peers, and everything with those it is asked for; returns healed events."""
    return jobs.reconcile_recent()


@shared_task(name="replication.tasks.reconcile_whole")  # type: ignore[untyped-decorator]
def reconcile_whole() -> int:
    """Compare everything with all peers; returns how many events were healed."""
    return jobs.reconcile_whole()


def _send(origin: int) -> None:
    current_app.send_task(PUSH, args=[origin], queue=QUEUE, expires=EXPIRES_SECONDS)
