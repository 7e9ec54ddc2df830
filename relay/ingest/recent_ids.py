"""The ids of the newest ephemeral events, each of which is delivered once (01-K04), unless its copy comes late.

At 500 events a second a memory lasts for the minute after which an ephemeral event is refused. Ephemeral gift wraps are
accepted for two days more, so they have a memory of their own, which other events do not fill; but a copy of one that
comes after MAX_IDS other wraps is delivered again.
"""

MAX_IDS = 32_768
"""Ids of one generation, 3.5 MB. Two are kept, so that an id is known for at least this many further events."""


class RecentIds:
    """A set that forgets: at least the last MAX_IDS ids are in it, at most twice as many."""

    def __init__(self) -> None:
        self._newer: set[bytes] = set()
        self._older: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def add(self, event_id: str) -> bool:
        """Add an id (hex digits); True if it was not in the set."""
        name = bytes.fromhex(event_id)
        if name in self._newer or name in self._older:
            return False
        if len(self._newer) >= MAX_IDS:
            self._older, self._newer = self._newer, set()
        self._newer.add(name)
        return True
