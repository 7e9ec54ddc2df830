"""The fault matrix cuts the network between two parts and no others. Needs root and control groups of version 2."""

import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from relayproject.runtime.cluster.detached import Process, send, wait_until_gone
from relayproject.runtime.cluster.options import Options
from relayproject.runtime.cluster.part import HOST, Kind, Part
from relayproject.runtime.errors import StartupError
from tests.acceptance.cluster_command import free_base_port
from tests.benchmarks.faults.network import CLIENTS, Network, ports_of

ECHO = """
import socket, sys, threading
def echo(peer):
    while data := peer.recv(100):
        peer.sendall(data)
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    threading.Thread(target=echo, args=server.accept()[:1], daemon=True).start()
"""
START_SECONDS = 5.0
SILENCE_SECONDS = 0.3
CUT, WHOLE = "valkey-1", "valkey-2"
"""A part that is cut off from clients, and one that is not."""


@pytest.fixture
def options() -> Options:
    return Options(base_port=free_base_port())


@pytest.fixture
def network(options: Options, tmp_path: Path) -> Iterator[Network]:
    try:
        network = Network()
    except StartupError as refusal:
        pytest.skip(str(refusal))
    started: list[Process] = []
    try:
        for name in (CUT, WHOLE):
            port = ports_of(name, options)[0]
            argv = (sys.executable, "-c", ECHO, str(port))
            started.append(network.start(Part(name, Kind.VALKEY, argv, tmp_path, tmp_path / f"{name}.log", port)))
        yield network
    finally:
        for process in started:
            send(process, signal.SIGKILL)
            wait_until_gone(process, START_SECONDS)
        network.close()


def connected(name: str, options: Options) -> socket.socket:
    """To a part that may be starting."""
    ends = time.monotonic() + START_SECONDS
    while True:
        try:
            return socket.create_connection((HOST, ports_of(name, options)[0]), SILENCE_SECONDS)
        except ConnectionRefusedError:
            assert time.monotonic() < ends, f"{name} does not listen"
            time.sleep(0.01)


def test_nothing_passes_between_two_parts_until_the_cut_is_mended(network: Network, options: Options) -> None:
    with connected(CUT, options) as cut, connected(WHOLE, options) as whole:
        network.cut([CUT], [CLIENTS], options)
        for connection in (cut, whole):
            connection.sendall(b"before")
        assert whole.recv(6) == b"before"
        with pytest.raises(TimeoutError):
            cut.recv(6)
        with pytest.raises(TimeoutError):
            connected(CUT, options)
        network.mend()
        cut.settimeout(START_SECONDS)  # until the packet is sent again
        assert cut.recv(6) == b"before"


def test_a_part_that_this_run_has_not_started_is_not_cut_off(network: Network, options: Options) -> None:
    with pytest.raises(StartupError, match="relay-1 does not run, or this run has not started it"):
        network.cut(["relay-1"], [CLIENTS], options)
