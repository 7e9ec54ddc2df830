"""A page of the roll-up on its way into the tables, and the cursor that moves with it.

Rule: called inside the transaction that holds the cursor.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from analytics import deeds
from analytics.popularity import AHEAD_SECONDS, REPORT, REPORT_SECONDS, window_begin
from analytics.statements import statement


@dataclass(slots=True)
class Cursor:
    """How far the roll-up has come (sql/rollup.sql). `newest`: where the order stands, `current_epoch`: its epoch."""

    epoch: int
    position: int
    events: int
    scan_created_at: int
    scan_id: bytes | None
    newest: int
    current_epoch: int

    @classmethod
    def held(cls) -> "Cursor | None":
        """The cursor, locked until the transaction ends; None while another one holds it."""
        with connection.cursor() as sql:
            sql.execute(
                "SELECT epoch, position, events, coalesce(scan_created_at, 0), scan_id, relay_position(), "
                "relay_current_epoch() FROM analytics_cursor FOR UPDATE SKIP LOCKED"
            )
            row = sql.fetchone()
        return row and cls(*row)

    @property
    def is_scanning(self) -> bool:
        return self.scan_id is not None

    def fits(self, rows: Sequence[tuple[Any, ...]]) -> bool:
        """Whether these rows of the log are what comes next: same epoch, no hole, and no end before the cursor."""
        if self.epoch != self.current_epoch:
            return False
        return rows[0][0] == self.position + 1 if rows else self.newest == self.position

    def move(self, position: int, events: int) -> None:
        """Everything up to `position` is in; the store holds `events` more than before."""
        self.position = position
        self.events += events
        self._set("position = %s, events = %s", [self.position, self.events])

    def begin_scan(self, created_at: int) -> None:
        """Read the tables from `created_at` downwards. Position, epoch and the number of events are those of now."""
        self._set(
            "(position, events, epoch) = (SELECT relay_position(), count(*), relay_current_epoch() FROM relay_event), "
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


@dataclass(slots=True)
class Row:
    """A stored event as the roll-up reads it. `json` is None for kinds that it does not look into, and long ones."""

    event_id: bytes
    pubkey: bytes
    created_at: int
    expires_at: int | None
    kind: int
    bytes: int
    json: str | None


@dataclass(slots=True)
class Page:
    """What one transaction takes in: events that are there, ids of those that went, and what that means in numbers."""

    rows: list[Row] = field(default_factory=list)
    removed: list[bytes] = field(default_factory=list)
    added: int = 0
    bytes_added: int = 0


def write(page: Page, now: int) -> None:
    """Take out what went, then take in what is there: of an event that came back, the row is the later truth."""
    with connection.cursor() as sql:
        if page.removed:
            sql.execute(statement("remove_recent"), {"ids": page.removed})
        if not page.rows:
            return
        texts = [None if row.json is None else deeds.read(row.json) for row in page.rows]
        sql.execute(statement("add_recent"), _columns(page.rows, texts, now))
        found = _reports(page.rows, texts, now)
        if found["ids"]:
            sql.execute(statement("add_reports"), found)


def _columns(rows: Sequence[Row], texts: Sequence[deeds.Text | None], now: int) -> dict[str, Any]:
    done = [text and deeds.deed(row.kind, row.pubkey.hex(), text) for row, text in zip(rows, texts, strict=True)]
    tags = [text and deeds.hashtags(row.kind, text.tags) for row, text in zip(rows, texts, strict=True)]
    return {
        "ids": [row.event_id for row in rows],
        "pubkeys": [row.pubkey for row in rows],
        "created_ats": [row.created_at for row in rows],
        "expires_ats": [row.expires_at for row in rows],
        "kinds": [row.kind for row in rows],
        "deeds": [deed and deed.what for deed in done],
        "targets": [deed and bytes.fromhex(deed.target) for deed in done],
        "actors": [deed and bytes.fromhex(deed.actor) for deed in done],
        "hashtags": [" ".join(words) if words else None for words in tags],
        "begin": window_begin(now),
        "end": now + AHEAD_SECONDS,
    }


def _reports(rows: Sequence[Row], texts: Sequence[deeds.Text | None], now: int) -> dict[str, Any]:
    found = [
        (row, report)
        for row, text in zip(rows, texts, strict=True)
        if row.kind == REPORT and text is not None
        for report in deeds.reports(text.tags)
    ]
    return {
        "ids": [row.event_id for row, _ in found],
        "target_types": [report.target_type for _, report in found],
        "targets": [bytes.fromhex(report.target) for _, report in found],
        "reporters": [row.pubkey for row, _ in found],
        "reasons": [report.reason for _, report in found],
        "created_ats": [row.created_at for row, _ in found],
        "expires_ats": [row.expires_at for row, _ in found],
        "begin": now - REPORT_SECONDS,
        "end": now + AHEAD_SECONDS,
    }
