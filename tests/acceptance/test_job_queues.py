"""Two stores on one Redis server, one a cold copy of the other: neither takes a job of the other."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from relay.storage.store import CURRENT_STORE, Store
from tests.acceptance.relay_process import RelayProcess, wait_for

JOBS = "relayproject.runtime.jobs"


class Pair:
    """Two relays whose jobs go over the Valkey of the first."""

    def __init__(self, first: RelayProcess, second: RelayProcess) -> None:
        self.relays = (first, second)
        self.broker = redis.from_url(first.services()["REDIS_URL"], decode_responses=True)

    def rows(self, relay: RelayProcess, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(relay.services()["DATABASE_URL"], autocommit=True, connect_timeout=3) as connection:
            return connection.execute(query.encode()).fetchall()

    def store(self, relay: RelayProcess) -> Store:
        return Store(*self.rows(relay, CURRENT_STORE)[0])

    def names(self) -> set[str]:
        """Keys and channels that a broker knows, without those of bus and caches."""
        found = [str(name) for name in (*self.broker.keys("*"), *self.broker.pubsub_channels())]
        words = ("kombu", "celery", "pidbox", "unacked", "mingle", "gossip", ".jobs.")
        return {name for name in found if any(word in name for word in words)}

    def runs(self, relay: RelayProcess) -> int:
        """Jobs that were done."""
        return int(self.rows(relay, "SELECT count(*) FROM analytics_job_run WHERE outcome = 'done'")[0][0])


@pytest.fixture(scope="module")
def pair(migrated_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folders = [tmp_path_factory.mktemp(f"queues-{number}") / "var" for number in range(2)]
    for folder in folders:
        shutil.copytree(migrated_folder, folder, symlinks=True)
    first, second = RelayProcess(folders[0], workers=1), None
    try:
        first.start()
        second = RelayProcess(folders[1], workers=1, settings={"BROKER_URL": first.services()["REDIS_URL"]})
        second.start()
        yield Pair(first, second)
    finally:
        for relay in (second, first):
            if relay is not None:
                relay.destroy()


def test_everything_of_the_job_queue_carries_the_name_of_its_store(pair: Pair) -> None:
    stores = [pair.store(relay) for relay in pair.relays]
    assert stores[0].identity == stores[1].identity, "not a copy"
    assert stores[0].generation != stores[1].generation
    for relay in pair.relays:
        wait_for(lambda relay=relay: pair.runs(relay) >= 3, "jobs of each store", 60.0)  # type: ignore[misc]
    prefixes = tuple(store.broker_prefix for store in stores)
    assert [name for name in pair.names() if not name.startswith(prefixes)] == []
    for prefix in prefixes:
        assert [name for name in pair.names() if name.startswith(prefix)]


def test_after_a_restart_of_postgresql_worker_and_beat_go_on_under_the_new_name(pair: Pair) -> None:
    relay = pair.relays[0]
    before, workers = pair.store(relay), relay.pids(JOBS)
    os.kill(int((relay.data_dir / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
    wait_for(lambda: relay.pids(JOBS) and not set(workers) & set(relay.pids(JOBS)), "another worker", 30.0)
    after = pair.store(relay)
    assert after.generation != before.generation
    done = pair.runs(relay)
    wait_for(lambda: pair.runs(relay) > done + 1, "jobs under the new name", 60.0)
    assert [name for name in pair.names() if name.startswith(after.broker_prefix)]
    assert f"{before.broker_prefix}celery" not in pair.names()
