"""What the writer sends again after PostgreSQL has ended a transaction for another one. Without a database."""

import asyncio

import psycopg
import pytest

from relay.protocol.event import StoredEvent
from relay.protocol.removal import Targets
from relay.storage import writer as writer_module
from relay.storage.batch import DELETE_PART, MOST_TARGETS, Entry
from relay.storage.request import Request, Row
from relay.storage.store import CURRENT_STORE
from relay.storage.write_result import WriteOutcome
from relay.storage.writer import RETRIES, Writer
from tests.unit.storage.channel import Channel

NUMBER_1 = (1).to_bytes(8)
STORE: Row = (b"1" * 16, b"2" * 16, NUMBER_1)
NOTHING_REMOVED: Row = (bytes(8), b"")
WRITTEN: Row = (NUMBER_1, None, None, None, None, None, NUMBER_1, bytes(4))

DELETION = Entry(
    StoredEvent("1" * 64, "2" * 64, 1, 5, None, frozenset(), b"{}"),
    None,
    targets=Targets(tuple(f"{number:064x}" for number in range(MOST_TARGETS + 1)), ()),
)
"""Of two parts, of which the first is carried out ahead of it."""


class Failing(Channel):
    """Answers at once, after as many deadlocks of each text as it is told."""

    prelude = b""
    sent: list[bytes]
    deadlocks: dict[bytes, int]

    def send(self, text: bytes, parameters: object, **_options: object) -> Request:
        future: asyncio.Future[list[Row]] = asyncio.get_running_loop().create_future()
        if text == CURRENT_STORE.encode():
            future.set_result([STORE])
            return Request(text, future, False)
        self.sent.append(text)
        if self.deadlocks.get(text, 0):
            self.deadlocks[text] -= 1
            future.set_exception(psycopg.errors.DeadlockDetected())
        else:
            future.set_result([NOTHING_REMOVED if text == DELETE_PART else WRITTEN])
        return Request(text, future, False)


async def outcome_after(deadlocks: dict[bytes, int], monkeypatch: pytest.MonkeyPatch) -> WriteOutcome:
    """The outcome of DELETION."""

    async def connect(**_options: object) -> object:
        return object()

    monkeypatch.setattr(Failing, "sent", [], raising=False)
    monkeypatch.setattr(Failing, "deadlocks", deadlocks, raising=False)
    monkeypatch.setattr(writer_module, "connect", connect)
    monkeypatch.setattr(writer_module, "Channel", Failing)
    outcome: asyncio.Future[WriteOutcome] = asyncio.get_running_loop().create_future()
    writer = Writer(lambda _batch: None, batch_events=10, queue_events=10, write_seconds=5.0)
    writer.start()
    try:
        writer.submit(DELETION, lambda _entry, found: outcome.set_result(found))
        return await asyncio.wait_for(outcome, 5)
    finally:
        await writer.stop(0.1)


async def test_a_part_of_a_deletion_is_sent_again_after_a_deadlock(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await outcome_after({DELETE_PART: RETRIES}, monkeypatch) is WriteOutcome.STORED
    assert Failing.sent[:-1] == [DELETE_PART] * (RETRIES + 1)


async def test_it_is_not_sent_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await outcome_after({DELETE_PART: RETRIES + 1}, monkeypatch) is WriteOutcome.FAILED
    assert Failing.sent == [DELETE_PART] * (RETRIES + 1)
