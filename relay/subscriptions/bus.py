"""The bus: sends committed batches and ephemeral events to all other processes. It may lose messages; the log is
complete.

A line to each URL of BUS_URL (bus_line.py), and one message a batch, which goes to one of them. Rule: nothing waits for
the bus; what it cannot take is dropped and counted, because a process that misses it reads the log. Each message names
its store and epoch; messages of another one are dropped and counted.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Sequence

import msgspec

from relay.background import BackgroundTasks
from relay.changes.change import Added, Batch, Change, Purged, Removed, Vanished
from relay.conf import config
from relay.protocol.event import StoredEvent
from relay.storage.store import Store
from relay.subscriptions.bus_line import Line, Message, Waiting
from relay.subscriptions.bus_servers import servers_of
from relay.transport.occasional_log import OccasionalLog

log = logging.getLogger("relay.bus")
_unreadable = OccasionalLog(log, "%d messages on the bus cannot be read (%.200s)")

MAX_QUEUED = 1_000
MAX_QUEUED_BYTES = 33_554_432
"""Outgoing messages; further ones are dropped, and other processes read the log."""

EPHEMERAL_SHARE = 0.5
"""The part of these bounds up to which ephemeral events are queued: a flood of them leaves room for changes."""

OTHER_STORE_LOG_SECONDS = 60.0
"""The least time between two log lines about messages of another epoch or generation."""

PURGED = b"p"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, list[bytes]]).decode


def pack(batch: Batch) -> bytes:
    """Encode a batch: the first number and, for each change, an event's text, the 32 bytes of a removed id, or the
    vanished key and the time, 40 bytes, or of a purge PURGED, the time and the kinds.
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
        urls: Sequence[str] = (),
    ) -> None:
        """`store` gives the store that this process follows. Its identity names the group and must be known at
        `start`. `urls`: the servers (relay.redis_url), those of the settings by default.
        """
        self.other_store = 0
        """Dropped messages of another store, epoch or generation."""
        self.received = 0
        self.dropped = 0
        self.on_loss: Callable[[], None] = lambda: None
        """Called when a server of the bus is lost: others may go on sending there for a moment."""
        self.on_hint: Callable[[], None] = lambda: None
        """Called when another process has changed the operators' lists, or begun this epoch."""
        self.on_later_epoch: Callable[[], None] = lambda: None
        """Called when another process follows a later epoch of the store."""
        self._on_batch = on_batch
        self._on_ephemeral = on_ephemeral
        self._name = uuid.uuid4().hex
        self._store = store
        self._was_up = True
        self._other_store_logged = -OTHER_STORE_LOG_SECONDS
        tasks = tasks or BackgroundTasks()
        self._lines = [
            Line(
                servers_of(url),
                self._name,
                store=lambda: store().name,
                take=self._take,
                on_change=self._changed,
                on_unsent=self._unsent,
                tasks=tasks,
            )
            for url in urls or config().bus_urls
        ]

    @property
    def up(self) -> bool:
        """True if changes of other processes should arrive: one of several servers is enough."""
        return any(line.up is not False for line in self._lines)

    @property
    def whole(self) -> bool:
        """True if every server of the bus can be used."""
        return all(line.up is not False for line in self._lines)

    @property
    def sent(self) -> int:
        """Messages sent."""
        return sum(line.sent for line in self._lines)

    @property
    def failures(self) -> int:
        """Messages not sent, and connections lost or not made."""
        return sum(line.failures for line in self._lines)

    @property
    def reconnects(self) -> int:
        """Connections after the first."""
        return sum(max(0, line.connections - 1) for line in self._lines)

    def start(self, *, receives: bool = True) -> None:
        """Begin to send, and unless told otherwise to receive; needs a running loop."""
        for line in self._lines:
            line.start(f"relay.{self._store().identity}", receives=receives)

    async def stop(self) -> None:
        """Stop, and close the connections; waits a second at most."""
        await asyncio.gather(*[line.stop() for line in self._lines])

    def publish(self, batch: Batch) -> None:
        """Send a committed batch to the others; returns at once."""
        data = pack(batch)
        self._queue({"changes": data}, batch.first, len(data))

    def publish_ephemeral(self, event: StoredEvent, origin: int = 0) -> None:
        """Send an event that is not stored; returns at once. While the bus is down, other processes miss it.

        `origin`: the peer region that it came from, 0 if it was published here.
        """
        self._queue(
            {"ephemeral": event.json, "origin": origin}, int(event.id[:8], 16), len(event.json), EPHEMERAL_SHARE
        )

    def publish_hint(self) -> None:
        """Have the others ask the primary now: the operators' lists were changed. Returns at once."""
        self._queue({"lists": True})

    def doubt(self) -> None:
        """The log had changes that the bus should have brought: find out whether it is still heard."""
        for line in self._lines:
            line.doubt()

    def _queue(self, content: Message, number: int = 0, size: int = 0, share: float = 1) -> None:
        """`number` chooses the server."""
        message = {"type": "relay.bus", "from": self._name, "store": self._store().name, **content}
        self._offer(Waiting(message, size), number, share)

    def _offer(self, waiting: Waiting, number: int, share: float) -> None:
        lines = [line for line in self._lines if line.up is not False]
        line = lines[number % len(lines)] if lines else None
        count, total = len(self._lines), 0 if line is None else line.out_bytes
        if line is None or len(line.out) * count >= share * MAX_QUEUED or total * count > share * MAX_QUEUED_BYTES:
            self.dropped += 1
        else:
            line.queue(waiting)

    def _unsent(self, messages: list[Waiting]) -> None:
        """Of a server that was lost: they go to another one, if there is one. Who receives a message twice applies its
        changes once, and delivers an ephemeral event once.
        """
        for number, waiting in enumerate(messages):
            self._offer(waiting, number, 1)

    def _take(self, message: Message) -> None:
        if message.get("store") != self._store().name:
            self._drop_of_other_store(message.get("store"))
            return
        if "beat" in message:
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
            _unreadable.count(error)

    def _drop_of_other_store(self, store: object) -> None:
        self.other_store += 1
        if isinstance(store, str) and self._store().is_before(store):
            self.on_later_epoch()
        if time.monotonic() - self._other_store_logged > OTHER_STORE_LOG_SECONDS:
            self._other_store_logged = time.monotonic()
            log.warning("messages of store %.80s arrive on the bus of %s and are dropped", store, self._store().name)

    def _changed(self, line: Line) -> None:
        """Log when a server is lost, and when all are back."""
        if line.up is False:
            self.on_loss()
        lost = [one for one in self._lines if one.up is False]
        if not lost and not self._was_up:
            self._was_up = True
            log.warning("the bus is back")
        elif lost and self._was_up:
            self._was_up = False
            why = str(line.why).strip() or repr(line.why)
            log.warning("%s (%s); changes of other processes come from the log", self._fault(len(lost)), why)

    def _fault(self, lost: int) -> str:
        return "the bus is down" if lost == len(self._lines) else "a server of the bus is down"
