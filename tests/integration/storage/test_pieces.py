"""A large answer in pieces: keys first, texts later; the oracle's answer without what was removed in between."""

import random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.storage.filter_sql import Bounds, Key
from relay.storage.read_result import Item, key_of
from relay.storage.reads import Reads
from tests.events import NOW, unsigned_event
from tests.integration.storage.scribe import Json, Scribe, Tables
from tests.oracle import naive_query

pytestmark = pytest.mark.django_db

LIMITS = Limits(max_limit=40, default_limit=10)
LARGE = 393_216


def _pool() -> list[Json]:
    chance = random.Random(3)
    return [
        unsigned_event(
            kind=chance.choice([1, 7]),
            created_at=NOW - chance.randint(0, 9),
            tags=[["t", chance.choice("ab")]],
            content="x" * chance.choice([1, 100, 5_000]),
        )
        for _ in range(40)
    ]


POOL = _pool()
FILTERS: list[Json] = [
    {},
    {"kinds": [1]},
    {"kinds": [1, 7], "limit": 30},
    {"#t": ["a"]},
    {"#t": ["a", "b"], "limit": 7},
]


def size(item: Item) -> int:
    return item.size if type(item) is Key else len(item)  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_pieces_are_the_oracles_answer_without_what_was_removed(
    data: Any, scribe: Scribe, reads: Reads, tables: Tables
) -> None:
    tables.clear()
    await scribe.write(*POOL)
    reads.attempts.bounds = Bounds(text_bytes=data.draw(st.sampled_from([1, 300, 6_000, 40_000]), "bytes"))
    wanted = data.draw(st.lists(st.sampled_from(FILTERS), min_size=1, max_size=3), "filters")
    result = await reads.query([parse_filter(one, LIMITS) for one in wanted])
    expected = [event["id"] for event in naive_query(POOL, wanted, NOW, LIMITS.max_limit, LIMITS.default_limit)]
    assert [(item if type(item) is Key else key_of(item)).id.decode() for item in result.events] == expected  # type: ignore[arg-type]
    assert (
        sum(len(item) for item in result.events if type(item) is bytes)
        <= len(wanted) * reads.attempts.bounds.text_bytes
    )
    removed: set[str] = set()
    sent: list[str] = []
    items = list(result.events)
    while items:
        count = data.draw(st.integers(1, 5), "piece")
        piece, items = items[:count], items[count:]
        gone = data.draw(st.sampled_from(expected), "removed")
        tables.rows("DELETE FROM relay_event WHERE id = %s RETURNING id", bytes.fromhex(gone))
        removed.add(gone)
        keys = [item for item in piece if type(item) is Key]
        texts = await reads.texts(keys, least=result.position) if keys else {}
        for item in piece:
            text = texts.get(item.id) if type(item) is Key else item
            if text is not None:
                sent.append(msgspec.json.decode(text)["id"])  # type: ignore[arg-type]
                assert type(item) is not Key or (item.size == len(text) and sent[-1] not in removed)  # type: ignore[arg-type]
    assert sent == [event_id for event_id in expected if event_id in sent]
    assert set(expected) - set(sent) <= removed


async def test_an_event_that_expires_between_two_pieces_is_left_out(
    scribe: Scribe, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scribe.write(unsigned_event(created_at=NOW, tags=[["expiration", str(NOW + 2**32)]]))
    reads.attempts.bounds = Bounds(text_bytes=1)
    (key,) = (await reads.query([parse_filter({}, LIMITS)])).events
    assert isinstance(key, Key)
    assert len(await reads.texts([key])) == 1
    monkeypatch.setattr("relay.storage.reads.time.time", lambda: NOW + 2**32)
    assert await reads.texts([key]) == {}


async def test_the_statement_of_many_large_events_returns_a_bounded_answer(scribe: Scribe, reads: Reads) -> None:
    """20 filters over events of 384 KB: keys of all of them, and texts of less than 2 MiB."""
    events = [unsigned_event(created_at=NOW - number, content="x" * LARGE) for number in range(30)]
    await scribe.write(*events)
    result = await reads.query([parse_filter({"kinds": [1], "since": n}, LIMITS) for n in range(20)])
    assert sum(map(size, result.events)) >= 10 * LARGE
    assert sum(len(item) for item in result.events if type(item) is bytes) < 2_097_152
