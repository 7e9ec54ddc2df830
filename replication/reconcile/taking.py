"""What only the peer has: fetched, verified by other processes, and submitted to `relay.ingest` as the peer's.

Rule: nothing is written that its author did not sign, whatever the peer says, unless the peer is trusted. The id of an
event that is refused here is noted, so that it is not fetched again by every run.
"""

import asyncio
import time
from collections.abc import Sequence

from relay.ingest.ingest import Ingest
from relay.ingest.outcome import Outcome, Status
from relay.policies.source import Source
from relay.protocol.event import Event
from relay.transfer.verifiers import Verifiers
from replication.reconcile.desk import Desk
from replication.reconcile.messages import FETCH_EVENTS, FetchAnswer, Part, Stage
from replication.reconcile.report import Report

RETRY_SECONDS = 1.0
GIVE_UP_SECONDS = 60.0
"""How long a run waits for a database that does not store events."""

BATCHES_AT_ONCE = 3
"""Of one window: one is fetched while others are verified and stored."""

REFUSED_FOR_SECONDS = 7 * 86_400
"""When a refused event is tried again: bans are lifted and policies changed."""

_REFUSALS = frozenset({Status.REFUSED, Status.OUTDATED, Status.SHADOWED})


class StoreAway(Exception):
    """the database does not store events"""


class Taking:
    """Takes events of at most `most_bytes` each from one peer, whose `source` it is told."""

    def __init__(
        self, ingest: Ingest, verifiers: Verifiers, source: Source, report: Report, *, most_bytes: int = 1_048_576
    ) -> None:
        self._ingest = ingest
        self._verifiers = verifiers
        self._source = source
        self._report = report
        self._most_bytes = most_bytes
        self.is_stopping = False

    async def take(self, desk: Desk, part: Part, ids: Sequence[bytes]) -> None:
        """Fetch and store the events of these ids, FETCH_EVENTS at a time, until `is_stopping` is set.

        Raises PeerFault, PeerError or StoreAway.
        """
        room = asyncio.Semaphore(BATCHES_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            while ids and not self.is_stopping:
                await room.acquire()
                asked = list(ids[:FETCH_EVENTS])
                answer = await asyncio.to_thread(desk.peer.fetch, part, asked)
                ids = ids[answer.asked :]
                storing = group.create_task(self._store(desk, part, asked[: answer.asked], answer))
                storing.add_done_callback(lambda _: room.release())

    async def _store(self, desk: Desk, part: Part, asked: Sequence[bytes], answer: FetchAnswer) -> None:
        """One batch; the next is fetched meanwhile."""
        events = await self._verified(asked, answer)
        refused, known = await self._stored(events)
        if known:  # the peer took them after all
            await asyncio.to_thread(desk.local.forget, part, known, by_peer=True)
        if part.stage is Stage.REMOVALS:
            refused = refused | await _not_held(desk, part, events)
        if refused:
            items = [(event.created_at, bytes.fromhex(event.id)) for event in events if event.id in refused]
            retry_at = int(time.time()) + REFUSED_FOR_SECONDS
            await asyncio.to_thread(desk.local.note_refused, part.stage, items, by_peer=False, retry_at=retry_at)

    async def _verified(self, asked: Sequence[bytes], answer: FetchAnswer) -> list[Event]:
        """The events that were asked for and are right."""
        wanted = {event_id.hex() for event_id in asked}
        texts = map(bytes, answer.events)
        verified = await self._verifiers.verify([text for text in texts if len(text) <= self._most_bytes])
        events = [event for event in verified.events if event.id in wanted]
        self._report.absent += len(asked) - len(answer.events)
        self._report.faulty += len(answer.events) - len(events)
        for _, reason in verified.faults:
            self._report.refused(f"from the peer: {reason}")
        return events

    async def _stored(self, events: Sequence[Event]) -> tuple[set[str], list[bytes]]:
        """Submit events; the ids of those that are refused, and of those that were known."""
        gives_up = time.monotonic() + GIVE_UP_SECONDS
        refused, known = set[str](), list[bytes]()
        while events:
            outcomes = await self._ingest.batch(events, self._source)
            settled = [
                (event, outcome) for event, outcome in zip(events, outcomes, strict=True) if not _failed(outcome)
            ]
            for event, outcome in settled:
                self._report.taken[outcome.status.value] += 1
                if outcome.status is Status.DUPLICATE:
                    known.append(bytes.fromhex(event.id))
                elif outcome.status in _REFUSALS:
                    refused.add(event.id)
                    self._report.refused(outcome.text or outcome.status.value)
            events = [event for event, outcome in zip(events, outcomes, strict=True) if _failed(outcome)]
            if events:
                if time.monotonic() > gives_up:
                    raise StoreAway
                await asyncio.sleep(RETRY_SECONDS)
        return refused, known


def _failed(outcome: Outcome) -> bool:
    return outcome.status is Status.FAILED


async def _not_held(desk: Desk, part: Part, events: Sequence[Event]) -> set[str]:
    """Those that are not kept although they were accepted: of two requests to vanish of a key one is."""
    ids = [bytes.fromhex(event.id) for event in events]
    held = await asyncio.to_thread(desk.local.texts, part, ids)
    return {event.id for event in events} - {text.id.hex() for text in held}
