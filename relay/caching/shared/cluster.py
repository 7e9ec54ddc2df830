"""Routes keys of a Redis Cluster: which master serves which hash slot.

Rule: the slot map is a hint, the servers are right. MOVED and ASK are followed to masters that are connected; any other
miss fails the command and makes the map be read again, at most twice a second.
"""

import asyncio
import logging
import random
from collections.abc import Sequence

import hiredis

from relay.background import Task, cancel
from relay.caching.shared.connection import OnReply, Reply, Unavailable, pack
from relay.caching.shared.server_link import CONNECT_ERRORS, Connector, ServerLink
from relay.caching.shared.slots import SLOTS, key_slot
from relay.redis_url import Endpoint

MAX_REDIRECTS = 3
PAUSE_SECONDS = 0.5
QUIET_SECONDS = 10.0
ASKING = pack((b"ASKING",))
logger = logging.getLogger(__name__)


class Cluster:
    """The masters of a Cluster and their slots: the `Routes` of a +cluster URL."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._links: dict[Endpoint, ServerLink] = {}
        self._slots: list[ServerLink | None] = [None] * SLOTS
        self._trouble = asyncio.Event()
        self._task: Task | None = None
        self._stopping: set[Task] = set()

    def start(self) -> None:
        """See Routes."""
        self._task = self._connector.tasks.service(self._run(), "slots of the shared cache")

    async def stop(self) -> None:
        """See Routes."""
        await cancel([self._task])
        await asyncio.gather(*self._stopping, *[link.stop() for link in self._links.values()])

    def groups(self, keys: Sequence[bytes]) -> list[list[int]]:
        """See Routes; keys of one slot are one group."""
        by_slot: dict[int, list[int]] = {}
        for index, key in enumerate(keys):
            by_slot.setdefault(key_slot(key), []).append(index)
        return list(by_slot.values())

    def links(self) -> list[ServerLink]:
        """See Routes."""
        return list(self._links.values())

    @property
    def is_up(self) -> bool:
        """See Routes: every slot has a master, and all masters answer."""
        return None not in self._slots and all(link.is_up for link in self._links.values())

    def send(self, key: bytes, packed: bytes, on_reply: OnReply) -> None:
        """See Routes."""
        self._send(key_slot(key), packed, on_reply, 0)

    def _send(self, slot: int, packed: bytes, on_reply: OnReply, redirects: int) -> None:
        def answered(reply: Reply) -> None:
            if type(reply) is hiredis.ReplyError:
                self._refused(reply, slot, packed, on_reply, redirects)
            else:
                if type(reply) is Unavailable:
                    self._trouble.set()
                on_reply(reply)

        link = self._slots[slot]
        if link is None:
            self._fail(on_reply, "no master of this slot is known")
        else:
            link.send(packed, answered)

    def _fail(self, on_reply: OnReply, reason: str) -> None:
        self._trouble.set()
        self._connector.counters.failures += 1
        asyncio.get_running_loop().call_soon(on_reply, Unavailable(reason))

    def _refused(self, error: hiredis.ReplyError, slot: int, packed: bytes, on_reply: OnReply, redirects: int) -> None:
        """Follow MOVED and ASK; pass any other error to the caller."""
        word, _, rest = str(error).partition(" ")
        if word not in {"MOVED", "ASK"}:
            on_reply(error)
            return
        host, _, port = rest.partition(" ")[2].rpartition(":")
        link = self._links.get(Endpoint(host, int(port))) if port.isdecimal() else None
        self._trouble.set()
        if link is None or redirects >= MAX_REDIRECTS:
            self._fail(on_reply, f"the slot has moved to {host}:{port}")
        elif word == "ASK":
            link.send(ASKING, lambda _: None)
            link.send(packed, on_reply)
        else:
            self._slots[slot] = link
            self._send(slot, packed, on_reply, redirects + 1)

    async def _run(self) -> None:
        while True:
            self._trouble.clear()
            try:
                await self._read_map()
            except Exception:
                logger.exception("the map of the Cluster was not read")
            await asyncio.sleep(PAUSE_SECONDS)
            if self.is_up:
                await self._quiet()

    async def _quiet(self) -> None:
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                await self._trouble.wait()
        except TimeoutError:
            pass

    async def _read_map(self) -> None:
        """Take the map of the first server whose cluster state is ok, else of any server that answers."""
        endpoints = list(self._links)
        random.shuffle(endpoints)
        doubtful: list[tuple[int, int, Endpoint]] = []
        for endpoint in dict.fromkeys([*endpoints, *self._connector.address.endpoints]):
            try:
                info, slots = await self._connector.ask(endpoint, (b"CLUSTER", b"INFO"), (b"CLUSTER", b"SLOTS"))
            except CONNECT_ERRORS:
                continue
            found = _ranges(slots, endpoint)
            if b"cluster_state:ok" in info:
                self._apply(found)
                return
            doubtful = doubtful or found
        if doubtful:
            self._apply(doubtful)

    def _apply(self, ranges: list[tuple[int, int, Endpoint]]) -> None:
        slots: list[ServerLink | None] = [None] * SLOTS
        wanted = {endpoint for _, _, endpoint in ranges}
        for endpoint in wanted - self._links.keys():
            self._links[endpoint] = self._new_link(endpoint)
        for first, last, endpoint in ranges:
            slots[first : last + 1] = [self._links[endpoint]] * (last + 1 - first)
        self._slots = slots
        for endpoint in self._links.keys() - wanted:
            task = self._connector.tasks.job(self._links.pop(endpoint).stop(), "end of a link to the shared cache")
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)

    def _new_link(self, endpoint: Endpoint) -> ServerLink:
        async def find() -> Endpoint:
            return endpoint

        link = ServerLink(self._connector, find, self._trouble.set)
        link.start()
        return link


def _ranges(reply: Reply, asked: Endpoint) -> list[tuple[int, int, Endpoint]]:
    """First slot, last slot and master of each entry of CLUSTER SLOTS; a master without a host is the server asked."""
    found = []
    for first, last, master, *_ in reply:
        host = (master[0] or b"").decode()
        found.append((first, last, Endpoint(asked.host if host in {"", "?"} else host, master[1])))
    return found
