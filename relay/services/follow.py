"""Keeps this process at the head of the order, whatever the bus loses.

A hole is seen at once; one that is still there after 20 ms is no straggler's, and the log is read. A heartbeat compares
the newest number once a second, so that a lost last message is found as well, and more often while the bus is down.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from relay.changes.change import Batch, Change
from relay.changes.intake import Intake
from relay.metrics import counters
from relay.protocol.errors import Failed
from relay.storage.log import Heartbeat, LogPruned, changes_after, heartbeat, newest
from relay.storage.reads import Reads
from relay.subscriptions.hub import Hub

log = logging.getLogger("relay.follow")

STRAGGLER_SECONDS = 0.02
HEARTBEAT_SECONDS = 1.0
BUS_DOWN_SECONDS = 0.1
SUSPECT_SECONDS = 5.0
"""For so long after a heartbeat found what the bus had lost, the log is looked at as if the bus were down."""


class Follower:
    """Applies batches from wherever they come. `on_changes` gets what was applied,
    before clients do; `on_lost` is called when the place in the order is lost for good."""

    def __init__(
        self,
        intake: Intake,
        hub: Hub,
        reads: Reads,
        *,
        bus_is_up: Callable[[], bool],
        on_changes: Callable[[Sequence[Change]], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self.newest = intake.ring.position
        self.database_up = False
        self.epoch = 0
        self._intake = intake
        self._hub = hub
        self._reads = reads
        self._bus_is_up = bus_is_up
        self._on_changes = on_changes
        self._on_lost = on_lost
        self._suspect_until = 0.0
        self._hole = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def lag(self) -> int:
        """How many changes are known to exist and not applied here."""
        return max(0, self.newest - self._intake.ring.position)

    def start(self, begin: Heartbeat) -> None:
        """Follow from `begin`, to which the ring was set; needs a running loop."""
        self.epoch = begin.epoch
        self.newest = begin.position
        self.database_up = True
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._fill_holes(), name="relay holes"),
            loop.create_task(self._heartbeats(), name="relay heartbeat"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def apply(self, batch: Batch) -> None:
        """Take a batch in and hand on what became applicable."""
        self.newest = max(self.newest, batch.last)
        changes = self._intake.offer(batch)
        if changes:
            self._on_changes(changes)
            self._hub.deliver(changes)
        if self._intake.hole:
            self._hole.set()

    async def _fill_holes(self) -> None:
        while True:
            await self._hole.wait()
            self._hole.clear()
            position = -1
            # Under load there is always a hole somewhere, another one each time: only one that stays is worth a read.
            while self._intake.hole and position != self._intake.ring.position:
                position = self._intake.ring.position
                await asyncio.sleep(STRAGGLER_SECONDS)
            if self._intake.hole:
                await self._catch_up()

    async def _heartbeats(self) -> None:
        while True:
            trusted = self._bus_is_up() and asyncio.get_running_loop().time() > self._suspect_until
            await asyncio.sleep(HEARTBEAT_SECONDS if trusted else BUS_DOWN_SECONDS)
            try:
                now = await heartbeat(self._reads)
            except Failed:
                self.database_up = False
                continue
            self.database_up = True
            if now.epoch != self.epoch:
                self._lose(f"epoch {self.epoch} ended, {now.epoch} began")
                return
            before, self.newest = self.newest, max(self.newest, now.position)
            # What was new at this heartbeat may still be on its way; what was new at the last one is not.
            if self._intake.ring.position < (before if trusted else now.position):
                self._suspect_until = asyncio.get_running_loop().time() + SUSPECT_SECONDS
                await self._catch_up()

    async def _catch_up(self) -> None:
        """Read the log until nothing is missing that is known to exist."""
        try:
            while self._intake.hole or self._intake.ring.position < self.newest:
                batch = await changes_after(self._reads, self._intake.ring.position)
                counters.log_reads += 1
                if batch is None:
                    return
                counters.log_changes += len(batch.changes)
                ring = self._intake.ring
                ring.whole_from = max(ring.whole_from, (await newest(self._reads)).position)
                self.apply(batch)
        except Failed as error:
            log.warning("the log cannot be read: %s", error.message)
            await asyncio.sleep(BUS_DOWN_SECONDS)
            self._hole.set()
        except LogPruned as error:
            self._lose(str(error))

    def _lose(self, why: str) -> None:
        log.error("this process lost its place in the order: %s", why)
        self._on_lost(why)
