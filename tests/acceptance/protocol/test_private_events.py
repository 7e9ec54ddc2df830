"""Login, and events that are for some people alone: NIP-42, 70, 59, 17, 04 and 37, on a relay with two workers."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.acceptance.author import Author
from tests.acceptance.client import Client, Ok
from tests.acceptance.conftest import CopyOfMigrated
from tests.acceptance.operators import as_operator, ban
from tests.acceptance.protocol.conftest import OpenClients
from tests.acceptance.relay_process import RelayProcess, running

Json = dict[str, Any]


def wrap(recipient: Author, *others: Author, kind: int = 1_059, **fields: Any) -> Json:
    """A gift wrap, by a key that is used once."""
    return Author().event("sealed", kind=kind, tags=[["p", each.pubkey] for each in (recipient, *others)], **fields)


# -- NIP-42 ------------------------------------------------------------------------------------------------------------


async def test_42_1_a_client_is_sent_a_challenge_and_logs_in(client: Client, author: Author) -> None:
    (answer,) = await client.log_in(author)

    assert (answer.accepted, answer.text) == (True, "")
    assert [len(challenge) for challenge in client.challenges] == [32]


@pytest.mark.parametrize("url", ["wss://other.example.com", "https://127.0.0.1", "ws://127.0.0.1.example.com"])
async def test_42_2_a_login_for_another_relay_is_invalid(client: Client, author: Author, url: str) -> None:
    (answer,) = await client.log_in(author, url=url)

    assert not answer.accepted
    assert answer.text.startswith("invalid: ")


async def test_42_3_several_keys_of_a_connection_read_what_is_for_each(
    client: Client, author: Author, other: Author
) -> None:
    wraps = [wrap(author), wrap(other)]
    await client.publish_all(*wraps)

    assert [answer.accepted for answer in await client.log_in(author, other)] == [True, True]

    found = await client.query({"kinds": [1_059]})
    assert {event["id"] for event in wraps} <= set(found.ids)


@pytest.mark.parametrize("kind", [22_242, 27_235])
async def test_42_4_a_login_is_never_stored_and_never_sent(clients: OpenClients, author: Author, kind: int) -> None:
    one, two = await clients(2)
    await two.request("live", {"kinds": [kind]}, author.events)
    event = author.event(kind=kind, tags=[["relay", "ws://x"], ["challenge", "y"]])

    answer = await one.publish(event)

    assert not answer.accepted
    assert answer.text.startswith("invalid: ")
    assert (await one.query({"kinds": [kind]})).events == []
    assert await two.settled() == []


async def test_42_10_what_is_sent_right_after_a_login_has_its_rights(client: Client, author: Author) -> None:
    await client.settled()
    tags = [["relay", f"ws://127.0.0.1:{client.port}"], ["challenge", client.challenges[0]]]
    event = author.event(tags=[["-"]])

    await client.send("AUTH", author.event(kind=22_242, tags=tags))
    await client.send("EVENT", event)
    await client.send("REQ", "wraps", {"kinds": [1_059]})

    assert await client.answer_to(event["id"]) == Ok(event["id"], True, "")
    assert await client.receive(lambda message: message[1] == "wraps") == ["EOSE", "wraps"]


async def test_42_8_an_open_subscription_receives_what_a_later_login_allows(
    clients: OpenClients, author: Author
) -> None:
    reader, writer = await clients(2)
    await reader.request("live", {"#p": [author.pubkey]})
    await writer.publish_all(wrap(author))
    await reader.query({"authors": [author.pubkey]})  # the reader's worker has applied the wrap before the login
    await reader.log_in(author)
    event = wrap(author)

    await writer.publish_all(event)

    assert await reader.live("live") == event


# -- NIP-70 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", [["-"], ["-", "x"]], ids=str)
async def test_70_1_only_its_author_publishes_a_protected_event(
    client: Client, author: Author, other: Author, tag: list[str]
) -> None:
    event = author.event(tags=[["t", "a"], tag])

    assert (await client.publish(event)).text.startswith("auth-required: ")
    await client.log_in(other)
    assert (await client.publish(event)).text.startswith("restricted: ")
    assert (await client.query(author.events)).events == []
    await client.log_in(author)
    assert await client.publish(event) == Ok(event["id"], True, "")
    assert (await client.query(author.events)).events == [event]


async def test_70_1_a_protected_event_that_is_stored_is_no_duplicate_to_others(
    clients: OpenClients, author: Author
) -> None:
    one, two = await clients(2)
    event = author.event(tags=[["-"]])
    await one.log_in(author)
    await one.publish_all(event)

    assert (await two.publish(event)).text.startswith("auth-required: ")
    assert await one.publish(event) == Ok(event["id"], True, "duplicate: already have this event")


@pytest.mark.parametrize("kind", [6, 16])
async def test_70_2_a_repost_of_a_protected_event_is_refused(
    client: Client, author: Author, other: Author, kind: int
) -> None:
    protected = json.dumps(other.event(tags=[["-"]]))
    plain = json.dumps(other.event('mentions "-"'))

    assert (await client.publish(author.event(protected, kind=kind))).text.startswith("blocked: ")
    assert (await client.publish(author.event(plain, kind=kind))).accepted


# -- NIP-59, NIP-17, NIP-04 --------------------------------------------------------------------------------------------

KIND = pytest.mark.parametrize("kind", [4, 1_059, 21_059])


@KIND
async def test_59_1_a_private_event_is_for_its_recipients(
    clients: OpenClients, author: Author, other: Author, kind: int
) -> None:
    """Stored (but 21059, 59-4) and live, on both workers: to each recipient, and to no other client."""
    stranger, outsider = Author(), Author()
    writer, *readers = await clients(9)
    event = author.event("secret", kind=kind, tags=[["p", other.pubkey], ["p", stranger.pubkey], ["d", ""]])
    filters = [{"ids": [event["id"]]}, {"kinds": [kind, 1]}, {"#p": [other.pubkey]}, author.events]
    for number, reader in enumerate(readers):
        if number % 4:
            await reader.log_in([outsider, other, stranger][number % 4 - 1])
        await reader.request("live", *filters)
        await reader.settled()

    assert await writer.publish(event) == Ok(event["id"], True, "")

    for number, reader in enumerate(readers):
        may_read = number % 4 >= 2
        if may_read:
            assert await reader.live("live") == event
        await reader.settled()
        came = [message for message in await reader.settled() if message[2] == event]
        assert came == []
        stored = may_read and kind != 21_059
        assert (event["id"] in (await reader.query(*filters)).ids) is stored


async def test_59_1_the_key_that_signed_a_wrap_has_no_right_of_its_own(client: Client, author: Author) -> None:
    once = Author()
    event = once.event(kind=1_059, tags=[["p", author.pubkey]])
    await client.publish_all(event)
    await client.log_in(once)

    assert (await client.query({"ids": [event["id"]]})).events == []
    assert (await client.query({"kinds": [1_059], "authors": [once.pubkey]})).events == []


async def test_04_1_the_author_of_a_direct_message_reads_it_too(client: Client, author: Author, other: Author) -> None:
    event = author.event(kind=4, tags=[["p", other.pubkey]])
    await client.publish_all(event)
    await client.log_in(author)

    assert (await client.query({"kinds": [4], "#p": [other.pubkey]})).events == [event]


async def test_59_1_a_gift_wrap_is_stored(client: Client, author: Author) -> None:
    event = author.event(kind=1_059)
    await client.publish(event)

    assert await client.publish(event) == Ok(event["id"], True, "duplicate: already have this event")


@KIND
async def test_59_2_naming_private_kinds_alone_needs_a_login(client: Client, author: Author, kind: int) -> None:
    refused = await client.request("wraps", {"kinds": [kind]})
    await client.log_in(author)

    assert (refused.closed or "").startswith("auth-required: ")
    assert (await client.request("wraps", {"kinds": [kind]})).closed is None


async def test_59_2_the_wraps_of_others_are_restricted(client: Client, author: Author, other: Author) -> None:
    await client.log_in(author)

    found = await client.request("wraps", {"kinds": [1_059], "#p": [other.pubkey]})

    assert (found.closed or "").startswith("restricted: ")


async def test_59_2_own_wraps_among_those_of_others_are_found(client: Client, author: Author, other: Author) -> None:
    own, foreign = wrap(author), wrap(other)
    await client.publish_all(own, foreign)
    await client.log_in(author)

    found = await client.query({"kinds": [1_059], "#p": [author.pubkey, other.pubkey]})

    assert (found.events, found.closed) == ([own], None)


async def test_59_3_a_gift_wrap_takes_no_place_of_the_limit(client: Client, author: Author) -> None:
    notes = [author.event(str(at), at=at) for at in (1, 2)]
    await client.publish_all(*notes, *[author.event(str(at), kind=1_059, at=at) for at in range(3, 9)])

    answer = await client.query(author.events | {"limit": 2})

    assert answer.events == notes[::-1]


async def test_59_3_a_gift_wrap_is_not_told_by_the_end_of_a_query(client: Client, author: Author) -> None:
    await client.publish_all(author.event(kind=1_059))

    await client.request("wraps", author.events | {"limit": 1})
    await client.request("nothing", {"ids": ["0" * 64], "limit": 1})

    assert client.hints["wraps"] == client.hints["nothing"]


async def test_59_4_an_ephemeral_wrap_is_not_stored_for_its_recipient_either(client: Client, author: Author) -> None:
    await client.publish_all(wrap(author, kind=21_059))
    await client.log_in(author)

    assert (await client.query({"kinds": [21_059]})).events == []


async def test_59_7_since_and_until_work_on_the_time_that_a_wrap_carries(client: Client, author: Author) -> None:
    old, new = wrap(author, at=1_000), wrap(author, at=2_000)
    await client.publish_all(old, new)
    await client.log_in(author)
    mine = {"kinds": [1_059], "#p": [author.pubkey]}

    assert (await client.query(mine | {"since": 1_500})).events == [new]
    assert (await client.query(mine | {"until": 1_500})).events == [old]
    assert (await client.query(mine | {"limit": 1})).events == [new]


async def test_59_8_the_same_question_has_another_answer_for_each_reader(
    clients: OpenClients, author: Author, other: Author
) -> None:
    """Asked by many at the same time, again and again, so that what is kept or shared would be seen."""
    events = [wrap(author), wrap(other), author.event("public", tags=[["p", author.pubkey]])]
    readers = await clients(6)
    await readers[0].publish_all(*events)
    question = {"ids": [event["id"] for event in events]}
    allowed = [{events[2]["id"]}, {events[0]["id"], events[2]["id"]}, {events[1]["id"], events[2]["id"]}]
    for number, reader in enumerate(readers):
        if number % 3:
            await reader.log_in(author if number % 3 == 1 else other)

    for _ in range(5):
        answers = await asyncio.gather(*[reader.query(question) for reader in readers])
        assert [set(found.ids) for found in answers] == allowed * 2


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


async def test_17_1_a_seal_without_its_wrap_is_blocked(client: Client, author: Author) -> None:
    answer = await client.publish(author.event(kind=13))

    assert not answer.accepted
    assert answer.text.startswith("blocked: ")


# -- A relay of its members: login asked of every client, proof of work, private drafts (NIP-37) -----------------------


@pytest.fixture(scope="module")
def closed_relay(copy_of_migrated: CopyOfMigrated) -> Iterator[RelayProcess]:
    settings = {
        "RELAY_URL": "wss://relay.example.com",
        "RELAY_AUTH_TO_READ": "all",
        "RELAY_AUTH_TO_WRITE": "all",
        "RELAY_MIN_POW_BY_KIND": "7=4",
        "RELAY_PRIVATE_DRAFTS": "true",
    }
    with running(RelayProcess(copy_of_migrated("closed"), roles="web", settings=settings)) as process:
        yield process


@pytest_asyncio.fixture
async def visitor(closed_relay: RelayProcess) -> AsyncIterator[Client]:
    """A connection to the closed relay, which calls itself wss://relay.example.com."""
    async with Client(closed_relay.ws_url) as connected:
        yield connected


URL = "wss://relay.example.com/"


async def until_banned(relay: RelayProcess, author: Author) -> None:
    """Return once a login of the author is refused."""
    async with asyncio.timeout(10):
        accepted = True
        while accepted:
            async with Client(relay.ws_url) as connected:
                accepted = (await connected.log_in(author, url=URL))[0].accepted


async def test_42_7_before_the_login_everything_is_refused(visitor: Client, author: Author) -> None:
    event = author.event()

    assert (await visitor.publish(event)).text.startswith("auth-required: ")
    assert ((await visitor.request("s", {"kinds": [1]})).closed or "").startswith("auth-required: ")
    await visitor.log_in(author, url=URL)
    assert (await visitor.publish(event)).accepted
    assert (await visitor.query(author.events)).events == [event]


async def test_62_4_an_author_vanishes_with_or_without_a_login(
    closed_relay: RelayProcess, visitor: Client, author: Author
) -> None:
    """What its own connection reads, private messages too, is gone at once, and what it writes later is taken."""
    wrapping, at = Author(), int(time.time())
    question = [author.events, {"#p": [author.pubkey]}, wrapping.events]
    await visitor.log_in(author, url=URL)
    for number, tag in enumerate(["ALL_RELAYS", URL]):
        wrap = wrapping.event(f"wrap {number}", kind=1_059, at=at + 2 * number, tags=[["p", author.pubkey]])
        sent = [
            author.event(f"to myself {number}", kind=4, at=at + 2 * number, tags=[["p", author.pubkey]]),
            author.event(f"note {number}", at=at + 2 * number),
        ]
        await visitor.publish_all(*sent, wrap)
        assert set((await visitor.query(*question)).ids) == {event["id"] for event in (*sent, wrap)}
        request = author.event(kind=62, at=at + 2 * number, tags=[["relay", tag]])
        async with Client(closed_relay.ws_url) as unknown:
            assert await (visitor if number else unknown).publish(request) == Ok(request["id"], True, "")
        assert (await visitor.query(*question)).events == []
    after = author.event("after", at=at + 3)
    await visitor.publish_all(after)
    assert (await visitor.query(*question)).events == [after]


async def test_62_4_a_banned_key_which_cannot_log_in_vanishes(
    closed_relay: RelayProcess, visitor: Client, author: Author, other: Author
) -> None:
    event = author.event("note")
    async with Client(closed_relay.ws_url) as reader:
        await reader.log_in(author, other, url=URL)
        await reader.publish_all(event)
        await asyncio.to_thread(as_operator, closed_relay.services()["DATABASE_URL"], [ban(author, removes=False)])
        await until_banned(closed_relay, author)
        assert (await reader.query(author.events)).events == [event]
        assert not (await visitor.log_in(author, url=URL))[0].accepted
        request = author.event(kind=62, tags=[["relay", "ALL_RELAYS"]])

        assert await visitor.publish(request) == Ok(request["id"], True, "")

        assert (await reader.query(author.events)).events == []


async def test_42_6_each_refusal_but_not_one_right_after_another_comes_with_the_challenge(visitor: Client) -> None:
    await visitor.request("s", {"kinds": [1]})
    await asyncio.sleep(1.1)
    await visitor.request("s", {"kinds": [1]})
    await visitor.request("s", {"kinds": [1]})

    assert len(visitor.challenges) == 2
    assert len(set(visitor.challenges)) == 1


async def test_37_1_drafts_are_served_to_their_author_alone(
    closed_relay: RelayProcess, visitor: Client, author: Author, other: Author
) -> None:
    drafts = [author.event("draft", kind=kind, tags=[["d", "x"]]) for kind in (31_234, 1_234, 10_013)]
    async with Client(closed_relay.ws_url) as stranger:
        await stranger.log_in(other, url=URL)
        await stranger.request("live", author.events)
        await visitor.log_in(author, url=URL)

        await visitor.publish_all(*drafts)

        assert set((await visitor.query(author.events)).ids) == {draft["id"] for draft in drafts}
        assert (await stranger.query(author.events)).events == []
        assert await stranger.settled() == []


async def test_13_1_an_event_with_too_little_work_is_refused(visitor: Client, author: Author) -> None:
    await visitor.log_in(author, url=URL)
    reactions = (author.event(str(number), kind=7) for number in range(1_000))
    worked = {event["id"][0] == "0": event for event in reactions}

    assert await visitor.publish(worked[True]) == Ok(worked[True]["id"], True, "")
    assert (await visitor.publish(worked[False])).text.startswith("pow: difficulty ")
