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
    author: RealClient = {"nostr_sdk": nostr_sdk, "nostr_tools": nostr_tools}[publisher]
    before = await author.publish(content="stored before")
    mine: Json = {"authors": [author.pubkey]}
    queues = [await nostr_sdk.follow(mine), await nostr_tools.follow(mine)]

    published = [before]
    for number in range(30):
        published.append(await author.publish(content=str(number)))
    last = await author.publish(kind=30078, content="the last one", tags=[["d", "x"]])

    async with asyncio.timeout(SECONDS):
        for queue in queues:
            came: list[Json] = []
            while not came or came[-1] != last:
                came.append(await queue.get())
            assert ids(came) == ids([*published, last])


async def test_paging_with_until_loses_nothing_of_a_busy_second(
    nostr_sdk: NostrSdkClient, nostr_tools: NostrToolsClient
) -> None:
    """01-F18: the relay's own cap (500) never cuts a second in two, so the next page begins one second earlier."""
    now = int(time.time())
    times = [now - 50 - number for number in range(300)] + [now - 400] * 700 + [now - 500 - n for n in range(100)]
    published = await asyncio.gather(
        *(nostr_sdk.publish(content=str(number), created_at=at) for number, at in enumerate(times))
    )
    everything = sorted(published, key=lambda event: (-event["created_at"], event["id"]))

    async def all_pages(client: RealClient) -> tuple[list[str], int]:
        found: list[Json] = []
        pages, until = 0, now
        while page := await client.query({"authors": [nostr_sdk.pubkey], "until": until}):
            pages += 1
            found += page
            until = min(event["created_at"] for event in page) - 1
        return sorted(ids(found)), pages

    for client in (nostr_sdk, nostr_tools):
        found, pages = await all_pages(client)
        assert found == sorted(ids(everything)), type(client).__name__
        assert pages > 1


async def test_nostr_tools_fetches_the_information_document(relay: RelayProcess, nostr_tools: NostrToolsClient) -> None:
    document = await nostr_tools.information(relay.ws_url)

    assert {1, 11} <= set(document["supported_nips"])
    assert document["limitation"]["max_limit"] == 500


def test_nostr_sdk_understands_the_information_document(relay: RelayProcess) -> None:
    status, text = relay.get("/", {"Accept": "application/nostr+json"})
    document = sdk.RelayInformationDocument.from_json(text)

    assert status == 200
    assert document.name() == json.loads(text)["name"]
    assert {1, 11} <= set(document.supported_nips() or ())
    limitation = document.limitation()
    assert limitation is not None
    assert limitation.max_limit == 500
