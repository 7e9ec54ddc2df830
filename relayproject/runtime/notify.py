"""What systemd is told of a service with Type=notify (sd_notify(3)); nothing happens without NOTIFY_SOCKET."""

import asyncio
import contextlib
import os
import socket

EXTENSION_SECONDS = 30.0
EXTEND_EVERY_SECONDS = 10.0


def notify(*lines: str) -> None:
    """Send assignments such as READY=1. A manager that does not answer is no reason to stop."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # the abstract namespace
        address = f"\0{address[1:]}"
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(1.0)
        sender.sendto("\n".join(lines).encode(), address)


def ready() -> None:
    """The relay accepts connections."""
    notify("READY=1")


async def while_starting() -> None:
    """The start goes on, whatever TimeoutStartSec says; until cancelled."""
    while True:
        notify(f"EXTEND_TIMEOUT_USEC={int(EXTENSION_SECONDS * 1e6)}")
        await asyncio.sleep(EXTEND_EVERY_SECONDS)


def stopping(seconds: float) -> None:
    """The stop takes at most `seconds`, whatever TimeoutStopSec says."""
    notify("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")
