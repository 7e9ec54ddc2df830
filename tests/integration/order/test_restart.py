"""A relay that lost its position starts over, with every connection to the database that it writes on."""

import asyncio

import pytest

from relay.protocol.errors import Failed
from relay.services import connections, runtime
from relay.services.runtime import Relay
from tests.events import secret, sign_event
from tests.integration.order.clients import Client
from tests.integration.order.conftest import StartRelay

pytestmark = pytest.mark.django_db


async def start_over(relay: Relay) -> None:
    relay.lost("a test says so")
    async with asyncio.timeout(10):
        while not relay.ready:
            await asyncio.sleep(0.01)


async def test_what_is_written_after_a_restart_goes_to_the_server_that_is_followed_now(start_relay: StartRelay) -> None:
    """The old connection may lead to the server that was followed before, with numbers of its own."""
    relay: Relay = await start_relay()
    first = Client(relay)
    await first.publish(sign_event(secret(1), content="before"))
    assert relay.writer.connected
    await start_over(relay)
    assert not relay.writer.connected
    await first.until(lambda: bool(first.ended))
    second = Client(relay)
    await second.publish(sign_event(secret(1), content="after"))
    assert relay.writer.connected


async def test_a_relay_restarts_more_than_once(start_relay: StartRelay) -> None:
    relay: Relay = await start_relay()
    for number in range(3):
        await start_over(relay)
        await assert_live(relay, f"restart {number}")


async def test_after_a_restart_no_subscription_lives_on_and_clients_are_closed_one_after_the_other(
    start_relay: StartRelay,
) -> None:
    """All workers of all instances start over at a failover: clients that were closed at once came back at once."""
    relay: Relay = await start_relay(drain_seconds=2.0)
    clients = [Client(relay) for _ in range(60)]
    for client in clients:
        client.say("REQ", "before", {"kinds": [1]})
        await client.until(lambda: client.has_eose("before"))  # noqa: B023
    await start_over(relay)
    assert all(client.messages[-1][:2] == ["CLOSED", "before"] for client in clients)
    assert sum(bool(client.ended) for client in clients) < 30
    waits = [client for client in clients if not client.ended]
    for client in waits:
        client.say("REQ", "again", {"kinds": [1]})
    await waits[-1].until(lambda: any(client.has_eose("again") for client in waits))
    for client in clients:
        await client.until(lambda: bool(client.ended))  # noqa: B023
        assert client.ended == ["1012 error: the relay lost its place, connect again"]
    assert relay.hub.subscriptions == 0


async def test_clients_are_closed_all_the_same_while_a_relay_cannot_begin_again(
    start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "SILENT_SECONDS", 0.05)
    monkeypatch.setattr(runtime, "RESTART_PAUSE_SECONDS", 0.01)
    relay: Relay = await start_relay(drain_seconds=0.2)
    begin, clients = relay._begin, [Client(relay) for _ in range(3)]

    async def fail() -> None:
        raise Failed("the database does not answer")

    monkeypatch.setattr(relay, "_begin", fail)
    relay.lost("a test says so")
    for client in clients:
        await client.until(lambda: bool(client.ended))  # noqa: B023
        assert client.ended == ["1012 error: the relay lost its place, connect again"]
    assert not relay.ready
    monkeypatch.setattr(relay, "_begin", begin)
    async with asyncio.timeout(10):
        while not relay.ready:
            await asyncio.sleep(0.01)
    await assert_live(relay, "afterwards")


async def test_queries_after_a_restart_go_over_new_connections_and_none_fails(start_relay: StartRelay) -> None:
    """As with the writer: the old ones may lead to the server that was followed before."""
    relay: Relay = await start_relay()

    async def server_process() -> bytes | None:
        _, rows = await relay.reads.fetch("SELECT 0::bigint, pg_backend_pid()")
        return rows[0][1]

    before = await server_process()
    await start_over(relay)
    assert await server_process() != before


async def test_a_restart_ends_the_sending_away_of_clients(start_relay: StartRelay) -> None:
    relay: Relay = await start_relay(drain_seconds=60.0)
    clients = [Client(relay) for _ in range(100)]
    relay.send_away()
    await start_over(relay)
    assert not relay.tasks.is_running(runtime.SENDING_AWAY)
    for client in clients:
        client.leave()


async def test_after_a_restart_sessions_are_resumed_a_few_at_a_time(
    start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "RESUMED_AT_ONCE", 2)
    relay: Relay = await start_relay()
    resumed: list[Client] = []

    class Resumed(Client):
        def resume_reading(self) -> None:
            resumed.append(self)

    clients = [Resumed(relay) for _ in range(5)]
    sessions = relay.connections.suspend("error: later")
    resuming = asyncio.ensure_future(relay.connections.resume(sessions))
    counts = []
    while not resuming.done():
        await asyncio.sleep(0)
        counts.append(len(resumed))
    assert counts[:3] == [2, 4, 5]
    assert {client.session for client in clients} == {client.session for client in resumed}


async def assert_live(relay: Relay, content: str) -> None:
    listener = Client(relay)
    listener.say("REQ", "live", {"kinds": [1]})
    await listener.until(lambda: listener.has_eose("live"))
    event = sign_event(secret(2), content=content)
    await Client(relay).publish(event)
    await listener.until(lambda: event["id"] in listener.live("live"))
