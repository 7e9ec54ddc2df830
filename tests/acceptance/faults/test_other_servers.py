"""daphne and uvicorn without the relay's own transport serve the same relay, on the database of a running `serve`."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest

from tests.acceptance.client import Client
from tests.acceptance.faults.load import new_author, until
from tests.acceptance.faults.test_slow_and_vanishing import BIG, CUT_OFF_AFTER, sleepy_client
from tests.acceptance.faults.workers import memory_megabytes
from tests.acceptance.relay_process import PROJECT, RelayProcess, clean_environment, wait_for
from tests.events import sign_event
from tests.ports import free_port

COMMANDS = {
    "daphne": ["-m", "daphne", "-v", "0", "-p", "{port}", "relayproject.asgi:application"],
    "uvicorn": [
        *("-m", "uvicorn", "relayproject.asgi:application", "--ws", "websockets-sansio"),
        *("--port", "{port}", "--log-level", "warning"),
    ],
}


class Other:
    """Another server's process and where it listens."""

    def __init__(self, name: str, relay: RelayProcess) -> None:
        self.name = name
        self.port = free_port()
        self.ws_url = f"ws://127.0.0.1:{self.port}"
        settings = {"RELAY_DATA_DIR": str(relay.data_dir), "RELAY_MAX_OUTBOX_BYTES": str(2**20)}
        self.process = subprocess.Popen(
            [sys.executable, *(word.format(port=self.port) for word in COMMANDS[name])],
            env=clean_environment(settings),
            cwd=PROJECT,
        )

    def answers(self) -> bool:
        try:
            return bool(self._get("/ready"))
        except OSError:
            return False

    def subscriptions(self) -> int:
        """Open subscriptions of the whole relay, half a second old at most."""
        return int(json.loads(self._get("/api/status"))["subscriptions"])

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return bytes(answer.read())


@pytest.fixture(scope="module", params=list(COMMANDS))
def other(request: pytest.FixtureRequest, sturdy_relay: RelayProcess) -> Iterator[Other]:
    server = Other(request.param, sturdy_relay)
    try:
        wait_for(server.answers, "an answer of the other server", 30.0)
        yield server
    finally:
        server.process.terminate()
        server.process.wait(10.0)


async def test_both_servers_serve_one_relay(other: Other, sturdy_relay: RelayProcess) -> None:
    author = new_author()
    now = int(time.time())
    async with Client(other.ws_url) as there, Client(sturdy_relay.ws_url) as here:
        stored = sign_event(author, content="stored", created_at=now - 10)
        assert (await there.publish(stored)).accepted
        for client in (there, here):
            assert (await client.request("mine", {"authors": [stored["pubkey"]]})).events == [stored]

        for publisher in (there, here):
            event = sign_event(author, content=f"live {publisher is there}", created_at=now)
            assert (await publisher.publish(event)).accepted
            for client in (there, here):
                assert await client.live("mine") == event

        await there.send_raw("nonsense")
        assert (await there.notice()).startswith("invalid: ")


@pytest.mark.parametrize("other", ["uvicorn"], indirect=True)  # daphne buffers without a bound and without a word of it
async def test_a_slow_client_of_another_server_loses_its_subscription(other: Other) -> None:
    """Only the relay's own transport can end the connection at once; here the server waits for the client to read."""
    author = new_author()
    async with sleepy_client(other.port) as slow, Client(other.ws_url) as client:
        await slow.send("REQ", "everything", {"limit": 0})
        await until(lambda: other.subscriptions() == 1, "the subscription")
        before = memory_megabytes(other.process.pid)
        published = 0
        while other.subscriptions() == 1:
            assert published < CUT_OFF_AFTER, "the slow client was not cut off"
            event = sign_event(author, content=BIG, created_at=int(time.time()), tags=[["n", str(published)]])
            assert (await client.publish(event)).accepted
            published += 1
        assert memory_megabytes(other.process.pid) - before < 128
