"""NIP-01: which events of a kind are kept (01-K01 to 01-K10), and the lists of NIP-02 and NIP-56."""

import asyncio
import time
from typing import Any

import pytest

from tests.acceptance.author import Author
from tests.acceptance.client import Client, Ok
from tests.acceptance.protocol.conftest import OpenClients

Json = dict[str, Any]

OLDER = "duplicate: have newer event"


async def kept(client: Client, author: Author, **wanted: Any) -> list[str]:
    """The contents of an author's stored events, newest first."""
    return [event["content"] for event in (await client.query(author.events | wanted)).events]


def tied(author: Author, kind: int) -> tuple[Json, Json]:
    """Two versions of the same second, the one with the lowest id first."""
    now = int(time.time())
    first, second = sorted((author.event(text, kind=kind, at=now) for text in "ab"), key=lambda event: event["id"])
    return first, second


@pytest.mark.parametrize("kind", [1, 2, 4_999, 44, 45, 999, 1_000, 9_999, 40_000, 65_535])
async def test_01_k01_regular_events_are_all_kept(client: Client, author: Author, kind: int) -> None:
    await client.publish_all(author.event("old", kind=kind, at=1), author.event("new", kind=kind, at=2))

    assert await kept(client, author) == ["new", "old"]


@pytest.mark.parametrize("kind", [0, 3, 10_000, 19_999])
async def test_01_k02_the_latest_replaceable_event_is_kept(client: Client, author: Author, kind: int) -> None:
    await client.publish_all(author.event("old", kind=kind, at=1), author.event("new", kind=kind, at=2))

    assert await kept(client, author) == ["new"]


async def test_01_k02_a_d_tag_means_nothing_on_a_replaceable_kind(client: Client, author: Author) -> None:
    await client.publish_all(
        author.event("old", kind=10_002, at=1, tags=[["d", "a"]]),
        author.event("new", kind=10_002, at=2, tags=[["d", "b"]]),
    )

    assert await kept(client, author) == ["new"]


async def test_01_k02_kind_41_is_not_replaceable(client: Client, author: Author) -> None:
    await client.publish_all(author.event("old", kind=41, at=1), author.event("new", kind=41, at=2))

    assert await kept(client, author) == ["new", "old"]


async def test_01_k02_authors_do_not_replace_each_other(client: Client, author: Author, other: Author) -> None:
    await client.publish_all(author.event("mine", kind=0, at=1), other.event("theirs", kind=0, at=2))

    assert await kept(client, author) == ["mine"]


@pytest.mark.parametrize("kind", [30_000, 39_999])
async def test_01_k03_the_latest_event_of_an_address_is_kept(client: Client, author: Author, kind: int) -> None:
    await client.publish_all(
        author.event("a old", kind=kind, at=1, tags=[["d", "a"]]),
        author.event("b", kind=kind, at=2, tags=[["d", "b"]]),
        author.event("a new", kind=kind, at=3, tags=[["d", "a"]]),
    )

    assert await kept(client, author) == ["a new", "b"]


async def test_01_k03_kinds_do_not_share_an_address(client: Client, author: Author) -> None:
    await client.publish_all(
        author.event("a", kind=30_000, at=1, tags=[["d", "x"]]), author.event("b", kind=30_001, at=2, tags=[["d", "x"]])
    )

    assert await kept(client, author) == ["b", "a"]


@pytest.mark.parametrize("kind", [20_000, 29_999])
async def test_01_k04_ephemeral_events_reach_live_subscriptions_and_are_not_stored(
    clients: OpenClients, author: Author, kind: int
) -> None:
    readers, writers = await clients(), await clients(2)
    for reader in readers:
        await reader.request("live", author.events)

    for writer in writers:
        event = author.event(str(id(writer)), kind=kind)
        assert await writer.publish(event) == Ok(event["id"], True, "")
        assert [await reader.live("live") for reader in readers] == [event] * len(readers)
        assert (await writer.query(author.events)).events == []


async def test_01_k04_an_ephemeral_event_without_subscribers_is_accepted(client: Client, author: Author) -> None:
    event = author.event(kind=20_001)

    assert await client.publish(event) == Ok(event["id"], True, "")


@pytest.mark.parametrize(
    "tags", [[], [["d"]], [["d", ""]], [["d"], ["d", "x"]], [["e", "x"], ["d", ""]], [["d", "", "x"]], [[], ["d"]]]
)
async def test_01_k05_no_d_value_is_the_empty_one(client: Client, author: Author, tags: list[list[str]]) -> None:
    await client.publish_all(author.event("old", kind=30_000, at=1, tags=[["d", ""]]))

    await client.publish_all(author.event("new", kind=30_000, at=2, tags=tags))

    assert await kept(client, author) == ["new"]


async def test_01_k05_the_first_of_two_d_tags_counts(client: Client, author: Author) -> None:
    await client.publish_all(
        author.event("a", kind=30_000, at=1, tags=[["d", "a"]]),
        author.event("b", kind=30_000, at=2, tags=[["d", "b"]]),
        author.event("new", kind=30_000, at=3, tags=[["d", "a"], ["d", "b"]]),
    )

    assert await kept(client, author) == ["new", "b"]


@pytest.mark.parametrize("kind", [10_002, 30_000])
async def test_01_k06_tie_keeps_lowest_id_when_it_comes_last(client: Client, author: Author, kind: int) -> None:
    lowest, highest = tied(author, kind)

    await client.publish_all(highest, lowest)

    assert await kept(client, author) == [lowest["content"]]


async def test_01_k06_tie_keeps_lowest_id_when_it_comes_first(client: Client, author: Author) -> None:
    lowest, highest = tied(author, 10_002)

    await client.publish(lowest)

    assert await client.publish(highest) == Ok(highest["id"], False, OLDER)
    assert await kept(client, author) == [lowest["content"]]


async def test_01_k06_tie_has_one_winner_when_all_workers_write_at_once(clients: OpenClients) -> None:
    writers = await clients()
    for _ in range(10):
        author, now = Author(), int(time.time())
        versions = [author.event(str(number), kind=10_002, at=now) for number in range(len(writers))]

        await asyncio.gather(*[writer.publish(event) for writer, event in zip(writers, versions, strict=True)])

        lowest = min(versions, key=lambda event: str(event["id"]))
        assert [await kept(writer, author) for writer in writers] == [[lowest["content"]]] * len(writers)


async def test_01_k07_an_older_version_is_refused_and_not_sent(client: Client, author: Author) -> None:
    await client.publish_all(author.event("new", kind=0, at=2))
    await client.request("live", author.events | {"limit": 0})
    older = author.event("old", kind=0, at=1)

    assert await client.publish(older) == Ok(older["id"], False, OLDER)

    assert [message for message in await client.settled() if message[0] == "EVENT"] == []
    assert await kept(client, author) == ["new"]


async def test_01_k08_no_filter_finds_a_version_before_the_newest(client: Client, author: Author) -> None:
    events = [author.event(str(at), kind=kind, at=at) for kind in (0, 30_000) for at in (1, 2, 3)]
    await client.publish_all(*events)
    newest = [events[2], events[5]]

    assert (await client.query(author.events | {"until": 2})).events == []
    found = (await client.query(author.events, {"ids": [event["id"] for event in events]}, {"until": 2})).events
    assert sorted(e["id"] for e in found if e["pubkey"] == author.pubkey) == sorted(e["id"] for e in newest)


async def test_01_k10_a_replaced_version_is_not_found_by_its_id(clients: OpenClients, author: Author) -> None:
    writer, *readers = await clients()
    old, new = author.event("old", kind=0, at=1), author.event("new", kind=0, at=2)
    await writer.publish_all(old, new)

    for client in [writer, *readers]:
        assert (await client.query({"ids": [old["id"], new["id"]]})).events == [new]


async def test_02_1_a_new_contact_list_replaces_the_old_one_whole(client: Client, author: Author) -> None:
    many = [["p", f"{number:064x}"] for number in range(5_001)]
    old, new = author.event("old", kind=3, at=1, tags=many), author.event("new", kind=3, at=2, tags=many[:1])
    await client.publish_all(old)
    assert (await client.query(author.events | {"#p": [many[5_000][1]]})).events == [old]

    await client.publish_all(new)

    assert (await client.query(author.events)).events == [new]
    assert (await client.query(author.events | {"#p": [many[5_000][1]]})).events == []


async def test_56_1_a_report_is_stored_and_removes_nothing(client: Client, author: Author, other: Author) -> None:
    note = author.event("a note")
    report = other.event("spam", kind=1984, tags=[["e", note["id"], "spam"], ["p", author.pubkey]])

    await client.publish_all(note, report)

    assert (await client.query({"kinds": [1984], "#p": [author.pubkey]})).events == [report]
    assert (await client.query(author.events)).events == [note]
