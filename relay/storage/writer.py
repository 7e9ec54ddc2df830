"""The batching writer: group commit without a timer.

While one batch commits, the next one gathers. Rule: an event is reported as stored after COMMIT, once no process can
answer without it; and one bad event never fails others.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import psycopg

from relay import metrics
from relay.background import BackgroundTasks, Task, cancel
from relay.changes.change import Batch
from relay.protocol.errors import Failed
from relay.storage.batch import WRITE, Entry, columns
from relay.storage.channel import Broken, Channel
from relay.storage.database import connect
from relay.storage.store import CURRENT_STORE, Store, store_of
from relay.storage.write_result import WriteOutcome, WriteResult, parse_result

log = logging.getLogger("relay.writer")

RETRIES = 3
"""How often a batch is tried again after a serialization failure."""

MAX_BATCH_BYTES = 2_097_152
"""JSON text in one transaction, beyond which one more event may reach. 500 large events took longer than the time-out
of a write, and all of them failed."""


MAX_BATCH_TAGS = 5_000
"""Tag rows in one transaction of several events; they take 25 ms."""

LONG_TAGS = 1_000
"""An event with more tags is written in a transaction of its own, and shorter events go first after it: a note waits
for one such event at most, however many lists of 5,000 tags are queued before it."""


MAX_QUEUE_BYTES = 134_217_728
"""JSON text queued in one process; more is refused, however few events it is."""


Waiter = Callable[[Entry, WriteOutcome], None]
"""Called once with the outcome of its entry, in the loop; must not raise."""


Acknowledge = Callable[[int, float, Callable[[], None]], None]
"""Called with a position, for how many seconds the acknowledgement must be held, and the function that acknowledges
(`relay.freshness.barrier.Barrier.acknowledge`)."""


def _at_once(_position: int, _hold_seconds: float, then: Callable[[], None]) -> None:
    then()


class Writer:
    """One connection, one queue. `on_commit` gets each committed batch; `acknowledge` calls the waiters.

    `is_followed` is called for each new connection: True if its store is the one that this process follows. Events
    written to another store would be acknowledged under numbers of another log.
    """

    def __init__(
        self,
        on_commit: Callable[[Batch], None],
        acknowledge: Acknowledge = _at_once,
        *,
        instance: str = "",
        is_followed: Callable[[Store], bool] = lambda _store: True,
        tasks: BackgroundTasks | None = None,
        batch_events: int,
        queue_events: int,
        write_seconds: float,
    ) -> None:
        self.batches = 0
        self.events = 0
        self.failures = 0
        self._on_commit = on_commit
        self._acknowledge = acknowledge
        self._instance = instance
        self._is_followed = is_followed
        self._tasks = tasks or BackgroundTasks()
        self._batch_events = batch_events
        self._queue_events = queue_events
        self._write_seconds = write_seconds
        self._queue: deque[tuple[Entry, Waiter]] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._queued_bytes = 0
        self._short_first = False
        self._failing = False
        self._channel: Channel | None = None
        self._task: Task | None = None

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def queued_bytes(self) -> int:
        """JSON text in the queue."""
        return self._queued_bytes

    @property
    def connected(self) -> bool:
        """True while there is a usable connection."""
        return self._channel is not None and not self._channel.closed.done()

    @property
    def busy(self) -> bool:
        """True while a transaction is under way."""
        return self._channel is not None and len(self._channel) > 0

    def start(self) -> None:
        """Begin to write; needs a running loop."""
        self._task = self._tasks.service(self._run(), "writer")

    async def stop(self, drain_seconds: float) -> None:
        """Write queued events for at most `drain_seconds`; the rest fails."""
        try:
            await asyncio.wait_for(self._idle.wait(), drain_seconds)
        except TimeoutError:
            log.warning("%d events were not written in time before the stop", len(self._queue))
        await cancel([self._task])
        while self._queue:
            entry, waiter = self._queue.popleft()
            waiter(entry, WriteOutcome.FAILED)
        self._queued_bytes = 0
        self.disconnect()

    def submit(self, entry: Entry, waiter: Waiter) -> None:
        """Queue an event; `waiter` is called with its outcome. Raises Failed if the queue is full."""
        if len(self._queue) >= self._queue_events or self._queued_bytes >= MAX_QUEUE_BYTES:
            raise Failed("the relay is too busy to store events now, try again")
        self._queued_bytes += len(entry.event.json)
        self._queue.append((entry, waiter))
        if not self._wake.is_set():
            self._idle.clear()
            self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            taken = self._take()
            await self._settle(taken)
            if not self._queue:
                self._wake.clear()
                self._idle.set()

    def _take(self) -> list[tuple[Entry, Waiter]]:
        """The next batch, in order of arrival.

        A second version of an address and a second copy of an id wait for the next batch, and so do long events behind
        others, and events of another origin.
        """
        taken: list[tuple[Entry, Waiter]] = []
        later: list[tuple[Entry, Waiter]] = []
        ids: set[str] = set()
        addresses: set[tuple[str, int, str]] = set()
        queue = self._queue
        size = tags = 0
        while queue and size < MAX_BATCH_BYTES and len(taken) < self._batch_events and len(later) < self._batch_events:
            item = queue.popleft()
            entry = item[0]
            event = entry.event
            is_long = len(event.tag_keys) > LONG_TAGS
            if (
                event.id in ids
                or (taken and entry.origin != taken[0][0].origin)
                or (is_long and (taken or self._short_first))
                or (taken and tags + len(event.tag_keys) > MAX_BATCH_TAGS)
            ):
                later.append(item)
                continue
            if entry.d is not None:
                address = (event.pubkey, event.kind, entry.d)
                if address in addresses:
                    later.append(item)
                    continue
                addresses.add(address)
            ids.add(event.id)
            taken.append(item)
            size += len(event.json)
            tags += len(event.tag_keys)
            if is_long:
                break
        if not taken and later:  # only long ones
            taken.append(later.pop(0))
            size = len(taken[0][0].event.json)
        self._short_first = bool(taken) and len(taken[0][0].event.tag_keys) > LONG_TAGS
        queue.extendleft(reversed(later))
        self._queued_bytes -= size
        return taken

    async def _settle(self, taken: list[tuple[Entry, Waiter]]) -> None:
        """Write a batch and call its waiters.

        A batch that the database refuses is halved until the bad event is found.
        """
        parts = [taken]
        try:
            while parts:
                outcome = await self._attempt(parts[-1])
                part = parts.pop()
                if outcome is None:
                    middle = len(part) // 2
                    parts += [part[middle:], part[:middle]]
                else:
                    self._report(part, outcome)
        except asyncio.CancelledError:
            for part in parts:
                self._report(part, self._failed(part))
            raise

    async def _attempt(self, taken: Sequence[tuple[Entry, Waiter]]) -> WriteResult | None:
        """Write a batch once; None if an event caused a failure and it is not known which."""
        try:
            async with asyncio.timeout(self._write_seconds):
                return await self._write([entry for entry, _ in taken])
        except Exception as error:
            if not _is_about_the_events(error):
                self.disconnect()
                if not self._failing:  # once for each outage: clients try again a hundred times a second
                    self._failing = True
                    log.warning("events cannot be stored: %s", str(error).strip() or type(error).__name__)
                return self._failed(taken)
            if len(taken) > 1:
                return None
            log.error("event %s cannot be stored: %r", taken[0][0].event.id, error)
            return self._failed(taken)

    def _report(self, taken: Sequence[tuple[Entry, Waiter]], outcome: WriteResult) -> None:
        # The OK first, so that a publisher does not wait for the delivery to subscribers. Both happen in one turn of
        # the loop, so no query can come in between.
        if outcome.position is not None:
            self._acknowledge(outcome.position, outcome.hold_ms / 1_000, partial(_answer, taken, outcome))
        else:
            _answer(taken, outcome)
        if outcome.batch is not None:
            try:
                self._on_commit(outcome.batch)
            except Exception:
                log.exception("the changes %d to %d could not be applied", outcome.batch.first, outcome.batch.last)

    def _failed(self, taken: Sequence[object]) -> WriteResult:
        self.failures += len(taken)
        return WriteResult([WriteOutcome.FAILED] * len(taken), None, None, 0)

    async def _write(self, entries: Sequence[Entry]) -> WriteResult:
        parameters = columns(entries, self._instance)
        for attempt in range(RETRIES + 1):
            channel = await self._connected()
            try:
                (row,) = await channel.send(WRITE, parameters).future
            except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
                if attempt == RETRIES:
                    raise
                continue
            if self._failing:
                self._failing = False
                log.warning("events are stored again")
            self.batches += 1
            self.events += len(entries)
            metrics.batch_events.observe(len(entries))
            return parse_result(row, entries)
        raise AssertionError("unreachable")

    async def _connected(self) -> Channel:
        if self._channel is None or self._channel.closed.done():
            self._channel = Channel(await connect(application="relay write", statement_seconds=self._write_seconds))
            (row,) = await self._channel.send(CURRENT_STORE.encode(), []).future
            if not self._is_followed(store_of(*row)):
                raise Broken("the database is another store, or has begun another epoch")
        return self._channel

    def disconnect(self) -> None:
        """Close the connection: its state is unknown, or it may lead to a server that is not followed any more. A batch
        under way fails, and the server ends its transaction.
        """
        if self._channel is not None:
            self._channel.close("left by the writer")
            self._channel = None


def _answer(taken: Sequence[tuple[Entry, Waiter]], written: WriteResult) -> None:
    for (entry, waiter), outcome in zip(taken, written.outcomes, strict=True):
        try:
            waiter(entry, outcome)
        except Exception:
            log.exception("the outcome of event %s could not be delivered", entry.event.id)


def _is_about_the_events(error: Exception) -> bool:
    """True if other events might be stored: False for a lost connection, a time-out or a read-only server."""
    if isinstance(error, Broken | OSError | TimeoutError):
        return False
    state = getattr(error, "sqlstate", None) or ""
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return state.startswith("54")  # a limit of the server, such as the length of an index entry
    return not state.startswith("25")
