"""An instance that alone lost the primary gives its clients to others; one that lost it with all others keeps them."""

import asyncio
from collections.abc import Callable

import pytest

from relay.protocol.errors import Failed
from relay.services import follow, readiness
from relay.services.runtime import ALONE, Relay
from relay.storage.primary import Heartbeat
from tests.events import secret, sign_event
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
    monkeypatch.setattr(follow, "STRAGGLER_SECONDS", 0.0)
    cut: Relay = await start_relay()
    other: Relay = await start_relay()
    client = Client(cut)
    answers = cut.primary.heartbeat
    monkeypatch.setattr(cut.primary, "heartbeat", no_answer)
    await until(lambda: not cut.follower.database_up)
    assert readiness.problem(cut) is None
    await Client(other).publish(sign_event(secret(1), content="stored meanwhile"))
    await until(lambda: bool(client.ended) and cut.unready() == ALONE)
    assert readiness.problem(cut) == ALONE
    monkeypatch.setattr(cut.primary, "heartbeat", answers)
    await until(lambda: readiness.problem(cut) is None)
