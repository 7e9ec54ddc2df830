"""Tasks that somebody has begun and will end with: none is forgotten, none outlives its owner."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Chores:
    """The tasks of one owner, each with a name."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Begin a task; needs a running loop."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def is_under_way(self, name: str) -> bool:
        """True while a task of this name runs."""
        return any(task.get_name() == name for task in self._tasks)

    async def stop(self) -> None:
        """Cancel them all, and return when they have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
