"""The addresses of anti-entropy: a few requests at a time, each in a thread with a connection of its own.

Rule: peers never take more of a worker and of the database than `AT_ONCE` requests; a further one is told to come back.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import closing
from typing import Final

import psycopg

from replication.receive.budget import Full
from replication.receive.receiver import Receiver
from replication.receive.table import Peer
from replication.reconcile.local_set import OwnConnection
from replication.reconcile.responder import Responder

log = logging.getLogger("relay.replication")

AT_ONCE: Final = 2
"""Of one worker: at most 40 MB."""
_under_way = 0


async def reconcile(_receiver: Receiver, peer: Peer, content: bytes) -> bytes:
    """POST /replicate/reconcile. Raises Unreadable or Full."""
    return await _in_thread(lambda connection: Responder(connection, peer.origin).reconcile(content))


async def fetch(_receiver: Receiver, peer: Peer, content: bytes) -> bytes:
    """POST /replicate/fetch. Raises Unreadable or Full."""
    return await _in_thread(lambda connection: Responder(connection, peer.origin).fetch(content))


async def _in_thread(answer: Callable[[OwnConnection], bytes]) -> bytes:
    global _under_way  # noqa: PLW0603 - of the process
    if _under_way >= AT_ONCE:
        raise Full
    _under_way += 1
    try:
        return await asyncio.to_thread(_with_connection, answer)
    except psycopg.Error as error:
        log.warning("a peer's question was not answered: %s", str(error).strip())
        raise Full from None
    finally:
        _under_way -= 1


def _with_connection(answer: Callable[[OwnConnection], bytes]) -> bytes:
    with closing(OwnConnection()) as connection:
        return answer(connection)
