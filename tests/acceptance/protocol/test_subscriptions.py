"""NIP-01: the life of a subscription (01-S01 to 01-S14)."""

import asyncio
import re
import socket
from typing import Any

import psycopg
import pytest
from websockets.exceptions import InvalidStatus

from tests.acceptance.author import Author
from tests.acceptance.client import Client
from tests.acceptance.protocol.conftest import OpenClients
from tests.acceptance.relay_process import RelayProcess

Json = dict[str, Any]

TOO_MANY = "rate-limited: too many subscriptions"


async def events_of(client: Client) -> list[list[Any]]:
    """What came of events, when nothing more will come."""
    return [message for message in await client.settled() if message[0] == "EVENT"]


@pytest.mark.parametrize("name", ["a", "x" * 64, "😀" * 64, '"\\\n', "\u2028 ", "\x00", "é" * 64])
async def test_01_s01_any_1_to_64_characters_name_a_subscription(client: Client, author: Author, name: str) -> None:
    event = author.event()
    await client.publish(event)

    assert (await client.request(name, author.events)).events == [event]


@pytest.mark.parametrize("name", ["", "x" * 65, "😀" * 65])
async def test_01_s01_other_lengths_are_invalid(client: Client, name: str) -> None:
    assert str((await client.request(name, {})).closed).startswith("invalid: ")


async def test_01_s01_connections_do_not_share_names(clients: OpenClients, author: Author, other: Author) -> None:
    one, two = await clients(2)
    await one.request("sub", author.events)
    await two.request("sub", other.events)
    event = author.event()

    await one.publish(event)

    assert await one.live("sub") == event
    assert await events_of(two) == []


async def test_01_s02_a_refused_req_gets_closed_and_no_eose(client: Client) -> None:
    await client.send("REQ", "bad", {"kinds": ["1"]})

    (answer,) = await client.settled()
    assert answer[:2] == ["CLOSED", "bad"]
    assert re.fullmatch(r"[a-z-]+: .+", answer[2])


@pytest.mark.parametrize("name", [7, None, [], {}, True])
async def test_01_s02_a_name_that_is_no_text_gets_a_notice(client: Client, name: object) -> None:
    await client.send("REQ", name, {})

    assert (await client.notice()).startswith("invalid: ")


async def test_01_s03_stored_events_then_one_eose_then_live_events(client: Client, author: Author) -> None:
    stored, new = author.event("stored"), author.event("new")
    await client.publish(stored)
    await client.send("REQ", "sub", author.events)
    await client.send("EVENT", new)

    assert (await client.stored("sub")).events == [stored]
    assert await client.live("sub") == new
    assert [message[0] for message in await client.settled()] == ["OK"]


async def test_01_s03_nothing_is_lost_or_doubled_between_stored_and_live(clients: OpenClients, author: Author) -> None:
    readers, writers = await clients(4), await clients()
    batches = [[author.event(f"{place} {n}") for n in range(30)] for place, _ in enumerate(writers)]
    writing = [asyncio.create_task(writer.publish_all(*batch)) for writer, batch in zip(writers, batches, strict=True)]
    for turn in range(3):
        for reader in readers:
            await reader.send("REQ", f"sub {turn}", author.events)
    await asyncio.gather(*writing)

    expected = sorted(event["id"] for batch in batches for event in batch)
    for reader in readers:
        for turn in range(3):
            came = (await reader.stored(f"sub {turn}")).ids
            came += [(await reader.live(f"sub {turn}"))["id"] for _ in range(len(expected) - len(came))]
            assert sorted(came) == expected
        assert await events_of(reader) == []


async def test_01_s04_a_req_with_an_open_name_replaces_it(client: Client, author: Author, other: Author) -> None:
    await client.request("sub", author.events)
    event = other.event()

    answer = await client.request("sub", other.events)
    await client.publish_all(author.event(), event)

    assert answer.closed is None
    assert await events_of(client) == [["EVENT", "sub", event]]


async def test_01_s04_nothing_of_an_old_query_comes_after_the_new_one_began(client: Client, author: Author) -> None:
    await client.publish_all(*[author.event(str(at), at=at) for at in range(50)])

    for limit in range(1, 51):
        await client.send("REQ", "sub", author.events | {"limit": limit})

    # Some were answered before they were replaced; whole answers, in the order of the queries, are all that may come.
    sizes = [0]
    while sizes[-1] < 50:
        answer = await client.stored("sub")
        assert answer.closed is None
        sizes.append(len(answer.events))
    assert sizes == sorted(set(sizes))
    assert await client.settled() == []


async def test_01_s04_the_same_req_again_is_answered_again(client: Client, author: Author) -> None:
    event = author.event()
    await client.publish(event)

    answers = [await client.request("sub", author.events) for _ in range(3)]

    assert [answer.events for answer in answers] == [[event]] * 3


async def test_01_s04_a_refused_req_ends_the_open_subscription_of_its_name(client: Client, author: Author) -> None:
    await client.request("sub", author.events)
    await client.request("other", author.events)

    assert str((await client.request("sub", {"search": "x"})).closed).startswith("unsupported: ")

    event = author.event()
    await client.publish(event)
    assert await client.live("other") == event
    assert await events_of(client) == []


async def test_01_s05_close_ends_a_subscription_without_an_answer(client: Client, author: Author) -> None:
    await client.request("sub", author.events)

    await client.send("CLOSE", "sub")
    assert await client.settled() == []

    await client.publish(author.event())
    assert await events_of(client) == []


@pytest.mark.parametrize("name", ["unknown", "", "x" * 65])
async def test_01_s05_close_of_an_unknown_name_is_silent(client: Client, name: str) -> None:
    await client.send("CLOSE", name)

    assert await client.settled() == []


async def test_01_s05_close_cancels_a_query_that_runs(
    small: RelayProcess, small_client: Client, author: Author
) -> None:
    await small_client.publish(author.event())
    with psycopg.connect(small.services()["DATABASE_URL"]) as database:
        database.execute("LOCK TABLE relay_event IN ACCESS EXCLUSIVE MODE")
        await small_client.send("REQ", "sub", author.events)
        await small_client.settled()
        await small_client.send("CLOSE", "sub")
        await small_client.settled()

    assert len((await small_client.query(author.events)).events) == 1
    assert await small_client.settled() == []


async def test_01_s06_events_come_for_open_names_only(clients: OpenClients, author: Author) -> None:
    one, two, *rest = await clients()
    await one.request("one", author.events)
    await two.request("two", author.events)
    event = author.event()

    await rest[0].publish(event)

    assert await one.live("one") == event
    assert await two.live("two") == event
    for client in (one, two, *rest):
        assert await events_of(client) == []


async def test_01_s07_one_subscription_too_many_is_closed_and_the_others_stay(
    small_client: Client, author: Author
) -> None:
    for name in ("1", "2", "3"):
        assert (await small_client.request(name, author.events)).closed is None

    assert (await small_client.request("4", author.events)).closed == TOO_MANY

    event = author.event()
    await small_client.publish(event)
    assert [await small_client.live(name) for name in ("1", "2", "3")] == [event] * 3


async def test_01_s07_an_open_name_is_replaced_at_the_cap(small_client: Client, author: Author) -> None:
    for name in ("1", "2", "3", "3"):
        assert (await small_client.request(name, author.events)).closed is None

    await small_client.send("CLOSE", "1")
    assert (await small_client.request("4", author.events)).closed is None


@pytest.mark.parametrize("filters", [[], [7], [None], [[]], ["{}"], [{}, "{}"]], ids=str)
async def test_01_s08_a_req_without_a_filter_is_invalid(client: Client, filters: list[Any]) -> None:
    assert str((await client.request("sub", *filters)).closed).startswith("invalid: ")


async def test_01_s08_too_many_filters_are_invalid(small_client: Client) -> None:
    assert (await small_client.request("sub", *[{}] * 3)).closed is None
    assert (await small_client.request("sub", *[{}] * 4)).closed == "invalid: too many filters"


async def test_01_s09_a_client_that_does_not_read_loses_its_connection(relay: RelayProcess, author: Author) -> None:
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", relay.port))
        # max_queue of one frame: the library stops reading, and the socket's buffer is small.
        async with (
            Client(relay.ws_url, sock=deaf, max_queue=1, ping_interval=None) as slow,
            Client(relay.ws_url) as quick,
        ):
            for number in range(60):
                await slow.request(str(number), author.events)  # live from here on, and not read any more
            await quick.request("live", author.events)

            for number in range(12):
                event = author.event(f"{number} ".ljust(100_000, "x"), kind=20_001)
                await quick.publish(event)
                assert await quick.live("live") == event

            assert await slow.closed() == 1006
            assert len([message for message in slow.unread if message[0] == "EVENT"]) < 12 * 60


async def test_01_s10_the_publisher_gets_its_own_event(client: Client, author: Author) -> None:
    event = author.event()
    await client.request("sub", author.events)

    await client.publish(event)

    assert await client.live("sub") == event


async def test_01_s11_a_query_over_its_time_is_closed(
    small: RelayProcess, small_client: Client, author: Author
) -> None:
    with psycopg.connect(small.services()["DATABASE_URL"]) as database:
        database.execute("LOCK TABLE relay_event IN ACCESS EXCLUSIVE MODE")

        answer = await small_client.request("sub", author.events)

    assert answer.closed == "error: query timed out"
    assert (await small_client.request("sub", author.events)).closed is None


async def test_01_s12_another_path_is_answered_404(relay: RelayProcess) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with Client(f"{relay.ws_url}/elsewhere"):
            pass

    assert caught.value.response.status_code == 404


@pytest.mark.parametrize("wanted", [{"ids": ["0" * 64]}, {"until": 1}, {"limit": 0}, {"kinds": []}], ids=str)
async def test_01_s13_a_subscription_is_never_closed_because_nothing_will_come(client: Client, wanted: Json) -> None:
    assert (await client.request("sub", wanted)).closed is None

    assert await client.settled() == []


async def test_01_s14_a_ping_is_answered(client: Client) -> None:
    answered = await client.socket.ping(b"payload")

    async with asyncio.timeout(10):
        await answered


async def test_01_s14_a_client_that_answers_pings_stays(small: RelayProcess, author: Author) -> None:
    async with Client(small.ws_url, ping_interval=None) as client:
        await client.request("sub", author.events)
        # The relay pings twice a second; it sends nothing else, and we only wait for it.
        with pytest.raises(TimeoutError):
            await client.next(2.5)

        event = author.event()
        await client.publish(event)
        assert await client.live("sub") == event


async def test_01_s14_a_client_that_leaves_two_pings_unanswered_is_dropped(small: RelayProcess) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", small.port)
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    writer.write(f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")

    async with asyncio.timeout(10):
        came = await reader.read()

    assert came.count(b"\x89\x00") == 2
    writer.close()
