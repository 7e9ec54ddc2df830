"""The single-instance lease: while only one instance runs, its workers need not ask the primary for positions.

One row of the database names the holder (storage/sql/lease.sql). Every writing transaction reads it under the lock of
the log; a transaction of another instance ends the lease, and its OK is held until no process relies on the lease any
more.

Rule: a process relies on the lease for LEASE_SECONDS from the start of the statement that found it; the database has an
OK held for longer than that after the end of the lease (`hold_ms`, measured by the database's clock).
"""

import asyncio
import contextlib
from time import monotonic

from relay.background import BackgroundTasks, Task, cancel
from relay.protocol.errors import Failed
from relay.storage.primary import Look, Primary

LEASE_SECONDS = 0.3
"""Below the 350 ms for which lease.sql has an OK held."""

TAKE_SECONDS = 5.0
"""How often an instance registers as running; the database forgets it after six times as long (lease.sql)."""

FIRST_SECONDS = 0.5
"""Time to the second registration, which notes the end of the previous lease, so that no OK has to wait for it."""

STOP_SECONDS = 0.5
"""For each of the two steps of a stop, so that a database that hangs does not use up the supervisor's time limit."""


class SingleInstanceLease:
    """What one process knows of the lease."""

    def __init__(self, instance: str, primary: Primary, tasks: BackgroundTasks) -> None:
        self.instance = instance
        self.taken = False
        """True if this instance held the lease at the last statement. For display only: answers use `is_held`."""
        self._primary = primary
        self._tasks = tasks
        self._until = 0.0
        self._stopping = asyncio.Event()
        self._task: Task | None = None

    def start(self) -> None:
        """Begin to register this instance as running; needs a running loop."""
        self._stopping.clear()
        self._task = self._tasks.job(self._keep(), "single-instance lease")

    async def stop(self, *, leave: bool = True) -> None:
        """Stop, and deregister this instance, unless other processes of it go on."""
        self._stopping.set()
        if self._task is not None:  # not cancelled: a registration under way would come after the deregistration
            await asyncio.wait([self._task], timeout=STOP_SECONDS)
        await cancel([self._task])
        if not leave:
            return
        with contextlib.suppress(Failed, TimeoutError):  # a registration that is left behind expires
            async with asyncio.timeout(STOP_SECONDS):
                await self._primary.leave(self.instance)

    def is_held(self) -> bool:
        """True while no other instance can acknowledge anything."""
        return monotonic() < self._until

    def saw(self, begin: float, look: Look) -> None:
        """Take the result of a statement to the primary that began at `begin` (monotonic seconds)."""
        self.taken = look.has_lease
        self._until = max(self._until, begin + LEASE_SECONDS) if look.has_lease else 0.0

    def forget(self) -> None:
        """Drop the lease: it belongs to the previous epoch."""
        self._until = 0.0

    async def _keep(self) -> None:
        seconds = min(FIRST_SECONDS, TAKE_SECONDS)
        while not self._stopping.is_set():
            with contextlib.suppress(Failed):
                self.taken = await self._primary.take_lease(self.instance)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stopping.wait()
            seconds = TAKE_SECONDS
