"""Decides that a process hangs, from its heartbeats. Pure: the caller gives the time, in seconds of a monotonic clock.

Rule: only time in which the supervisor itself ran counts. If its looks are further apart than they should be, it was
paused (SIGSTOP, Ctrl-Z, a busy machine), beats may wait in the pipe, and the process gets a fresh period.
"""

from dataclasses import dataclass

PAUSE_SECONDS = 1.0
"""A look that comes this much later than its interval shows a pause of the supervisor."""


@dataclass(slots=True)
class Watchdog:
    """The heartbeats of one process. Call `is_overdue` every `interval_seconds`.

    `limit_seconds`: longest silence. `first_seconds`: longest time from the start to the first beat.
    """

    limit_seconds: float
    first_seconds: float
    started: float
    _deadline: float = 0.0
    _looked: float = 0.0

    def __post_init__(self) -> None:
        """The first deadline."""
        self._deadline = self.started + self.first_seconds
        self._looked = self.started

    @property
    def interval_seconds(self) -> float:
        """The time between two looks."""
        return min(1.0, self.limit_seconds / 4)

    def beat(self, now: float) -> None:
        """A heartbeat came."""
        self._deadline = now + self.limit_seconds

    def is_overdue(self, now: float) -> bool:
        """True when no beat came in time, time in which the supervisor was paused not counted."""
        if now - self._looked > self.interval_seconds + PAUSE_SECONDS:
            self._deadline = max(self._deadline, now + self.limit_seconds)
        self._looked = now
        return now > self._deadline
