"""A replica that is killed, hangs, conflicts or is of another store: no client waits long or gets a wrong answer."""

import asyncio
import signal
import time
from collections.abc import Sequence

import pytest
from django.conf import settings
from django.db import OperationalError, connections
from pytest_django import DjangoDbBlocker

from relay.conf import ReplicaAddress
from relay.protocol.errors import Failed
from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.routers import health
from relay.storage.fair_queue import INTERNAL
from relay.storage.filter_sql import POSITION
from relay.storage.query_cost import ONE_ROW
from relay.storage.read_result import id_in
from relay.storage.reads import Reads
from relay.storage.replica_check import can_be_read
from relay.storage.replicas import reason_of
from relay.storage.store import Store
from relayproject.replica_backend.base import CANCEL_SECONDS
from tests.integration.order.clients import Client
from tests.integration.order.conftest import StartRelay
from tests.integration.replicas.conftest import Started
from tests.integration.replicas.test_lagging import assert_same_answers, event, publish
from tests.integration.storage.scribe import Tables
from tests.replica_server import Standby

pytestmark = pytest.mark.django_db

KILLED, FROZEN = signal.SIGKILL, signal.SIGSTOP
OUT_SECONDS = 5.0
"""Within this time a replica that hangs is no longer asked."""

ANSWER_SECONDS = 5.0
"""The budget of a query."""


class Reader:
    """Clients that ask one query after the other, each of which must be answered whole."""

    def __init__(self, started: Started, right: list[str]) -> None:
        self.answers = 0
        self._relay = started.relay
        self._right = right
        self._going_on = True
        self._tasks = [asyncio.ensure_future(self._ask()) for _ in range(4)]

    async def _ask(self) -> None:
        client = Client(self._relay)
        while self._going_on:
            name = f"r{self.answers}"
            self.answers += 1
            client.say("REQ", name, {"kinds": [1], "limit": 50})
            await client.until(lambda: client.has_eose(name) or bool(client.ended), ANSWER_SECONDS)  # noqa: B023
            assert client.stored(name) == self._right
            client.say("CLOSE", name)
            client.messages.clear()
            await asyncio.sleep(0.002)

    async def more(self, count: int) -> None:
        """Wait for so many more answers."""
        goal = self.answers + count
        async with asyncio.timeout(20):
            while self.answers < goal:
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self._going_on = False
        await asyncio.gather(*self._tasks)


@pytest.mark.parametrize("fate", [KILLED, FROZEN], ids=["killed", "frozen"])
async def test_no_client_notices_that_a_replica_is_gone(
    start_with_replicas: StartRelay, replicas: list[Standby], reads: Reads, fate: signal.Signals
) -> None:
    started = await start_with_replicas()
    await publish(started.relay, [event(number) for number in range(100)])
    await asyncio.to_thread(replicas[0].catch_up)
    query = parse_filter({"kinds": [1], "limit": 50}, Limits())
    right = [id_in(item).decode() for item in (await reads.query([query])).events]
    reader = Reader(started, right)
    try:
        await reader.more(50)
        replicas[0].signal(fate)
        await started.until_up([False, True], OUT_SECONDS)
        assert not health.is_usable("replica_1")
        await reader.more(50)
    finally:
        await reader.stop()
        replicas[0].signal(signal.SIGCONT)
    if fate == KILLED:  # in this thread: the server ends with the thread that started it
        replicas[0].server.stop()
        replicas[0].start()
    await started.until_up([True, True], 15.0)
    before = started.answered()["replica_1"]
    reader = Reader(started, right)
    await reader.more(50)
    await reader.stop()
    assert started.answered()["replica_1"] > before


async def test_when_all_replicas_are_gone_the_primary_answers(
    start_with_replicas: StartRelay, replicas: list[Standby], reads: Reads
) -> None:
    started = await start_with_replicas()
    await publish(started.relay, [event(number) for number in range(50)])
    for standby in replicas:
        standby.signal(FROZEN)
    try:
        await started.until_up([False, False], OUT_SECONDS)
        before = started.answered()
        await assert_same_answers(started, reads)
        answered = started.answered()
        assert answered["primary"] > before["primary"]
        assert (answered["replica_1"], answered["replica_2"]) == (before["replica_1"], before["replica_2"])
    finally:
        for standby in replicas:
            standby.signal(signal.SIGCONT)
    await started.until_up([True, True])


@pytest.mark.django_db(databases=["default", "replica_1"])
async def test_a_replica_of_another_generation_is_not_used(
    start_with_replicas: StartRelay, replicas: list[Standby], tables: Tables, reads: Reads
) -> None:
    """As after a restart of the primary, or on a standby of a copy of its data folder, while it is not noticed yet."""
    started = await start_with_replicas()
    await publish(started.relay, [event(number) for number in range(50)])
    for standby in replicas:
        await asyncio.to_thread(standby.catch_up)
        await asyncio.to_thread(standby.pause)
    replica = started.found.all[0]
    assert replica.up
    tables.connection.execute("UPDATE relay_store SET started_at = 'epoch'")
    async with asyncio.timeout(5):
        while any(each.up for each in started.found.all):
            await asyncio.sleep(0.01)
    assert {each.why for each in started.found.all} == {"belongs to another store"}
    assert not await asyncio.to_thread(_checked)
    before = started.answered()
    await assert_same_answers(started, reads, [[{"kinds": [1]}]])
    assert started.answered()["primary"] > before["primary"]
    for standby in replicas:
        await asyncio.to_thread(standby.resume)
    await started.until_up([True, True])
    assert await asyncio.to_thread(_checked)


def _checked() -> bool:
    try:
        return can_be_read("replica_1")
    finally:
        connections.close_all()


def _read_a_silent_replica(standby: Standby) -> None:
    began = time.monotonic()
    try:
        assert can_be_read("replica_1")
        standby.signal(FROZEN)
        replica = connections["replica_1"]
        with pytest.raises(OperationalError, match="did not answer within 1 s"), replica.cursor() as cursor:
            cursor.execute("SELECT 1")
        assert replica.connection.closed
        replica.close()
        assert not can_be_read("replica_1")  # over another connection, which the frozen server does not accept
        assert time.monotonic() - began < 1.0 + CANCEL_SECONDS + settings.RELAY_CONNECT_SECONDS + OUT_SECONDS
        standby.signal(signal.SIGCONT)
        assert can_be_read("replica_1")
    finally:
        standby.signal(signal.SIGCONT)
        connections.close_all()


async def test_a_page_or_a_job_waits_for_a_silent_replica_no_longer_than_its_limit(
    replicas: list[Standby], monkeypatch: pytest.MonkeyPatch, django_db_blocker: DjangoDbBlocker
) -> None:
    monkeypatch.setattr(settings, "REPLICA_ANSWER_SECONDS", 1.0)
    with django_db_blocker.unblock():  # for a database beside that of the tests
        await asyncio.to_thread(_read_a_silent_replica, replicas[0])


async def test_an_answer_of_another_generation_is_dropped_though_the_last_check_was_good(
    start_with_replicas: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = await start_with_replicas()
    store = started.relay.store()
    monkeypatch.setattr(started.relay.follower, "store", Store(store.identity, "f" * 16, store.epoch))
    with pytest.raises(Failed) as error:
        await started.found.all[0].fetch("SELECT 1::bigint", (), INTERNAL, ONE_ROW, 5.0)
    assert reason_of(error.value) == "foreign"


async def test_a_server_that_is_no_standby_is_not_used(start_relay: StartRelay, tables: Tables) -> None:
    """The primary itself, or a promoted standby."""
    connections.settings["replica_3"] = connections["default"].settings_dict
    try:
        started = Started(await start_relay(replicas=(ReplicaAddress("replica_3"),)))
        async with asyncio.timeout(5):
            while started.found.all[0].why == "not checked yet":
                await asyncio.sleep(0.01)
        assert started.found.all[0].why == "is no standby"
        assert not started.found.in_turn()
    finally:
        del connections.settings["replica_3"]


async def test_a_statement_that_replay_ends_is_asked_of_another_server(
    start_with_replicas: StartRelay, replicas: list[Standby], tables: Tables, request: pytest.FixtureRequest
) -> None:
    """A recovery conflict: the primary locks a table that a statement of the replica still reads."""
    started = await start_with_replicas()
    request.addfinalizer(lambda: _set_everywhere(replicas, "ALTER SYSTEM RESET max_standby_streaming_delay"))
    await asyncio.to_thread(_set_everywhere, replicas, "ALTER SYSTEM SET max_standby_streaming_delay = 0")
    text = f"SELECT {POSITION}, (SELECT count(*) FROM relay_tombstone), pg_sleep(0.4)"
    asking = asyncio.ensure_future(started.relay.reads.fetch(text, least=0))
    await asyncio.to_thread(_until_running, replicas, "pg_sleep(0.4)")
    with tables.connection.transaction():
        tables.connection.execute("LOCK TABLE relay_tombstone IN ACCESS EXCLUSIVE MODE")
    position, rows = await asking
    assert (position, len(rows)) == (0, 1)
    assert started.found.fallbacks["conflict"] >= 1


def _set_everywhere(servers: Sequence[Standby], statement: str) -> None:
    for standby in servers:
        with standby.connect() as connection:
            connection.execute(statement.encode())
            connection.execute("SELECT pg_reload_conf()")


def _until_running(servers: Sequence[Standby], text: str) -> None:
    ends = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < ends:
        for standby in servers:
            with standby.connect() as connection:
                query = "SELECT FROM pg_stat_activity WHERE query LIKE %s AND wait_event = 'PgSleep'"
                if connection.execute(query, [f"%{text}%"]).fetchone() is not None:
                    return
    raise TimeoutError(text)
