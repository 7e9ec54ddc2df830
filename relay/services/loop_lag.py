"""How long the steps of the event loop are: how late a timer fires.

Rule: it costs a timer every INTERVAL_SECONDS; a step that is longer than the interval is seen with its whole length.
"""

import asyncio

from relay.background import BackgroundTasks, Task, cancel
from relay.metrics import loop_lag

INTERVAL_SECONDS = 0.05


class LoopLag:
    """Measures the running loop into `relay.metrics.loop_lag`."""

    def __init__(self, tasks: BackgroundTasks) -> None:
        self._tasks = tasks
        self._task: Task | None = None
        self._highest = 0.0
        self._before = 0.0

    @property
    def highest(self) -> float:
        """The highest lag of the last one or two seconds, in seconds."""
        return max(self._highest, self._before)

    def start(self) -> None:
        """Begin; needs a running loop."""
        self._task = self._tasks.service(self._measure(), "loop lag")

    async def stop(self) -> None:
        """End."""
        await cancel([self._task])

    async def _measure(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            self._before, self._highest = self._highest, 0.0
            for _ in range(round(1 / INTERVAL_SECONDS)):
                due = now() + INTERVAL_SECONDS
                await asyncio.sleep(INTERVAL_SECONDS)
                lag = max(0.0, now() - due)
                loop_lag.observe(lag)
                self._highest = max(self._highest, lag)
