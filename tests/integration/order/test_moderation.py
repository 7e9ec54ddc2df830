"""What operators do, on two workers of which the bus tells neither (X-6): each reads it from the primary in time."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from msgspec import structs

from relay.policies.lists import ListName
from relay.protocol.audience import Audience
from relay.services import moderation
from relay.services.runtime import Relay
from relay.storage.retention import remove_vanished
from tests.events import pubkey_of, secret, sign_event
from tests.integration.order.clients import Client
from tests.integration.order.conftest import StartRelay
from tests.integration.storage.scribe import Tables

pytestmark = pytest.mark.django_db(transaction=True)

SECONDS = 1.0
"""X-6: within so long a change is in force in every process. The test waits longer only for a machine that is busy."""
PATIENCE = 5 * SECONDS
SPAMMER, OTHER = secret(50), secret(51)


def text(key: bytes, content: str, **rest: Any) -> dict[str, Any]:
    return sign_event(key, content=content, created_at=rest.pop("created_at", int(time.time())), **rest)


async def do(action: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """As the admin does: in a thread, on Django's connection."""
    return await asyncio.to_thread(on_own_connection, action, *args, by="operator", **kwargs)


def on_own_connection(action: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        return action(*args, **kwargs)
    finally:
        connection.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def two(start_relay: StartRelay, **settings: Any) -> tuple[Relay, Relay]:
    here, there = await asyncio.gather(start_relay(**settings), start_relay(**settings))
    return here, there


async def answer(client: Client, event: dict[str, Any]) -> list[Any]:
    before = len(client.messages)
    client.say("EVENT", event)
    await client.until(lambda: any(m[:2] == ["OK", event["id"]] for m in client.messages[before:]))
    return next(m for m in client.messages[before:] if m[:2] == ["OK", event["id"]])[2:]


async def ids(client: Client, name: str, query: dict[str, Any]) -> list[str]:
    client.say("REQ", name, query)
    await client.until(lambda: client.has_eose(name))
    return client.stored(name)


async def test_86_5_a_banned_key_is_refused_everywhere_and_its_events_are_gone(start_relay: StartRelay) -> None:
    here, there = await two(start_relay, cache_layers="l1")
    readers = [Client(here), Client(there)]
    bad, good = text(SPAMMER, "buy"), text(OTHER, "hello")
    for event in (bad, good):
        await readers[0].publish(event)
    for number, reader in enumerate(readers):
        assert set(await ids(reader, f"before {number}", {"kinds": [1]})) == {bad["id"], good["id"]}

    await do(moderation.ban_key, pubkey_of(SPAMMER), reason="spam")
    await until(lambda: all(pubkey_of(SPAMMER) in relay.lists.banned_keys for relay in (here, there)))
    for number, reader in enumerate(readers):
        await until(lambda: here.follower.lag == there.follower.lag == 0)
        assert await ids(reader, f"after {number}", {"kinds": [1]}) == [good["id"]]
        assert await answer(reader, text(SPAMMER, "again")) == [False, "blocked: this public key is banned here"]
        assert await answer(reader, bad) == [False, "blocked: this public key is banned here"]


async def test_answer_blocked_by_a_worker_that_has_not_read_the_ban(start_relay: StartRelay, tables: Tables) -> None:
    here = await start_relay()
    here.lists.apply = lambda changed: None
    await do(moderation.ban_key, pubkey_of(SPAMMER))
    accepted, reason = await answer(Client(here), text(SPAMMER, "between"))
    assert not accepted
    assert reason.startswith("blocked: ")
    assert tables.ids() == set()


async def test_a_ban_that_was_lifted_lets_the_key_and_what_was_removed_back(start_relay: StartRelay) -> None:
    there = await start_relay()
    client, event = Client(there), text(SPAMMER, "hello")
    await client.publish(event)
    await do(moderation.ban_key, pubkey_of(SPAMMER))
    await until(lambda: pubkey_of(SPAMMER) in there.lists.banned_keys)
    await do(moderation.unban_key, pubkey_of(SPAMMER))
    await until(lambda: pubkey_of(SPAMMER) not in there.lists.banned_keys)

    await asyncio.to_thread(on_own_connection, remove_vanished)
    assert (await answer(client, event))[0] is True


async def test_a_ban_without_removal_keeps_what_is_stored(start_relay: StartRelay, tables: Tables) -> None:
    here = await start_relay()
    event = text(SPAMMER, "hello")
    await Client(here).publish(event)
    await do(moderation.ban_key, pubkey_of(SPAMMER), remove=False)
    assert tables.ids() == {event["id"]}


async def test_62_4_a_banned_key_may_still_vanish(start_relay: StartRelay) -> None:
    here = await start_relay()
    await do(moderation.ban_key, pubkey_of(SPAMMER))
    await until(lambda: pubkey_of(SPAMMER) in here.lists.banned_keys)
    request = text(SPAMMER, "", kind=62, tags=[["relay", "ALL_RELAYS"]])
    assert (await answer(Client(here), request))[0] is True


async def test_86_7_a_deletion_of_a_banned_key_is_refused(start_relay: StartRelay) -> None:
    here = await start_relay()
    here.lists.apply = lambda changed: None
    await do(moderation.ban_key, pubkey_of(SPAMMER))
    deletion = text(SPAMMER, "", kind=5, tags=[["e", "ab" * 32]])
    assert (await answer(Client(here), deletion))[0] is False


async def test_86_5_a_removed_event_is_gone_everywhere_and_stays_away(start_relay: StartRelay, tables: Tables) -> None:
    here, there = await two(start_relay, cache_layers="l1")
    clients, event = [Client(here), Client(there)], text(OTHER, "bad")
    await clients[0].publish(event)
    assert await ids(clients[1], "before", {"ids": [event["id"]]}) == [event["id"]]
    assert await do(moderation.ban_event, event["id"], reason="illegal")
    await until(lambda: all(event["id"] in relay.lists.banned_events for relay in (here, there)))
    await until(lambda: here.follower.lag == there.follower.lag == 0)
    for client in clients:
        assert await ids(client, "after", {"ids": [event["id"]]}) == []
        assert await answer(client, event) == [False, "blocked: removed by the operators of this relay"]
    third = await start_relay()
    assert event["id"] in third.lists.banned_events
    await do(moderation.allow_event, event["id"])
    await until(lambda: event["id"] not in here.lists.banned_events)
    assert (await answer(clients[0], event))[0] is True


async def test_86_5_a_removed_profile_comes_back_when_it_is_allowed_again(
    start_relay: StartRelay, tables: Tables
) -> None:
    here, now = await start_relay(), int(time.time())
    client = Client(here)
    profile, older = (text(OTHER, "{}", kind=0, created_at=now - age) for age in (0, 1))
    await client.publish(profile)
    await do(moderation.ban_event, profile["id"])
    await until(lambda: profile["id"] in here.lists.banned_events)
    await do(moderation.allow_event, profile["id"])
    await until(lambda: profile["id"] not in here.lists.banned_events)
    assert await answer(client, older) == [False, "duplicate: have newer event"]
    assert await answer(client, profile) == [True, ""]
    assert tables.ids() == {profile["id"]}
    assert await answer(client, profile) == [True, "duplicate: already have this event"]


async def test_86_5_a_worker_that_has_not_read_a_removal_does_not_store_the_event_again(
    start_relay: StartRelay, tables: Tables
) -> None:
    here = await start_relay()
    here.lists.apply = lambda changed: None
    event = text(OTHER, "bad")
    await do(moderation.ban_event, event["id"])
    assert (await answer(Client(here), event))[0] is False
    assert tables.ids() == set()


async def test_86_8_connections_from_a_blocked_network_end_and_new_ones_are_refused(start_relay: StartRelay) -> None:
    here, there = await two(start_relay)
    clients = [Client(here), Client(there)]
    assert await do(moderation.block_network, "::ffff:127.0.0.0/120") == "127.0.0.0/24"
    for client in clients:
        await client.until(lambda client=client: bool(client.ended), PATIENCE)  # type: ignore[misc]
        assert client.ended == ["1008 blocked: connections from this address are not accepted"]
    with pytest.raises(Exception, match="not accepted"):
        here.connections.admit("127.0.0.9")
    here.connections.leave(here.connections.admit("127.0.1.9"))
    await do(moderation.unblock_network, "127.0.0.77/24")
    await until(lambda: len(here.lists.networks) == 0)
    here.connections.leave(here.connections.admit("127.0.0.9"))


async def test_x_6_an_operator_ends_one_connection_of_another_worker(start_relay: StartRelay) -> None:
    there = (await two(start_relay))[1]
    stays, goes = Client(there), Client(there)
    goes.say("CLOSE", "something, so that it has sent the most")
    name = there.connections.largest(1)[0].name
    await do(moderation.end_connection, name)
    await goes.until(lambda: bool(goes.ended), PATIENCE)
    assert goes.ended == ["1008 blocked: ended by the operators of this relay"]
    assert not stays.ended


async def test_a_ban_takes_the_rights_of_one_key_from_a_connection_that_has_proved_two(start_relay: StartRelay) -> None:
    here = await start_relay()
    session = Client(here).session
    keys = frozenset({pubkey_of(SPAMMER), pubkey_of(OTHER)})
    session.reader.audience = Audience.of(keys)
    session.source = structs.replace(session.source, proved=keys)
    await do(moderation.ban_key, pubkey_of(SPAMMER))
    await until(lambda: session.source.proved == {pubkey_of(OTHER)})
    assert session.audience.keys == {pubkey_of(OTHER)}


async def test_86_7_allowing_a_kind_or_a_key_locks_no_client_out(start_relay: StartRelay) -> None:
    here = await start_relay()
    await do(moderation.allow_kind, 7)
    await do(moderation.allow_key, pubkey_of(OTHER))
    await until(lambda: 7 in here.lists.allowed_kinds and pubkey_of(OTHER) in here.lists.allowed_keys)
    await Client(here).publish(text(SPAMMER, "hello"))
    await do(moderation.disallow_kind, 1)
    await until(lambda: 1 in here.lists.denied_kinds)
    assert await answer(Client(here), text(SPAMMER, "more")) == [
        False,
        "blocked: events of kind 1 are not accepted here",
    ]


async def test_x_6_a_worker_that_starts_later_reads_all_pages_of_the_lists(
    start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch, tables: Tables
) -> None:
    monkeypatch.setattr("relay.services.lists.PAGE_ENTRIES", 2)
    monkeypatch.setattr("relay.storage.primary.PAGE_ENTRIES", 2)
    for kind in (100, 101, 102, 103, 104):
        await do(moderation.disallow_kind, kind)
    here = await start_relay()
    assert set(here.lists.denied_kinds) == {100, 101, 102, 103, 104}


def test_86_7_the_keys_of_operator_and_relay_cannot_be_banned(tables: Tables, settings: Any) -> None:
    settings.RELAY_PUBKEY, settings.RELAY_SELF = "aa" * 32, "bb" * 32
    for key in ("aa" * 32, "BB" * 32):
        with pytest.raises(moderation.CannotModerate):
            moderation.ban_key(key, by="operator")
    assert tables.rows("SELECT key FROM relay_list_entry WHERE list = %s", ListName.BANNED_KEY) == []


def test_86_7_a_network_that_is_too_wide_is_refused(tables: Tables) -> None:
    for wide in ("0.0.0.0/0", "::/0", "127.0.0.0/7", "::ffff:0:0/96"):
        with pytest.raises(moderation.CannotModerate):
            moderation.block_network(wide, by="operator")
