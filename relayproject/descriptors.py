"""File descriptors: the limit of this process, raised as far as it goes, and how many a worker needs.

A process without free descriptors cannot accept a connection, and libuv then closes it unseen. So a worker keeps fewer
connections than its limit allows and refuses the rest by itself.
"""

import contextlib
import resource
from typing import Any

HTTP_CONNECTIONS = 256
"""Beside the WebSocket connections of RELAY_MAX_CONNECTIONS."""
RESERVED = 192
"""For a worker's connections to its servers, its files, its libraries and refused clients that still read why."""
HIGHEST = 1 << 20


def raise_limit() -> int:
    """Raise the soft limit of this process and its children to the hard one and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = HIGHEST if hard == resource.RLIM_INFINITY else min(hard, HIGHEST)
    if soft not in (resource.RLIM_INFINITY, wanted) and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return limit()


def limit() -> int:
    """The soft limit of this process, at most HIGHEST."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return HIGHEST if soft == resource.RLIM_INFINITY else min(soft, HIGHEST)


def hard_limit() -> int:
    """What `raise_limit` can reach, at most HIGHEST."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return HIGHEST if hard == resource.RLIM_INFINITY else min(hard, HIGHEST)


def connections(settings: Any, descriptors: int) -> int:
    """How many connections of all kinds a worker keeps with `descriptors`."""
    wanted: int = settings.RELAY_MAX_CONNECTIONS + HTTP_CONNECTIONS
    return max(16, min(wanted, descriptors - RESERVED))


def shortage(settings: Any, descriptors: int) -> str | None:
    """A sentence when a worker with `descriptors` keeps less than nine tenths of RELAY_MAX_CONNECTIONS."""
    wanted = settings.RELAY_MAX_CONNECTIONS + HTTP_CONNECTIONS
    if connections(settings, descriptors) >= 0.9 * wanted:
        return None
    return (
        f"The limit of open files is {descriptors}, and RELAY_MAX_CONNECTIONS {settings.RELAY_MAX_CONNECTIONS} needs "
        f"{wanted + RESERVED} in each worker: a worker keeps {connections(settings, descriptors)} connections."
    )
