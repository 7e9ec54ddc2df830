"""Background tasks of a process: every failure is logged, and no task outlives its owner.

Rule: a task that ends unexpectedly is logged with its traceback and reported to `on_failure`; a process passes a
callback that stops it in order, so that its supervisor starts it again.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from time import monotonic
from typing import Any

log = logging.getLogger("relay.background")

CANCEL_AGAIN_SECONDS = 0.05

TURN_SECONDS = 0.005

Task = asyncio.Task[None]


class BackgroundTasks:
    """The tasks of one process. `on_failure` is called with the name of each task that failed.

    One group is shared by all components; each cancels the tasks that it started.
    """

    def __init__(self, on_failure: Callable[[str], None] = lambda name: None) -> None:
        self.failures = 0
        self._on_failure = on_failure
        self._running: set[Task] = set()
        self._services: set[Task] = set()
        self._essential: set[Task] = set()

    def service(self, work: Coroutine[Any, Any, None], name: str) -> Task:
        """Start a task that runs until it is cancelled: returning is a failure, as an exception is."""
        task = self.job(work, name)
        self._services.add(task)
        return task

    def job(self, work: Coroutine[Any, Any, None], name: str) -> Task:
        """Start a task that ends by itself: an exception is a failure."""
        task = self.for_client(work, name)
        self._essential.add(task)
        return task

    def for_client(self, work: Coroutine[Any, Any, None], name: str) -> Task:
        """As `job`, for one client: an exception is logged and counted, and not reported, or a client could end the
        process.
        """
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def is_running(self, name: str) -> bool:
        """True while a task of this name has not ended."""
        return any(task.get_name() == name for task in self._running)

    def _ended(self, task: Task) -> None:
        self._running.discard(task)
        is_service, is_essential = task in self._services, task in self._essential
        self._services.discard(task)
        self._essential.discard(task)
        if task.cancelled() or ((error := task.exception()) is None and not is_service):
            return
        self.failures += 1
        log.critical("background task %r %s", task.get_name(), "failed" if error else "returned", exc_info=error)
        if is_essential:
            self._on_failure(task.get_name())

    async def stop(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        await cancel(self._running)


async def cancel(tasks: Iterable[Task | None]) -> None:
    """Cancel tasks and wait until they have ended; None stands for a task that was never started.

    Repeated until all have ended: before Python 3.12 `asyncio.wait_for` swallows a cancellation that arrives when the
    awaited future is just done.
    """
    running = {task for task in tasks if task is not None and not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=CANCEL_AGAIN_SECONDS)


class Turn:
    """A turn of the event loop for work in many small steps: call `end` after each of them."""

    def __init__(self) -> None:
        self._ends = monotonic() + TURN_SECONDS

    async def end(self) -> None:
        """Let others run if this turn has taken TURN_SECONDS."""
        if monotonic() >= self._ends:
            await asyncio.sleep(0)
            self._ends = monotonic() + TURN_SECONDS
