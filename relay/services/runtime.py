"""The relay of one process: its start, its stop, and a new beginning when its position in the log is lost.

Rule: a process accepts clients only once its position in the log is known.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TypeVar

from relay.background import Task
from relay.conf import Config
from relay.protocol.errors import Failed
from relay.services.first_ring import ring_to
from relay.services.parts import Parts
from relay.services.session.session import SERVICE_RESTART, STOPPING, Session

log = logging.getLogger("relay.runtime")

Looked = TypeVar("Looked")

RESTART = "restart of the relay"
LOST = "error: the relay lost its place, connect again"
CLOSING = "end of connections from before a restart"
LEAVING = "the relay is about to stop"
ALONE = "the database answers other instances and not this one"
SENDING_AWAY = "sending clients to other instances"
STARTS_OVER = "the relay starts over"
RESTART_PAUSE_SECONDS = 0.5
SILENT_SECONDS = 5.0
"""How long clients wait at least for a new beginning of the relay, before they are closed all the same."""
READS_SECONDS = 2.0
"""How long a new beginning waits for connections for queries, which fail while there are none."""
CLIENTS_SHARE = 0.9
"""The part of the drain time that closing the connections takes; the rest is for events that are still queued."""
START_SECONDS = 30.0
"""How long a start waits for the database."""


class Relay(Parts):
    """The relay of one process. Create it inside a running loop."""

    def __init__(self, conf: Config, on_failure: Callable[[str], None] = lambda name: None) -> None:
        """`on_failure` is called with the name of a background task that failed."""
        super().__init__(conf, on_failure)
        self.leaving = False
        """The process is about to stop: clients are served, and balancers are to send no more of them."""
        self.refusing = False
        """No more clients are accepted; those that are connected are served."""
        self._drained_by = 0.0
        self._restarting = False
        self._sending_away: Task | None = None

    async def start(self) -> None:
        """Find the position in the log and begin. Raises Failed if the database does not answer in time."""
        self.primary.open()
        self.reads.open()
        if self.shared is not None:
            await self.shared.start()
        await self._begin()
        self.barrier.start()
        if self.answers is not None:
            self.answers.copies.start()
        if self.clearing is not None:
            self.clearing.start()
        self.bus.start()
        self.list_keeper.start()
        self.policy.start()
        self.writer.start()
        self.loop_lag.start()
        self.rates.start()
        self.status.start()
        self.ready = True

    async def _begin(self) -> None:
        await self.primary.until_connected(START_SECONDS)
        now = await self.primary.heartbeat()
        await self.primary.note_urls(self.config.urls)
        await self.list_keeper.begin(now.lists)
        ring = await ring_to(now.position, self.config.ring_bytes, self.primary)
        if self._restarting:
            await self._reconnect_reads()
        self.intake.restart(ring)
        self.hub.backlog.drop()
        self.follower.start(now)
        if self._restarting:
            self.bus.publish_hint()  # others may still answer from memory
        self.writer.disconnect()
        self.barrier.begin_epoch()
        self._clear_copies()

    async def _reconnect_reads(self) -> None:
        """Queries go to the server that is followed now; the old connections may lead to the one before."""
        self.reads.drop_primary(STARTS_OVER)
        self.reads.hurry_primary()
        with suppress(Failed):
            await self.reads.until_connected(READS_SECONDS)

    async def drain(self) -> None:
        """Close all connections, spread over the drain time, and accept no more."""
        self.leaving = True
        self._drained_by = self._loop.time() + self.config.drain_seconds
        await self.connections.drain(STOPPING, SERVICE_RESTART, self.config.drain_seconds * CLIENTS_SHARE)
        self.ready = False

    async def stop(self, *, is_replaced: bool = False) -> None:
        """Drain if that was not done, write queued events, and end; takes at most the drain time and three seconds.

        The steps are bounded one by one: only a database or a shared cache that hangs takes more than the drain time.
        is_replaced: the instance goes on with another process, and keeps its lease.
        """
        if not self._drained_by:
            await self.drain()
        await self.status.stop()
        await self.policy.stop()
        await self.loop_lag.stop()
        await self.rates.stop()
        await self.writer.stop(max(0.0, self._drained_by - self._loop.time()))
        await self.follower.stop()
        await self.list_keeper.stop()
        await self.bus.stop()
        if self.clearing is not None:
            await self.clearing.stop()
        if self.answers is not None:
            await self.answers.copies.stop()
        await self.barrier.stop(leave=not is_replaced)
        if self.shared is not None:
            await self.shared.stop()
        await self.reads.close()
        await self.primary.close()
        await self.tasks.stop()

    def unready(self) -> str | None:
        """Why no client is accepted, None if clients are."""
        if self.refusing:
            return LEAVING
        if self.watch.is_alone and self._sending_away is not None and self._sending_away.done():
            return ALONE
        return None if self.ready else "the relay is not ready"

    def lost(self, why: str) -> None:
        """The position is lost: have clients connect again, and start over."""
        self.ready = False
        if not self._restarting:
            self._restarting = True
            self.tasks.job(self._restart(), RESTART)

    def moderated(self) -> None:
        """An operator's change was committed: apply it here and tell the others. Safe to call from any thread."""
        self._loop.call_soon_threadsafe(self._moderated)

    def from_thread(self, look: Callable[[], Looked], seconds: float) -> Looked:
        """The result of a function that runs in the loop, for another thread. Raises TimeoutError after `seconds`."""

        async def looked() -> Looked:
            return look()

        return asyncio.run_coroutine_threadsafe(looked(), self._loop).result(seconds)

    def _moderated(self) -> None:
        self.hurry()
        self.bus.publish_hint()

    def send_away(self) -> None:
        """Have clients connect to an instance that the primary answers: a balancer sees it in /ready and ends their
        connections, or they are closed here, spread over the drain time.
        """
        seconds = self.config.drain_seconds * CLIENTS_SHARE
        self._sending_away = self.tasks.job(
            self.connections.drain(f"error: {ALONE}, connect again", SERVICE_RESTART, seconds), SENDING_AWAY
        )

    def primary_back(self) -> None:
        """End the sending away, and ask the primary for what waits."""
        if self._sending_away is not None:
            self._sending_away.cancel()
            self._sending_away = None
        self.reads.hurry_primary()

    async def _restart(self) -> None:
        """No subscription lives on: it would miss changes. Clients wait, and are then closed over the drain time, since
        after a failover all workers of all instances do this at once. What they ask until their turn is answered.
        """
        self.primary_back()
        suspended, begun = self.connections.suspend(LOST), asyncio.Event()
        self.tasks.job(self._close(suspended, begun), CLOSING)
        await self.follower.stop()
        await self.bus.stop()
        while not self.ready:
            try:
                await self._begin()
                self.bus.start()
                self.ready, self._restarting = True, False
            except Failed as error:
                log.error("the relay cannot restart yet: %s", error.message)
                await asyncio.sleep(RESTART_PAUSE_SECONDS)  # a standby refuses at once
        begun.set()
        await self.connections.resume(suspended)

    async def _close(self, suspended: Collection[Session], begun: asyncio.Event) -> None:
        """Close these over the drain time, once the relay has begun again or they have waited long in silence."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(self.config.drain_seconds, SILENT_SECONDS)):
                await begun.wait()
        await self.connections.drain(LOST, SERVICE_RESTART, self.config.drain_seconds, suspended)
