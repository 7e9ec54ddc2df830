"""The bus: sends committed batches and ephemeral events to all other processes. It may lose messages; the log is
complete.

One subscription a process, over the channel layer; one message a batch. Rule: nothing waits for the bus; what it cannot
take is dropped and counted, because a process that misses it reads the log. Each message names its store and epoch;
messages of another one are dropped and counted.
"""

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
from channels.layers import get_channel_layer

from relay.background import BackgroundTasks, Task, cancel
from relay.changes.change import Added, Batch, Change, Purged, Removed, Vanished
from relay.protocol.event import StoredEvent
from relay.storage.store import Store

log = logging.getLogger("relay.bus")

MAX_QUEUED = 1_000
MAX_QUEUED_BYTES = 33_554_432
"""Outgoing messages; further ones are dropped, and other processes read the log."""

EPHEMERAL_SHARE = 0.5
"""The part of these bounds up to which ephemeral events are queued: a flood of them leaves room for changes."""

TURN_SECONDS = 0.005
"""After a message that took so long, other work of the loop comes before the next one."""

BEAT_SECONDS = 1.0
"""Every process sends a message so often, so that one that publishes nothing also notices an outage."""

SILENCE_SECONDS = 3.0
"""A process that has not received its own messages for so long considers the bus down."""

OTHER_STORE_LOG_SECONDS = 60.0
"""At most one log line in so long about messages of another epoch or generation."""

PURGED = b"p"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, list[bytes]]).decode


def pack(batch: Batch) -> bytes:
    """Encode a batch: the first number and, for each change, an event's text, the 32 bytes of a removed id, or the key
    of who vanished and the time, 40 bytes, or of a purge PURGED, the time and the kinds.
    """
    return _encode((batch.first, [c.event.json if type(c) is Added else _packed(c) for c in batch.changes]))


def _packed(change: Change) -> bytes:
    if type(change) is Removed:
        return bytes.fromhex(change.event_id)
    if type(change) is Purged:
        return PURGED + change.before.to_bytes(8) + change.packed()
    assert type(change) is Vanished
    return bytes.fromhex(change.pubkey) + change.until.to_bytes(8)


def unpack(raw: bytes) -> Batch:
    """Decode a batch. Raises msgspec.DecodeError for bytes that `pack` did not write."""
    first, entries = _decode(raw)
    return Batch(first, first + len(entries) - 1, [_change(first + i, entry) for i, entry in enumerate(entries)])


def _change(seq: int, entry: bytes) -> Change:
    # An event's text begins with a brace and is longer than 40 bytes; a purge has 9 bytes and 4 for each span of kinds.
    if len(entry) == 32:
        return Removed(seq, entry.hex())
    if len(entry) == 40:
        return Vanished(seq, entry[:32].hex(), int.from_bytes(entry[32:]))
    if entry[:1] == PURGED:
        return Purged.of(seq, entry[9:], int.from_bytes(entry[1:9]))
    return Added(seq, StoredEvent.from_json(entry))


class Bus:
    """Publishes this process's batches and ephemeral events, and receives those of the others."""

    def __init__(
        self,
        on_batch: Callable[[Batch], None],
        on_ephemeral: Callable[[StoredEvent], None],
        store: Callable[[], Store],
        tasks: BackgroundTasks | None = None,
    ) -> None:
        """`store` gives the store that this process follows. Its identity names the group and must be known at
        `start`.
        """
        self.other_store = 0
        """Dropped messages of another store, epoch or generation."""
        self.sent = 0
        self.received = 0
        self.dropped = 0
        self.failures = 0
        self.reconnects = 0
        self.up = True
        self.on_hint: Callable[[], None] = lambda: None
        """Called when another process has changed the operators' lists."""
        self._on_batch = on_batch
        self._on_ephemeral = on_ephemeral
        self._name = uuid.uuid4().hex
        self._layer: Any = get_channel_layer()
        self._heard = 0.0
        self._out: deque[tuple[int, dict[str, Any]]] = deque()
        self._out_bytes = 0
        self._wake = asyncio.Event()
        self._store = store
        self._group = ""
        self._other_store_logged = -OTHER_STORE_LOG_SECONDS
        self._tasks = tasks or BackgroundTasks()
        self._started: list[Task] = []

    def start(self, *, receives: bool = True) -> None:
        """Begin to send, and unless told otherwise to receive; needs a running loop."""
        self._heard = time.monotonic()
        self._group = f"relay.{self._store().identity}"
        self._started = [self._tasks.service(self._send_all(), "bus sender")]
        if receives:
            self._started += [
                self._tasks.service(self._beat(), "bus heartbeat"),
                self._tasks.service(self._listen(), "bus receiver"),
            ]

    async def stop(self) -> None:
        """Stop, and leave the group; waits a second at most."""
        await cancel(self._started)
        try:
            async with asyncio.timeout(1):
                await self._layer.flush()
        except Exception as error:
            log.debug("the bus did not close in order: %s", error)

    def publish(self, batch: Batch) -> None:
        """Send a committed batch to the others; returns at once."""
        data = pack(batch)
        self._queue({"changes": data}, len(data))

    def publish_ephemeral(self, event: StoredEvent, origin: int = 0) -> None:
        """Send an event that is not stored; returns at once. While the bus is down, other processes miss it.

        `origin`: the peer region that it came from, 0 if it was published here.
        """
        self._queue({"ephemeral": event.json, "origin": origin}, len(event.json), EPHEMERAL_SHARE)

    def publish_hint(self) -> None:
        """Have the others ask the primary now: the operators' lists were changed. Returns at once."""
        self._queue({"lists": True})

    def _queue(self, content: dict[str, Any], size: int = 0, share: float = 1) -> None:
        if len(self._out) >= share * MAX_QUEUED or self._out_bytes > share * MAX_QUEUED_BYTES:
            self.dropped += 1
            return
        self._out.append((size, {"type": "relay.bus", "from": self._name, "store": self._store().name, **content}))
        self._out_bytes += size
        self._wake.set()

    async def _beat(self) -> None:
        while True:
            if time.monotonic() - self._heard > SILENCE_SECONDS:
                self._set_up(False, TimeoutError("own messages do not come back"))
            self._queue({})
            await asyncio.sleep(BEAT_SECONDS)

    async def _send_all(self) -> None:
        while True:
            await self._wake.wait()
            while self._out:
                size, message = self._out.popleft()
                self._out_bytes -= size
                await self._send(message)
            self._wake.clear()

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            await self._layer.group_send(self._group, message)
        except Exception as error:
            self.failures += 1
            self.dropped += 1 + len(self._out)
            self._out.clear()
            self._out_bytes = 0
            self._set_up(False, error)
            await asyncio.sleep(0.2)
        else:
            self.sent += 1

    async def _listen(self) -> None:
        while True:
            try:
                await self._receive_all()
            except Exception as error:
                self.failures += 1
                self._set_up(False, error)
                await asyncio.sleep(0.5)

    async def _receive_all(self) -> None:
        # No time limit around receive(): cancelling it would end the subscription.
        channel = await self._layer.new_channel()
        await self._layer.group_add(self._group, channel)
        while True:
            message = await self._layer.receive(channel)  # does not yield while messages are there
            began = time.monotonic()
            self._take(message)
            if time.monotonic() - began > TURN_SECONDS:
                await asyncio.sleep(0)

    def _take(self, message: dict[str, Any]) -> None:
        """Apply a message on arrival, so that the layer's own unbounded queue stays empty."""
        if message.get("from") == self._name:
            self._heard = time.monotonic()
            self._set_up(True)
            return
        if message.get("store") != self._store().name:
            self._drop_of_other_store(message.get("store"))
            return
        self.received += 1
        try:
            if "changes" in message:
                self._on_batch(unpack(message["changes"]))
            elif "ephemeral" in message:
                self._on_ephemeral(StoredEvent.from_json(message["ephemeral"]))
            elif "lists" in message:
                self.on_hint()
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            self.dropped += 1
            log.error("a message on the bus cannot be read: %s", error)

    def _drop_of_other_store(self, store: object) -> None:
        self.other_store += 1
        if time.monotonic() - self._other_store_logged > OTHER_STORE_LOG_SECONDS:
            self._other_store_logged = time.monotonic()
            log.warning("messages of store %.80s arrive on the bus of %s and are dropped", store, self._store().name)

    def _set_up(self, up: bool, error: Exception | None = None) -> None:
        """Log when the bus goes down, and when it is back."""
        if up is self.up:
            return
        self.up = up
        if up:
            self.reconnects += 1
            log.warning("the bus is back")
        else:
            log.warning(
                "the bus is down (%s); changes of other processes come from the log", str(error).strip() or error
            )
