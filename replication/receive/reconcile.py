"""The addresses of anti-entropy: a few requests at a time, each in a thread with a connection of its own.

Rule: peers never take more of a worker and of the database than AT_ONCE requests; others wait, and beyond MOST_WAITING
are told to come back.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Final
from weakref import WeakKeyDictionary

import psycopg

from replication.receive.budget import Full
from replication.receive.receiver import Receiver
from replication.receive.table import Peer
from replication.reconcile.local_set import OwnConnection
from replication.reconcile.responder import Responder

log = logging.getLogger("relay.replication")

AT_ONCE: Final = 2
"""Of one worker: at most 40 MB."""
MOST_WAITING: Final = 16
"""Those at work included."""
MOST_OF_A_PEER: Final = 12
"""Of MOST_WAITING: one that asks without end leaves others their turn. A run asks five at a time."""


class _Places:
    """Who works and who waits in a worker."""

    def __init__(self) -> None:
        self.free = asyncio.Semaphore(AT_ONCE)
        self.waiting = Counter[str]()


_places: "WeakKeyDictionary[Receiver, _Places]" = WeakKeyDictionary()


async def reconcile(receiver: Receiver, peer: Peer, content: bytes) -> bytes:
    """POST /replicate/reconcile. Raises Unreadable or Full."""
    return await _in_thread(receiver, peer, lambda connection: Responder(connection, peer.origin).reconcile(content))


async def fetch(receiver: Receiver, peer: Peer, content: bytes) -> bytes:
    """POST /replicate/fetch. Raises Unreadable or Full."""
    return await _in_thread(receiver, peer, lambda connection: Responder(connection, peer.origin).fetch(content))


async def _in_thread(receiver: Receiver, peer: Peer, answer: Callable[[OwnConnection], bytes]) -> bytes:
    places = _places.setdefault(receiver, _Places())
    if places.waiting.total() >= MOST_WAITING or places.waiting[peer.name] >= MOST_OF_A_PEER:
        raise Full
    places.waiting[peer.name] += 1
    try:
        async with places.free:
            return await asyncio.to_thread(_with_connection, answer)
    except psycopg.Error as error:
        log.warning("a peer's question was not answered: %s", str(error).strip())
        raise Full from None
    finally:
        places.waiting[peer.name] -= 1


def _with_connection(answer: Callable[[OwnConnection], bytes]) -> bytes:
    with closing(OwnConnection()) as connection:
        return answer(connection)
