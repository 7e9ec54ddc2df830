"""One line of the bus: what is sent to and received from one server, wherever that is now.

It sends through a channel layer, and hears what others send through theirs (bus_reader.py). A layer knows one address,
and a frozen server closes no connection. So each line sends itself messages, most of them to a channel that no other
process hears: sent to all, their cost for each process would grow with the number of processes. If one is not sent, or
does not come back, or Sentinels or the Cluster name another server, the line drops both connections and makes new ones
to the server that is right now.
Rule: no caller waits for a line, and no try at a frozen server lasts longer than CALL_SECONDS.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from channels_redis.pubsub import RedisPubSubChannelLayer, RedisPubSubLoopLayer

from relay.background import BackgroundTasks, Task, cancel
from relay.subscriptions.bus_reader import Reader, hear
from relay.subscriptions.bus_servers import Servers
from relay.transport.occasional_log import OccasionalLog

log = logging.getLogger("relay.bus")
_not_taken = OccasionalLog(log, "%d messages on the bus were not taken (%.200r)")  # anything that shares it may publish

CALL_SECONDS = 1.0
"""For one exchange with the server."""
BEAT_SECONDS = 0.5
SILENT_BEATS = 4
"""This number of beats without an answer is a loss; beats are counted, not time, since a blocked loop sends none."""
GROUP_BEAT_SECONDS = 10.0
"""How often a beat goes to all: it proves that the group is heard, and names the store to processes of another one."""
LOOK_SECONDS = 1.0
"""Between two questions whether the server is still the right one."""
RETRY_SECONDS = 0.2
PREFIX = "relay"

Message = dict[str, Any]


class Lost(Exception):
    """the server of the bus is lost"""


@dataclass(slots=True)
class Waiting:
    """A message that waits to be sent; `size` in bytes."""

    message: Message
    size: int


_codec: Any = RedisPubSubChannelLayer()


def layer_of(url: str) -> Any:
    """A channel layer of this loop with connections of its own."""
    # Not the layer around it, which wraps the loop's `close` once more each time that one is made.
    limits = {"socket_timeout": CALL_SECONDS, "socket_connect_timeout": CALL_SECONDS}
    return RedisPubSubLoopLayer(hosts=[{"address": url, **limits}], prefix=PREFIX, channel_layer=_codec)


def group_channel(group: str) -> str:
    """The channel that carries what is sent to all members of a group, as the layer names it."""
    return f"{PREFIX}__group__{group}"


def message_of(data: bytes) -> Message:
    """What a line has sent. Raises ValueError or TypeError for anything else."""
    message: Message = _codec.deserialize(data)
    return message


class Line:
    """The line to the servers of one URL.

    `store` gives the name of the store that is followed. `take` is called with each message of other processes,
    `on_change` when `up` changes, `on_unsent` with what was not sent when the server was lost.
    """

    def __init__(
        self,
        servers: Servers,
        name: str,
        *,
        store: Callable[[], str],
        take: Callable[[Message], None],
        on_change: Callable[["Line"], None],
        on_unsent: Callable[[list[Waiting]], None],
        tasks: BackgroundTasks,
    ) -> None:
        """`name` of this process, in all its messages."""
        self.up: bool | None = None
        """None before the first connection or failure."""
        self.why: Exception | None = None
        self.sent = 0
        self.failures = 0
        self.connections = 0
        self.out: deque[Waiting] = deque()
        self.out_bytes = 0
        self._servers = servers
        self._name = name
        self._channel = f"{PREFIX}.{name}"
        self._store = store
        self._take = take
        self._on_change = on_change
        self._on_unsent = on_unsent
        self._tasks = tasks
        self._group = ""
        self._layer: Any = None
        self._url = ""
        self._unanswered = 0
        self._probe = False
        self._probed = 0.0
        self._wake = asyncio.Event()
        self._serving = asyncio.timeout(None)
        self._started: list[Task] = []
        self._ending: set[Task] = set()

    def start(self, group: str, *, receives: bool = True) -> None:
        """Begin to connect; needs a running loop and returns at once."""
        self._group = group
        self._started = [
            self._tasks.service(self._run(receives), "bus connection"),
            self._tasks.service(self._send_all(), "bus sender"),
        ]

    async def stop(self) -> None:
        """Stop, and close the connections; waits a second at most."""
        await cancel(self._started)
        if self._ending:
            await asyncio.wait(self._ending, timeout=CALL_SECONDS)

    def queue(self, waiting: Waiting) -> None:
        """Send a message when its turn comes; returns at once."""
        self.out.append(waiting)
        self.out_bytes += waiting.size
        self._wake.set()

    def doubt(self) -> None:
        """Changes were lost: find out whether the group is still heard."""
        self._probe = True

    async def _run(self, receives: bool) -> None:
        while True:
            try:
                self._url = await self._servers.find("" if self.up else self._url)
                await self._connected(self._url, receives)
            except Exception as error:
                self._set_down(error)
            await asyncio.sleep(RETRY_SECONDS)

    async def _connected(self, url: str, receives: bool) -> None:
        """Serve until the server is lost; raises why, unless a message that could not be sent has told it."""
        layer, reader = layer_of(url), None
        self._serving = asyncio.timeout(None)  # not the one before, which may have expired
        try:
            if receives:
                reader = await self._hear(url, layer)
            self._begin(layer)
            async with asyncio.timeout(None) as self._serving:
                await self._watch(layer, receives)
        except TimeoutError:
            if not self._serving.expired():
                raise
        finally:
            self._layer = None
            if reader is not None:
                reader.close()
            ending = self._tasks.job(_end(layer), "end of a bus connection")
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    def _begin(self, layer: Any) -> None:
        self._layer = layer
        self._unanswered = 0
        self._probe = True
        self.connections += 1
        self._wake.set()

    async def _hear(self, url: str, layer: Any) -> Reader:
        channels = [group_channel(self._group), self._channel]
        async with asyncio.timeout(CALL_SECONDS):
            return await hear(url, channels, self._arrived, partial(self._lose, layer))

    async def _watch(self, layer: Any, receives: bool) -> None:
        """Send beats, and ask from time to time whether the server is the right one."""
        looked = time.monotonic()
        while layer is self._layer:
            if receives:
                await self._beat(layer)
            else:
                self._set_up()
            await asyncio.sleep(BEAT_SECONDS)
            if time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                await self._look()

    async def _beat(self, layer: Any) -> None:
        """Send a message that comes back; the first on a connection and every probe to all processes."""
        if self._unanswered >= SILENT_BEATS:
            raise Lost("own messages do not come back")
        self._unanswered += 1
        if time.monotonic() - self._probed > GROUP_BEAT_SECONDS:
            self._probe = True
        message = {"type": "relay.bus", "from": self._name, "store": self._store(), "beat": self._probe}
        if self._probe:
            self._probed = time.monotonic()
            await layer.group_send(self._group, message)
        else:
            await layer.send(self._channel, message)

    async def _look(self) -> None:
        try:
            is_right = await self._servers.is_right(self._url)
        except Exception as error:  # without an answer the server in use stays
            log.debug("the servers of the bus cannot be asked: %s", error)
            return
        if not is_right:
            raise Lost(f"{place(self._url)} is no longer the server to use")

    def _arrived(self, data: bytes) -> None:
        try:
            self._judge(message_of(data))
        except Exception as error:  # of one message, which others follow
            self.failures += 1
            _not_taken.count(error)
            log.debug("a message on the bus was not taken", exc_info=True)

    def _judge(self, message: Message) -> None:
        if message.get("from") != self._name:
            self._take(message)
        elif message.get("beat", True) or not self._probe:
            # What went to the group proves that both channels are heard.
            self._unanswered = 0
            self._probe = False
            self._set_up()

    async def _send_all(self) -> None:
        while True:
            await self._wake.wait()
            while self.out and self._layer is not None:
                waiting = self.out.popleft()
                self.out_bytes -= waiting.size
                await self._send(self._layer, waiting)
            self._wake.clear()

    async def _send(self, layer: Any, waiting: Waiting) -> None:
        try:
            await layer.group_send(self._group, waiting.message)
            self.sent += 1
        except Exception as error:
            self._lose(layer, error)
            self._on_unsent([waiting])

    def _lose(self, layer: Any, error: Exception) -> None:
        if layer is self._layer:
            self._layer = None
            self._set_down(error)
            self._serving.reschedule(0)  # a beat may wait behind the message

    def _set_up(self) -> None:
        if self.up:
            return
        self.up = True
        self._on_change(self)

    def _set_down(self, error: Exception) -> None:
        self.failures += 1
        self.why = error
        self.up = False
        unsent, self.out, self.out_bytes = list(self.out), deque(), 0
        self._on_change(self)
        if unsent:
            self._on_unsent(unsent)


async def _end(layer: Any) -> None:
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CALL_SECONDS):
            await layer.flush()


def place(url: str) -> str:
    """The host and port, or the socket, of a server's URL: what a log may show."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] or parts.path
