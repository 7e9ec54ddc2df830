"""Keeps this process up to date with the log, whatever the bus loses.

A gap in the numbers that is still open after 20 ms is filled from the log. A heartbeat compares the newest number once
a second, so that a lost last message is noticed too; more often while the bus is down.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from relay.background import BackgroundTasks, Task, cancel
from relay.changes.change import Batch, Change
from relay.changes.intake import Intake
from relay.changes.sizes import change_bytes, steps
from relay.metrics import counters
from relay.protocol.errors import Failed
from relay.services.primary_watch import PrimaryWatch
from relay.storage.primary import Heartbeat, LogPruned, Primary
from relay.storage.store import Store
from relay.subscriptions.hub import Hub

log = logging.getLogger("relay.follow")

GAP_SECONDS = 0.02
"""How long a gap may stay open before it is filled from the log."""
HEARTBEAT_SECONDS = 0.8
"""The operators' lists are read with it, and a change of them is in force within a second."""
BUS_DOWN_SECONDS = 0.1
SUSPECT_SECONDS = 5.0
"""How long the log is polled as if the bus were down, after a heartbeat found changes that the bus had lost, or the
server was restarted.
"""


class Follower:
    """Applies batches of all sources: to the subscriptions first, then to the caches.

    `on_changes` gets the applied changes; if it raises, `on_cache_fault` is called. `on_lost` is called when the log
    can no longer be followed.
    """

    def __init__(
        self,
        intake: Intake,
        hub: Hub,
        primary: Primary,
        watch: PrimaryWatch,
        tasks: BackgroundTasks,
        *,
        bus_is_up: Callable[[], bool],
        on_changes: Callable[[Sequence[Change]], None],
        on_cache_fault: Callable[[], None],
        on_lost: Callable[[str], None],
        on_lists: Callable[[int], None] = lambda version: None,
        on_missing: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_lists` is called with the version of the operators' lists at each heartbeat, `on_missing` when the log
        had changes that the bus should have brought.
        """
        self.newest = intake.ring.position
        """The newest change that is known here. Where the bus brought what comes after a gap, the ring is not there."""
        self.cache_faults = 0
        self.losses = 0
        """Times that the position in the log was lost, at which clients are disconnected."""
        self.refused = 0
        """Batches that were not applied because too many changes waited for their delivery."""
        self.store = Store("", "", 0)
        self._intake = intake
        self._hub = hub
        self._primary = primary
        self._watch = watch
        self._tasks = tasks
        self._bus_is_up = bus_is_up
        self._on_changes = on_changes
        self._on_cache_fault = on_cache_fault
        self._on_lost = on_lost
        self._on_lists = on_lists
        self._on_missing = on_missing
        self._lists = 0
        self._is_lost = False
        self._is_behind = False  # batches were refused
        self._suspect_until = 0.0
        self._gap = asyncio.Event()
        self._started: list[Task] = []

    @property
    def lag(self) -> int:
        """Changes known to exist that are not applied here."""
        return max(0, self.newest - self._intake.ring.position)

    def start(self, begin: Heartbeat) -> None:
        """Follow from `begin`, the position of the ring; needs a running loop."""
        self.store = begin.store
        self.newest = begin.position
        self._lists = begin.lists
        self._watch.begin()
        self._is_lost = False
        self._started = [
            self._tasks.service(self._fill_gaps(), "gaps in the log"),
            self._tasks.service(self._heartbeats(), "heartbeat"),
        ]

    async def stop(self) -> None:
        """Stop following."""
        await cancel(self._started)

    @property
    def _trusted(self) -> bool:
        """True if the bus should bring every change."""
        return self._bus_is_up() and asyncio.get_running_loop().time() > self._suspect_until

    def suspect(self) -> None:
        """Changes may have been lost on the bus: poll the log for a while."""
        self._suspect_until = asyncio.get_running_loop().time() + SUSPECT_SECONDS

    def apply(self, batch: Batch) -> None:
        """Take a batch, and pass on the changes that were applied."""
        self.newest = max(self.newest, batch.last)
        if self._hub.backlog.is_full:
            # As if the bus had lost it: it is read from the log when the hub has room.
            self.refused += 1
            self._is_behind = True
            self._gap.set()
            return
        changes = self._intake.offer(batch)
        if changes:
            try:
                self._hub.deliver(changes)
            except Exception:  # the caches must have the changes all the same: the ring is past them
                counters.internal_errors += 1
                log.exception("changes could not be delivered")
            try:
                self._on_changes(changes)
            except Exception:
                self.cache_faults += 1
                log.exception("a cache could not apply changes; the caches of this process are cleared")
                self._on_cache_fault()
        if self._intake.has_gap:
            self._gap.set()

    def check(self, store: Store) -> bool:
        """True if `store` is the followed one, perhaps after a restart; another store or epoch means that the position
        is lost.
        """
        if (store.identity, store.epoch) == (self.store.identity, self.store.epoch):
            if store != self.store:
                # The bus dropped what processes sent that noticed it earlier, and may drop what others still send.
                self.suspect()
                self.store = store
            return True
        self._lose(f"store {self.store.name} was followed, the database is {store.name} now")
        return False

    async def _fill_gaps(self) -> None:
        while True:
            await self._gap.wait()
            self._gap.clear()
            position = -1
            # Under load there is always some gap, each time another one: only one that stays open is read from the log.
            while self._intake.has_gap and position != self._intake.ring.position:
                position = self._intake.ring.position
                await asyncio.sleep(GAP_SECONDS)
            if self._intake.has_gap or self._is_behind:
                self._is_behind = False
                await self._catch_up()

    async def _heartbeats(self) -> None:
        while True:
            trusted = self._trusted
            await asyncio.sleep(BUS_DOWN_SECONDS if self._watch.missed or not trusted else HEARTBEAT_SECONDS)
            await self.beat(trusted)

    async def beat(self, trusted: bool = True) -> None:
        """Ask the primary once, and follow what it says. `trusted`: the bus was, since the last heartbeat."""
        applied = self._intake.ring.position
        try:
            now = await self._primary.heartbeat()
        except Failed:
            self._watch.miss(self.newest)
            return
        self._watch.answered()
        if not self.check(now.store):
            return
        if now.position < applied:  # an older copy of the data folder, whose numbers will be used again
            self._lose(f"the log ends at {now.position}, {applied} was applied")
            return
        moderated, self._lists = now.lists != self._lists, now.lists
        self._on_lists(now.lists)
        before, self.newest = self.newest, max(self.newest, now.position)
        if self._hub.backlog.is_full:
            self._lists = -1 if moderated else self._lists  # the next heartbeat follows
            return
        # Changes found at this heartbeat may still arrive on the bus; those of the previous one should have. What an
        # operator removes is on no bus.
        if moderated:
            await self._catch_up()
        elif self._intake.ring.position < (before if (is_trusted := trusted and self._trusted) else now.position):
            if is_trusted:
                self._on_missing()
                self.suspect()
            await self._catch_up()

    async def _catch_up(self) -> None:
        """Read the log until no known change is missing."""
        try:
            while self._intake.has_gap or self._intake.ring.position < self.newest:
                await self._hub.backlog.room()
                batch = await self._primary.changes_after(self._intake.ring.position)
                counters.log_reads += 1
                if batch is None:
                    return
                counters.log_changes += len(batch.changes)
                newest = await self._primary.position()
                ring = self._intake.ring
                ring.complete_from = max(ring.complete_from, newest)
                for part in steps(batch.changes, change_bytes):
                    await self._hub.backlog.room()
                    self.apply(Batch.of(part))
                    await asyncio.sleep(0)
        except Failed as error:
            log.warning("the log cannot be read: %s", error.message)
            await asyncio.sleep(BUS_DOWN_SECONDS)
            self._gap.set()
        except LogPruned as error:
            self._lose(str(error))

    def _lose(self, why: str) -> None:
        if not self._is_lost:
            self._is_lost = True
            self.losses += 1
            log.error("this process lost its position in the log: %s", why)
            self._on_lost(why)
