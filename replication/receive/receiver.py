"""What a worker keeps to serve its peers: the table of regions, nonces, the budget of memory."""

import asyncio
import logging
from weakref import WeakKeyDictionary

from relay.protocol.errors import Failed
from relay.protocol.removal import places_of
from relay.services.runtime import Relay
from relay.storage.store import Store
from replication.answers import MAX_EVENTS, MAX_EVENTS_BYTES, Accepts
from replication.receive.budget import Budget
from replication.receive.nonces import Nonces
from replication.receive.table import REFRESH_SECONDS, RegionTable

log = logging.getLogger("relay.replication")

WAIT_MS = 1_000
QUEUE_SHARE = 4
"""A peer is told to send at most a quarter of what is free: others send at the same time."""


class Receiver:
    """Of the relay of this process. Create it inside its loop."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.table = RegionTable(relay.primary)
        self.nonces = Nonces(relay.shared)
        self.budget = Budget()
        self._noted: tuple[str, ...] = ()
        relay.tasks.service(self._follow(), "table of regions")

    @property
    def store(self) -> Store:
        """The store that this process follows."""
        return self.relay.store()

    @property
    def storing(self) -> bool:
        """Whether the database answers."""
        return self.relay.watch.is_up

    def accepts(self) -> Accepts:
        """How much a peer may send next."""
        free_events = self.relay.config.write_queue - len(self.relay.writer)
        events = min(MAX_EVENTS, max(0, free_events) // QUEUE_SHARE)
        size = min(MAX_EVENTS_BYTES, max(0, self.budget.free) // QUEUE_SHARE)
        if not events or not size or not self.storing:
            return Accepts(0, 0, WAIT_MS)
        return Accepts(events, size)

    async def _follow(self) -> None:
        while True:
            await self.table.read()
            try:
                await self._take_places()
            except Failed as error:
                log.debug("the addresses of the regions were not noted: %s", error.message)
            await asyncio.sleep(REFRESH_SECONDS)

    async def _take_places(self) -> None:
        """The regions together are one relay: a request to vanish that names the address of one is meant for each
        (62-1). Raises Failed.
        """
        conf = self.relay.config
        self.relay.ingest.own_places = conf.own_places | places_of(self.table.urls)
        urls = tuple(dict.fromkeys((*conf.urls, *self.table.urls)))
        if self.table.urls and urls != self._noted:
            await self.relay.primary.note_urls(urls)  # for imports
            self._noted = urls


_receivers: "WeakKeyDictionary[Relay, Receiver]" = WeakKeyDictionary()


def receiver_of(relay: Relay) -> Receiver:
    """The receiver of this relay, made when it is needed first."""
    if relay not in _receivers:
        _receivers[relay] = Receiver(relay)
    return _receivers[relay]


def serve_peers(relay: Relay) -> None:
    """Begin to keep the table of regions in a worker that has started."""
    receiver_of(relay)
