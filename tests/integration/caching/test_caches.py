"""Clearing and warming from outside: what goes, what stays, and that every process follows."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from relay.caching.clearing import orders_key
from relay.caching.page import Page
from relay.caching.page_cache import event_filter
from relay.caching.record import FORMAT
from relay.caching.registry import registry
from relay.conf import config
from relay.protocol.filters import Filter
from relay.services import caches
from relay.services.runtime import Relay
from relay.storage.store import current_store
from tests.events import pubkey_of, secret, sign_event
from tests.integration.order.clients import Client
from tests.integration.order.conftest import StartRelay, database, start_relay, tables  # noqa: F401

pytestmark = pytest.mark.django_db

UNREACHABLE_URL = "redis://127.0.0.1:1"
NOW = int(time.time())


@pytest.fixture
async def relay(start_relay: StartRelay) -> Relay:  # noqa: F811
    await shared_cache("FLUSHDB")
    started: Relay = await start_relay(cache_layers="l1+l2")
    return started


async def shared_cache(*command: str | bytes) -> Any:
    client = Redis.from_url(config().cache_url)
    try:
        return await client.execute_command(*command)  # type: ignore[no-untyped-call]
    finally:
        await client.aclose()


async def keys(pattern: str) -> list[bytes]:
    return list(await shared_cache("KEYS", pattern))


async def come(condition: Callable[[], Any], seconds: float = 8.0) -> None:
    """Wait until it is true, of a coroutine as well."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.02)


async def publish(relay: Relay, *events: dict[str, Any]) -> None:
    client = Client(relay)
    for event in events:
        await client.publish(event)
    client.leave()


async def ask(relay: Relay, asked: dict[str, Any]) -> list[str]:
    client = Client(relay)
    client.say("REQ", "one", asked)
    await client.until(lambda: client.has_eose("one"))
    client.leave()
    return client.stored("one")


async def fill(relay: Relay) -> dict[str, Any]:
    """An event and a profile in both layers; returns the event."""
    note = sign_event(secret(7), content="in all layers", created_at=NOW)
    await publish(relay, note, sign_event(secret(7), kind=0, content="{}", created_at=NOW))
    await relay.profiles.newest([pubkey_of(secret(7))])
    event = relay.intake.ring.event(note["id"])
    assert event is not None
    relay.answers.copies.events.share([Page(event_filter(event.id), relay.hub.position, [event.json], True)])  # type: ignore[union-attr]
    await come(lambda: keys(f"relay:{FORMAT}:{{*:[ep]*"))
    return note


def held(name: str) -> int:
    """Entries of the first layer in this process."""
    return sum(cache.size for cache in registry.figures() if cache.name == name and cache.layer == "L1")


async def clear(name: str | None = None, layer: str | None = None) -> int:
    return await asyncio.to_thread(caches.clear, name, layer)


async def test_clearing_all_caches_deletes_all_copies_and_nothing_else(relay: Relay) -> None:
    note = await fill(relay)
    await ask(relay, {"kinds": [1]})
    await come(lambda: keys("relay:{*:status}:*"))

    gone = await clear()

    assert gone >= 2
    assert await keys(f"relay:{FORMAT}:{{*:[rep]*") == []
    assert await keys("relay:{*:status}:*") != []
    await come(lambda: held("profiles") == 0)
    assert await ask(relay, {"ids": [note["id"]]}) == [note["id"]]


async def test_clearing_one_cache_keeps_the_others(relay: Relay) -> None:
    await fill(relay)
    assert held("profiles")

    assert await clear("profiles") == 1

    assert await keys(f"relay:{FORMAT}:{{*:profiles:*") == []
    assert await keys(f"relay:{FORMAT}:{{*:events:*") != []
    await come(lambda: held("profiles") == 0)
    assert held("window")


async def test_clearing_one_layer_keeps_the_other(relay: Relay) -> None:
    await fill(relay)

    assert await clear("profiles", "L1") == 0

    await come(lambda: held("profiles") == 0)
    assert await keys(f"relay:{FORMAT}:{{*:profiles:*") != []


async def test_the_window_is_filled_again_and_knows_all(relay: Relay) -> None:
    note = await fill(relay)
    assert relay.answers is not None
    window = relay.answers.copies.window.window
    await come(lambda: window.complete)

    await clear("window", "L1")
    assert relay.clearing is not None
    await come(lambda: relay.clearing.followed)  # type: ignore[union-attr]
    await come(lambda: window.complete)

    assert await ask(relay, {"kinds": [1]}) == [note["id"]]
    assert held("window") == 2


async def test_a_new_process_ignores_earlier_orders(start_relay: StartRelay) -> None:  # noqa: F811
    await shared_cache("FLUSHDB")
    await shared_cache(
        "HSET", orders_key((await asyncio.to_thread(current_store)).name), "*", f"{time.time() - 60:.3f} before"
    )
    relay = await start_relay(cache_layers="l1+l2")
    clearing = relay.clearing
    assert clearing is not None

    await clear("profiles", "L1")
    await come(lambda: clearing.followed)

    assert clearing.followed == 1


@pytest.mark.parametrize(("name", "layer"), [("barrier", None), ("*", None), (None, "L3")])
async def test_what_does_not_exist_cannot_be_cleared(relay: Relay, name: str | None, layer: str | None) -> None:
    with pytest.raises(ValueError, match="there is no"):
        await clear(name, layer)


async def test_without_the_shared_cache_clearing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "CONNECT_SECONDS", 0.1)
    for url in (UNREACHABLE_URL, ""):
        conf = replace(config(), cache_url=url)
        monkeypatch.setattr(caches, "config", lambda conf=conf: conf)
        with pytest.raises(caches.CachesUnavailable):
            await clear()


async def test_what_was_warmed_another_process_finds(relay: Relay, start_relay: StartRelay) -> None:  # noqa: F811
    root = sign_event(secret(8), content="root", created_at=NOW - 9)
    replies = [sign_event(secret(9), content=str(n), tags=[["e", root["id"]]], created_at=NOW - n) for n in range(3)]
    profile = sign_event(secret(8), kind=0, content="{}", created_at=NOW)
    await publish(relay, root, *replies, profile)
    await shared_cache("FLUSHDB")
    steps: list[tuple[int, int, str]] = []

    warmed = await asyncio.to_thread(caches.warm, lambda *step: steps.append(step))
    fresh = await start_relay(cache_layers="l1+l2", window_bytes=0)
    answers = fresh.answers
    assert answers is not None
    thread = {"#e": [root["id"]]}

    assert warmed.events >= 5
    assert warmed.profiles == 2
    assert [step for step, _, _ in steps] == list(range(steps[-1][1] + 1))
    assert await ask(fresh, thread) == [event["id"] for event in replies]
    assert answers.copies.results.l2.hits == 1
    await fresh.profiles.newest([pubkey_of(secret(8)), pubkey_of(secret(9))])
    assert answers.copies.profiles.l2.hits == 2
    everything = Filter(None, None, frozenset([0]), None, None, 500, True, ())
    assert (await answers.fetch([everything])).source == "l2"


async def test_warming_names_the_server_that_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(caches, "config", lambda: replace(config(), cache_url=UNREACHABLE_URL))
    with pytest.raises(caches.CachesUnavailable):
        await asyncio.to_thread(caches.warm, lambda *_: None)
