"""NIP-09 and NIP-62 over a whole relay of two workers: what is gone is gone on each of them."""

import os
import signal
from typing import Any

from tests.acceptance.author import Author
from tests.acceptance.client import Client, Ok
from tests.acceptance.faults.workers import client_of
from tests.acceptance.protocol.conftest import OpenClients
from tests.acceptance.relay_process import RelayProcess


def deletion(author: Author, *events: dict[str, Any]) -> dict[str, Any]:
    return author.event(kind=5, tags=[["e", event["id"]] for event in events])


async def test_09_1_a_deleted_event_is_served_by_no_worker(clients: OpenClients, author: Author) -> None:
    writer, *readers = await clients()
    event, kept = author.event(), author.event(kind=30_000)
    await writer.publish_all(event, kept)
    for reader in readers:  # it is in every copy
        assert event in (await reader.query(author.events, {"ids": [event["id"]]})).events
    gone = deletion(author, event)

    assert await writer.publish(gone) == Ok(gone["id"], True, "")

    for reader in readers:
        assert (await reader.query({"ids": [event["id"]]})).events == []
        found = (await reader.query(author.events)).events
        assert sorted(one["id"] for one in found) == sorted([kept["id"], gone["id"]])


async def test_09_7_a_deletion_is_sent_to_live_subscriptions(client: Client, author: Author) -> None:
    await client.request("live", author.events)
    gone = deletion(author)
    await client.publish(gone)

    assert [message[2] for message in await client.settled()] == [gone]


async def test_09_8_a_deleted_event_is_blocked_on_every_worker(clients: OpenClients, author: Author) -> None:
    writer, *others = await clients()
    event = author.event()
    await writer.publish_all(event, deletion(author, event))

    for other in others:
        assert await other.publish(event) == Ok(event["id"], False, "blocked: deleted by author")


async def test_09_16_a_worker_that_was_paused_serves_nothing_deleted(relay: RelayProcess, author: Author) -> None:
    paused, awake = relay.workers()
    async with client_of(relay, paused) as there, client_of(relay, awake) as here:
        event = author.event()
        await here.publish(event)
        assert (await there.query(author.events)).events == [event]
        gone = deletion(author, event)
        os.kill(paused, signal.SIGSTOP)
        try:
            assert (await here.publish(gone)).accepted
        finally:
            os.kill(paused, signal.SIGCONT)
        assert (await there.query({"ids": [event["id"]]}, author.events)).events == [gone]
        assert await there.publish(event) == Ok(event["id"], False, "blocked: deleted by author")


async def test_62_7_all_of_a_key_is_gone_everywhere_at_once(clients: OpenClients, author: Author) -> None:
    writer, *readers = await clients()
    at = author.event()["created_at"]
    events = [author.event(str(number), at=at - number % 5) for number in range(150)]
    await writer.publish_all(*events)
    for reader in readers:
        assert len((await reader.query(author.events)).events) == 150
    await writer.request("live", author.events)
    await writer.settled()
    request = author.event(kind=62, at=at, tags=[["relay", "ALL_RELAYS"]])

    assert await writer.publish(request) == Ok(request["id"], True, "")

    for reader in readers:
        assert (await reader.query(author.events, {"ids": [events[0]["id"], request["id"]]})).events == []
        assert await reader.publish(events[7]) == Ok(events[7]["id"], False, "blocked: deleted by author")
    after = author.event(at=at + 1)
    await readers[0].publish(after)
    assert (await writer.query(author.events)).events == [after]


async def test_62_4_a_request_without_a_relay_is_invalid(client: Client, author: Author) -> None:
    request = author.event(kind=62)

    assert (await client.publish(request)).text.startswith("invalid:")
