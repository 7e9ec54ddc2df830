"""The batching writer: group commit without a timer.

While one batch commits, the next one gathers. Rule: an event is reported as stored after COMMIT, once no process can
answer without it; and one bad event never fails others.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic

import psycopg

from relay import metrics
from relay.background import BackgroundTasks, Task, cancel
from relay.changes.change import Batch
from relay.conf import Life
from relay.protocol.errors import Failed
from relay.protocol.removal import Targets
from relay.storage.batch import DELETE_PART, Entry, divided, part_columns, statement
from relay.storage.channel import Broken, Channel
from relay.storage.database import connect
from relay.storage.link import RETIRED
from relay.storage.request import Parameter, Row
from relay.storage.store import CURRENT_STORE, Store, only_in, store_of
from relay.storage.write_queue import Queued, Waiter, WriteQueue
from relay.storage.write_result import WriteOutcome, WriteResult, parse_removals, parse_result

log = logging.getLogger("relay.writer")

GONE = "the database does not answer, try again"

RETRIES = 3
"""How often a batch, or a part of a deletion, is tried again after a serialization failure or a deadlock."""

Acknowledge = Callable[[int, float, Callable[[], None]], None]
"""Called with a position, for how many seconds the acknowledgement must be held, and the function that acknowledges
(`relay.freshness.barrier.Barrier.acknowledge`)."""


def _at_once(_position: int, _hold_seconds: float, then: Callable[[], None]) -> None:
    then()


class Writer:
    """One connection, one queue. `on_commit` gets each committed batch; `acknowledge` calls the waiters.

    `is_followed` is called for each new connection: True if its store is the one that this process follows. Events
    written to another store would be acknowledged under numbers of another log. `is_gone`: True while the primary is
    known not to answer; events are refused then without a wait. A connection is used for a `life`, in transactions.
    """

    def __init__(
        self,
        on_commit: Callable[[Batch], None],
        acknowledge: Acknowledge = _at_once,
        *,
        instance: str = "",
        is_followed: Callable[[Store], bool] = lambda _store: True,
        is_gone: Callable[[], bool] = lambda: False,
        life: Life | None = None,
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
        self._is_gone = is_gone
        self._life = life or Life()
        self._tasks = tasks or BackgroundTasks()
        self._write_seconds = write_seconds
        self._queue = WriteQueue(batch_events, queue_events)
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._failing = False
        self._channel: Channel | None = None
        self._channel_since = 0.0
        self._channel_uses = 0
        self._task: Task | None = None

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def queued_bytes(self) -> int:
        """JSON text in the queue."""
        return self._queue.bytes

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
        for entry, waiter in self._queue.clear():
            waiter(entry, WriteOutcome.FAILED)
        self.disconnect()

    def submit(self, entry: Entry, waiter: Waiter, owner: str = "") -> None:
        """Queue an event, in the turn of `owner`; `waiter` is called with its outcome. Raises Failed if the queue is
        full or the primary is gone.
        """
        if self._is_gone():
            raise Failed(GONE)
        self._queue.add(entry, waiter, owner)
        if not self._wake.is_set():
            self._idle.clear()
            self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            await self._settle(self._queue.take())
            if not self._queue:
                self._wake.clear()
                self._idle.set()

    async def _settle(self, taken: list[Queued]) -> None:
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

    async def _attempt(self, taken: Sequence[Queued]) -> WriteResult | None:
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

    def _report(self, taken: Sequence[Queued], outcome: WriteResult) -> None:
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
        if len(entries) == 1:
            parts, entry = divided(entries[0])
            for part in parts:
                await self._delete(entry, part)
            entries = [entry]
        text, parameters = statement(entries, self._instance)
        row = await self._row(text, parameters)
        if self._failing:
            self._failing = False
            log.warning("events are stored again")
        self.batches += 1
        self.events += len(entries)
        metrics.batch_events.observe(len(entries))
        return parse_result(row, entries)

    async def _delete(self, entry: Entry, part: Targets) -> None:
        """Carry out a part of a deletion ahead of it: as if its author had sent it in several."""
        batch = parse_removals(await self._row(DELETE_PART, part_columns(entry, part)))
        if batch is not None:
            self._on_commit(batch)

    async def _row(self, text: bytes, parameters: Sequence[Parameter]) -> Row:
        """The one row of a transaction, which is tried again after a serialization failure or a deadlock."""
        for attempt in range(RETRIES + 1):
            channel = await self._connected()
            try:
                (row,) = await channel.send(text, parameters).future
            except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
                if attempt == RETRIES:
                    raise
                continue
            return row
        raise AssertionError("unreachable")

    async def _connected(self) -> Channel:
        channel = self._channel
        if channel is not None and not channel.closed.done():
            self._channel_uses += 1
            if not self._life.is_over(monotonic() - self._channel_since, self._channel_uses):
                return channel
            channel.close(RETIRED)
        if self._is_gone():
            raise Broken(GONE)
        channel = Channel(await connect(application="relay write", statement_seconds=self._write_seconds))
        self._channel, self._channel_since, self._channel_uses = channel, monotonic(), 0
        try:
            (row,) = await channel.send(CURRENT_STORE.encode(), []).future
            store = store_of(*row)
            if not self._is_followed(store):
                raise Broken("the database is another store, or has begun another epoch")
        except BaseException:
            channel.close("its store is not known")
            raise
        if channel.prelude:  # a pooler may lead each transaction to another server
            channel.prelude += only_in(store).encode()
        if channel.closed.done():  # `disconnect` came between the answer and this step
            raise Broken("left by the writer")
        return channel

    def disconnect(self) -> None:
        """Close the connection: its state is unknown, or it may lead to a server that is not followed any more. A batch
        under way fails, and the server ends its transaction.
        """
        if self._channel is not None:
            self._channel.close("left by the writer")
            self._channel = None


def _answer(taken: Sequence[Queued], written: WriteResult) -> None:
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
