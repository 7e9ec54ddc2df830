"""Keeps the operators' lists of this process at the version that the primary names.

Rule: the primary alone is asked. Each heartbeat says the newest version; another one is read at once, in pages, and put
in force: within a second in every process, without bus and shared cache.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from relay.background import BackgroundTasks, Task, cancel
from relay.policies.lists import Lists
from relay.protocol.errors import Failed
from relay.storage.primary import PAGE_ENTRIES, Primary

log = logging.getLogger("relay.lists")

RETRY_SECONDS = 0.1


class ListKeeper:
    """The lists of one process. `on_change` is awaited after each change, to put it in force on open connections."""

    def __init__(
        self, lists: Lists, primary: Primary, tasks: BackgroundTasks, on_change: Callable[[], Awaitable[None]]
    ) -> None:
        self.newest = 0
        self._lists = lists
        self._primary = primary
        self._tasks = tasks
        self._on_change = on_change
        self._wake = asyncio.Event()
        self._reading = asyncio.Lock()
        """One reading at a time: a page of the store before must not come into the lists of another one."""
        self._task: Task | None = None

    @property
    def lag(self) -> int:
        """Versions known to exist that are not in force here."""
        return max(0, self.newest - self._lists.version)

    async def begin(self, version: int) -> None:
        """Read all lists afresh, as another store has others; those of before are in force meanwhile. Raises Failed."""
        async with self._reading:
            fresh = Lists(self._lists.rules)
            await self._read(fresh)
            self.newest = max(version, fresh.version)
            fresh.version = self.newest
            self._lists.replace(fresh)

    def start(self) -> None:
        """Begin to follow; needs a running loop."""
        self._task = self._tasks.service(self._follow(), "lists")

    async def stop(self) -> None:
        """Stop following."""
        await cancel([self._task])

    def follow(self, version: int) -> None:
        """The primary has this version now."""
        if version > self.newest:
            self.newest = version
            self._wake.set()

    async def _follow(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                async with self._reading:
                    await self._read(self._lists)
                await self._on_change()
            except Failed as error:
                log.warning("the lists cannot be read: %s", error.message)
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()

    async def _read(self, lists: Lists) -> None:
        while True:
            page = await self._primary.list_entries_after(lists.version)
            lists.apply(page)
            if len(page) < PAGE_ENTRIES:
                return
