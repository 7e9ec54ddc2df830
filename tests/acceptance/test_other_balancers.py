"""Two instances behind a real nginx and a real Caddy: events, addresses, the operators' pages, a lost instance."""

import asyncio
import contextlib
import http.client
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.acceptance.client import Client
from tests.acceptance.relay_process import RelayProcess, wait_for
from tests.acceptance.test_balancer import ask
from tests.acceptance.web_servers import WebServer
from tests.events import sign_event

AT_ONE_WORKER = 4
SETTINGS = {
    "RELAY_TRUSTED_PROXIES": "127.0.0.1",
    "RELAY_IP_LIMIT_EXEMPT": "10.0.0.0/8",
    "RELAY_MAX_CONNECTIONS_PER_IP": str(AT_ONE_WORKER),
    "ALLOWED_HOSTS": "relay.example.org",
}
PUBLIC = {"Host": "relay.example.org"}
ADDRESS = "127.0.6.{}"
RATE = 20


@pytest.fixture(scope="module")
def instances(tmp_path_factory: pytest.TempPathFactory, migrated_folder: Path) -> Iterator[list[RelayProcess]]:
    """Two with a worker each; the first has the servers."""
    folder = tmp_path_factory.mktemp("instances")
    shutil.copytree(migrated_folder, folder / "1" / "var", symlinks=True)
    first = RelayProcess(folder / "1" / "var", roles="web,migrate", settings=SETTINGS)
    started = [first]
    try:
        first.start()
        key = (first.data_dir / "secret_key").read_text().strip()
        shared = {**SETTINGS, **first.services(), "SECRET_KEY": key}
        started.append(RelayProcess(folder / "2" / "var", roles="web", settings=shared))
        started[1].start()
        yield started
    finally:
        for instance in reversed(started):
            instance.destroy()


@pytest.fixture(params=["nginx", "caddy"], scope="module")
def balancer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, instances: list[RelayProcess]
) -> Iterator[WebServer]:
    with WebServer(request.param, tmp_path_factory.mktemp(request.param), instances, requests=RATE) as running:
        yield running


def connect(balancer: WebServer, number: int, header: str = "") -> Client:
    """A client with an address of its own."""
    headers = {"X-Forwarded-For": header} if header else {}
    return Client(balancer.url, local_addr=(ADDRESS.format(number), 0), additional_headers=headers)


def answers(instance: RelayProcess) -> bool:
    with contextlib.suppress(OSError):
        return instance.get("/ready", PUBLIC)[0] == 200
    return False


def test_the_program_has_nothing_to_say_against_the_configuration(balancer: WebServer) -> None:
    assert balancer.check() == ""


@pytest.mark.parametrize("path", ["/admin/", "/metrics", "/%61dmin/", "/metrics?x", "/%6Detrics", "/x/../admin/"])
def test_the_public_address_does_not_have_the_operators_pages(balancer: WebServer, path: str) -> None:
    assert ask(balancer.public_port, path, PUBLIC)[0] == 404


def test_the_operators_address_has_them(balancer: WebServer) -> None:
    assert ask(balancer.operators_port, "/admin/login/", PUBLIC)[0] == 200


async def test_an_event_reaches_subscribers_of_both_instances(balancer: WebServer) -> None:
    clients = [await connect(balancer, number).__aenter__() for number in range(1, 5)]
    for client in clients:
        await client.request("all", {"kinds": [1], "limit": 1})
    event = sign_event(content=f"to all {os.urandom(4).hex()}")
    assert (await clients[0].publish(event)).accepted
    for client in clients:
        assert (await client.live("all"))["id"] == event["id"]
        await client.__aexit__(None, None, None)


async def test_the_relay_counts_a_client_by_its_own_address_whatever_header_it_sends(balancer: WebServer) -> None:
    opened: list[Client] = []
    status = 0
    for at in range(2 * AT_ONE_WORKER + 1):
        try:
            opened.append(await connect(balancer, 11, f"192.0.2.{at}").__aenter__())
        except InvalidStatus as error:
            status = error.response.status_code
    async with connect(balancer, 12):
        pass
    for client in opened:
        await client.__aexit__(None, None, None)
    assert status == 503
    assert len(opened) >= AT_ONE_WORKER


async def test_requests_of_a_source_have_a_limit_in_nginx_and_none_in_caddy(balancer: WebServer) -> None:
    def until_refused() -> int:
        """How many of 200 requests were answered before the first that was not."""
        for answered in range(200):
            header = {"X-Forwarded-For": f"192.0.2.{answered}"}
            if (status := ask(balancer.public_port, "/health", PUBLIC | header)[0]) != 200:
                assert status == 429
                return answered
        return 200

    answered = await asyncio.to_thread(until_refused)
    if balancer.program == "nginx":
        assert RATE <= answered < 200
        assert 429 in {ask(balancer.public_port, "/replicate-of-mine", PUBLIC)[0] for _ in range(5)}
    else:
        assert answered == 200


def test_large_requests_of_other_regions_reach_the_relay_as_often_as_they_come(balancer: WebServer) -> None:
    """They have no signature here, so the relay refuses them itself."""

    def post(path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", balancer.public_port, timeout=10.0)
        with contextlib.closing(connection):
            connection.request("POST", path, bytes(200_000), PUBLIC)
            return connection.getresponse().status

    assert {post("/replicate") for _ in range(2 * RATE)} == {401}
    assert post("/") in {413, 502}  # Caddy has begun to pass it on


def status_of(port: int, source: str) -> bytes:
    """The status of a request that a balancer of TCP passes on for a client with this address."""
    with socket.create_connection(("127.0.0.1", port), 10.0) as connection:
        connection.sendall(
            f"PROXY TCP6 {source} ::1 9 9\r\nGET /health HTTP/1.0\r\nHost: relay.example.org\r\n\r\n".encode()
        )
        return connection.recv(100)[9:12]


def test_addresses_of_one_network_of_ipv6_have_one_limit_in_nginx(
    tmp_path: Path, instances: list[RelayProcess]
) -> None:
    with WebServer("nginx", tmp_path, instances, requests=3, accept_proxy=True) as nginx:
        sources = ["2001:db8::1", "2001:db8::a:a:a:a", "2001:db8:0:0:0a0a::1", "2001:db8::2", "2001:db8:0:1::1"]
        statuses = [status_of(nginx.public_port, source) for source in sources]
    assert statuses == [b"200", b"200", b"200", b"429", b"200"]


async def test_while_an_instance_is_gone_the_other_one_serves(
    balancer: WebServer, instances: list[RelayProcess]
) -> None:
    killed = instances[1]
    clients = [await connect(balancer, number).__aenter__() for number in range(21, 27)]
    try:
        for pid in killed.pids():
            os.kill(pid, signal.SIGKILL)
        waits = [asyncio.create_task(client.socket.wait_closed()) for client in clients]
        await asyncio.wait(waits, timeout=15.0, return_when=asyncio.FIRST_COMPLETED)
        assert 0 < sum(wait.done() for wait in waits) < len(clients)
        for number in range(31, 37):
            async with connect(balancer, number) as client:
                assert (await client.publish(sign_event(content=os.urandom(8).hex()))).accepted
    finally:
        killed.wait_ended()
        killed.start()
        for client in clients:
            await client.__aexit__(None, None, None)
    await asyncio.to_thread(wait_for, lambda: answers(killed), "the instance that was started again")
