"""How many connections to PostgreSQL an instance needs at most."""

from typing import Any

COORDINATION_CONNECTIONS = 3
"""Of a worker, beside those for queries: two for coordination with the primary, one for writes."""

JOB_CONNECTIONS = 10
"""Of an instance, beside its workers: Celery's four threads and its watch, beat with two, `prepare` with two, and a
command.
"""

PUSHES = 16
"""Peers that one instance sends to at a time, each with a thread and two connections; further ones take turns of a
minute, or are taken by other instances."""


def most_connections(settings: Any) -> int:
    """Connections to the primary that an instance may have at a time."""
    worker = settings.RELAY_PRIMARY_POOL_MAX + COORDINATION_CONNECTIONS + settings.RELAY_DJANGO_THREADS
    pushes = 2 * PUSHES + 1 if settings.RELAY_REGION else 0
    return int(settings.RELAY_WORKERS * worker + JOB_CONNECTIONS + pushes)
