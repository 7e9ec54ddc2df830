"""Reading of a client's socket, paused by several parts of its session."""

from typing import Protocol


class Readable(Protocol):
    """What can be paused (`relay.subscriptions.outbox.Wire`)."""

    def pause_reading(self) -> None:
        """Stop taking messages from the client."""

    def resume_reading(self) -> None:
        """Take messages again."""


class Reading:
    """Reading of one socket, which several parts may pause: it goes on when each has called `resume_reading`."""

    __slots__ = ("_pauses", "_wire")

    def __init__(self, wire: Readable) -> None:
        self._pauses = 0
        self._wire = wire

    def pause_reading(self) -> None:
        """One part more wants it paused."""
        self._pauses += 1
        if self._pauses == 1:
            self._wire.pause_reading()

    def resume_reading(self) -> None:
        """One part less."""
        self._pauses -= 1
        if not self._pauses:
            self._wire.resume_reading()
