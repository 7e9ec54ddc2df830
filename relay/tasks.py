"""Celery jobs. Each may run twice or be killed at any moment without harm."""

import logging
import time

from celery import shared_task
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from relay.services.retention import stored_retention
from relay.services.signins import forget_old
from relay.storage import purging, retention
from relay.storage.clock import removal_time
from relay.storage.partitions.plan import Grain, plan, release
from relay.storage.partitions.purge import purge_partitions
from relay.storage.partitions.steps import Busy, carry_out, is_quick, read_state

log = logging.getLogger("relay.tasks")


@shared_task(name="relay.tasks.sweep_expired")  # type: ignore[untyped-decorator]
def sweep_expired() -> int:
    """Remove expired events (40-3); returns how many."""
    removed = retention.sweep_expired(removal_time())
    if removed:
        log.info("%d expired events removed", removed)
    return removed


@shared_task(name="relay.tasks.collect_tags")  # type: ignore[untyped-decorator]
def collect_tags() -> int:
    """Remove tag rows of removed events; returns how many."""
    return retention.collect_tags()


@shared_task(name="relay.tasks.remove_vanished")  # type: ignore[untyped-decorator]
def remove_vanished() -> int:
    """Remove the events of keys that have vanished (62-7); returns the number of transactions."""
    return retention.remove_vanished()


@shared_task(name="relay.tasks.apply_retention")  # type: ignore[untyped-decorator]
def apply_retention() -> int:
    """Hide and remove what the rules of retention do not keep; returns the number of transactions."""
    if purging.put_in_force(stored_retention(), removal_time()):
        log.info("retention hides older events from now on")
    try:
        if gone := purge_partitions():
            log.info("%d events dropped with their partitions", gone)
    except Busy as busy:
        log.warning("partitions are left for the next run: %s", busy)
    except DatabaseError:  # no room for a copy, for instance: rows are removed all the same
        purging.remove()
        raise
    return purging.remove()


@shared_task(name="relay.tasks.extend_partitions")  # type: ignore[untyped-decorator]
def extend_partitions() -> int:
    """Make the partitions of this period and the next in a store that is divided, and give up a division that was left
    half done before it refuses events; returns the number of steps. Raises Busy.
    """
    state, now = read_state(), int(time.time())
    if state.partitions:
        steps = plan(state, Grain(settings.RELAY_PARTITIONS), now)
    else:
        steps = release(state, now, settings.RELAY_CREATED_AT_UPPER_LIMIT)
    for step in steps:
        if not is_quick(step):  # partitions were not made for a whole period
            raise Busy(
                f"many events lie beyond the last partition, and all clients would wait to {step.text}: "
                "run `manage.py partitions` when they may"
            )
        carry_out(step)
        log.info("partitions: %s", step.text)
    return len(steps)


@shared_task(name="relay.tasks.prune_change_log")  # type: ignore[untyped-decorator]
def prune_change_log() -> int:
    """Drop partitions of the log that are no longer needed; returns how many."""
    dropped = retention.prune_change_log(settings.RELAY_LOG_KEEP)
    if dropped:
        log.info("dropped %s from the log of changes", ", ".join(dropped))
    return len(dropped)


@shared_task(name="relay.tasks.prune_sign_ins")  # type: ignore[untyped-decorator]
def prune_sign_ins() -> int:
    """Delete failed sign-ins that no longer count, old sign-ins and ended sessions; returns how many."""
    removed = forget_old(timezone.now())
    if removed:
        log.info("%d old sign-ins and sessions deleted", removed)
    return removed
