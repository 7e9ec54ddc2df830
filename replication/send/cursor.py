"""The cursor of a peer and lane, and the lease under which alone it moves.

Rule: times are the database's, and every write names the holder (fencing): a sender that was frozen while its lease
ended cannot move the cursor of its successor.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from replication.models import Lane, LaneState, Region
from replication.send.backoff import is_down
from replication.send.log import Connection, run

LEASE_SECONDS = 20
"""Longer than a request may take. So long after a sender was killed another one goes on."""


class LeaseLost(Exception):
    """another sender holds the lease"""


class Speed(Struct, frozen=True):
    """What a lane achieves now: events and bytes (of bodies) a second, and how far it is behind."""

    events_per_second: float = 0.0
    bytes_per_second: float = 0.0
    lag_events: int = 0
    lag_seconds: float = 0.0


class Cursor:
    """A lane whose lease this process holds. Every method raises psycopg.Error, and LeaseLost."""

    def __init__(self, connection: Connection, holder: str, row: tuple[Any, ...]) -> None:
        self._connection = connection
        self._holder = holder
        self._id: int = row[0]
        self.identity: str = row[1]
        self.epoch: int = row[2]
        self.position: int = row[3]
        self.is_down = row[4] == LaneState.DOWN
        self.attempts: int = row[5]
        self.wait_seconds: float = max(0.0, row[6])
        """How long after its taking the next try was due."""
        self.behind_seconds: float = row[7]

    @classmethod
    def take(cls, connection: Connection, peer: Region, lane: Lane, holder: str) -> "Cursor | None":
        """The cursor with its lease; None while another sender has it."""
        named = {"holder": holder, "peer": peer.pk, "lane": str(lane), "seconds": LEASE_SECONDS}
        row = run(connection, "take_lease", named)
        return None if row is None else cls(connection, holder, row)

    def is_of(self, identity: str, epoch: int) -> bool:
        """True if the position is one of this store's log."""
        return (self.identity, self.epoch) == (identity, epoch)

    def move(
        self, identity: str, epoch: int, position: int, speed: Speed, *, sent: int = 0, sent_bytes: int = 0
    ) -> None:
        """Everything up to `position` has its outcome; renews the lease."""
        self._fenced(
            "move_cursor",
            {
                "identity": identity,
                "epoch": epoch,
                "position": position,
                "lag_events": speed.lag_events,
                "lag_seconds": speed.lag_seconds,
                "events_per_second": speed.events_per_second,
                "bytes_per_second": speed.bytes_per_second,
                "sent": sent,
                "sent_bytes": sent_bytes,
            },
        )
        self.identity, self.epoch, self.position = identity, epoch, position
        self.attempts, self.is_down = 0, False

    def failed(self, attempts: int, error: str, wait_seconds: float, speed: Speed) -> None:
        """Note `attempts` tries in a row without an answer; the next one is due in `wait_seconds`. Renews the lease."""
        self.attempts, self.is_down = attempts, is_down(attempts)
        self._fenced(
            "note_failure",
            {
                "state": str(LaneState.DOWN if self.is_down else LaneState.UP),
                "attempts": self.attempts,
                "wait": wait_seconds,
                "error": error[:500],
                "lag_events": speed.lag_events,
                "lag_seconds": speed.lag_seconds,
            },
        )

    def renew(self) -> None:
        """Hold the lease for LEASE_SECONDS from now."""
        self._fenced("renew_lease", {})

    def release(self) -> None:
        """End the lease, if it is still ours."""
        run(self._connection, "release_lease", {"id": self._id, "holder": self._holder})

    def _fenced(self, name: str, parameters: Mapping[str, Any]) -> None:
        named = {"id": self._id, "holder": self._holder, "seconds": LEASE_SECONDS, **parameters}
        if run(self._connection, name, named) is None:
            raise LeaseLost
