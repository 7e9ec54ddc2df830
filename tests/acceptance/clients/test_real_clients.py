"""nostr-sdk and nostr-tools on a whole relay with two workers: publish, query, page, follow."""

import asyncio
import json
import time
from typing import Any

import nostr_sdk as sdk
import pytest

from tests.acceptance.clients.nostr_sdk_client import NostrSdkClient
from tests.acceptance.clients.nostr_tools_client import NostrToolsClient
from tests.acceptance.clients.real_client import Json, RealClient, Refused
from tests.acceptance.relay_process import RelayProcess

SECONDS = 10.0


def ids(events: list[Json]) -> list[str]:
    return [event["id"] for event in events]


async def test_a_note_is_published_and_read_back_unchanged(client: RealClient) -> None:
    note = await client.publish(content='Grüße "🌍"\n\t\\', tags=[["t", "näh"], ["emoji", "x", "y", "z"]])

    assert await client.query({"ids": [note["id"]]}) == [note]


async def test_the_usual_filters_find_what_they_name(client: RealClient) -> None:
    now = int(time.time())
    root = await client.publish(content="root", created_at=now - 30)
    reply = await client.publish(
        content="reply", created_at=now - 20, tags=[["e", root["id"]], ["p", "ab" * 32], ["t", "tea"]]
    )
    like = await client.publish(kind=7, content="+", created_at=now - 10, tags=[["e", reply["id"]]])
    mine: dict[str, Any] = {"authors": [client.pubkey]}

    wanted: dict[str, tuple[Json, list[Json]]] = {
        "ids": ({"ids": [root["id"], like["id"]]}, [like, root]),
        "authors": (mine, [like, reply, root]),
        "kinds": ({**mine, "kinds": [7, 30023]}, [like]),
        "#e": ({"#e": [root["id"]]}, [reply]),
        "#p": ({**mine, "#p": ["ab" * 32]}, [reply]),
        "#t": ({**mine, "#t": ["tea", "milk"]}, [reply]),
        "since": ({**mine, "since": now - 20}, [like, reply]),
        "until": ({**mine, "until": now - 20}, [reply, root]),
        "limit": ({**mine, "limit": 2}, [like, reply]),
        "nothing": ({**mine, "kinds": [40]}, []),
    }
    found = await asyncio.gather(*(client.query(filter) for filter, _ in wanted.values()))

    assert {name: ids(events) for name, events in zip(wanted, found, strict=True)} == {
        name: ids(events) for name, (_, events) in wanted.items()
    }


@pytest.mark.parametrize(
    "kind, tags", [(0, []), (30023, [["d", "post"]])], ids=["replaceable: kind 0", "addressable: kind 30023"]
)
async def test_the_newest_version_replaces_the_older(client: RealClient, kind: int, tags: list[list[str]]) -> None:
    now = int(time.time())
    newer: Json = {}
    for age in (20, 10):
        newer = await client.publish(kind=kind, content=f'{{"about":"{age}"}}', tags=tags, created_at=now - age)

    with pytest.raises(Refused, match="duplicate: "):
        await client.publish(kind=kind, content="{}", tags=tags, created_at=now - 15)

    assert await client.query({"authors": [client.pubkey], "kinds": [kind]}) == [newer]


async def test_addressable_events_of_other_names_stay(client: RealClient) -> None:
    now = int(time.time())
    posts = [
        await client.publish(kind=30023, content=name, tags=[["d", name]], created_at=now - age)
        for age, name in enumerate(["c", "b", "a"])
    ]

    assert await client.query({"kinds": [30023], "authors": [client.pubkey]}) == posts
    assert await client.query({"kinds": [30023], "authors": [client.pubkey], "#d": ["b"]}) == [posts[1]]


async def test_an_ephemeral_event_reaches_who_listens_and_is_not_stored(client: RealClient) -> None:
    mine: Json = {"kinds": [20001], "authors": [client.pubkey]}
    live = await client.follow(mine)
    event = await client.publish(kind=20001, content="now or never")

    assert await asyncio.wait_for(live.get(), SECONDS) == event
    assert await client.query(mine) == []


@pytest.mark.parametrize("publisher", ["nostr_sdk", "nostr_tools"])
async def test_each_follows_live_what_either_publishes(
    nostr_sdk: NostrSdkClient, nostr_tools: NostrToolsClient, publisher: str
) -> None:
    clients: dict[str, RealClient] = {"nostr_sdk": nostr_sdk, "nostr_tools": nostr_tools}
    author = clients[publisher]
    before = await author.publish(content="stored before")
    mine: Json = {"authors": [author.pubkey]}
    queues = [await nostr_sdk.follow(mine), await nostr_tools.follow(mine)]

    published = [before, *[await author.publish(content=str(number)) for number in range(30)]]
    last = await author.publish(kind=30078, content="the last one", tags=[["d", "x"]])

    async with asyncio.timeout(SECONDS):
        for queue in queues:
            came: list[Json] = []
            while not came or came[-1] != last:
                came.append(await queue.get())
            assert ids(came) == ids([*published, last])


@pytest.mark.parametrize("sender_name", ["nostr_sdk", "nostr_tools"])
async def test_who_has_logged_in_receives_the_gift_wraps_that_are_for_them(
    nostr_sdk: NostrSdkClient, nostr_tools: NostrToolsClient, sender_name: str
) -> None:
    """59-1, stored and live; the challenge that comes when they connect disturbs neither library."""
    clients: dict[str, RealClient] = {"nostr_sdk": nostr_sdk, "nostr_tools": nostr_tools}
    sender = clients.pop(sender_name)
    (receiver,) = clients.values()
    await receiver.log_in()
    await sender.log_in()
    stored = await sender.wrap(receiver.pubkey, "stored")

    mine = await receiver.follow({"kinds": [1059], "#p": [receiver.pubkey]})
    others = await sender.follow({"#p": [receiver.pubkey]})
    live = await sender.wrap(receiver.pubkey, "live")

    async with asyncio.timeout(SECONDS):
        came = [await mine.get(), await mine.get()]
    assert came == [stored, live]
    assert [await receiver.unwrap(event) for event in came] == ["stored", "live"]
    assert others.empty()


@pytest.mark.parametrize("sender_name", ["nostr_sdk", "nostr_tools"])
async def test_who_has_logged_in_publishes_protected_events(
    nostr_sdk: NostrSdkClient, nostr_tools: NostrToolsClient, sender_name: str
) -> None:
    clients: dict[str, RealClient] = {"nostr_sdk": nostr_sdk, "nostr_tools": nostr_tools}
    author = clients[sender_name]
    await author.log_in()

    note = await author.publish(content="mine alone", tags=[["-"]])

    assert await author.query({"ids": [note["id"]]}) == [note]


async def test_paging_by_the_relays_own_cap_loses_nothing_of_a_busy_second(nostr_sdk: NostrSdkClient) -> None:
    """01-F18: the cap (500) never cuts a second in two, so the next page may begin one second earlier."""
    now = int(time.time())
    times = [now - 50 - number for number in range(300)] + [now - 400] * 700 + [now - 500 - n for n in range(100)]
    published = await asyncio.gather(
        *(nostr_sdk.publish(content=str(number), created_at=at) for number, at in enumerate(times))
    )

    found: list[Json] = []
    pages, until = 0, now
    while page := await nostr_sdk.query({"authors": [nostr_sdk.pubkey], "until": until}):
        pages, until = pages + 1, min(event["created_at"] for event in page) - 1
        found += page

    assert sorted(ids(found)) == sorted(ids(published))
    assert pages > 1


async def test_paging_by_a_clients_limit_loses_nothing(client: RealClient) -> None:
    """The usual way: the next page ends at the oldest second of the last one, and what is known is left out."""
    now = int(time.time())
    times = [now - number for number in range(15)] + [now - 20] * 18 + [now - 30 - n for n in range(15)]
    published = await asyncio.gather(
        *(client.publish(content=str(number), created_at=at) for number, at in enumerate(times))
    )

    found: set[str] = set()
    until = now
    while True:
        page = await client.query({"authors": [client.pubkey], "until": until, "limit": 20})
        if found >= set(ids(page)):
            break
        assert len(page) <= 20
        found |= set(ids(page))
        until = min(event["created_at"] for event in page)

    assert found == set(ids(published))


async def test_nostr_tools_fetches_the_information_document(relay: RelayProcess, nostr_tools: NostrToolsClient) -> None:
    document = await nostr_tools.information(relay.ws_url)

    assert {1, 11} <= set(document["supported_nips"])
    assert document["limitation"]["max_limit"] == 1_000


def test_nostr_sdk_understands_the_information_document(relay: RelayProcess) -> None:
    status, text = relay.get("/", {"Accept": "application/nostr+json"})
    document = sdk.RelayInformationDocument.from_json(text)

    assert status == 200
    assert document.name() == json.loads(text)["name"]
    assert {1, 11} <= set(document.supported_nips() or ())
    limitation = document.limitation()
    assert limitation is not None
    assert limitation.max_limit == 1_000
