"""Where an instance listens: whether the address is free, and its name for people on this machine."""

import errno
import socket

from relay.transport.listener import addresses
from relayproject import env_urls, settings
from relayproject.runtime.errors import StartupError


def refuse_used_port(host: str, port: int) -> None:
    """Raise StartupError if the port is in use: workers bind with SO_REUSEPORT and would share it unnoticed."""
    try:
        for family, address in addresses(host, port):
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
                probe.listen(1)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "not a host name"
        reason = "is in use" if getattr(error, "errno", None) == errno.EADDRINUSE else f"cannot be listened on ({why})"
        raise StartupError(
            f"{env_urls.host_and_port(host, port)} {reason}: set RELAY_HOST and RELAY_PORT to an address that is free."
        ) from error


def web_address(scheme: str, path: str = "") -> str:
    """The URL at which this instance listens, as typed on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "::": "::1"}.get(settings.RELAY_HOST, settings.RELAY_HOST)  # noqa: S104
    return f"{scheme}://{env_urls.host_and_port(host, settings.RELAY_PORT)}{path}"
