"""How many connections to close now, so that their clients do not all come back in one moment. Pure."""

from math import ceil

LEAST_PER_SECOND = 20.0
"""A worker with few connections does not take the whole time: with 50 it is done after 2.5 s at most."""


class Pace:
    """Closes whatever is open in equal parts until `begin + seconds`; times in seconds of a monotonic clock."""

    def __init__(self, begin: float, seconds: float) -> None:
        self._end = begin + seconds
        self._last = begin
        self._due = 0.0

    def due(self, now: float, is_open: int) -> int:
        """How many of the `is_open` connections to close now: all of them once the time is over."""
        left = self._end - self._last
        passed, self._last = now - self._last, now
        if left <= passed:
            return is_open
        self._due += max(passed * LEAST_PER_SECOND, is_open * passed / left)
        count = min(is_open, ceil(self._due))
        self._due -= count
        return count
