"""Two whole regions: what is published in one is served by the other, whatever is killed meanwhile."""

import asyncio
import os
import signal
import time
from collections.abc import Sequence

import psycopg

from tests.acceptance.client import Client
from tests.acceptance.relay_process import RelayProcess
from tests.events import sign_event

Pair = tuple[RelayProcess, RelayProcess]
SECONDS = 60.0
SENDER = "relayproject.runtime.pushes"


async def publish(relay: RelayProcess, label: str, number: int) -> list[str]:
    """Publish so many notes; the ids of those that were acknowledged."""
    events = [sign_event(content=f"{label} {n}") for n in range(number)]
    async with Client(relay.ws_url) as client:
        return [ok.event_id for event in events if (ok := await client.publish(event)).accepted]


async def missing(relay: RelayProcess, ids: Sequence[str]) -> set[str]:
    async with Client(relay.ws_url) as client:
        return set(ids) - set((await client.query({"ids": list(ids)})).ids)


async def until_all_are_there(relay: RelayProcess, ids: Sequence[str]) -> None:
    ends = time.monotonic() + SECONDS
    while lost := await missing(relay, ids):
        assert time.monotonic() < ends, f"{len(lost)} of {len(ids)} events are missing"
        await asyncio.sleep(0.2)


def cursors(relay: RelayProcess) -> list[tuple[str, int]]:
    with psycopg.connect(relay.services()["DATABASE_URL"]) as connection:
        return connection.execute("SELECT lane, relay_position() - position FROM replication_peerlane").fetchall()


async def test_an_event_comes_to_the_other_region_and_is_delivered_there(pair: Pair) -> None:
    eu, us = pair
    for here, there in ((eu, us), (us, eu)):
        event = sign_event(content=f"crosses from {here.port}")
        async with Client(here.ws_url) as author, Client(there.ws_url) as reader:
            await reader.request("live", {"ids": [event["id"]]})
            assert (await author.publish(event)).accepted
            assert await reader.live("live", SECONDS) == event


async def test_an_ephemeral_event_crosses_and_does_not_come_back(pair: Pair) -> None:
    eu, us = pair
    async with Client(eu.ws_url) as here, Client(us.ws_url) as there:
        for client in (here, there):
            await client.request("live", {"kinds": [24_133]})
        event = sign_event(kind=24_133, created_at=int(time.time()), content="for a signer")
        await here.publish(event)
        assert await there.live("live", SECONDS) == event
        assert await here.live("live") == event
        last = sign_event(kind=24_133, created_at=int(time.time()), content="the last one")
        await there.publish(last)
        assert await here.live("live", SECONDS) == last  # nothing came in between


async def test_nothing_is_missing_after_the_sender_was_killed_in_the_middle(pair: Pair) -> None:
    eu, us = pair
    publishing = asyncio.create_task(publish(eu, "sender killed", 400))
    for _ in range(3):
        await asyncio.sleep(0.5)
        for pid in eu.pids(SENDER):
            os.kill(pid, signal.SIGKILL)
    await until_all_are_there(us, await publishing)


async def test_nothing_is_missing_after_the_receiver_was_killed_in_the_middle(pair: Pair) -> None:
    eu, us = pair
    publishing = asyncio.create_task(publish(eu, "receiver killed", 400))
    for _ in range(3):
        await asyncio.sleep(0.5)
        for pid in us.workers():
            os.kill(pid, signal.SIGKILL)
    ids = await publishing
    await asyncio.to_thread(us.wait_ready)
    ends = time.monotonic() + SECONDS
    while True:
        try:
            await until_all_are_there(us, ids)
            break
        except OSError:  # the worker is being started again
            assert time.monotonic() < ends
            await asyncio.sleep(0.2)


def test_the_cursors_come_to_the_end_of_the_log(pair: Pair) -> None:
    eu, _ = pair
    ends = time.monotonic() + SECONDS
    while any(behind for _, behind in cursors(eu)):
        assert time.monotonic() < ends, cursors(eu)
        time.sleep(0.2)
    assert sorted(lane for lane, _ in cursors(eu)) == ["low", "normal", "urgent"]


def test_metrics_show_each_lane(pair: Pair) -> None:
    _, page = pair[0].get("/metrics")
    for name in ("relay_replication_lag_seconds", "relay_replication_lag_events", "relay_replication_lane_up"):
        found = [line for line in page.splitlines() if line.startswith(f"{name}{{")]
        assert len(found) == 3, name
    assert 'relay_replication_sent_total{lane="normal",outcome="stored",peer="us"}' in page
    ends = time.monotonic() + SECONDS  # it was asked last, perhaps, while its worker was dead
    while 'relay_replication_peer_up{peer="us"} 1.0' not in page:
        assert time.monotonic() < ends, page
        time.sleep(0.2)
        _, page = pair[0].get("/metrics")


def test_a_sender_stops_with_its_relay_in_time(pair: Pair) -> None:
    assert pair[0].stop() == 0
