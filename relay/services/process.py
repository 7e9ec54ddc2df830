"""The one relay of this process: started once, looked up to serve a request, and stopped once.

Started by the server's lifespan, or by the first connection where there is none (daphne).
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable

from relay.conf import config
from relay.services.runtime import Relay

log = logging.getLogger("relay.runtime")

on_start: list[Callable[[Relay], None]] = []
"""Called with the relay of this process once it has started, for what other packages add to it."""

_relay: Relay | None = None
_starting: asyncio.Lock | None = None


async def start() -> Relay:
    """The relay of this process, started if necessary. Raises Failed if the database does not answer."""
    global _relay, _starting  # noqa: PLW0603 - one relay a process is the point
    if _relay is not None:
        return _relay
    if _starting is None:
        _starting = asyncio.Lock()
    async with _starting:
        if _relay is None:
            relay = Relay(config(), _end_process)
            try:
                await relay.start()
            except BaseException:
                await relay.tasks.stop()
                raise
            _relay = relay
            for added in on_start:
                added(relay)
    return _relay


def _end_process(task: str) -> None:
    """Stop this process in order: its supervisor starts it again."""
    log.critical("this process ends: background task %r is needed", task)
    os.kill(os.getpid(), signal.SIGTERM)


def current() -> Relay | None:
    """The relay of this process, None before it was started."""
    return _relay


def leave(*, refuse: bool = False) -> None:
    """Have /ready fail from now on; clients are served as before. refuse: further ones are answered 503."""
    if _relay is not None:
        _relay.leaving = True
        _relay.refusing = refuse


async def drain() -> None:
    """Close all connections, spread over the drain time."""
    if _relay is not None:
        await _relay.drain()


async def stop(*, is_replaced: bool = False) -> None:
    """Stop the relay of this process, if it was started. It stays the current one until then: a request that comes
    meanwhile must not start another. is_replaced: another process of the instance has taken its place.
    """
    global _relay  # noqa: PLW0603 - as above
    if _relay is not None:
        await _relay.stop(is_replaced=is_replaced)
        _relay = None
