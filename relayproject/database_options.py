"""What every connection to PostgreSQL is made with, and how many connections an instance needs at most."""

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


def of(connect_seconds: int) -> dict[str, Any]:
    """libpq's parameters, by default. A server that is gone without a word ends the connection after 3 s: the
    keepalives find it if nothing is under way, tcp_user_timeout if something was sent; each alone misses one case.
    """
    return {
        "connect_timeout": connect_seconds,
        "keepalives_idle": 1,
        "keepalives_interval": 1,
        "keepalives_count": 3,
        "tcp_user_timeout": 3_000,
    }


SESSION = "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
"""The server ends a session whose client is gone without a word after 11 s, with its transaction and its locks. By
default it does so after two hours, for which a lost machine would keep beat's lock and its connections.
"""


def most_connections(settings: Any) -> int:
    """Connections to the primary that an instance may have at a time."""
    worker = settings.RELAY_PRIMARY_POOL_MAX + COORDINATION_CONNECTIONS + settings.RELAY_DJANGO_THREADS
    pushes = 2 * PUSHES + 1 if settings.RELAY_REGION else 0
    return int(settings.RELAY_WORKERS * worker + JOB_CONNECTIONS + pushes)
