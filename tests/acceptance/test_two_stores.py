"""Two stores on one Redis server, one of them a copy of the other's data folder: neither learns of the other's work."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.acceptance.client import Client
from tests.acceptance.relay_process import RelayProcess, wait_for
from tests.events import sign_event
from tests.integration.caching.valkeys import one_server

EVERYTHING = {"kinds": [1]}


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with one_server() as server:
        client = Redis.from_url(server.url)
        yield client
        client.close()


@pytest.fixture(scope="module")
def relays(tmp_path_factory: pytest.TempPathFactory, redis: Redis) -> Iterator[tuple[RelayProcess, RelayProcess]]:
    """The original, with one event in it, and a copy of its stopped data folder."""
    folder = tmp_path_factory.mktemp("stores")
    original = relay_in(folder / "original", redis)
    try:
        original.start()
        asyncio.run(publish(original, "before the copy"))
        assert original.stop() == 0
        copy = relay_in(folder / "copy", redis)
        shutil.copytree(
            original.data_dir, copy.data_dir, ignore=shutil.ignore_patterns("*.lock", "run", "services.json")
        )
        try:
            original.start()
            copy.start()
            yield original, copy
        finally:
            copy.destroy()
    finally:
        original.destroy()


def relay_in(folder: Path, redis: Redis) -> RelayProcess:
    path = redis.connection_pool.connection_kwargs["path"]
    return RelayProcess(folder, settings={"REDIS_URL": f"unix://{path}"})


async def publish(relay: RelayProcess, text: str) -> None:
    async with Client(relay.ws_url) as client:
        assert (await client.publish(sign_event(content=text))).accepted


def metric(relay: RelayProcess, name: str) -> float:
    _, page = relay.get("/metrics")
    found = [line for line in page.splitlines() if line.startswith(f"{name} ")]
    return float(found[0].split()[1]) if found else -1.0


async def test_what_is_published_to_one_is_neither_delivered_nor_stored_by_the_other(
    relays: tuple[RelayProcess, RelayProcess],
) -> None:
    original, copy = relays
    async with Client(original.ws_url) as here, Client(copy.ws_url) as there:
        assert [event["content"] for event in (await here.request("live", EVERYTHING)).events] == ["before the copy"]
        assert [event["content"] for event in (await there.request("live", EVERYTHING)).events] == ["before the copy"]
        for number in range(20):
            await publish(original, f"original {number}")
            await publish(copy, f"copy {number}")
        for client, own in ((here, "original"), (there, "copy")):
            live = [message[2]["content"] for message in await client.settled() if message[0] == "EVENT"]
            assert live == [f"{own} {number}" for number in range(20)]
            # Twice: the second answer may come from a copy.
            for _ in range(2):
                found = {event["content"] for event in (await client.query(EVERYTHING)).events}
                assert found == {"before the copy", *(f"{own} {number}" for number in range(20))}


def test_an_operator_sees_that_another_store_uses_the_bus(relays: tuple[RelayProcess, RelayProcess]) -> None:
    original, copy = relays
    wait_for(lambda: metric(original, "relay_bus_foreign_total") > 0, "a count of foreign messages")
    wait_for(lambda: "are dropped" in copy.messages(), "a line about foreign messages")


def test_each_is_shown_its_own_workers_alone(relays: tuple[RelayProcess, RelayProcess], redis: Redis) -> None:
    wait_for(lambda: len(redis.keys("relay:{*:status}:workers")) == 2, "the figures of both")
    assert [redis.scard(key) for key in redis.keys("relay:{*:status}:workers")] == [1, 1]  # one worker each


def test_each_runs_its_own_jobs(relays: tuple[RelayProcess, RelayProcess], redis: Redis) -> None:
    """No queue, binding or exchange of the broker is shared."""
    shared = [key for pattern in ("_kombu*", "celery*", "unacked*") for key in redis.keys(pattern)]
    assert shared == []
