"""Listens to the bus from a thread: each message wakes the senders, and ephemeral events come by the bus alone.

One subscription a process to each server of the bus, wherever that is now. The bus is a hint: without it senders look
at the log every second, and ephemeral events are missed.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from django.conf import settings
from msgspec import Struct

from relay.subscriptions.bus_line import LOOK_SECONDS, Message, group_channel, message_of, place
from relay.subscriptions.bus_reader import hear
from relay.subscriptions.bus_servers import Servers, servers_of
from relay.transport.occasional_log import OccasionalLog

log = logging.getLogger("relay.replication")
_not_taken = OccasionalLog(log, "%d messages on the bus were not taken (%.200r)")

PAUSE_SECONDS = 0.5
CONNECT_SECONDS = 2.0


class Ephemeral(Struct, frozen=True):
    """An ephemeral event and the region that it came from, 0 for this one."""

    json: bytes
    origin: int


class Subscriber(Struct, frozen=True, eq=False):
    """Called from the listener's thread; must return at once."""

    on_changes: Callable[[], None]
    on_ephemeral: Callable[[Ephemeral], None]


class BusListener:
    """The subscriptions of this process; their thread runs while there is a subscriber."""

    def __init__(self, urls: Sequence[str], group: str) -> None:
        """`urls` of the bus (relay.redis_url); `group` is that of relay.subscriptions.bus."""
        self._urls = urls
        self._channel = group_channel(group)
        self._subscribers: frozenset[Subscriber] = frozenset()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def subscribed(self, subscriber: Subscriber) -> Iterator[None]:
        """Call `subscriber` within this block."""
        with self._lock:
            self._subscribers |= {subscriber}
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="bus listener", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._subscribers -= {subscriber}

    def _run(self) -> None:
        try:
            asyncio.run(self._listen())
        except Exception:
            log.exception("the bus is not heard until the next run; the log is looked at every second")
            with self._lock:
                self._thread = None

    async def _listen(self) -> None:
        followers = [asyncio.create_task(self._follow(url, servers_of(url))) for url in self._urls]
        while self._is_wanted():  # noqa: ASYNC110 - subscribers come and go in other threads
            await asyncio.sleep(LOOK_SECONDS)
        for follower in followers:
            follower.cancel()

    def _is_wanted(self) -> bool:
        with self._lock:
            if not self._subscribers:
                self._thread = None
            return bool(self._subscribers)

    async def _follow(self, name: str, servers: Servers) -> None:
        """Hear the server that is the right one, whichever that is."""
        lost, was_up = "", True
        while True:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    url = await servers.find(lost)
                lost = url
                await self._hear(url, servers)
            except Exception as error:
                if was_up:
                    log.warning("%s of the bus is not heard (%s); the log is looked at", place(name), error)
                was_up = False
            else:
                was_up = True
            await asyncio.sleep(PAUSE_SECONDS)

    async def _hear(self, url: str, servers: Servers) -> None:
        """Return when the server is lost or no longer the right one. Raises what kept it from being heard."""
        loop = asyncio.get_running_loop()
        lost: asyncio.Future[Exception] = loop.create_future()
        async with asyncio.timeout(CONNECT_SECONDS):
            reader = await hear(url, [self._channel], self._arrived, lost.set_result)
        try:
            while not lost.done() and await _is_right(servers, url):
                await asyncio.wait([lost], timeout=LOOK_SECONDS)
        finally:
            reader.close()

    def _arrived(self, data: bytes) -> None:
        try:
            self._tell(message_of(data))
        except Exception as error:  # of one message, which others follow
            _not_taken.count(error)

    def _tell(self, message: Message) -> None:
        ephemeral, origin = message.get("ephemeral"), message.get("origin", 0)
        for subscriber in self._subscribers:
            if "changes" in message:
                subscriber.on_changes()
            elif isinstance(ephemeral, bytes) and isinstance(origin, int):  # others may publish here, too
                subscriber.on_ephemeral(Ephemeral(ephemeral, origin))


async def _is_right(servers: Servers, url: str) -> bool:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await servers.is_right(url)
    except Exception as error:  # without an answer the server in use stays
        log.debug("the servers of the bus cannot be asked: %s", error)
        return True


_listeners: dict[str, BusListener] = {}
_making = threading.Lock()


def listener_of(identity: str) -> BusListener:
    """The listener of this process for the store of that identity."""
    with _making:
        if identity not in _listeners:
            _listeners[identity] = BusListener(settings.BUS_URL or (settings.DEFAULT_SERVER,), f"relay.{identity}")
        return _listeners[identity]
