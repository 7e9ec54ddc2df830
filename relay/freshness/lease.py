"""The single-instance lease: while one instance alone is at work, its workers do not ask the primary for positions.

One row of the database names the instance that holds it (storage/sql/lease.sql). Every writing transaction reads the
row under the lock of the order; one of another instance ends the lease and holds its OK until nobody relies on it.

Rule: a process relies on the lease for LEASE_SECONDS from the begin of a look at the database that found it, and the
database has an OK held for longer than that after the lease ended (`hold_ms`, by the database's clock alone).
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
"""So often an instance registers as at work; the database forgets it after six times as long (lease.sql)."""

FIRST_SECONDS = 0.5
"""Until the second registration: it notes the end of the lease before, so that no OK has to wait for it."""

STOP_SECONDS = 1.0


class SingleInstanceLease:
    """What one process knows of the lease."""

    def __init__(self, instance: str, primary: Primary, tasks: BackgroundTasks) -> None:
        self.instance = instance
        self.taken = False
        """Whether this instance held the lease at the last look. For display: answers go by `is_held`."""
        self._primary = primary
        self._tasks = tasks
        self._until = 0.0
        self._stopping = asyncio.Event()
        self._task: Task | None = None

    def start(self) -> None:
        """Begin to register this instance as at work; needs a running loop."""
        self._stopping.clear()
        self._task = self._tasks.job(self._keep(), "single-instance lease")

    async def stop(self) -> None:
        """Stop, and register this instance as at work no more."""
        self._stopping.set()
        if self._task is not None:  # not cancelled: a registration under way would come after the deregistration
            await asyncio.wait([self._task], timeout=STOP_SECONDS)
        await cancel([self._task])
        with contextlib.suppress(Failed):
            await self._primary.leave(self.instance)

    def is_held(self) -> bool:
        """True while no other instance can acknowledge anything."""
        return monotonic() < self._until

    def saw(self, begin: float, look: Look) -> None:
        """A look at the primary that began at `begin` (monotonic)."""
        self.taken = look.has_lease
        self._until = max(self._until, begin + LEASE_SECONDS) if look.has_lease else 0.0

    def forget(self) -> None:
        """Another epoch has begun: the lease was one of the epoch before."""
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
