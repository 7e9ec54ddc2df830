"""Ephemeral events for a peer, from the bus: best effort, counted, and never kept for a peer that is away.

They are nowhere in the log: what the peer does not take at once is dropped. One that came from a region is marked with
it on the bus, and is handed on like stored events are (replication.selection); receivers know each id for a minute, so
that no ring of regions goes round.
"""

import math
import threading
import time
from collections import deque

import msgspec

from replication import metrics
from replication.answers import MAX_EVENTS, encode_events
from replication.client import PeerClient, PeerError
from replication.models import Region
from replication.selection import Selected
from replication.send.bus_listener import Ephemeral
from replication.wire import EVENTS_PATH

GATHER_SECONDS = 0.03
MOST_QUEUED = 1_000
MOST_QUEUED_BYTES = 4_194_304
AWAY_SECONDS = 2.0
"""After a failure events are dropped for so long, before the peer is tried again."""


class _Facts(msgspec.Struct):
    pubkey: str
    kind: int


_facts = msgspec.json.Decoder(_Facts).decode


class LiveLink:
    """The link to one peer. `offer` is called from the bus listener's thread, `run` has a thread of its own."""

    def __init__(self, peer: Region, client: PeerClient) -> None:
        self._name = peer.name
        self._selected = Selected.of(peer)
        self._client = client
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._away_until = 0.0

    def offer(self, event: Ephemeral) -> None:
        """Queue an event if the peer is to have it and is there; returns at once."""
        try:
            facts = _facts(event.json)
        except msgspec.MsgspecError:
            return
        if not self._selected.sends(facts.kind, facts.pubkey, event.origin):
            return
        if time.monotonic() < self._away_until:
            self._count("away")
            return
        with self._lock:
            if len(self._queue) >= MOST_QUEUED or self._bytes + len(event.json) > MOST_QUEUED_BYTES:
                self._count("full")
                return
            self._queue.append(event.json)
            self._bytes += len(event.json)
        self._wake.set()

    def wake(self) -> None:
        """Have `run` look at once."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Send what is queued until `stop` is set, and what is queued then in one more batch: where events never cease
        the queue is never empty. `wake` has it notice.
        """
        while not stop.is_set():
            self._wake.wait(1.0)
            self._wake.clear()
            stop.wait(GATHER_SECONDS)
            while not stop.is_set() and (batch := self._taken()):
                self._send(batch)
        if batch := self._taken():
            self._send(batch)
        self._away_until = math.inf
        while rest := self._taken():
            self._count("away", len(rest))

    def _taken(self) -> list[bytes]:
        with self._lock:
            batch = [self._queue.popleft() for _ in range(min(MAX_EVENTS, len(self._queue)))]
            self._bytes -= sum(map(len, batch))
            return batch

    def _send(self, batch: list[bytes]) -> None:
        try:
            self._client.post(EVENTS_PATH, encode_events(batch))
        except PeerError:
            self._away_until = time.monotonic() + AWAY_SECONDS
            while rest := self._taken():
                batch += rest
            self._count("away", len(batch))
        else:
            self._count("sent", len(batch))

    def _count(self, outcome: str, number: int = 1) -> None:
        metrics.ephemerals.labels(self._name, outcome).inc(number)
