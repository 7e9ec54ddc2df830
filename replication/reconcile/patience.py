"""Requests of a run that outlast a short absence of the peer."""

import random
import time
from collections.abc import Callable

from replication.client import PeerClient, PeerError
from replication.reconcile.asking import Ask

TRIES = 6
FIRST_SECONDS = 0.5
"""The wait after the first try; it doubles, with up to as much jitter: 16 to 31 s in all."""

ENOUGH_SECONDS = 60.0
"""After so long it is not asked again: a peer that takes a request and is silent costs ANSWER_SECONDS each time."""

MOST_SECONDS = 15.0
"""Of what a peer asks to wait: nothing else ends a run that waits."""
_COME_BACK = frozenset({429, 502, 503, 504})


def patient(
    client: PeerClient, sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic
) -> Ask:
    """Asks again while the peer is away or has no room. Raises the last PeerError."""

    def ask(path: str, content: bytes) -> bytes:
        seconds, gives_up = FIRST_SECONDS, clock() + ENOUGH_SECONDS
        for _ in range(TRIES - 1):
            try:
                return client.post(path, content).body
            except PeerError as error:
                if (error.is_refusal and error.status not in _COME_BACK) or clock() >= gives_up:
                    raise
                wait = max(seconds, min(error.retry_seconds, MOST_SECONDS))
                sleep(wait * (1 + random.random()))  # noqa: S311 - jitter
                seconds *= 2
        return client.post(path, content).body

    return ask
