"""Which worker a connection has reached: the kernel spreads connections, and says where each went."""

import contextlib
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from tests.acceptance.client import Client
from tests.acceptance.relay_process import RelayProcess

ATTEMPTS = 60


def worker_of(relay: RelayProcess, client: Client) -> int:
    """The id of the worker that serves this client; LookupError when none of the relay's workers does."""
    return server_of(relay.port, relay.workers(), client)


def server_of(port: int, pids: Iterable[int], client: Client) -> int:
    """Which of these processes has the other end of the client's connection to `port`; LookupError if none has."""
    here = client.socket.local_address[1]
    wanted = f"socket:[{_inode(port, here)}]"
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in os.scandir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(entry.path) == wanted:
                        return pid
    raise LookupError(f"no worker serves the connection from port {here}")


def is_served(port: int, pids: Iterable[int], client: Client) -> bool:
    """Whether one of these processes still holds the client's connection."""
    with contextlib.suppress(LookupError):
        return server_of(port, pids, client) > 0
    return False


def _inode(local_port: int, remote_port: int) -> str:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{local_port:04X}") and fields[2].endswith(f":{remote_port:04X}"):
            return fields[9]
    raise LookupError(f"no connection from port {remote_port}")


@contextlib.asynccontextmanager
async def client_of(relay: RelayProcess, worker: int) -> AsyncIterator[Client]:
    """A client that just this worker serves."""
    for _ in range(ATTEMPTS):
        async with Client(relay.ws_url) as client:
            if worker_of(relay, client) == worker:
                yield client
                return
    raise AssertionError(f"worker {worker} got none of {ATTEMPTS} connections")


def memory_megabytes(pid: int) -> float:
    """The resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
