"""An instance that alone lost the primary gives its clients to others; one that lost it with all others keeps them."""

import asyncio
from collections.abc import Callable

import pytest

from relay.changes.change import Batch
from relay.protocol.errors import Failed
from relay.services import primary_watch, readiness
from relay.services.runtime import ALONE, Relay
from relay.storage.primary import Heartbeat
from tests.events import pubkey_of, secret, sign_event
from tests.integration.order.clients import Client
from tests.integration.order.conftest import StartRelay

pytestmark = pytest.mark.django_db


async def no_answer() -> Heartbeat:
    raise Failed("the network drops it")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_clients_of_an_instance_that_alone_lost_the_primary_are_sent_away_until_it_answers(
    start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(primary_watch, "STRAGGLER_SECONDS", 0.0)
    cut: Relay = await start_relay()
    other: Relay = await start_relay()
    client = Client(cut)
    answers = cut.primary.heartbeat
    monkeypatch.setattr(cut.primary, "heartbeat", no_answer)
    await until(lambda: not cut.watch.is_up)
    assert readiness.problem(cut) is None
    await Client(other).publish(sign_event(secret(1), content="stored meanwhile"))
    await until(lambda: bool(client.ended) and cut.unready() == ALONE)
    assert readiness.problem(cut) == ALONE
    monkeypatch.setattr(cut.primary, "heartbeat", answers)
    await until(lambda: readiness.problem(cut) is None)


async def test_memory_answers_nothing_without_the_primary_while_it_lacks_a_change_before_the_newest(
    start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change that it lacks may be its own, whose commit it never heard of; the others have it from the log."""
    cut: Relay = await start_relay(cache_layers="l1")
    other: Relay = await start_relay()
    apply, brought = cut.follower.apply, asyncio.Event()

    def apply_all_but_the_first(batch: Batch) -> None:
        if brought.is_set():
            apply(batch)
        brought.set()

    async def no_log(position: int) -> Batch | None:
        raise Failed("the network drops it")

    monkeypatch.setattr(cut.follower, "apply", apply_all_but_the_first)
    monkeypatch.setattr(cut.primary, "changes_after", no_log)
    monkeypatch.setattr(cut.primary, "heartbeat", no_answer)
    notes = [sign_event(secret(1), content=content) for content in ("not heard of", "heard of")]
    client, publisher = Client(cut), Client(other)
    client.say("REQ", "before", {"authors": [pubkey_of(secret(1))]})  # a page in memory
    await client.until(lambda: client.has_eose("before"))
    client.say("CLOSE", "before")
    await publisher.publish(notes[0])
    await asyncio.wait_for(brought.wait(), 10)
    await publisher.publish(notes[1])
    await until(lambda: not cut.watch.is_up)
    await until(lambda: cut.intake.has_gap)
    client.say("REQ", "all", {"authors": [pubkey_of(secret(1))]})
    await client.until(lambda: any(m[0] in {"EOSE", "CLOSED"} and m[1] == "all" for m in client.messages))
    # The database answers queries here as soon as it is connected again.
    assert not client.has_eose("all") or set(client.stored("all")) == {note["id"] for note in notes}
