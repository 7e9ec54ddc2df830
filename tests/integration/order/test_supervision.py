"""Every failure of a background task is logged with its name and ends the process."""

import asyncio
from dataclasses import replace

import pytest

from relay.conf import config
from relay.services.follow import Follower
from relay.services.runtime import Relay
from relay.storage.writer import Writer
from relay.subscriptions.bus_line import Line
from tests.integration.storage.scribe import Tables

pytestmark = pytest.mark.django_db


async def broken(*_: object) -> None:
    raise ValueError("broken")


@pytest.mark.parametrize(
    "owner, method, name",
    [
        (Follower, "_heartbeats", "heartbeat"),
        (Follower, "_fill_gaps", "gaps in the log"),
        (Writer, "_run", "writer"),
        (Line, "_run", "bus connection"),
        (Line, "_send_all", "bus sender"),
    ],
)
async def test_a_task_that_fails_is_reported_by_its_name(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, name: str
) -> None:
    failed: asyncio.Queue[str] = asyncio.Queue()
    monkeypatch.setattr(owner, method, broken)
    relay = Relay(replace(config(), cache_layers="none"), failed.put_nowait)
    await relay.start()
    try:
        assert await asyncio.wait_for(failed.get(), 5) == name
        assert relay.tasks.failures == 1
    finally:
        await relay.stop()


async def test_a_relay_that_stops_in_order_reports_nothing(tables: Tables) -> None:
    failed: list[str] = []
    relay = Relay(replace(config(), cache_layers="l1+l2"), failed.append)
    await relay.start()
    await relay.stop()
    assert failed == []
