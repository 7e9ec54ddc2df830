"""An import: lines are read, verified by other processes, and submitted to `relay.ingest` in the order of the input.

Rule: a bounded number of chunks is under way, so that a slow step stops the ones before it. The state moves over a
chunk once every line up to its end has its outcome.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from relay.ingest.ingest import Ingest
from relay.ingest.outcome import Outcome, Status
from relay.policies.source import Source
from relay.protocol.event import Event
from relay.storage.writer import Writer
from relay.transfer.files import FAULTS_OF_INPUT
from relay.transfer.lines import Chunk, LineReader
from relay.transfer.report import TOO_LONG, Tally
from relay.transfer.state import State
from relay.transfer.verifier import Verified
from relay.transfer.verifiers import Verifiers

SPARE_CHUNKS = 8
"""Chunks under way beside two for each verifier: 4,000 events, so that a batch gathers while another commits."""

RETRY_SECONDS = 1.0
GIVE_UP_SECONDS = 60.0
"""How long an import waits for a database that does not store events."""

PACE_SECONDS = 0.02
"""With a limit of the rate: shorter waits are not worth a turn of the loop."""


class ImportFault(Exception):
    """why an import cannot go on; what was imported before stays"""


_Read = tuple[Chunk, asyncio.Task[Verified]] | None
"""A chunk that was read, and its verification; None at the end of the input."""


class _Open:
    """A chunk that was submitted: how many of its events have no outcome yet, and which are to be tried again."""

    __slots__ = ("again", "chunk", "left", "tally")

    def __init__(self, chunk: Chunk) -> None:
        self.chunk = chunk
        self.tally = Tally()
        self.left = 0
        self.again: list[tuple[int, Event, Outcome]] = []

    @property
    def is_done(self) -> bool:
        return not self.left and not self.again


class Importer:
    """One import. `on_progress` is called with the state each time that it has moved."""

    def __init__(
        self,
        reader: LineReader,
        verifiers: Verifiers,
        ingest: Ingest,
        writer: Writer,
        *,
        state: State,
        source: Source,
        on_progress: Callable[[State], None],
        chunks: int,
        rate: float = 0,
    ) -> None:
        """`chunks` are under way at most. `rate`: events a second at most, 0 for no limit."""
        self._reader = reader
        self._verifiers = verifiers
        self._ingest = ingest
        self._writer = writer
        self._state = state
        self._source = source
        self._on_progress = on_progress
        self._rate = rate
        self._chunks = chunks
        self._room = asyncio.Semaphore(chunks)
        self._under_way: deque[_Open] = deque()
        self._group: asyncio.TaskGroup | None = None
        self._stopped = asyncio.Event()
        self._pace_from = time.monotonic()
        self._fault: str | None = None
        self._moved = asyncio.Event()

    def stop(self) -> None:
        """Submit no more; `run` returns once what was submitted has its outcome."""
        self._stopped.set()

    @property
    def is_stopping(self) -> bool:
        """True after `stop`."""
        return self._stopped.is_set()

    async def run(self) -> None:
        """Import until the input ends, or `stop` was called. Raises ImportFault or VerifierDied."""
        read: asyncio.Queue[_Read] = asyncio.Queue()
        try:
            async with asyncio.TaskGroup() as self._group:
                reading = self._group.create_task(self._read(self._group, read))
                while (item := await read.get()) is not None and not self.is_stopping:
                    chunk, verified = item
                    await self._submit(chunk, await verified)
                reading.cancel()
                while self._under_way:
                    self._moved.clear()
                    await self._moved.wait()
                _cancel_all(item, read)
        except* Exception as group:
            raise group.exceptions[0] from None
        if self._fault is not None:
            raise ImportFault(self._fault)

    async def _read(self, group: asyncio.TaskGroup, read: asyncio.Queue[_Read]) -> None:
        """Read chunks and have them verified; `read` gets them in order, and None at the end."""
        try:
            while True:
                await self._room.acquire()
                chunk = None if self.is_stopping else await asyncio.to_thread(self._reader.next_chunk)
                if chunk is None:
                    break
                read.put_nowait((chunk, group.create_task(self._verifiers.verify(chunk.lines))))
        except FAULTS_OF_INPUT as fault:  # what came before it is imported
            if not self.is_stopping:
                self._fault = f"the input cannot be read any further: {fault}"
        read.put_nowait(None)

    async def _submit(self, chunk: Chunk, verified: Verified) -> None:
        opened = _Open(chunk)
        for number, beginning in chunk.too_long.items():
            opened.tally.refuse(TOO_LONG, chunk.first + number, beginning)
        for number, reason in verified.faults:
            opened.tally.refuse(reason, chunk.first + number, chunk.lines[number])
        opened.left = len(verified.events)
        self._under_way.append(opened)
        for number, event in zip(verified.numbers, verified.events, strict=True):
            if self._rate:
                await self._pace()
            self._submit_event(opened, number, event)
        self._advance()
        await asyncio.sleep(0)

    async def _pace(self) -> None:
        """Wait until the next event is due. An import that was held up does not catch up."""
        now = time.monotonic()
        self._pace_from = max(self._pace_from + 1 / self._rate, now - PACE_SECONDS)
        if self._pace_from - now > PACE_SECONDS and not self.is_stopping:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace_from - now):
                    await self._stopped.wait()

    def _submit_event(self, opened: _Open, number: int, event: Event) -> None:
        outcome = self._ingest.submit(event, self._source, partial(self._settled, opened, number, event))
        if outcome is not None:
            self._count(opened, number, event, outcome)

    def _settled(self, opened: _Open, number: int, event: Event, outcome: Outcome) -> None:
        self._count(opened, number, event, outcome)
        if not opened.left:
            self._advance()

    def _count(self, opened: _Open, number: int, event: Event, outcome: Outcome) -> None:
        opened.left -= 1
        if outcome.status is Status.FAILED:
            opened.again.append((number, event, outcome))
        else:
            opened.tally.add(outcome, opened.chunk.first + number, opened.chunk.lines[number])

    def _advance(self) -> None:
        """Move the state over the chunks that are done, and try the failed events of the first one again."""
        moved = False
        while self._under_way and self._under_way[0].is_done:
            done = self._under_way.popleft()
            self._state.tally.merge(done.tally)
            self._state.offset, self._state.line = done.chunk.end, done.chunk.end_line
            self._state.digest = done.chunk.digest
            self._room.release()
            moved = True
        if moved:
            self._moved.set()
            self._on_progress(self._state)
        if self._under_way and not self._under_way[0].left and self._group is not None:
            self._under_way[0].left = 1  # until `_try_again` has ended
            self._group.create_task(self._try_again(self._under_way[0]))

    async def _try_again(self, opened: _Open) -> None:
        """Submit the failed events of a chunk one by one. Raises ImportFault if the database is away for long.

        An event that fails while the database answers is refused.
        """
        gives_up = time.monotonic() + GIVE_UP_SECONDS
        again, opened.again = deque(opened.again), []
        while again:
            number, event, _ = again[0]
            outcome = await self._ingest.one(event, self._source)
            line = opened.chunk.lines[number]
            if outcome.status is not Status.FAILED:
                opened.tally.add(outcome, opened.chunk.first + number, line)
            elif self._writer.connected:
                opened.tally.refuse(outcome.text, opened.chunk.first + number, line)
            elif self.is_stopping or time.monotonic() > gives_up:
                raise ImportFault("the database does not store events")
            else:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            again.popleft()
        opened.left = 0
        self._advance()


def _cancel_all(item: _Read, read: asyncio.Queue[_Read]) -> None:
    """Cancel what a stopped import does not submit any more."""
    while item is not None or not read.empty():
        if item is not None:
            item[1].cancel()
        item = None if read.empty() else read.get_nowait()
