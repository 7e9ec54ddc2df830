"""Two stores on one Redis server, one of them a copy of the other's data folder: neither learns of the other's work,
nor takes a job of it.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from redis import Redis

from relay.storage.store import CURRENT_STORE, Store
from tests.acceptance.client import Client
from tests.acceptance.conftest import ALL_ROLES, CopyOfMigrated
from tests.acceptance.relay_process import RelayProcess, all_running, running, wait_for
from tests.events import sign_event
from tests.integration.caching.valkeys import one_server

JOBS = "relayproject.runtime.jobs"
EVERYTHING = {"kinds": [1]}

pytestmark = pytest.mark.timeout(240)  # the jobs of two stores are waited for, and both have their start before that


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with one_server() as server:
        client = Redis.from_url(server.url, decode_responses=True)
        yield client
        client.close()


@pytest.fixture(scope="module")
def relays(
    copy_of_migrated: CopyOfMigrated, tmp_path_factory: pytest.TempPathFactory, redis: Redis
) -> Iterator[tuple[RelayProcess, RelayProcess]]:
    """The original, with one event in it, and a copy of its stopped data folder."""
    original, copied = copy_of_migrated("original"), tmp_path_factory.mktemp("copy") / "var"
    with running(relay_in(original, redis, roles="web")) as first:
        asyncio.run(publish(first, "before the copy"))
        assert first.stop() == 0
    shutil.copytree(original, copied, ignore=shutil.ignore_patterns("*.lock", "run", "services.json"))
    here, there = relay_in(original, redis), relay_in(copied, redis)
    with all_running(here, there):
        yield here, there


def relay_in(folder: Path, redis: Redis, roles: str = ALL_ROLES) -> RelayProcess:
    path = redis.connection_pool.connection_kwargs["path"]
    return RelayProcess(folder, roles=roles, settings={"REDIS_URL": f"unix://{path}"})


def rows(relay: RelayProcess, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(relay.services()["DATABASE_URL"], autocommit=True, connect_timeout=3) as connection:
        return connection.execute(query.encode()).fetchall()


def store_of(relay: RelayProcess) -> Store:
    return Store(*rows(relay, CURRENT_STORE)[0])


def jobs_done(relay: RelayProcess) -> int:
    return int(rows(relay, "SELECT count(*) FROM analytics_job_run WHERE outcome = 'done'")[0][0])


def names_of_jobs(redis: Redis) -> set[str]:
    """Keys and channels of the job queues, without those of bus and caches."""
    found = [str(name) for name in (*redis.keys("*"), *redis.pubsub_channels())]
    words = ("kombu", "celery", "pidbox", "unacked", "mingle", "gossip", ".jobs.")
    return {name for name in found if any(word in name for word in words)}


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


def test_everything_of_the_job_queue_carries_the_name_of_its_store(
    relays: tuple[RelayProcess, RelayProcess], redis: Redis
) -> None:
    stores = [store_of(relay) for relay in relays]
    assert stores[0].identity == stores[1].identity, "not a copy"
    assert stores[0].generation != stores[1].generation
    for relay in relays:
        wait_for(lambda relay=relay: jobs_done(relay) >= 3, "jobs of each store", 60.0)  # type: ignore[misc]
    prefixes = tuple(store.broker_prefix for store in stores)
    assert [name for name in names_of_jobs(redis) if not name.startswith(prefixes)] == []
    for prefix in prefixes:
        assert [name for name in names_of_jobs(redis) if name.startswith(prefix)]


def test_after_a_restart_of_postgresql_worker_and_beat_go_on_under_the_new_name(
    relays: tuple[RelayProcess, RelayProcess], redis: Redis
) -> None:
    relay = relays[0]
    before, workers = store_of(relay), relay.pids(JOBS)
    os.kill(int((relay.data_dir / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
    wait_for(lambda: relay.pids(JOBS) and not set(workers) & set(relay.pids(JOBS)), "another worker", 30.0)
    after = store_of(relay)
    assert after.generation != before.generation
    done = jobs_done(relay)
    wait_for(lambda: jobs_done(relay) > done + 1, "jobs under the new name", 60.0)
    assert [name for name in names_of_jobs(redis) if name.startswith(after.broker_prefix)]
    assert f"{before.broker_prefix}celery" not in names_of_jobs(redis)
