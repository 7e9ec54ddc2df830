"""The listening socket of one worker.

Rules: every worker has its own (SO_REUSEPORT): on a shared one a single worker got all connections. Its receive buffer
is small: picows handles all frames of one read in one callback, so with the kernel's 32 MB a flooding client blocked a
worker for 0.9 s and kept 5 MB; with 64 KB it is 172 frames, at equal speed.
"""

import socket

RECEIVE_BUFFER_BYTES = 65536


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound, non-blocking TCP socket for `uvicorn.Server.serve(sockets=[...])`, which listens when it is ready.

    `host` is an address or a name; "" or "*" means every address, of both families where the machine has IPv6.
    Accepted sockets inherit SO_RCVBUF; TCP_NODELAY too. Raises OSError when the address is taken or unknown.
    """
    if host in ("", "*"):
        if socket.has_dualstack_ipv6():
            return _bind(socket.AF_INET6, ("::", port), dual_stack=True)
        host = "0.0.0.0"  # noqa: S104 (asked for)
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return _bind(family, address)


def _bind(family: int, address: object, *, dual_stack: bool = False) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual_stack else 1)
        sock.bind(address)  # type: ignore[arg-type]
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
