"""A client that reads its answer slowly is sent nothing that has gone meanwhile (09-16): neither from the texts that
were found for it at first, nor from a page of the log that was read before.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from django.db import connection

from relay.services import moderation
from relay.services.runtime import Relay
from tests.events import pubkey_of, secret, sign_event
from tests.integration.order.clients import Client
from tests.integration.order.conftest import StartRelay

pytestmark = pytest.mark.django_db(transaction=True)

Json = dict[str, Any]

AUTHOR, GOING = secret(80), secret(81)
NOW = int(time.time())
MANY = 40
TEXT = "x" * 20_000
SETTINGS = {"max_outbox_bytes": 524_288, "ring_bytes": 200_000, "window_bytes": 2**26}
"""Pieces of 128 KiB, six events."""
ALL = {"authors": [pubkey_of(AUTHOR), pubkey_of(GOING)]}


class SlowClient(Client):
    """A client that takes what is sent only when it is told to."""

    def __init__(self, relay: Relay) -> None:
        self._unread = 0
        super().__init__(relay)

    def send_frames(self, frames: Sequence[bytes]) -> None:
        super().send_frames(frames)
        self._unread += sum(map(len, frames))

    def buffered_bytes(self) -> int:
        return self._unread

    def read(self) -> None:
        self._unread = 0
        self.session.outbox.drained()

    async def stalled(self) -> None:
        """Return once the relay waits for this client."""
        async with asyncio.timeout(8):
            while not self._unread > 131_072:
                await asyncio.sleep(0.005)

    async def read_until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(8):
            while not done():
                self.read()
                await asyncio.sleep(0.005)


def big(key: bytes, number: int, **fields: Any) -> Json:
    return sign_event(key, content=f"{number} {TEXT}", created_at=NOW - number, **fields)


async def by_deletion(relay: Relay, events: Sequence[Json]) -> None:
    tags = [["e", event["id"]] for event in events]
    await Client(relay).publish(sign_event(GOING, kind=5, tags=tags, created_at=NOW))


async def by_vanishing(relay: Relay, events: Sequence[Json]) -> None:
    await Client(relay).publish(sign_event(GOING, kind=62, tags=[["relay", "ALL_RELAYS"]], created_at=NOW))


async def by_operators(relay: Relay, events: Sequence[Json]) -> None:
    def remove() -> None:
        for event in events:
            moderation.ban_event(event["id"], by="operator")
        connection.close()

    await asyncio.to_thread(remove)


Ending = Callable[[Relay, Sequence[Json]], Awaitable[None]]
ENDINGS: list[Ending] = [by_deletion, by_vanishing, by_operators]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("layers", ["none", "l1"])
async def test_09_16_what_went_while_its_reader_was_slow_is_not_sent_from_the_stored_answer(
    start_relay: StartRelay, layers: str, ending: Ending
) -> None:
    """The worker that answers learns of it later than it goes on, as one that was paused."""
    here, there = await start_relay(cache_layers=layers, **SETTINGS), await start_relay()
    events = [big(AUTHOR, number) for number in range(MANY)]
    going = [sign_event(GOING, content=str(number), created_at=NOW - MANY - number) for number in range(20)]
    writer, reader = Client(here), SlowClient(here)
    for event in (*events, *going):
        await writer.publish(event)
    reader.say("REQ", "s", ALL)
    await reader.stalled()
    await asyncio.sleep(0.15)

    here.follower.apply = lambda batch: None
    await ending(there, going)

    await reader.read_until(lambda: reader.has_eose("s"))
    assert reader.stored("s") == [event["id"] for event in events]


@pytest.mark.parametrize("ending", ENDINGS)
async def test_09_16_what_went_while_its_reader_was_slow_is_not_sent_from_the_log(
    start_relay: StartRelay, ending: Ending
) -> None:
    here, there = await start_relay(cache_layers="none", **SETTINGS), await start_relay()
    writer, reader = Client(here), SlowClient(here)
    stored = [big(AUTHOR, number) for number in range(MANY)]
    for event in stored:
        await writer.publish(event)
    reader.say("REQ", "s", ALL)
    await reader.stalled()
    later = [big((AUTHOR, GOING)[number % 2], MANY + number) for number in range(MANY)]
    for event in later:
        await writer.publish(event)
    await reader.read_until(lambda: bool(reader.live("s")))
    await reader.stalled()

    going = [event for event in later[1::2] if event["id"] not in reader.live("s")]
    await ending(there, going)
    position = await there.primary.position()
    async with asyncio.timeout(8):
        while here.hub.position < position:  # of what operators do no process is told before its heartbeat
            await asyncio.sleep(0.005)

    assert len(going) > 10
    await reader.read_until(lambda: later[-2]["id"] in reader.live("s"))
    kept = {event["id"]: None for event in later[::2]}
    assert set(reader.live("s")).isdisjoint(event["id"] for event in going)
    assert [event_id for event_id in reader.live("s") if event_id in kept] == list(kept)
