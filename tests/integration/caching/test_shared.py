"""The shared cache on one real server: ordered, bounded, failing at once while it is slow or down."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import pytest_asyncio
from hiredis import ReplyError
from redis import Redis

from relay.caching.shared import Full, Reply, Shared, Unavailable
from relay.caching.shared import connection as connections
from relay.caching.shared import server_link as links
from relayproject.runtime.valkey import EmbeddedValkey
from tests.integration.caching.valkeys import REPLICATION, folder, nodes, one_server, until, wait_until
from tests.ports import free_ports

GENEROUS_SECONDS = 5.0


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedValkey]:
    with one_server() as one:
        yield one


@pytest.fixture
def admin(server: EmbeddedValkey) -> Iterator[Redis]:
    with Redis(unix_socket_path=str(server.socket), protocol=2) as one:
        one.flushall()
        yield one


@pytest.fixture(autouse=True)
def frequent_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the tests need not wait a second each time."""
    monkeypatch.setattr(links, "PROBE_SECONDS", 0.1)


@asynccontextmanager
async def started(url: str, timeout_seconds: float = 0.05) -> AsyncIterator[Shared]:
    shared = Shared(url, timeout_seconds)
    await shared.start()
    try:
        yield shared
    finally:
        await shared.stop()


@pytest_asyncio.fixture
async def shared(server: EmbeddedValkey, admin: Redis) -> AsyncIterator[Shared]:
    # As patient as a slow test machine needs it; the tests of the breaker have their own.
    async with started(server.url, GENEROUS_SECONDS) as one:
        await until(lambda: one.up)
        yield one


async def outcome(future: "asyncio.Future[Reply]") -> Reply:
    """What came, or the exception."""
    try:
        return await future
    except (Unavailable, ReplyError) as error:
        return error


async def test_answers_belong_to_their_commands(shared: Shared) -> None:
    for number in range(2_000):
        shared.set(b"k%d" % number, b"v%d" % number, 60.0)
    answers = await asyncio.gather(*[shared.call(b"", b"GET", b"k%d" % number) for number in range(2_000)])
    assert answers == [b"v%d" % number for number in range(2_000)]


async def test_commands_of_one_turn_leave_together_and_count(shared: Shared) -> None:
    before = shared.counters.commands
    got: list[Reply] = []
    for number in range(4):
        shared.send(b"", (b"ECHO", number), got.append)
    assert got == []
    await until(lambda: len(got) == 4)
    assert got == [b"0", b"1", b"2", b"3"]
    assert shared.counters.commands - before == 4


async def test_many_values_come_in_the_order_of_their_keys(shared: Shared, admin: Redis) -> None:
    admin.mset({"a": "1", "c": "3"})
    admin.rpush("list", "x")
    assert await shared.get_many([b"c", b"b", b"list", b"a"]) == [b"3", None, None, b"1"]
    assert await shared.get_many([]) == []


async def test_a_value_has_its_time_to_live(shared: Shared, admin: Redis) -> None:
    shared.set(b"a", b"\x00\xff", 90.5)
    assert await shared.call(b"a", b"GET", b"a") == b"\x00\xff"
    assert 80_000 < admin.pttl("a") <= 90_500


async def test_an_error_of_the_server_reaches_the_caller_and_keeps_the_connection(shared: Shared, admin: Redis) -> None:
    admin.rpush("list", "x")
    wrong, right = shared.call(b"", b"GET", b"list"), shared.call(b"", b"PING")
    assert isinstance(await outcome(wrong), ReplyError)
    assert await right == b"PONG"


async def test_a_callback_that_raises_does_not_affect_the_others(shared: Shared) -> None:
    seen: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context["exception"]))

    def fail(_: Reply) -> None:
        raise RuntimeError("mine")

    shared.send(b"", (b"PING",), fail)
    assert await shared.call(b"", b"ECHO", b"x") == b"x"
    assert [str(error) for error in seen] == ["mine"]


async def test_only_keys_that_match_are_found_and_removed(shared: Shared, admin: Redis) -> None:
    admin.mset({f"ours:{number}": "" for number in range(1_500)} | {"theirs": ""})
    assert await shared.delete_matching(b"ours:*") == 1_500
    assert admin.keys() == [b"theirs"]


async def test_keys_are_deleted_whether_awaited_or_not(shared: Shared, admin: Redis) -> None:
    admin.mset({"a": "", "b": "", "c": ""})
    shared.delete([b"a"])
    assert await shared.delete([b"a", b"b", b"d"]) == 1
    assert await shared.delete([]) == 0
    assert admin.keys() == [b"c"]


async def test_after_a_flush_there_is_no_value(shared: Shared, admin: Redis) -> None:
    shared.set(b"a", b"1", 60)
    await shared.call(b"a", b"PING")
    admin.flushall()
    assert await shared.get_many([b"a"]) == [None]


async def test_starting_and_calling_wait_for_no_server(tmp_path: Path) -> None:
    async with started(f"unix://{tmp_path}/nothing") as shared:
        assert not shared.up
        assert isinstance(await outcome(shared.call(b"a", b"GET", b"a")), Unavailable)
        assert await shared.get_many([b"a", b"b"]) == [None, None]
        assert await shared.delete([b"a"]) == 0
        shared.set(b"a", b"", 1)
        with pytest.raises(Unavailable):
            await shared.delete_matching(b"*")
        assert shared.counters.failures >= 5


async def test_calls_to_a_paused_server_fail_at_once_until_it_answers(server: EmbeddedValkey, admin: Redis) -> None:
    async with started(server.url) as shared:
        await until(lambda: shared.up)
        admin.client_pause(600)
        start = time.monotonic()
        waiting = [shared.call(b"a", b"GET", b"a") for _ in range(3)]
        assert {type(await outcome(one)) for one in waiting} == {Unavailable}
        passed_by = time.monotonic() - start
        assert not shared.up
        assert isinstance(await outcome(shared.call(b"a", b"GET", b"a")), Unavailable)
        assert passed_by < 0.6, "the pause was waited for"
        await until(lambda: shared.up)
        assert await shared.call(b"a", b"PING") == b"PONG"
        assert shared.counters.reconnects == 1
        assert shared.counters.timeouts >= 1


async def test_a_blocked_event_loop_does_not_count_against_the_server(server: EmbeddedValkey) -> None:
    loop = asyncio.get_running_loop()
    async with started(server.url, 0.15) as shared:
        await until(lambda: shared.up)
        for _ in range(2):
            waiting = shared.call(b"a", b"PING")
            time.sleep(0.2)  # before it is written
            await asyncio.sleep(0)
            time.sleep(0.2)  # while the answer lies in the socket
            loop.call_soon(time.sleep, 0.2)
            assert await waiting == b"PONG"
        assert shared.counters.reconnects == 0


async def test_a_killed_server_is_noticed_at_once_and_found_again(tmp_path: Path) -> None:
    with one_server() as server:
        async with started(server.url, GENEROUS_SECONDS) as shared:
            await until(lambda: shared.up)
            waiting = shared.call(b"", b"BLPOP", b"never", 0)
            await asyncio.sleep(0)
            server.stop(hasty=True)
            assert isinstance(await outcome(waiting), Unavailable)
            server.start()
            await until(lambda: shared.up)
            assert await shared.get_many([b"a"]) == [None]
            assert shared.counters.reconnects == 1


async def test_a_start_is_not_logged_and_an_outage_is_at_both_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, links.logger.name)

    def levels() -> list[str]:
        return [record.levelname for record in caplog.records if record.name == links.logger.name]

    with one_server() as server:
        async with started(server.url, GENEROUS_SECONDS) as shared:
            await until(lambda: shared.up)
            assert levels() == []
            server.stop(hasty=True)
            await until(lambda: levels()[:1] == ["WARNING"])
            server.start()
            await until(lambda: shared.up)
    assert levels()[-1] == "INFO"
    assert "answers again" in caplog.messages[-1]


async def test_a_server_that_was_down_at_the_start_is_logged_when_it_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, links.logger.name)
    (port,) = free_ports(1)
    async with started(f"redis://127.0.0.1:{port}", GENEROUS_SECONDS) as shared:
        await until(lambda: "is unavailable" in caplog.text)
        with folder() as path, nodes(path, [port]):
            await until(lambda: shared.up)
    assert "answers again" in caplog.text


async def test_stopping_fails_waiting_calls(server: EmbeddedValkey) -> None:
    async with started(server.url, GENEROUS_SECONDS) as shared:
        await until(lambda: shared.up)
        waiting = shared.call(b"", b"BLPOP", b"never", 0)
        await asyncio.sleep(0)
    assert isinstance(await outcome(waiting), Unavailable)
    assert isinstance(await outcome(shared.call(b"", b"PING")), Unavailable)


async def test_a_full_queue_drops_and_counts(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_WAITING", 3)
    results = [shared.call(b"", b"ECHO", number) for number in range(5)]
    kinds = [type(await outcome(result)) for result in results]
    assert kinds == [bytes, bytes, bytes, Full, Full]
    assert shared.counters.dropped == 2


async def test_bytes_that_wait_have_a_bound(shared: Shared, admin: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_UNSENT_BYTES", 1_000)
    for number in range(5):
        shared.set(b"k%d" % number, b"x" * 400, 60)
    await shared.call(b"", b"PING")
    assert sorted(admin.keys()) == [b"k0", b"k1"]
    assert shared.counters.dropped == 3


@pytest.mark.parametrize("babble", [b"HTTP/1.1 400 no\r\n\r\n", b"+OK\r\n" * 50, b"*1\r\n$-7\r\n", b"$5\r\nab"])
async def test_replies_of_another_protocol_count_as_unavailable(babble: bytes, tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(babble)
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(answer, tmp_path / "s"), started(f"unix://{tmp_path}/s") as shared:
        failures = shared.counters.timeouts + shared.counters.failures
        await until(lambda: shared.counters.timeouts + shared.counters.failures > failures or shared.counters.commands)
        assert isinstance(await outcome(shared.call(b"a", b"GET", b"a")), Unavailable)
        assert not shared.up


async def test_a_replica_is_refused_and_a_master_that_becomes_one_is_left() -> None:
    with folder() as path, nodes(path, free_ports(2), *REPLICATION) as (master, other):
        async with started(other.url, GENEROUS_SECONDS) as shared:
            await until(lambda: shared.up)
            other.run("REPLICAOF", "127.0.0.1", master.port)
            assert isinstance(await outcome(shared.call(b"a", b"SET", b"a", b"1")), Unavailable)
            await until(lambda: not shared.up)
            master.admin.set("a", "2")
            wait_until(lambda: other.admin.get("a") == b"2")
            assert isinstance(await outcome(shared.call(b"a", b"GET", b"a")), Unavailable)
            other.run("REPLICAOF", "NO", "ONE")
            await until(lambda: shared.up)
            assert await shared.call(b"a", b"GET", b"a") == b"2"


async def test_login_and_database_are_those_of_the_address() -> None:
    (port,) = free_ports(1)
    with folder() as path, nodes(path, [port]) as (node,):
        node.admin.config_set("requirepass", "secret")
        async with started(f"redis://:secret@127.0.0.1:{port}/3", GENEROUS_SECONDS) as shared:
            await until(lambda: shared.up)
            await shared.call(b"a", b"SET", b"a", b"1")
        with Redis(port=port, db=3, password="secret") as third:
            assert third.get("a") == b"1"
        async with started(f"redis://:wrong@127.0.0.1:{port}", GENEROUS_SECONDS) as shared:
            await until(lambda: shared.counters.commands >= 2)
            assert isinstance(await outcome(shared.call(b"a", b"GET", b"a")), Unavailable)


async def test_replies_match_their_commands_while_connections_are_cut(server: EmbeddedValkey, admin: Redis) -> None:
    rng = random.Random(5)
    newest = dict.fromkeys(range(20), 0)
    answered = away = 0
    async with started(server.url, GENEROUS_SECONDS) as shared:

        async def ask(number: int) -> None:
            nonlocal answered, away
            reply = await outcome(shared.call(b"", b"GET", b"k%d" % number))
            if isinstance(reply, Unavailable):
                away += 1
            elif reply is not None:
                owner, version = reply.split(b":")
                assert int(owner) == number
                assert int(version) <= newest[number]
                answered += 1

        for cut in range(4):
            await until(lambda: shared.up)
            asking = []
            for _ in range(100):
                number = rng.randrange(20)
                newest[number] += 1
                shared.set(b"k%d" % number, b"%d:%d" % (number, newest[number]), 60)
                asking += [asyncio.create_task(ask(rng.randrange(20))) for _ in range(5)]
                if rng.random() < 0.2:
                    await asyncio.sleep(0)
            if cut % 2:
                admin.client_kill_filter(_type="normal")
            await asyncio.gather(*asking)
    assert answered
    assert away
