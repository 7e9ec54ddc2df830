"""Reads the log for one peer and lane."""

from collections.abc import Mapping
from typing import Any

import psycopg
from msgspec import Struct

from replication.models import Lane
from replication.selection import Selected
from replication.statements import statement

PAGE_ENTRIES = 2_000
"""Entries of the log that one read looks at: 10 ms, most of them of other lanes."""

Connection = psycopg.Connection[tuple[Any, ...]]


class Sendable(Struct, frozen=True):
    """An event that goes to the peer; `seq` is its number in the log."""

    seq: int
    id: str
    created_at: int
    kind: int
    json: bytes


class Page(Struct, frozen=True):
    """`first` is the number that the log begins with after the position that was asked for, 0 if nothing follows;
    everything of the lane up to `reaches` is in `events`. `newest` is the position of the store (`identity`, `epoch`).
    """

    first: int
    reaches: int
    newest: int
    identity: str
    epoch: int
    events: list[Sendable]
    is_cut: bool

    @property
    def has_more(self) -> bool:
        """Whether another page follows at once."""
        return self.reaches < self.newest


def read_page(connection: Connection, lane: Lane, selected: Selected, position: int, *, events: int, size: int) -> Page:
    """At most `events`, of about `size` bytes of JSON text. Raises psycopg.Error."""
    asked = {"position": position, "entries": PAGE_ENTRIES, "lane": str(lane), "events": events, "bytes": size}
    return page_of(
        connection.execute(statement("read_log"), {**asked, **selected.parameters()}).fetchall(), events, size
    )


def page_of(rows: list[tuple[Any, ...]], events: int, size: int) -> Page:
    """The page in the rows of sql/read_log.sql."""
    first, last, newest, identity, epoch, *_ = rows[0]
    found = [Sendable(row[5], row[6], row[7], row[8], row[9].encode()) for row in rows if row[5] is not None]
    kept = found[:events]
    is_cut = len(found) > events or sum(len(event.json) for event in kept) >= size
    reaches = kept[-1].seq if is_cut else last
    return Page(first, reaches, newest, identity, epoch, kept, is_cut)


def run(connection: Connection, name: str, parameters: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """The first row of a statement of this package, None without one. Raises psycopg.Error."""
    cursor = connection.execute(statement(name), parameters)
    return cursor.fetchone() if cursor.description else None
