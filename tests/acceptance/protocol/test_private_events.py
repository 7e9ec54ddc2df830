"""Events that are for some people alone, on a relay that has no login yet: NIP-70, 42, 59, 17 and 04."""

import json

import pytest

from tests.acceptance.author import Author
from tests.acceptance.client import Client, Ok
from tests.acceptance.protocol.conftest import OpenClients


@pytest.mark.parametrize("tag", [["-"], ["-", "x"]], ids=str)
async def test_70_1_a_protected_event_is_refused(client: Client, author: Author, tag: list[str]) -> None:
    event = author.event(tags=[["t", "a"], tag])

    answer = await client.publish(event)

    assert not answer.accepted
    assert answer.text.startswith("restricted: ")
    assert (await client.query(author.events)).events == []


@pytest.mark.parametrize("kind", [6, 16])
async def test_70_2_a_repost_of_a_protected_event_is_refused(
    client: Client, author: Author, other: Author, kind: int
) -> None:
    protected = json.dumps(other.event(tags=[["-"]]))
    plain = json.dumps(other.event('mentions "-"'))

    assert (await client.publish(author.event(protected, kind=kind))).text.startswith("blocked: ")
    assert (await client.publish(author.event(plain, kind=kind))).accepted


async def test_42_4_a_login_is_never_stored_and_never_sent(clients: OpenClients, author: Author) -> None:
    one, two = await clients(2)
    await two.request("live", {"kinds": [22_242]}, author.events)
    event = author.event(kind=22_242, tags=[["relay", "ws://x"], ["challenge", "y"]])

    answer = await one.publish(event)

    assert not answer.accepted
    assert answer.text.startswith("invalid: ")
    assert (await one.query({"kinds": [22_242]})).events == []
    assert await two.settled() == []


async def stored_and_served_to_nobody(clients: OpenClients, author: Author, other: Author, kind: int) -> None:
    """Publishing works, and no filter finds the event, stored or live."""
    one, two = await clients(2)
    event = author.event("secret", kind=kind, tags=[["p", other.pubkey], ["d", ""]])
    filters = [{"ids": [event["id"]]}, {"kinds": [kind]}, {"#p": [other.pubkey]}, author.events, {"limit": 500}]
    await two.request("live", *filters)
    await two.settled()

    assert await one.publish(event) == Ok(event["id"], True, "")

    for client in (one, two):
        assert event["id"] not in (await client.query(*filters)).ids
    assert [message for message in await two.settled() if message[2] == event] == []


async def test_59_1_a_gift_wrap_is_served_to_nobody(clients: OpenClients, author: Author, other: Author) -> None:
    await stored_and_served_to_nobody(clients, author, other, 1_059)


async def test_59_1_a_gift_wrap_is_stored(client: Client, author: Author) -> None:
    event = author.event(kind=1_059)
    await client.publish(event)

    assert await client.publish(event) == Ok(event["id"], True, "duplicate: already have this event")


async def test_59_2_naming_gift_wraps_finds_nothing(client: Client, author: Author) -> None:
    await client.publish_all(author.event(kind=1_059))

    answer = await client.request("wraps", {"kinds": [1_059]})

    assert (answer.events, answer.closed) == ([], None)


async def test_59_3_a_gift_wrap_takes_no_place_of_the_limit(client: Client, author: Author) -> None:
    notes = [author.event(str(at), at=at) for at in (1, 2)]
    await client.publish_all(*notes, *[author.event(str(at), kind=1_059, at=at) for at in range(3, 9)])

    answer = await client.query(author.events | {"limit": 2})

    assert answer.events == notes[::-1]


async def test_59_3_a_gift_wrap_is_not_told_by_the_end_of_a_query(client: Client, author: Author) -> None:
    await client.publish_all(author.event(kind=1_059))

    await client.send("REQ", "wraps", author.events)
    await client.send("REQ", "nothing", {"ids": ["0" * 64]})

    assert await client.receive(lambda message: message[1] == "wraps") == ["EOSE", "wraps"]
    assert await client.receive(lambda message: message[1] == "nothing") == ["EOSE", "nothing"]


async def test_59_4_an_ephemeral_gift_wrap_is_neither_stored_nor_sent(
    clients: OpenClients, author: Author, other: Author
) -> None:
    await stored_and_served_to_nobody(clients, author, other, 21_059)


async def test_17_1_the_list_of_message_relays_is_public_and_replaceable(client: Client, author: Author) -> None:
    old, new = author.event("old", kind=10_050, at=1), author.event("new", kind=10_050, at=2)

    await client.publish_all(old, new)

    assert (await client.query(author.events)).events == [new]


@pytest.mark.parametrize("kind", [13, 14])
async def test_17_1_a_rumour_without_a_signature_is_invalid(client: Client, author: Author, kind: int) -> None:
    rumour = author.event(kind=kind)
    del rumour["sig"]

    answer = await client.publish(rumour)

    assert not answer.accepted
    assert answer.text.startswith("invalid: ")


async def test_04_1_a_direct_message_is_served_to_nobody(clients: OpenClients, author: Author, other: Author) -> None:
    await stored_and_served_to_nobody(clients, author, other, 4)
