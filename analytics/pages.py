"""A page of the roll-up on its way into the tables.

Rule: called inside the transaction that holds the cursor (cursor.py), which moves in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from analytics import deeds
from analytics.popularity import AHEAD_SECONDS, REPORT, REPORT_SECONDS, window_begin
from analytics.statements import statement

LogRow = tuple[Any, ...]
"""A row of sql/read_log.sql: number, whether it was added, id, and the columns of `Row` after it, all None when the
event is gone."""


@dataclass(slots=True)
class Row:
    """A stored event as the roll-up reads it. `bytes`: of its text; `json` is None for kinds that the roll-up does not
    look into, and for long ones.
    """

    event_id: bytes
    pubkey: bytes
    created_at: int
    expires_at: int | None
    kind: int
    bytes: int
    json: str | None


@dataclass(slots=True)
class Page:
    """What one transaction takes in: events that are there, and ids of those that went.

    `added`: how many the log says were added, those included that are gone again and so are not among the rows.
    """

    rows: list[Row] = field(default_factory=list)
    removed: list[bytes] = field(default_factory=list)
    added: int = 0

    @property
    def bytes_added(self) -> int:
        """Bytes of the texts of the rows."""
        return sum(row.bytes for row in self.rows)


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
