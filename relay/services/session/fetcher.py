"""What a stored answer waits for: the store, the texts of its next piece, its client, the log.

Of a large answer the store returns the keys first; the texts of a piece are fetched when the client can take them.
"""

import asyncio
import time
from collections.abc import Sequence

from relay.background import Turn
from relay.changes.change import Added
from relay.metrics import counters
from relay.protocol.errors import Failed
from relay.services.session.stored_answer import StoredAnswer
from relay.storage.filter_sql import Key
from relay.storage.primary import LogPruned
from relay.storage.read_result import key_of
from relay.storage.reads import Item

SLOW_READER_SECONDS = 30.0
"""A query ends if its client does not take a piece within this time."""

CLIENT_SECONDS = 600.0
"""A query ends if its client takes longer than this for all pieces."""

TEXT_SECONDS = 0.1
"""A text that is sent later than this after its REQ came is fetched again: its event may have gone, in any process."""


class Fetcher:
    """Fetches for one answer. `clock` is the time-out of the relay's own time; `held_bytes` of the process's budget are
    taken for a piece until it is read.
    """

    __slots__ = ("_answer", "clock", "held_bytes")

    clock: asyncio.Timeout

    def __init__(self, answer: StoredAnswer) -> None:
        self._answer = answer
        self.held_bytes = 0

    async def fetch(self) -> None:
        """Set the items of the answer, from the copies of this process and the store. Raises RelayError."""
        answer, session = self._answer, self._answer.session
        services, filters = session.services, answer.subscription.filters
        if services.answers is None:
            result = await services.reads.query(
                filters, session.audience, owner=session.owner, seconds=answer.seconds_left()
            )
            answer.items, answer.position, answer.source = result.events, result.position, "none"
            answer.end = result.end
        else:
            found = await services.answers.fetch(filters, session.audience, session.owner)
            answer.items, answer.position, answer.source = found.items, found.position, found.source
            answer.end = found.end
        answer.keyed = Key in set(map(type, answer.items))

    async def next(self) -> None:
        """Wait for what `send` needs to go on. Raises RelayError, or TimeoutError if the client does not read."""
        answer = self._answer
        if answer.subscription.outbox.backlog_bytes > answer.piece_bytes:
            await self.room()
            self._forget_texts()
        elif not answer.eose:
            await self._fetch_piece()
        elif answer.out_of_reach:
            await self._rest_of_log()
        else:
            await asyncio.sleep(0)  # the ring has more: others have their turn first

    async def room(self) -> None:
        """Wait until the client has read what was sent. That does not count against the relay's own time."""
        answer, clock, loop = self._answer, self.clock, asyncio.get_running_loop()
        begin, end = loop.time(), clock.when()
        clock.reschedule(None)
        async with asyncio.timeout(min(SLOW_READER_SECONDS, CLIENT_SECONDS - answer.paused_seconds)):
            await answer.subscription.outbox.wait_for_room()
        seconds = loop.time() - begin
        answer.paused_seconds += seconds
        clock.reschedule(None if end is None else end + seconds)
        self.give_back()

    def give_back(self) -> None:
        """Give back what is taken of the process's budget."""
        if self.held_bytes:
            size, self.held_bytes = self.held_bytes, 0
            session = self._answer.session
            session.services.pieces.give(size, session.owner)

    def _forget_texts(self) -> None:
        """Keep the keys alone of what the client was too slow to take, so that texts are fetched as of then (09-16)."""
        answer = self._answer
        if not answer.eose and time.perf_counter() - answer.since > TEXT_SECONDS:
            answer.items = [item if type(item) is Key else key_of(item) for item in answer.items]  # type: ignore[arg-type]
            answer.keyed = True

    async def _fetch_piece(self) -> None:
        """Fetch the texts of the next piece, as many as the client can take now. Events that are gone are left out."""
        answer, session = self._answer, self._answer.session
        items = answer.items
        end = _piece_end(items, answer.piece_bytes)
        keys = [item for item in items[:end] if type(item) is Key]
        size = sum(key.size for key in keys)
        self.give_back()
        await session.services.pieces.take(size, session.owner)
        self.held_bytes = size
        texts = await session.services.reads.texts(
            keys, session.audience, least=answer.position, owner=session.owner, seconds=answer.seconds_left()
        )
        piece = [texts.get(item.id) if type(item) is Key else item for item in items[:end]]
        answer.items = [*(text for text in piece if text is not None), *items[end:]]

    async def _rest_of_log(self) -> None:
        """Send the matching part of the log after the position, which is below the ring's floor, as much as the client
        can take.
        """
        answer, services = self._answer, self._answer.session.services
        subscription = answer.subscription
        counters.seam_log_reads += 1
        try:
            batch = await services.primary.changes_after(answer.position)
        except LogPruned:
            raise Failed("the query took too long to be continued, ask again") from None
        if batch is None:
            return
        turn = Turn()
        for change in batch.changes:
            await turn.end()
            ring = services.hub.intake.ring
            if (
                type(change) is Added
                and not ring.is_gone(change.event, change.seq)
                and services.hub.may_receive(subscription, change.event)
            ):
                counters.deliveries += 1
                subscription.outbox.put(subscription.frame(change.event.json))
                if subscription.outbox.backlog_bytes > answer.piece_bytes:
                    answer.position = change.seq  # what follows may be gone when the client has read: it is read again
                    return
        answer.position = batch.last


def _piece_end(items: Sequence[Item], most: int) -> int:
    """The number of events that make up `most` bytes; one at least, and none that goes beyond."""
    size = 0
    for count, item in enumerate(items):
        size += item.size if type(item) is Key else len(item)  # type: ignore[arg-type]
        if size > most and count:
            return count
    return len(items)
