"""The network between a relay and its PostgreSQL drops every packet: no connection ends, and none is refused.

Other than with a server that hangs, no kernel confirms what is sent, and new connections are not even begun.
"""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest

from relayproject.runtime.postgres import DATABASE, PORT, USER
from tests.acceptance.client import Client
from tests.acceptance.faults.load import Publisher, answers, new_author, stored_of
from tests.acceptance.relay_process import RelayProcess, running
from tests.integration.storage.servers import machines
from tests.namespaces import Namespace, NotAllowed

HANG_SECONDS = 5.0
"""The promise: no client waits longer for an answer."""

RETURN_SECONDS = 5.0
"""The promise: publishing goes on so long after the network is back."""

MACHINE_SECONDS = 1.0
"""Allowed beyond both on a machine that runs other tests."""

ADDRESS, OTHER = "10.98.0.2", "10.98.0.1"
HARDWARE = "02:00:00:00:00:02"


class Wire:
    """Between two networks, one of the relay and one of the database at ADDRESS. Raises NotAllowed."""

    def __init__(self) -> None:
        self.relay, self.database = Namespace(), Namespace()
        peer = ("peer", "name", "w", "address", HARDWARE, "netns", self.database.path)
        self.relay.run("ip", "link", "add", "w", "type", "veth", *peer)
        for end, address in ((self.relay, OTHER), (self.database, ADDRESS)):
            end.run("ip", "address", "add", f"{address}/30", "dev", "w")
            end.run("ip", "link", "set", "w", "up")
        # Without this the relay's kernel would find after a while that no machine has the address, and say so.
        self.relay.run("ip", "neigh", "replace", ADDRESS, "lladdr", HARDWARE, "dev", "w", "nud", "permanent")

    def cut(self) -> None:
        """Let every packet vanish, in both directions."""
        self.database.run("ip", "link", "set", "w", "down")

    def mend(self) -> None:
        """Let them pass."""
        self.database.run("ip", "link", "set", "w", "up")

    def close(self) -> None:
        self.relay.close()
        self.database.close()


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    try:
        made = Wire()
    except NotAllowed as refusal:
        pytest.skip(str(refusal))
    yield made
    made.close()


@pytest.fixture(scope="module")
def remote_relay(
    wire: Wire, migrated_cluster: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RelayProcess]:
    """One worker with the default budgets, whose PostgreSQL is at the other end of the wire. It answers everything."""
    with ExitStack() as stack:
        database = stack.enter_context(machines()).copy_of(migrated_cluster)
        for name, line in (("postgresql.conf", "listen_addresses = '*'"), ("pg_hba.conf", "host all all all trust")):
            with (database.server.data / name).open("a") as file:
                file.write(f"{line}\n")
        with wire.database.within():
            database.start()
        settings = {
            "DATABASE_URL": f"postgresql://{USER}@{ADDRESS}:{PORT}/{DATABASE}",
            "SECRET_KEY": "a key for tests alone, long enough: 0123456789abcdef",
            "RELAY_CACHE_LAYERS": "none",
        }
        relay = RelayProcess(tmp_path_factory.mktemp("remote") / "var", roles="web", settings=settings)
        with wire.relay.within():
            stack.enter_context(running(relay))
        yield relay


def client_of(wire: Wire, relay: RelayProcess) -> Client:
    """A client in the network of the relay."""
    made = wire.relay.call(lambda: socket.create_connection(("127.0.0.1", relay.port), 5.0))
    made.setblocking(False)
    return Client(relay.ws_url, sock=made)


class Asking:
    """A client that asks one query after the other; `closed`: why each was ended that was not answered."""

    def __init__(self, client: Client, pubkey: str) -> None:
        self.closed: list[str] = []
        self.longest_wait_seconds = 0.0
        self._over = False
        self._task = asyncio.create_task(self._run(client, {"authors": [pubkey], "limit": 5}))

    async def _run(self, client: Client, wanted: dict[str, object]) -> None:
        while not self._over:
            sent = time.monotonic()
            found = await client.query(wanted)
            self.longest_wait_seconds = max(self.longest_wait_seconds, time.monotonic() - sent)
            self.closed += [] if found.closed is None else [found.closed]
            await asyncio.sleep(0.01)

    async def finish(self) -> None:
        self._over = True
        await self._task


async def test_no_client_waits_long_for_an_error_while_every_packet_vanishes_and_all_is_well_when_they_pass_again(
    wire: Wire, remote_relay: RelayProcess
) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_of(wire, remote_relay)) for _ in range(3)]
        publishers = [Publisher(client, new_author()) for client in clients[:2]]
        for publisher in publishers:
            publisher.start()
            await publisher.acknowledged_more(20)
        asking = Asking(clients[2], publishers[0].pubkey)

        wire.cut()
        for publisher in publishers:
            await publisher.refused_one(HANG_SECONDS + MACHINE_SECONDS)
        wire.mend()
        await asyncio.gather(*(each.acknowledged_more(20, RETURN_SECONDS + MACHINE_SECONDS) for each in publishers))
        await asyncio.gather(*(publisher.finish() for publisher in publishers))
        await asking.finish()
        await answers(clients[2], RETURN_SECONDS)

        assert asking.closed != []
        assert all(text.startswith("error: ") for text in asking.closed)
        assert all(ok.text.startswith("error: ") for publisher in publishers for ok in publisher.refused)
        waits = [asking.longest_wait_seconds, *(publisher.longest_wait_seconds for publisher in publishers)]
        assert max(waits) < HANG_SECONDS + MACHINE_SECONDS, waits
        acknowledged = [event_id for publisher in publishers for event_id in publisher.acknowledged]
        assert await stored_of(clients[2], acknowledged) == set(acknowledged)
