"""The position of the roll-up: one row, locked by the run that moves it.

Rule: it moves in the transaction that writes what it passes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from analytics.pages import LogRow


@dataclass(slots=True)
class Cursor:
    """The row of sql/rollup.sql, and with it `newest`: where the order stands, and what store that is of.

    `store` and `current_store`: identity and epoch, of what was rolled up and of now (relay.storage.store notes it).
    `events`: how many are stored at `position`. While the tables are read `scan_id` is that of the row that was read
    last, empty before the first, and `scan_created_at` its time (Unix seconds). `unlogged`: how many events had been
    removed without an entry of the log at `events`; `newest_unlogged`: how many were until now.
    """

    store: tuple[str, int]
    position: int
    events: int
    scan_created_at: int
    scan_id: bytes | None
    unlogged: int
    newest_unlogged: int
    newest: int
    current_store: tuple[str, int]

    @classmethod
    def held(cls) -> "Cursor | None":
        """The cursor, locked until the transaction ends; None while another one holds it."""
        with connection.cursor() as sql:
            sql.execute(
                "SELECT c.identity, c.epoch, c.position, c.events, coalesce(c.scan_created_at, 0), c.scan_id, "
                "c.unlogged, u.removed, relay_position(), s.identity, s.epoch "
                "FROM analytics_cursor AS c, relay_store AS s, relay_unlogged_removals AS u FOR UPDATE OF c SKIP LOCKED"
            )
            row = sql.fetchone()
        if row is None:
            return None
        identity, epoch, position, events, scan_created_at, scan_id, unlogged, newest_unlogged, newest, *current = row
        return cls(
            (identity, epoch),
            position,
            events,
            scan_created_at,
            scan_id,
            unlogged,
            newest_unlogged,
            newest,
            (current[0], current[1]),
        )

    @property
    def is_scanning(self) -> bool:
        """Whether a rebuild from the tables is under way, rather than reading the log."""
        return self.scan_id is not None

    def fits(self, rows: Sequence[LogRow]) -> bool:
        """Whether these rows of the log come next: same store and epoch, no hole, and no end before the cursor."""
        if self.store != self.current_store:
            return False
        return rows[0][0] == self.position + 1 if rows else self.newest == self.position

    def move(self, position: int, events: int) -> None:
        """Everything up to `position` is in; the log says that the store holds `events` more than before."""
        self.position = position
        self.events += events - (self.newest_unlogged - self.unlogged)
        self.unlogged = self.newest_unlogged
        self._set("position = %s, events = %s, unlogged = %s", [self.position, self.events, self.unlogged])

    def begin_scan(self, created_at: int) -> None:
        """Read the tables from `created_at` downwards. Position, store and the number of events are those of now."""
        self._set(
            "(identity, epoch, position, unlogged, events) = (SELECT s.identity, s.epoch, relay_position(), u.removed, "
            "(SELECT count(*) FROM relay_event) FROM relay_store AS s, relay_unlogged_removals AS u), "
            "scan_created_at = %s, scan_id = ''",
            [created_at],
        )

    def scan_to(self, created_at: int, event_id: bytes) -> None:
        """The row that was read last."""
        self._set("scan_created_at = %s, scan_id = %s", [created_at, event_id])

    def end_scan(self) -> None:
        """The tables are read; the log follows."""
        self._set("scan_created_at = NULL, scan_id = NULL", [])

    def _set(self, columns: str, values: list[Any]) -> None:
        with connection.cursor() as sql:
            sql.execute(f"UPDATE analytics_cursor SET {columns}", values)  # noqa: S608  constant text
