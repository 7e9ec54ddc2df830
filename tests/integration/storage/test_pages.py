"""Pages of the log and of the newest events are bounded in bytes, and put together they are the whole."""

import random
from typing import Any

import pytest

from relay.changes.change import Added, Change
from relay.changes.overlay import newest_first
from relay.protocol.event import StoredEvent
from relay.storage import newest_events
from relay.storage import primary as log
from relay.storage.newest_events import events_below
from relay.storage.primary import Primary
from relay.storage.reads import Reads
from tests.events import NOW, secret, sign_event
from tests.integration.storage.scribe import Scribe, Tables, entry

pytestmark = pytest.mark.django_db

SIZES = [10, 10, 3_000, 20_000, 40_000, 120_000]
PAGE_BYTES = 30_000


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "PAGE_BYTES", PAGE_BYTES)
    monkeypatch.setattr(newest_events, "PAGE_BYTES", PAGE_BYTES)


@pytest.fixture(params=range(3))
async def events(scribe: Scribe, request: pytest.FixtureRequest) -> list[StoredEvent]:
    """Stored events of very different sizes, in the order of answers; some were replaced."""
    chance = random.Random(request.param)
    written: list[Any] = []
    for number in range(60):
        fields: dict[str, Any] = {"created_at": NOW + chance.randrange(20), "content": "x" * chance.choice(SIZES)}
        if number % 6 == 0:
            fields |= {"kind": 0, "created_at": NOW + number}
        written.append(sign_event(secret(1), tags=[["n", str(number)]], **fields))
    for event in written:
        await scribe.write(event)
    replaced = [event for event in written if event["kind"] == 0][:-1]
    kept = [entry(event).event for event in written if event not in replaced]
    return sorted(kept, key=newest_first)


def size(events: list[StoredEvent]) -> int:
    return sum(len(event.json) for event in events)


def added(change: Change) -> list[StoredEvent]:
    return [change.event] if type(change) is Added else []


async def test_pages_of_the_log_are_the_log(primary: Primary, tables: Tables, events: list[StoredEvent]) -> None:
    found: list[Change] = []
    while (batch := await primary.changes_after(len(found), limit=7)) is not None:
        whole = [event for change in batch.changes for event in added(change)]
        assert len(batch.changes) <= 7
        assert size(whole[:-1]) < PAGE_BYTES
        assert batch.first == len(found) + 1
        found += batch.changes
    assert [change.seq for change in found] == [seq for seq, _, _ in tables.log()]
    assert sorted([event for change in found for event in added(change)], key=newest_first) == events


@pytest.mark.usefixtures("events")
async def test_a_page_of_the_log_is_no_smaller_than_its_bounds(primary: Primary) -> None:
    """The next change is left out because of the number or the bytes, not for nothing."""
    position = 0
    while (batch := await primary.changes_after(position, limit=7)) is not None:
        position = batch.last
        whole = [event for change in batch.changes for event in added(change)]
        following = await primary.changes_after(position, limit=1)
        assert len(batch.changes) == 7 or size(whole) >= PAGE_BYTES or following is None


@pytest.mark.parametrize("count, room", [(5, 10**9), (1_000, 0), (1_000, 200_000), (1_000, 10**9)])
@pytest.mark.usefixtures("events")
async def test_the_newest_changes_of_a_size_are_found(primary: Primary, tables: Tables, count: int, room: int) -> None:
    stored = {row[0].hex(): row[1] for row in tables.rows("SELECT id, octet_length(json) FROM relay_event")}
    changes = tables.log()
    begin, left = len(changes), room
    for seq, op, event_id in reversed(changes[-count:]):
        left -= stored.get(event_id, 0) if op == "+" else 0
        if left < 0:
            break
        begin = seq - 1
    assert await primary.before_newest(len(changes), count, room) == begin


async def test_pages_of_the_newest_events_are_the_store(reads: Reads, events: list[StoredEvent]) -> None:
    found: list[StoredEvent] = []
    complete = False
    while not complete:
        page = await events_below(reads, newest_first(found[-1]) if found else None, 7)
        assert len(page.events) <= 7
        assert size(page.events[:-1]) < PAGE_BYTES
        assert len(page.events) == 7 or page.complete or size(page.events) >= PAGE_BYTES
        found += page.events
        complete = page.complete
    assert found == events


async def test_an_empty_store_is_one_complete_page(reads: Reads) -> None:
    page = await events_below(reads, None, 7)
    assert (page.events, page.complete) == ([], True)
