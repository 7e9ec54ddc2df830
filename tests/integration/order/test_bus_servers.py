"""The bus on servers that are lost, moved and deaf: each process goes to the right one by itself."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from relay.changes.change import Added, Batch
from relay.protocol.event import StoredEvent
from relay.storage.store import Store
from relay.subscriptions.bus import Bus
from relay.subscriptions.bus_line import Line, Message
from tests.events import NOW, secret, sign_event
from tests.integration.caching.valkeys import Guarded, Node, folder, guarded, nodes, until
from tests.integration.order.clients import Client
from tests.integration.order.conftest import StartRelay
from tests.ports import free_ports
from tests.unit.changes.orders import note

STORE = Store("a" * 16, "b" * 16, 3)


class Process:
    """A bus as a process has it, and what it has brought."""

    def __init__(self, *urls: str) -> None:
        self.batches: list[Batch] = []
        self.ephemeral: list[StoredEvent] = []
        self.losses = 0
        self.bus = Bus(self.batches.append, self.ephemeral.append, lambda: STORE, urls=urls)
        self.bus.on_loss = self._lost

    def _lost(self) -> None:
        self.losses += 1

    @property
    def lines(self) -> list[Line]:
        return self.bus._lines


@contextlib.asynccontextmanager
async def pair(*urls: str) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes that hear each other."""
    both = Process(*urls), Process(*urls)
    for one in both:
        one.bus.start()
    try:
        await until(lambda: all(line.up for one in both for line in one.lines))
        yield both
    finally:
        for one in both:
            await one.bus.stop()


@pytest.fixture
def two() -> Iterator[list[Node]]:
    """Two servers that know nothing of each other."""
    with folder() as path, nodes(path, free_ports(2)) as started:
        yield started


@pytest.fixture
def watched() -> Iterator[Guarded]:
    with guarded() as servers:
        yield servers


def batches(count: int) -> list[Batch]:
    return [Batch.of([Added(number, note(number))]) for number in range(1, count + 1)]


async def arrived(process: Process, sent: list[Batch]) -> None:
    """Each batch once, in whatever order: servers of a list may overtake each other."""
    await until(lambda: len(process.batches) >= len(sent))
    assert sorted(process.batches, key=lambda batch: batch.first) == sent


async def test_the_servers_of_a_list_share_what_is_sent(two: list[Node]) -> None:
    async with pair(*(node.url for node in two)) as (speaker, listener):
        sent = batches(20)
        for batch in sent:
            speaker.bus.publish(batch)
        await arrived(listener, sent)
        assert [line.sent for line in speaker.lines] == [10, 10]


async def test_a_server_that_asks_for_user_and_password(two: list[Node]) -> None:
    two[0].run("ACL", "SETUSER", "relay", "on", ">p/w", "&relay*", "+@all")
    two[0].run("ACL", "SETUSER", "default", "-publish", "-subscribe")
    async with pair(f"redis://relay:p%2Fw@127.0.0.1:{two[0].port}/0") as (speaker, listener):
        sent = batches(3)
        for batch in sent:
            speaker.bus.publish(batch)
        await arrived(listener, sent)


@pytest.mark.parametrize("way", ["killed", "frozen"])
async def test_one_server_of_a_list_is_lost_and_every_batch_arrives(two: list[Node], way: str) -> None:
    async with pair(*(node.url for node in two)) as (speaker, listener):
        two[0].kill() if way == "killed" else two[0].freeze()
        sent = batches(20)
        for batch in sent:
            speaker.bus.publish(batch)
        await arrived(listener, sent)
        assert (speaker.bus.up, speaker.bus.whole) == (True, False)
        assert speaker.losses, "the log is polled for a while, since others may not know of the loss yet"
        speaker.bus.publish_ephemeral(note(1, kind=20_001))
        await until(lambda: listener.ephemeral)


async def test_what_a_frozen_server_was_sent_goes_to_another_one(two: list[Node]) -> None:
    async with pair(*(node.url for node in two)) as (speaker, listener):
        two[0].freeze()
        to_it = next(event for event in map(ephemeral, range(50)) if int(event.id[:8], 16) % 2 == 0)
        speaker.bus.publish_ephemeral(to_it)
        await until(lambda: listener.ephemeral)
        assert (listener.ephemeral, speaker.bus.dropped) == ([to_it], 0)


def ephemeral(number: int) -> StoredEvent:
    return note(number, kind=20_001)


async def test_a_master_that_sentinels_have_replaced_is_left_though_it_answers(watched: Guarded) -> None:
    async with pair(watched.url) as (speaker, listener):
        watched.sentinel.run("SENTINEL", "REMOVE", "main")
        watched.replica.run("REPLICAOF", "NO", "ONE")
        watched.sentinel.run("SENTINEL", "MONITOR", "main", "127.0.0.1", watched.replica.port, 1)
        await until(lambda: all(one.bus.reconnects == 1 and one.bus.up for one in (speaker, listener)))
        assert watched.master.admin.ping()
        assert watched.master.admin.pubsub_channels("relay*") == []
        sent = batches(3)
        for batch in sent:
            speaker.bus.publish(batch)
        await arrived(listener, sent)


@pytest.mark.django_db
async def test_a_relay_that_has_become_deaf_gets_every_change_from_the_log_and_connects_again(
    start_relay: StartRelay,
) -> None:
    speaker, listener = await start_relay(), await start_relay()
    (line,) = listener.bus._lines
    near, far = Client(speaker), Client(listener)
    far.say("REQ", "live", {"kinds": [1]})
    await far.until(lambda: far.has_eose("live"))
    hearing, first = line._judge, line.connections

    def deaf(message: Message) -> None:
        """As if the server had dropped the subscription to the group, and to nothing else."""
        if line.connections > first or message.get("beat") is False:
            hearing(message)

    line._judge = deaf

    sent: list[Any] = []
    async with asyncio.timeout(20):
        while not (listener.bus.reconnects and listener.bus.up):
            sent.append(sign_event(secret(7), content=str(len(sent)), created_at=NOW))
            await near.publish(sent[-1])
            await asyncio.sleep(0.2)
    await far.until(lambda: far.live("live") == [event["id"] for event in sent])
    near.leave()
    far.leave()


async def test_a_process_that_hears_the_others_keeps_its_connection_when_the_log_is_ahead(two: list[Node]) -> None:
    async with pair(two[0].url) as (speaker, listener):
        listener.bus.doubt()
        await until(lambda: not listener.lines[0]._probe)  # its own message went to all, and came back
        await asyncio.sleep(0)
        assert (listener.bus.reconnects, listener.bus.up) == (0, True)
        assert speaker.batches == []


async def test_every_try_at_a_frozen_server_is_counted(two: list[Node], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after the connection before was lost by its reader."""
    monkeypatch.setattr("relay.subscriptions.bus_line.CALL_SECONDS", 0.2)
    async with pair(two[0].url) as (process, _other):
        (line,) = process.lines
        two[0].run("CLIENT", "KILL", "TYPE", "pubsub")
        two[0].freeze()
        await until(lambda: line.up is False)
        lost = line.failures
        await until(lambda: line.failures >= lost + 2, 5.0)
        two[0].thaw()
