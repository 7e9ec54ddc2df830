"""Two writers on two connections at once: the same winners, every id once, and readers that see prefixes."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from relay.changes.change import Added, Change, Removed
from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.storage.primary import Primary
from relay.storage.reads import Reads
from relay.storage.write_result import WriteOutcome
from tests.events import NOW, pubkey_of, secret, unsigned_event
from tests.integration.storage.scribe import Json, Scribe, Tables, replay

pytestmark = pytest.mark.django_db

LIMITS = Limits(max_limit=10_000, default_limit=10_000)
EVERYTHING = [parse_filter({}, LIMITS)]


@pytest.fixture
async def pair(tables: Tables) -> AsyncIterator[tuple[Scribe, Scribe]]:
    """Two writers with small batches, so that they meet often."""
    both = Scribe(batch_events=7), Scribe(batch_events=5)
    for scribe in both:
        scribe.writer.start()
    yield both
    for scribe in both:
        await scribe.writer.stop(5)


def versions(count: int, **fields: Any) -> list[Json]:
    """Versions of one address, many of them in the same second."""
    return [
        unsigned_event(kind=10_002, content=str(number), created_at=NOW + number % 4, **fields)
        for number in range(count)
    ]


def winner(events: Sequence[Json]) -> str:
    return str(min(events, key=lambda event: (-event["created_at"], event["id"]))["id"])


async def both_write(pair: tuple[Scribe, Scribe], first: Sequence[Json], second: Sequence[Json]) -> list[WriteOutcome]:
    outcomes = await asyncio.gather(pair[0].write(*first), pair[1].write(*second))
    return [*outcomes[0], *outcomes[1]]


@pytest.mark.parametrize("turned", [False, True])
async def test_01_k06_two_writers_keep_the_same_version(
    pair: tuple[Scribe, Scribe], tables: Tables, turned: bool
) -> None:
    events = versions(40)
    outcomes = await both_write(pair, events, events[::-1] if turned else events)
    assert WriteOutcome.FAILED not in outcomes
    assert tables.ids() == {winner(events)}
    tables.assert_consistent()


async def test_many_addresses_at_once_have_one_version_each(pair: tuple[Scribe, Scribe], tables: Tables) -> None:
    chance = random.Random(3)
    addresses = [versions(6, pubkey=pubkey_of(secret(number))) for number in range(1, 15)]
    events = [event for address in addresses for event in address]
    await both_write(pair, chance.sample(events, len(events)), chance.sample(events, len(events)))
    assert tables.ids() == {winner(address) for address in addresses}
    assert tables.heads() == {(address[0]["pubkey"], 10_002): winner(address) for address in addresses}
    tables.assert_consistent()


async def test_every_id_is_stored_by_only_one_writer(pair: tuple[Scribe, Scribe], tables: Tables) -> None:
    events = [unsigned_event(content=str(number), tags=[["t", "x"]]) for number in range(150)]
    outcomes = await both_write(pair, events, events[::-1])
    assert (outcomes.count(WriteOutcome.STORED), outcomes.count(WriteOutcome.DUPLICATE)) == (150, 150)
    assert sorted(event_id for _, _, event_id in tables.log()) == sorted(event["id"] for event in events)
    tables.assert_consistent()


async def test_the_writers_results_equal_the_log(pair: tuple[Scribe, Scribe], tables: Tables) -> None:
    events = [*versions(30), *(unsigned_event(content=str(number)) for number in range(60))]
    await both_write(pair, events, random.Random(5).sample(events, len(events)))
    said = [change for scribe in pair for batch in scribe.committed for change in batch.changes]
    assert (
        sorted(
            (change.seq, "+", change.event.id) if isinstance(change, Added) else (change.seq, "-", change.event_id)
            for change in said
            if isinstance(change, Added | Removed)
        )
        == tables.log()
    )


async def test_reading_the_log_gives_the_writers_results(
    pair: tuple[Scribe, Scribe], primary: Primary, tables: Tables
) -> None:
    """An addition whose event is gone reads as a removal, everything else as it was committed."""
    await both_write(pair, versions(30), [unsigned_event(content=str(number)) for number in range(40)])
    kept, position = tables.ids(), 0
    read: list[Change] = []
    while (batch := await primary.changes_after(position, limit=9)) is not None:
        read += batch.changes
        position = batch.last
    for change, (seq, op, event_id) in zip(read, tables.log(), strict=True):
        assert change.seq == seq
        if isinstance(change, Added):
            assert (op, change.event.id) == ("+", event_id)
        else:
            assert isinstance(change, Removed)
            assert change.event_id == event_id
            assert op == "-" or event_id not in kept


async def test_every_result_is_an_exact_prefix_of_the_order(
    pair: tuple[Scribe, Scribe], reads: Reads, tables: Tables
) -> None:
    """The rows of a query are those that the log up to its position leads to, while two writers write."""
    events = [*versions(60), *(unsigned_event(content=str(number)) for number in range(240))]
    chance = random.Random(7)
    writing = asyncio.ensure_future(both_write(pair, chance.sample(events, 300), chance.sample(events, 300)))
    seen: list[tuple[int, list[str]]] = []

    async def read() -> None:
        while not writing.done():
            result = await reads.query(EVERYTHING)
            ids = [msgspec.json.decode(text)["id"] for text in result.events]  # type: ignore[arg-type]
            seen.append((result.position, ids))

    await asyncio.gather(writing, read(), read(), read())
    log = tables.log()
    for position, ids in seen:
        assert len(ids) == len(set(ids))
        assert set(ids) == replay(log[:position])
    assert len({position for position, _ in seen}) > 3


async def test_a_query_sees_what_was_acknowledged_before_it(pair: tuple[Scribe, Scribe], reads: Reads) -> None:
    """01-E20, whichever writer said OK."""
    for number in range(30):
        event = unsigned_event(content=str(number))
        await pair[number % 2].write(event)
        result = await reads.query([parse_filter({"ids": [event["id"]]}, LIMITS)])
        assert (len(result.events), result.position) == (1, number + 1)
