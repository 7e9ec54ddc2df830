"""The lag of a cursor in seconds: the time since the first position after it was known. Pure."""

from collections import deque

SAMPLE_SECONDS = 1.0
MOST = 600


class Lag:
    """Notes when each position was seen first, every SAMPLE_SECONDS, at most MOST of them."""

    def __init__(self, now: float, behind_seconds: float = 0.0) -> None:
        """`behind_seconds`: what the sender before had noted."""
        self._seen: deque[tuple[float, int]] = deque()
        self._behind_since = now - behind_seconds if behind_seconds > 0 else None

    def seconds(self, now: float, position: int, newest: int) -> float:
        """The age of the oldest entry of the log after `position`, while `newest` is the newest; 0 if there is none."""
        if position >= newest:
            self._seen.clear()
            self._behind_since = None
            return 0.0
        if not self._seen or (now - self._seen[-1][0] >= SAMPLE_SECONDS and newest > self._seen[-1][1]):
            if len(self._seen) == MOST:
                del self._seen[1]
            self._seen.append((now, newest))
        while len(self._seen) > 1 and self._seen[0][1] <= position:
            self._seen.popleft()
            self._behind_since = None
        since = self._seen[0][0] if self._behind_since is None else min(self._behind_since, self._seen[0][0])
        return max(0.0, now - since)
