"""Writes a page of events into the roll-up's tables.

Rule: called inside the transaction that holds and moves the cursor (cursor.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from analytics import engagement
from analytics.popularity import AHEAD_SECONDS, REPORT, REPORT_SECONDS, window_begin
from analytics.statements import statement
from relay.changes.change import Purged

REMOVED_AT_ONCE = 10_000
"""Events that a request to vanish or retention removes, in one statement and in memory."""

LogRow = tuple[Any, ...]
"""A row of sql/read_log.sql: position, op, id, its time, and the other columns of `Row`, None if no longer stored. For
op 'v' the id is the key that vanished, the time up to when; for op 'p' the kinds that retention removes (`Purged.of`),
the time before which."""


@dataclass(slots=True)
class Row:
    """A stored event. `bytes`: length of its JSON; `json`: None for kinds outside READ_KINDS and for long events."""

    event_id: bytes
    pubkey: bytes
    created_at: int
    expires_at: int | None
    kind: int
    bytes: int
    json: str | None


@dataclass(slots=True)
class Page:
    """The input of one transaction: stored events and removed ids.

    `vanished`: keys, and up to which time (Unix seconds) their events go.
    `purged`: what retention hides.
    `added`: number of additions in the log, including events that were removed again and are not among the rows.
    """

    rows: list[Row] = field(default_factory=list)
    removed: list[bytes] = field(default_factory=list)
    vanished: list[tuple[bytes, int]] = field(default_factory=list)
    purged: list[Purged] = field(default_factory=list)
    added: int = 0

    @property
    def bytes_added(self) -> int:
        """Bytes of JSON of the rows."""
        return sum(row.bytes for row in self.rows)


def write(page: Page, now: int) -> None:
    """Remove, then add: an event that was removed and added again is stored. `now`: Unix seconds."""
    if page.vanished:
        keys, untils = zip(*page.vanished, strict=True)
        _remove_found("vanished", {"keys": list(keys), "untils": list(untils)})
    if page.purged:
        spans = [(*span, purge.before) for purge in page.purged for span in purge.kinds]
        lows, highs, befores = zip(*spans, strict=True)
        _remove_found("purged", {"lows": list(lows), "highs": list(highs), "befores": list(befores)})
    with connection.cursor() as sql:
        if page.removed:
            sql.execute(statement("remove_recent"), {"ids": page.removed})
        if not page.rows:
            return
        texts = [None if row.json is None else engagement.read(row.json) for row in page.rows]
        sql.execute(statement("add_recent"), _columns(page.rows, texts, now))
        found = _reports(page.rows, texts, now)
        if found["ids"]:
            sql.execute(statement("add_reports"), found)


def _remove_found(name: str, parameters: dict[str, Any]) -> None:
    """Remove the events whose ids the statement `name` returns: a key that vanishes may have millions."""
    with connection.chunked_cursor() as found, connection.cursor() as sql:
        found.execute(statement(name), parameters)
        while rows := found.fetchmany(REMOVED_AT_ONCE):
            sql.execute(statement("remove_recent"), {"ids": [bytes(event_id) for (event_id,) in rows]})


def _columns(rows: Sequence[Row], texts: Sequence[engagement.Text | None], now: int) -> dict[str, Any]:
    pairs = list(zip(rows, texts, strict=True))
    engagements = [text and engagement.engagement_of(row.kind, row.pubkey.hex(), text) for row, text in pairs]
    tags = [text and engagement.hashtags(row.kind, text.tags) for row, text in pairs]
    return {
        "ids": [row.event_id for row in rows],
        "pubkeys": [row.pubkey for row in rows],
        "created_ats": [row.created_at for row in rows],
        "expires_ats": [row.expires_at for row in rows],
        "kinds": [row.kind for row in rows],
        "deeds": [one and one.what for one in engagements],
        "targets": [one and bytes.fromhex(one.target) for one in engagements],
        "actors": [one and bytes.fromhex(one.actor) for one in engagements],
        "hashtags": [" ".join(words) if words else None for words in tags],
        "begin": window_begin(now),
        "end": now + AHEAD_SECONDS,
    }


def _reports(rows: Sequence[Row], texts: Sequence[engagement.Text | None], now: int) -> dict[str, Any]:
    found = [
        (row, report)
        for row, text in zip(rows, texts, strict=True)
        if row.kind == REPORT and text is not None
        for report in engagement.reports(text.tags)
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
