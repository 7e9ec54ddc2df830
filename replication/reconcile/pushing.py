"""Events for the peer through the same address as push, at most as many at a time as it says that it takes."""

import time
from collections.abc import Callable, Sequence

from replication.answers import Accepts, decode_taken, encode_events
from replication.reconcile.asking import Ask, PeerFault
from replication.reconcile.desk import Given, Push
from replication.wire import EVENTS_PATH

MOST_WAITS = 60
"""How many times a peer that takes nothing is asked, about once a second."""


def pusher(ask: Ask, sleep: Callable[[float], None] = time.sleep) -> Push:
    """`ask` of one thread. The function raises PeerError, or PeerFault if the peer takes nothing for long."""
    accepts = Accepts()

    def push(texts: Sequence[bytes]) -> list[Given]:
        nonlocal accepts
        given: list[Given] = []
        waits = 0
        while len(given) < len(texts):
            batch = _batch(texts[len(given) :], accepts)
            if not batch:
                waits += 1
                if waits > MOST_WAITS:
                    raise PeerFault("the peer takes no events")
                sleep(max(accepts.wait_ms, 100) / 1000)
                batch = [texts[len(given)]]
            try:
                taken = decode_taken(ask(EVENTS_PATH, encode_events(batch)))
            except ValueError as error:
                raise PeerFault(f"the peer's answer cannot be read: {error}") from None
            if len(taken.outcomes) != len(batch):
                raise PeerFault("the peer answers to another number of events than it was sent")
            given += [Given(outcome.fate.value, outcome.text) for outcome in taken.outcomes]
            accepts = taken.accepts
        return given

    return push


def _batch(texts: Sequence[bytes], accepts: Accepts) -> list[bytes]:
    """The first ones that the peer has room for; none if it has none."""
    size, batch = 0, list[bytes]()
    for text in texts[: accepts.events]:
        size += len(text)
        if batch and size > accepts.bytes:
            break
        batch.append(text)
    return batch
