"""How old the oldest change is that is known and not applied: the lag of a copy in seconds.

Rule: pure; times are passed in.
"""

from collections import deque

MOST_SAMPLES = 1_000
"""Above this number every second sample is dropped: a lag of hours need not be exact to the second."""


class Lag:
    """The age of the oldest change that is known and not applied, to within the time between two samples."""

    def __init__(self) -> None:
        self._known: deque[tuple[float, int]] = deque()

    def add(self, now: float, newest: int, position: int) -> float:
        """At `now`, `newest` is known and `position` applied; returns the lag in seconds."""
        known = self._known
        if not known or newest > known[-1][1]:
            known.append((now, newest))
        while known and known[0][1] <= position:
            known.popleft()
        if len(known) > MOST_SAMPLES:
            self._known = known = deque(list(known)[::2])
        return now - known[0][0] if known else 0.0
