"""Three instances behind a real HAProxy: events, addresses, limits, the operators' pages, instances that are lost."""

import asyncio
import http.client
import os
import select
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.acceptance.client import Client, assert_reaches_all
from tests.acceptance.conftest import CopyOfMigrated
from tests.acceptance.haproxy import HAProxy
from tests.acceptance.relay_process import RelayProcess, all_running, running, wait_for
from tests.events import sign_event

SETTINGS = {
    "RELAY_TRUSTED_PROXIES": "127.0.0.1",
    "RELAY_IP_LIMIT_EXEMPT": "10.0.0.0/8",
    "RELAY_MAX_CONNECTIONS_PER_IP": "30",
}
ADDRESS = "127.0.5.{}"
RATE = 20


@pytest.fixture(scope="module")
def instances(
    copy_of_migrated: CopyOfMigrated, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[RelayProcess]]:
    """Three with a worker each; the first has the servers."""
    folder = tmp_path_factory.mktemp("instances")
    with running(RelayProcess(copy_of_migrated("first"), roles="web", settings=SETTINGS)) as first:
        key = (first.data_dir / "secret_key").read_text().strip()
        shared = {**SETTINGS, **first.services(), "SECRET_KEY": key}
        others = [RelayProcess(folder / str(number) / "var", roles="web", settings=shared) for number in (2, 3)]
        with all_running(*others):
            yield [first, *others]


@pytest.fixture
def haproxy(tmp_path: Path, instances: list[RelayProcess]) -> Iterator[HAProxy]:
    with HAProxy(tmp_path, instances, requests=RATE, check_seconds=1, slow_start_seconds=1) as running:
        wait_for(lambda: set(running.states().values()) == {"UP"}, "three instances that are up")
        yield running


def connect(haproxy: HAProxy, number: int) -> Client:
    """A client with an address of its own."""
    return Client(haproxy.url, local_addr=(ADDRESS.format(number), 0))


def ask(port: int, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and text."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10.0) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_haproxy_has_nothing_to_say_against_the_configuration(tmp_path: Path, instances: list[RelayProcess]) -> None:
    assert HAProxy(tmp_path, instances, accept_proxy=True, balance="source").check() == ""


async def test_an_event_reaches_subscribers_of_all_instances(haproxy: HAProxy) -> None:
    async with AsyncExitStack() as stack:
        await assert_reaches_all([await stack.enter_async_context(connect(haproxy, number)) for number in range(1, 7)])


async def test_the_relay_counts_a_client_by_its_own_address_whatever_header_it_sends(haproxy: HAProxy) -> None:
    async def open_all(number: int, count: int) -> tuple[list[Client], int]:
        opened: list[Client] = []
        for at in range(count):
            header = {"X-Forwarded-For": f"192.0.2.{at}"}
            client = Client(haproxy.url, local_addr=(ADDRESS.format(number), 0), additional_headers=header)
            try:
                opened.append(await client.__aenter__())
            except InvalidStatus as error:
                return opened, error.response.status_code
        return opened, 0

    opened, status = await open_all(11, 91)
    others, other_status = await open_all(12, 1)
    for client in (*opened, *others):
        await client.__aexit__(None, None, None)
    assert (status, len(opened) <= 90, other_status) == (503, True, 0)


@pytest.mark.parametrize("path", ["/admin/", "/metrics", "/%61dmin/", "/metrics?x", "/%6Detrics"])
def test_the_public_address_does_not_have_the_operators_pages(haproxy: HAProxy, path: str) -> None:
    assert ask(haproxy.public_port, path)[0] == 404


def test_the_operators_address_has_them_and_the_figures_of_haproxy(haproxy: HAProxy) -> None:
    statuses = [ask(haproxy.operators_port, path)[0] for path in ("/admin/login/", "/haproxy", "/haproxy/metrics")]
    assert statuses == [200, 200, 200]


async def test_requests_of_a_source_have_a_limit_and_websockets_are_not_counted_among_them(haproxy: HAProxy) -> None:
    statuses = [(await asyncio.to_thread(ask, haproxy.public_port, "/health"))[0] for _ in range(RATE + 5)]
    assert statuses == [200] * RATE + [429] * 5
    async with Client(haproxy.url) as client:
        assert (await client.request("all", {"kinds": [1], "limit": 1})).closed is None


def test_connections_that_send_nothing_take_neither_other_clients_nor_the_operators_away(
    tmp_path: Path, instances: list[RelayProcess]
) -> None:
    with HAProxy(tmp_path, instances, connections=30, source_connections=10) as running, ExitStack() as held:

        def hold(number: int, count: int) -> list[socket.socket]:
            connections = [held.enter_context(socket.socket()) for _ in range(count)]
            for connection in connections:
                connection.settimeout(5.0)
                connection.bind((ADDRESS.format(number), 0))
                with suppress(ConnectionResetError):  # one that is ended may be ended before connect() has returned
                    connection.connect(("127.0.0.1", running.public_port))
            return connections

        assert len(cut_of(hold(61, 11))) == 1
        other = http.client.HTTPConnection("127.0.0.1", running.public_port, 5.0, (ADDRESS.format(62), 0))
        other.request("GET", "/health")
        assert other.getresponse().status == 200
        other.close()
        hold(63, 10)
        hold(64, 10)
        assert ask(running.operators_port, "/haproxy/metrics")[0] == 200


def cut_of(connections: list[socket.socket]) -> list[socket.socket]:
    """The connections that the other side ends, as soon as there are any; its threads do not take them in order."""
    found, _, _ = select.select(connections, [], [], 5.0)
    for connection in found:
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    return found


async def test_a_frozen_instance_loses_its_clients_who_find_another_one(
    haproxy: HAProxy, instances: list[RelayProcess]
) -> None:
    clients = [await connect(haproxy, number).__aenter__() for number in range(21, 30)]
    (worker,) = instances[2].workers()
    os.kill(worker, signal.SIGSTOP)
    try:
        lost = []
        waits = [asyncio.create_task(client.socket.wait_closed()) for client in clients]
        async with asyncio.timeout(15):
            while haproxy.states()["relay-3"].partition(" ")[0] != "DOWN":
                await asyncio.sleep(0.05)
            while not (lost := [client for client, wait in zip(clients, waits, strict=True) if wait.done()]):
                await asyncio.sleep(0.05)
        event = sign_event(content="while one is frozen")
        async with connect(haproxy, 31) as client:
            assert (await client.publish(event)).accepted
            assert (await client.request("one", {"ids": [event["id"]]})).ids == [event["id"]]
        assert len(lost) < len(clients)
    finally:
        os.kill(worker, signal.SIGCONT)
    for client in clients:
        await client.__aexit__(None, None, None)


async def test_events_acknowledged_while_an_instance_is_killed_are_all_there(
    haproxy: HAProxy, instances: list[RelayProcess]
) -> None:
    acknowledged: list[str] = []
    killed = asyncio.Event()

    async def publish(number: int) -> None:
        """Publish until 20 are acknowledged after the kill, with a new connection when one is lost."""
        after = 0
        while after < 20:
            try:
                async with connect(haproxy, number) as client:
                    while after < 20:
                        event = sign_event(content=os.urandom(8).hex())
                        if (await client.publish(event)).accepted:
                            acknowledged.append(event["id"])
                            after += killed.is_set()
            except (ConnectionClosed, OSError, InvalidStatus, TimeoutError):
                await asyncio.sleep(0.05)

    publishing = [asyncio.create_task(publish(number)) for number in range(41, 47)]
    async with asyncio.timeout(60):
        while len(acknowledged) < 60:
            await asyncio.sleep(0.01)
        for pid in instances[1].workers():
            os.kill(pid, signal.SIGKILL)
        killed.set()
        await asyncio.gather(*publishing)
        async with connect(haproxy, 50) as client:
            found: set[str] = set()
            for start in range(0, len(acknowledged), 200):
                found |= set((await client.request("ids", {"ids": acknowledged[start : start + 200]})).ids)
    assert found == set(acknowledged)
