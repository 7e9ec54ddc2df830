"""The listening sockets of one worker.

Rules: IPv6 and IPv4 have one each, so that no client's address appears as ::ffff:a.b.c.d. Every worker has its own
(SO_REUSEPORT): on a shared one a single worker got all connections. Its receive buffer is small: picows handles all
frames of one read in one callback, so with the kernel's 32 MB a flooding client blocked a worker for 0.9 s and kept
5 MB; with 64 KB it is 172 frames, at equal speed.
"""

import socket
from typing import Any

RECEIVE_BUFFER_BYTES = 65536


EVERY_ADDRESS = frozenset({"", "*"})


def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Bound, non-blocking TCP sockets for `uvicorn.Server.serve(sockets=...)`, which listens when it is ready.

    `host` is an address or a name; "::" means every address of both families, "" or "*" too, where the
    machine has IPv6.
    `port` 0 is one free port for all. Accepted sockets inherit SO_RCVBUF and TCP_NODELAY. Raises OSError when an
    address is taken or unknown.
    """
    found: list[socket.socket] = []
    try:
        for family, (address, _, *rest) in addresses(host, port):
            found.append(_bind(family, (address, port, *rest)))
            port = found[0].getsockname()[1]
    except BaseException:
        for sock in found:
            sock.close()
        raise
    return found


def addresses(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    """The socket addresses that `host` means, with their family. Raises OSError for an unknown name."""
    ipv6, ipv4 = (socket.AF_INET6, ("::", port, 0, 0)), (socket.AF_INET, ("0.0.0.0", port))  # noqa: S104 (asked for)
    if host == "::" or (host in EVERY_ADDRESS and _has_ipv6()):
        return [ipv6, ipv4]
    if host in EVERY_ADDRESS:
        return [ipv4]
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return [(family, address)]


def _has_ipv6() -> bool:
    """Whether this machine can listen on IPv6: the kernel may have it switched off."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _bind(family: int, address: object) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)  # type: ignore[arg-type]
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
