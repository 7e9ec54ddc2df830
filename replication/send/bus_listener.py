"""Listens to the bus from a thread: a word of it wakes the senders, and ephemeral events come on it alone.

One subscription a process. The bus is a hint: without it senders look at the log every second, and ephemeral events
are missed.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from channels.layers import get_channel_layer
from django.conf import settings
from msgspec import Struct

log = logging.getLogger("relay.replication")

PAUSE_SECONDS = 0.5
WAIT_SECONDS = 1.0
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
    """The subscription of this process; its thread runs while there is a subscriber."""

    def __init__(self, url: str, group: str) -> None:
        """`group` is that of relay.subscriptions.bus."""
        self.up = False
        self._url = url
        self._channel = f"{settings.CHANNEL_LAYERS['default']['CONFIG']['prefix']}__group__{group}"
        self._subscribers: set[Subscriber] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def subscribed(self, subscriber: Subscriber) -> Iterator[None]:
        """Call `subscriber` within this block."""
        with self._lock:
            self._subscribers = self._subscribers | {subscriber}
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="bus listener", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._subscribers = self._subscribers - {subscriber}

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._subscribers:
                    self._thread = None
                    return
            try:
                self._listen()
            except (redis.RedisError, OSError) as error:
                if self.up:
                    log.warning("the bus is down (%s); the log is looked at every second", error)
                self.up = False
                time.sleep(PAUSE_SECONDS)

    def _listen(self) -> None:
        layer: Any = get_channel_layer()
        with (
            redis.from_url(self._url, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=CONNECT_SECONDS) as client,
            client.pubsub(ignore_subscribe_messages=True) as pubsub,
        ):
            pubsub.subscribe(self._channel)
            while self._subscribers:
                received = pubsub.get_message(timeout=WAIT_SECONDS)
                self.up = True
                if received is not None and received["type"] == "message":
                    self._tell(layer.deserialize(received["data"]))

    def _tell(self, message: dict[str, Any]) -> None:
        for subscriber in self._subscribers:
            if "changes" in message:
                subscriber.on_changes()
            elif "ephemeral" in message:
                subscriber.on_ephemeral(Ephemeral(message["ephemeral"], message.get("origin", 0)))


_listeners: dict[str, BusListener] = {}
_making = threading.Lock()


def listener_of(identity: str) -> BusListener:
    """The listener of this process for the store of that identity."""
    with _making:
        if identity not in _listeners:
            _listeners[identity] = BusListener(settings.BUS_URL, f"relay.{identity}")
        return _listeners[identity]
