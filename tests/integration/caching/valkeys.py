"""Real servers for cache and bus: one, a master with replicas and Sentinels, a Cluster of three and three."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from relayproject.runtime.processes import end, spawn
from relayproject.runtime.valkey import EmbeddedValkey, binary
from tests.ports import free_ports

STEPS = ((signal.SIGKILL, 5.0),)
NODE_TIMEOUT_MILLISECONDS = 1_000
REPLICATION = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")


async def until(condition: Callable[[], object], seconds: float = 15.0) -> float:
    """Wait until it is true; returns after how many seconds."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "it did not come true"
        await asyncio.sleep(0.005)
    return time.monotonic() - start


def wait_until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """The same where no loop runs; a server that does not answer yet is no failure."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except RedisError:
            pass
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


class Node:
    """A server on a TCP port of its own, with its options."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        self.port = port
        self.url = f"redis://127.0.0.1:{port}"
        self.admin: Redis = Redis(port=port, socket_timeout=5, protocol=2)
        self._folder = folder / str(port)
        self._folder.mkdir(parents=True)
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, *words: str | int) -> Any:
        """The answer to a command that an administrator gives."""
        return self.admin.execute_command(*words)  # type: ignore[no-untyped-call]

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            command = [str(binary()), *self._options, "--port", str(self.port), "--save", "", "--daemonize", "no"]
            self._process = spawn(command, output=log, folder=self._folder)

    def freeze(self) -> None:
        """Connections stay open, and nothing answers on them, until `kill` or `thaw`."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            end(self._process, STEPS)
        self.admin.close()

    def wait(self) -> None:
        wait_until(self.admin.ping)


@contextmanager
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="relay-valkeys-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def one_server() -> Iterator[EmbeddedValkey]:
    """The server as `serve` starts it; it can be stopped and started again at the same address."""
    with folder() as path:
        server = EmbeddedValkey(path, path / "valkey.log")
        server.start()
        try:
            yield server
        finally:
            server.stop(hasty=True)


@contextmanager
def nodes(path: Path, ports: list[int], *options: str) -> Iterator[list[Node]]:
    made = [Node(path, port, *options) for port in ports]
    with all_running(made):
        yield made


@contextmanager
def all_running(made: list[Node]) -> Iterator[None]:
    try:
        for node in made:
            node.start()
        for node in made:
            node.wait()
        yield
    finally:
        for node in made:
            node.kill()


class Guarded:
    """A master, its replicas and the Sentinels that watch them; the first Sentinel of the URL does not exist."""

    def __init__(self, servers: list[Node], sentinels: list[Node]) -> None:
        self.servers = servers
        self.master, self.replica, self.sentinel = servers[0], servers[1], sentinels[0]
        hosts = ",".join(f"127.0.0.1:{port}" for port in (*free_ports(1), *(one.port for one in sentinels)))
        self.url = f"redis+sentinel://{hosts}/0?service=main"

    def master_now(self) -> Node:
        """The master that the first Sentinel names."""
        _, port = self.sentinel.run("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
        return next(node for node in self.servers if node.port == int(port))


@contextmanager
def guarded(replicas: int = 1, sentinels: int = 1) -> Iterator[Guarded]:
    ports = free_ports(1 + replicas + sentinels)
    with folder() as path, nodes(path, ports[: 1 + replicas], *REPLICATION) as servers:
        for replica in servers[1:]:
            replica.run("REPLICAOF", "127.0.0.1", ports[0])
        for replica in servers[1:]:
            wait_until(partial(follows, replica))
        with watchers(path, ports[0], ports[1 + replicas :]) as watching:
            for sentinel in watching:
                wait_until(partial(_knows, sentinel, replicas, sentinels))
            yield Guarded(servers, watching)


@contextmanager
def watchers(path: Path, master: int, ports: list[int]) -> Iterator[list[Node]]:
    """Sentinels at these ports, of which most must agree. Each writes to its configuration."""
    made = []
    for port in ports:
        configuration = path / f"sentinel-{port}.conf"
        configuration.write_text(
            f"sentinel monitor main 127.0.0.1 {master} {len(ports) // 2 + 1}\n"
            "sentinel down-after-milliseconds main 500\n"
            "sentinel failover-timeout main 3000\n"
        )
        made.append(Node(path, port, str(configuration), "--sentinel"))
    with all_running(made):
        yield made


def _knows(sentinel: Node, replicas: int, sentinels: int) -> bool:
    """Whether a Sentinel has found all servers and the other Sentinels."""
    found = [len(sentinel.run("SENTINEL", kind, "main")) for kind in ("REPLICAS", "SENTINELS")]
    return found == [replicas, sentinels - 1]


class ClusterOfSix:
    """Masters are the first three; replica n + 3 follows master n."""

    def __init__(self, members: list[Node]) -> None:
        self.masters, self.replicas = members[:3], members[3:]
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in members)

    def master_of(self, slot: int) -> Node:
        """Who serves the slot, by the first master that answers."""
        for node in [*self.masters, *self.replicas]:
            try:
                for first, last, master, *_ in node.run("CLUSTER", "SLOTS"):
                    if first <= slot <= last:
                        return next(one for one in [*self.masters, *self.replicas] if one.port == master[1])
            except RedisError:
                continue
        raise AssertionError("no master serves the slot")


@contextmanager
def cluster() -> Iterator[ClusterOfSix]:
    """Slots in thirds; the others go on serving while a master is away."""
    ports = free_ports(12)
    with folder() as path:
        members = [
            Node(
                path, port, "--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout",
                str(NODE_TIMEOUT_MILLISECONDS), "--cluster-require-full-coverage", "no", *REPLICATION,
            )
            for port, bus in zip(ports[:6], ports[6:], strict=True)
        ]  # fmt: skip
        try:
            _join(members, ports[6:])
            yield ClusterOfSix(members)
        finally:
            for node in members:
                node.kill()


def _join(members: list[Node], buses: list[int]) -> None:
    for node in members:
        node.start()
    bounds = [0, 5461, 10923, 16384]
    for number, node in enumerate(members):
        node.wait()
        node.run("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number < 3:
            node.run("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
        for other, bus in list(zip(members, buses, strict=True))[:number]:
            node.run("CLUSTER", "MEET", "127.0.0.1", other.port, bus)
    for node in members:
        wait_until(partial(_says, node, "cluster_known_nodes", "6"))
    for master, replica in zip(members[:3], members[3:], strict=True):
        name = master.run("CLUSTER", "MYID")
        wait_until(partial(replica.run, "CLUSTER", "REPLICATE", name))
    for node in members:
        wait_until(partial(_says, node, "cluster_state", "ok"))
    for node in members[3:]:
        wait_until(partial(follows, node))


def follows(node: Node) -> bool:
    """Whether a replica has its master's data."""
    replication: Any = node.admin.info("replication")
    return bool(replication["role"] == "slave" and replication["master_link_status"] == "up")


def _says(node: Node, name: str, value: str) -> bool:
    """Whether CLUSTER INFO says so."""
    return f"{name}:{value}" in node.run("CLUSTER", "INFO").decode().split()
