"""NIP-40: events that expire (40-1 to 40-6)."""

import asyncio
import time
from typing import Any

import psycopg
import pytest

from tests.acceptance.author import Author
from tests.acceptance.client import Client, Ok
from tests.acceptance.protocol.conftest import OpenClients
from tests.acceptance.relay_process import RelayProcess


def expiring(author: Author, end: int, **fields: Any) -> dict[str, Any]:
    return author.event(tags=[["expiration", str(end)]], **fields)


async def until(second: int) -> None:
    """Wait for the clock."""
    while time.time() < second:
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("kind", [1, 0, 20_001, 30_000])
async def test_40_1_an_expired_event_is_refused_and_not_sent(client: Client, author: Author, kind: int) -> None:
    await client.request("live", author.events)
    event = expiring(author, int(time.time()), kind=kind)

    assert await client.publish(event) == Ok(event["id"], False, "invalid: event expired")

    assert await client.settled() == []
    assert (await client.query(author.events)).events == []


async def test_40_2_an_event_is_served_until_it_expires(clients: OpenClients, author: Author) -> None:
    writer, *readers = await clients()
    end = int(time.time()) + 2
    event, lasting = expiring(author, end, kind=30_000), author.event()
    await writer.publish_all(event, lasting)
    assert (await writer.query({"ids": [event["id"]]})).events == [event]

    await until(end)

    for reader in readers:
        found = await reader.query({"ids": [event["id"]]}, author.events, {"#d": [""], **author.events})
        assert found.events == [lasting]


async def test_40_2_the_expired_take_no_place_of_the_limit(client: Client, author: Author) -> None:
    now = int(time.time())
    lasting = author.event(at=now - 10)
    await client.publish_all(lasting, *[expiring(author, now + 2, at=now - place) for place in range(5)])

    await until(now + 2)

    assert (await client.query(author.events | {"limit": 1})).events == [lasting]


async def test_40_3_a_sweep_takes_expired_events_away(
    small: RelayProcess, small_client: Client, author: Author
) -> None:
    event = expiring(author, int(time.time()) + 2)
    await small_client.publish_all(event)

    with psycopg.connect(small.services()["DATABASE_URL"], autocommit=True) as database:

        def rows() -> int:
            found = database.execute("SELECT FROM relay_event WHERE id = %s", [bytes.fromhex(event["id"])])
            return found.rowcount

        assert rows() == 1
        async with asyncio.timeout(30):
            while rows():
                await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    "tag", [["expiration"], ["expiration", ""], ["expiration", "soon"], ["expiration", "-1"], ["expiration", "9e9"],
            ["expiration", "4000000000.5"], ["expiration", str(2**63)], ["expiration", " 4000000000"]], ids=str,
)  # fmt: skip
async def test_40_4_a_value_that_is_no_time_is_invalid(client: Client, author: Author, tag: list[str]) -> None:
    answer = await client.publish(author.event(tags=[tag]))

    assert not answer.accepted
    assert answer.text.startswith("invalid: ")


async def test_40_4_the_first_of_two_tags_counts(client: Client, author: Author) -> None:
    past, future = ["expiration", "1"], ["expiration", str(2**63 - 1)]

    assert not (await client.publish(author.event(tags=[past, future]))).accepted
    assert (await client.publish(author.event(tags=[future, past]))).accepted


async def test_40_5_when_the_newest_expires_the_older_does_not_come_back(client: Client, author: Author) -> None:
    end = int(time.time()) + 2
    await client.publish_all(author.event("old", kind=0, at=1), expiring(author, end, kind=0, at=2))

    await until(end)

    assert (await client.query(author.events)).events == []


async def test_40_5_an_ephemeral_event_may_expire(client: Client, author: Author) -> None:
    event = expiring(author, int(time.time()) + 60, kind=20_001)
    await client.request("live", author.events)

    assert (await client.publish(event)).accepted

    assert await client.live("live") == event
