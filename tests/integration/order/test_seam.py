"""The live seam on real parts: writes at every step of a REQ, on two workers, whatever becomes of the bus.

Each matching event arrives exactly once: what is in the result before EOSE, everything after it live and in order.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from relay.changes.change import Batch
from relay.services import follow
from relay.services.runtime import Relay
from tests.events import NOW, secret, sign_event
from tests.integration.order.clients import Client
from tests.integration.order.conftest import StartRelay
from tests.integration.storage.scribe import Tables

pytestmark = pytest.mark.django_db

PLENTY = 64 * 2**20
NO_RING = 1
QUERY, LOG = "FROM relay_event AS e", "LEFT JOIN relay_event"

_numbers = itertools.count()


def note(**fields: Any) -> dict[str, Any]:
    """A signed event that no test has seen."""
    return sign_event(content=f"number {next(_numbers)}", **fields)


class Injection:
    """Runs something once, before or after a relay's next read of a sort."""

    def __init__(self, relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pending: list[tuple[str, str, Callable[[], Awaitable[object]]]] = []
        self._running: list[asyncio.Future[object]] = []
        monkeypatch.setattr(relay.reads, "_of_primary", self._hooked(relay.reads._of_primary))
        coordination = relay.primary._server
        monkeypatch.setattr(coordination, "fetch", self._hooked(coordination.fetch))

    def at(self, when: str, read: str, action: Callable[[], Awaitable[object]]) -> None:
        self.pending.append((when, read, action))

    async def _run(self, when: str, text: str) -> None:
        for item in list(self.pending):
            if item[0] == when and item[1] in text and item in self.pending:
                self.pending.remove(item)
                self._running.append(asyncio.ensure_future(item[2]()))
                await self._running[-1]

    async def finish(self) -> None:
        """Wait for what runs, and run what no read has come by for."""
        while self.pending or self._running:
            if self._running:
                await self._running.pop()
            else:
                await self.pending.pop()[2]()

    def _hooked(self, fetch: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def hooked(text: str, *arguments: Any, **named: Any) -> Any:
            await self._run("before", text)
            rows = await fetch(text, *arguments, **named)
            await self._run("after", text)
            return rows

        return hooked


def use_bus(relay: Relay, fate: str) -> list[Batch]:
    """Have what the bus brings held back (and returned), or lost."""
    held: list[Batch] = []
    if fate == "held":
        relay.bus._on_batch = held.append
    elif fate == "lost":
        relay.bus._on_batch = lambda batch: None
    return held


STEPS = [("before", QUERY), ("after", QUERY), ("before", LOG), ("after", LOG)]


@pytest.mark.parametrize("ring_bytes", [PLENTY, NO_RING], ids=["ring", "no ring"])
@pytest.mark.parametrize("bus", ["up", "held", "lost"])
@pytest.mark.parametrize("writer", ["same worker", "other worker"])
@pytest.mark.parametrize("when, read", STEPS, ids=["before query", "after query", "before log", "after log"])
async def test_01_s03_every_event_arrives_once(
    start_relay: StartRelay,
    monkeypatch: pytest.MonkeyPatch,
    tables: Tables,
    ring_bytes: int,
    bus: str,
    writer: str,
    when: str,
    read: str,
) -> None:
    monkeypatch.setattr(follow, "HEARTBEAT_SECONDS", 0.1)
    here, there = await asyncio.gather(start_relay(ring_bytes=ring_bytes), start_relay())
    publisher, remote, reader = Client(here if writer == "same worker" else there), Client(there), Client(here)
    known = [note(created_at=NOW - age) for age in range(3)]
    for event in known:
        await remote.publish(event)
    held = use_bus(here, bus)
    early, late = [note(), note()], [note() for _ in range(3)]

    async def publish_early() -> None:
        for event in early:
            await publisher.publish(event)

    hook = Injection(here, monkeypatch)
    if read == LOG:
        # Something to catch up with, so that the log is read (at the seam without a ring, else by the heartbeat).
        hook.at("after", QUERY, lambda: remote.publish(known_later))
    known_later = note()
    hook.at(when, read, publish_early)
    reader.say("REQ", "s", {"kinds": [1]})
    await reader.until(lambda: reader.has_eose("s"))
    for event, client in zip(late, [remote, publisher, remote], strict=True):
        await client.publish(event)
    here.bus._on_batch = here._from_bus
    for batch in reversed(held):
        here.bus._on_batch(batch)
    await hook.finish()
    last = note()
    await remote.publish(last)
    await reader.until(lambda: last["id"] in reader.live("s"))
    everything = [event_id for _, _, event_id in tables.log()]
    before = 5 if (when, read) == STEPS[0] else 3
    assert set(reader.stored("s")) == set(everything[:before])
    assert reader.live("s") == everything[before:]


async def test_a_storm_of_writes_and_subscriptions_loses_and_doubles_nothing(
    start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch, tables: Tables
) -> None:
    """Random REQs and CLOSEs on two workers with short rings, while both write and the bus loses one batch in three."""
    monkeypatch.setattr(follow, "HEARTBEAT_SECONDS", 0.1)
    chance = random.Random(2)
    relays = [await start_relay(ring_bytes=4_000, write_batch=5), await start_relay(ring_bytes=20_000, write_batch=5)]
    for relay in relays:
        monkeypatch.setattr(relay.bus, "_on_batch", lossy(relay.bus._on_batch, chance))
    readers = [Client(relay) for relay in relays for _ in range(4)]
    writers = [Client(relay) for relay in relays for _ in range(3)]
    names = [f"{number}" for number in range(6)]

    async def write(client: Client, author: int) -> None:
        for number in range(40):
            await client.publish(note(kind=1 + number % 2))
            if number % 10 == 0:
                await client.publish(sign_event(secret(author), kind=0, content=f"{number}", created_at=NOW + number))

    async def read(client: Client) -> None:
        for _ in range(25):
            name = chance.choice(names)
            client.say("CLOSE", name)
            client.session.outbox.flush()  # 01-S05: what was on its way may still arrive after CLOSE
            client.messages = [message for message in client.messages if message[1] != name]
            client.say("REQ", name, {"kinds": [1, 2]})
            await asyncio.sleep(chance.random() * 0.02)

    await asyncio.gather(
        *[write(client, author) for author, client in enumerate(writers, 1)], *[read(client) for client in readers]
    )
    last = note()
    await writers[0].publish(last)
    kinds = {event_id.hex(): kind for event_id, kind in tables.rows("SELECT id, kind FROM relay_event")}
    everything = [event_id for _, _, event_id in tables.log() if kinds.get(event_id) in (1, 2)]
    for client in readers:
        for name in {message[1] for message in client.messages if message[0] == "EOSE"}:
            await client.until(lambda: last["id"] in client.stored(name) + client.live(name))  # noqa: B023
            stored, live = client.stored(name), client.live(name)
            assert set(stored) == set(everything[: len(stored)])
            assert live == everything[len(stored) :]


def lossy(deliver: Callable[[Batch], None], chance: random.Random) -> Callable[[Batch], None]:
    def maybe(batch: Batch) -> None:
        if chance.random() > 1 / 3:
            deliver(batch)

    return maybe


async def test_changes_that_the_bus_lost_are_found_within_seconds(start_relay: StartRelay) -> None:
    here, there = await start_relay(), await start_relay()
    reader, writer = Client(here), Client(there)
    reader.say("REQ", "s", {"kinds": [1]})
    await reader.until(lambda: reader.has_eose("s"))
    use_bus(here, "lost")
    event = note()
    await writer.publish(event)
    await reader.until(lambda: reader.live("s") == [event["id"]], seconds=5)


async def test_a_hole_is_filled_from_the_log_without_waiting_for_the_heartbeat(
    start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "HEARTBEAT_SECONDS", 60)
    here, there = await start_relay(), await start_relay()
    reader, writer = Client(here), Client(there)
    reader.say("REQ", "s", {"kinds": [1]})
    await reader.until(lambda: reader.has_eose("s"))
    first, second = note(), note()
    deliver = here.bus._on_batch
    gone = asyncio.Event()

    def lose(batch: Batch) -> None:
        gone.set()

    here.bus._on_batch = lose
    await writer.publish(first)
    await asyncio.wait_for(gone.wait(), 5)
    here.bus._on_batch = deliver
    await writer.publish(second)
    await reader.until(lambda: reader.live("s") == [first["id"], second["id"]], seconds=5)


async def test_own_events_wait_for_the_place_before_them(start_relay: StartRelay, tables: Tables) -> None:
    """An own commit overtakes the bus: it is delivered after what was committed before it."""
    here, there = await start_relay(), await start_relay()
    reader, writer, remote = Client(here), Client(here), Client(there)
    reader.say("REQ", "s", {"kinds": [1]})
    await reader.until(lambda: reader.has_eose("s"))
    use_bus(here, "lost")
    for client in (remote, writer, remote, remote, writer):
        await client.publish(note())
    await reader.until(lambda: len(reader.live("s")) == 5)
    assert reader.live("s") == [event_id for _, _, event_id in tables.log()]


async def test_01_e20_an_acknowledged_event_is_found_on_the_other_worker(start_relay: StartRelay) -> None:
    here, there = await start_relay(), await start_relay()
    writer, reader = Client(there), Client(here)
    use_bus(here, "lost")
    for number in range(15):
        event = note()
        await writer.publish(event)
        reader.say("REQ", f"{number}", {"ids": [event["id"]]})
        await reader.until(lambda: reader.has_eose(f"{number}"))  # noqa: B023
        assert reader.stored(f"{number}") == [event["id"]]


async def test_a_query_whose_continuation_was_pruned_is_closed_with_a_reason(
    start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch, tables: Tables
) -> None:
    here = await start_relay(ring_bytes=NO_RING)
    writer, reader = Client(here), Client(here)
    await writer.publish(note())

    async def write_and_prune() -> None:
        for _ in range(3):
            await writer.publish(note())
        tables.connection.execute("DELETE FROM relay_change WHERE seq < 4")

    Injection(here, monkeypatch).at("after", QUERY, write_and_prune)
    reader.say("REQ", "s", {"kinds": [1]})
    await reader.until(lambda: any(message[0] == "CLOSED" for message in reader.messages))
    assert reader.messages[-1][:2] == ["CLOSED", "s"]
    assert reader.messages[-1][2].startswith("error: ")
    assert here.hub.subscriptions == 0


async def test_a_worker_that_lost_its_position_closes_its_connections_and_restarts(
    start_relay: StartRelay, tables: Tables
) -> None:
    here, there = await start_relay(), await start_relay()
    reader, writer = Client(here), Client(there)
    reader.say("REQ", "s", {"kinds": [1]})
    await reader.until(lambda: reader.has_eose("s"))
    use_bus(here, "lost")
    for _ in range(4):
        await writer.publish(note())
    tables.connection.execute("DELETE FROM relay_change WHERE seq < 4")
    await reader.until(lambda: bool(reader.ended))
    assert reader.messages[-1][:2] == ["CLOSED", "s"]
    await asks_and_follows(here, writer, stored=4)


async def test_a_new_epoch_closes_all_connections_and_restarts(start_relay: StartRelay, tables: Tables) -> None:
    here = await start_relay()
    reader, writer = Client(here), Client(here)
    await writer.publish(note())
    reader.say("REQ", "s", {"kinds": [1]})
    await reader.until(lambda: reader.has_eose("s"))
    tables.connection.execute("UPDATE relay_store SET timeline = '000000FF'")
    await reader.until(lambda: bool(reader.ended))
    assert reader.ended[0].startswith("1012 ")
    async with asyncio.timeout(5):
        while not here.ready:
            await asyncio.sleep(0.01)
    await asks_and_follows(here, Client(here), stored=1)


async def test_a_writer_that_meets_another_epoch_writes_nothing_and_restarts_its_process(
    start_relay: StartRelay, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "HEARTBEAT_SECONDS", 60)  # the heartbeat does not notice it
    here = await start_relay()
    client = Client(here)
    await client.publish(note())
    here.writer.disconnect()
    tables.connection.execute("UPDATE relay_store SET timeline = '000000FF'")
    refused = note()
    client.say("EVENT", refused)
    await client.until(lambda: bool(client.ended))
    assert [message[2] for message in client.messages if message[:2] == ["OK", refused["id"]]] == [False]
    assert refused["id"] not in tables.ids()
    await asks_and_follows(here, Client(here), stored=1)


async def asks_and_follows(relay: Relay, writer: Client, stored: int) -> None:
    """A client that comes now gets what is stored, and what is written from now on."""
    async with asyncio.timeout(5):
        while not relay.ready:
            await asyncio.sleep(0.01)
    reader = Client(relay)
    reader.say("REQ", "s", {"kinds": [1]})
    await reader.until(lambda: reader.has_eose("s"))
    event = note()
    await writer.publish(event)
    await reader.until(lambda: reader.live("s") == [event["id"]])
    assert len(reader.stored("s")) == stored


async def test_an_ephemeral_event_reaches_both_workers_and_is_not_stored(
    start_relay: StartRelay, tables: Tables
) -> None:
    """01-K04. Each delivers it once, whichever worker it is sent to, and however often."""
    here, there = await start_relay(), await start_relay()
    readers, writers = [Client(here), Client(there)], [Client(there), Client(here)]
    for reader in readers:
        reader.say("REQ", "s", {"kinds": [20_001]})
        await reader.until(lambda: reader.has_eose("s"))  # noqa: B023
    event, last = (note(kind=20_001, created_at=int(time.time())) for _ in range(2))
    for writer in (*writers, *writers):
        writer.say("EVENT", event)
        await writer.until(lambda: any(m[:3] == ["OK", event["id"], True] for m in writer.messages))  # noqa: B023
    await writers[0].publish(last)
    for reader in readers:
        await reader.until(lambda: reader.live("s")[-1:] == [last["id"]])  # noqa: B023
        assert reader.live("s") == [event["id"], last["id"]]
    assert tables.log() == []
