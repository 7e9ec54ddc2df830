"""Rules for all parts together (X-1 to X-4): what one worker knows, all know, and odd events harm no client."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from relayproject.runtime.processes import living_in
from tests.acceptance.author import Author
from tests.acceptance.client import Client
from tests.acceptance.conftest import CopyOfMigrated
from tests.acceptance.protocol.conftest import OpenClients
from tests.acceptance.relay_process import RelayProcess, running, wait_for

ODD_TAGS = [[], [""], ["d"], ["e"], ["p"], ["a"], ["k"], ["expiration"], ["-"], ["relay"], ["challenge"], ["#d", ""]]
SPECIAL_KINDS = [0, 3, 4, 5, 6, 16, 62, 1_059, 1_984, 10_002, 20_001, 21_059, 22_242, 30_000]


async def test_x_1_stored_and_live_hide_the_same(clients: OpenClients, author: Author) -> None:
    reader, writer = await clients(2)
    await reader.request("live", author.events)
    hidden = [author.event(kind=kind) for kind in (4, 1_059, 21_059)]
    shown = author.event()

    for event in (*hidden, shown):
        assert (await writer.publish(event)).accepted

    assert await reader.live("live") == shown
    assert (await reader.query(author.events)).events == [shown]


async def test_x_3_what_any_worker_takes_is_live_on_every_other(clients: OpenClients, author: Author) -> None:
    readers, writers = await clients(), await clients()
    for reader in readers:
        await reader.request("live", author.events)

    for writer in writers:
        event = author.event(str(id(writer)))
        assert (await writer.publish(event)).accepted
        assert [await reader.live("live") for reader in readers] == [event] * len(readers)


@pytest.fixture(scope="module")
def mortal(copy_of_migrated: CopyOfMigrated) -> Iterator[RelayProcess]:
    """Two workers whose processes the tests pause and kill."""
    with running(RelayProcess(copy_of_migrated("mortal"), workers=2, roles="web")) as relay:
        yield relay


async def test_x_3_a_bus_that_is_silent_loses_no_event(mortal: RelayProcess, author: Author) -> None:
    (valkey,) = living_in(mortal.data_dir, "valkey-server")
    readers, writers = [Client(mortal.ws_url) for _ in range(6)], [Client(mortal.ws_url) for _ in range(6)]
    for client in (*readers, *writers):
        await client.__aenter__()
    for reader in readers:
        await reader.request("live", author.events)

    os.kill(valkey, signal.SIGSTOP)
    try:
        events = [author.event(str(number)) for number in range(60)]
        for place in range(10):
            for writer, event in zip(writers, events[place * 6 : place * 6 + 6], strict=True):
                await writer.publish_all(event)
        for reader in readers:
            came = [await reader.live("live") for _ in events]
            assert sorted(event["id"] for event in came) == sorted(event["id"] for event in events)
    finally:
        os.kill(valkey, signal.SIGCONT)

    for client in (*readers, *writers):
        assert [message for message in await client.settled() if message[0] == "EVENT"] == []
        await client.socket.close()


async def test_x_3_a_killed_worker_loses_no_answered_event(mortal: RelayProcess, author: Author) -> None:
    answered = []
    async with Client(mortal.ws_url) as writer:
        for number in range(20):
            await writer.publish_all(event := author.event(str(number), at=number))
            answered.append(event)
        for worker in (old := mortal.workers()):
            os.kill(worker, signal.SIGKILL)
        assert await writer.closed() == 1006

    await asyncio.to_thread(wait_for, lambda: len(set(mortal.workers()) - set(old)) == 2, "two new workers")
    async with await connected(mortal) as reader:
        assert (await reader.query(author.events)).events == answered[::-1]


async def test_01_e20_an_answered_event_survives_a_killed_machine(mortal: RelayProcess, author: Author) -> None:
    events = [author.event(str(number), at=number) for number in range(20)]
    async with await connected(mortal) as writer:
        await writer.publish_all(*events)
        for pid in mortal.pids():
            with contextlib.suppress(ProcessLookupError):  # it ended because another one was killed
                os.kill(pid, signal.SIGKILL)
        mortal.wait_ended()

    async with Client(mortal.start().ws_url) as reader:
        assert (await reader.query(author.events)).events == events[::-1]


async def connected(relay: RelayProcess, seconds: float = 20.0) -> Client:
    """A client whose first connection is made as soon as the relay takes one."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                async with Client(relay.ws_url):
                    return Client(relay.ws_url)
            except OSError:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("kind", SPECIAL_KINDS)
async def test_x_4_odd_tags_on_special_kinds_are_answered(client: Client, author: Author, kind: int) -> None:
    events = [author.event(str(place), kind=kind, tags=tags) for place, tags in enumerate([[t] for t in ODD_TAGS])]
    events.append(
        author.event("all", kind=kind, tags=[tag for tag in ODD_TAGS if tag[:1] not in (["-"], ["expiration"])])
    )

    for event in events:
        await client.publish(event)

    note = author.event("after")
    assert (await client.publish(note)).accepted
    assert note["id"] in (await client.query(author.events)).ids
