"""Ports of the loopback interface for servers that are started later.

They are below those that the kernel gives to clients (from 32768) and those of clusters (from 20000): no connection of
another test can take the port between the choice and the start of the server.
"""

import random
import socket

FIRST, LAST = 12_000, 19_999

_held: list[socket.socket] = []


def free_port() -> int:
    """A port without a listener, which no other process that asks here gets while this one runs."""
    while True:
        port = random.randint(FIRST, LAST)
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0relay tests, port {port}")  # ends with the process, and takes no port
        except OSError:
            name.close()
            continue
        _held.append(name)
        if _is_free(port):
            return port


def free_ports(count: int) -> list[int]:
    """Some of them."""
    return [free_port() for _ in range(count)]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
