"""The events of the store in one snapshot, streamed.

A snapshot of the database lies at one position of the log, so what it holds is the store after that change exactly.
Here the planner chooses the way: an export reads whole tables, and is planned with its values.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from msgspec import Struct
from psycopg.types.string import ByteaBinaryLoader

from relay.models import tag_key
from relay.protocol.audience import ANONYMOUS
from relay.protocol.filters import Filter
from relay.protocol.kinds import VANISH
from relay.storage.database import conninfo
from relay.storage.filter_sql import POSITION, Statement
from relay.storage.visibility_sql import BACKED_UP, bytea_array, hex_array, readable, unexpired

PAGE_ROWS = 200
"""Events of one fetch: all that is held in memory."""

NO_LIMIT = 2**31
"""A filter whose limit is as great has none."""

_BEGIN = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL idle_in_transaction_session_timeout = 0",
    "SET LOCAL cursor_tuple_fraction = 1",
    "SET LOCAL jit = off",
    "LOCK TABLE relay_event, relay_tag IN ACCESS SHARE MODE",
)
"""The plan is for all rows, and a slow reader of the export keeps its snapshot. The lock comes before the snapshot,
which begins with the first query: if a partition was replaced between the two, the snapshot would not see its rows.
"""

_WHERE = f"SELECT {POSITION}, s.identity, s.epoch FROM relay_store AS s"
_COUNT = (
    "SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class WHERE relkind = 'r' AND oid IN ("
    "SELECT 'relay_event'::regclass "
    "UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = 'relay_event'::regclass)"
)
_NEWEST_FIRST = "ORDER BY e.created_at DESC, e.id"
_OLDEST_FIRST = "ORDER BY e.created_at, e.id DESC"


class _Conditions:
    """The conditions of filters, and the parameters in them."""

    def __init__(self) -> None:
        self.parameters: list[Any] = []

    def bind(self, value: Any, kind: str) -> str:
        self.parameters.append(value)
        return f"${len(self.parameters)}::{kind}"

    def of(self, flt: Filter, event_id: str, pubkey: str, created_at: str) -> list[str]:
        """Those on these three columns."""
        wanted = []
        if flt.ids is not None:
            wanted.append(f"{event_id} = ANY ({self.bind(hex_array(flt.ids), 'bytea[]')})")
        if flt.authors is not None:
            wanted.append(f"{pubkey} = ANY ({self.bind(hex_array(flt.authors), 'bytea[]')})")
        if flt.since is not None:
            wanted.append(f"{created_at} >= {self.bind(flt.since, 'bigint')}")
        if flt.until is not None:
            wanted.append(f"{created_at} <= {self.bind(flt.until, 'bigint')}")
        return wanted

    def of_event(self, flt: Filter, now: int, *, private: bool) -> str:
        """All of them on the row `e` of relay_event."""
        wanted = [BACKED_UP if private else readable(ANONYMOUS, self.bind), unexpired(now, self.bind)]
        wanted += self.of(flt, "e.id", "e.pubkey", "e.created_at")
        if flt.kinds is not None:
            wanted.append(f"e.kind = ANY ({self.bind('{' + ','.join(map(str, sorted(flt.kinds))) + '}', 'integer[]')})")
        for _, values in flt.tags:
            keys = self.bind(bytea_array([tag_key(value) for value in values]), "bytea[]")
            wanted.append(
                "EXISTS (SELECT FROM relay_tag AS t WHERE t.event_id = e.id AND t.created_at = e.created_at "
                f"AND t.key = ANY ({keys}))"
            )
        return f"({' AND '.join(wanted)})"


def events_statement(filters: Sequence[Filter], now: int, *, private: bool, newest_first: bool) -> Statement:
    """The statement for a cursor over the JSON texts of all events that match one of `filters`, in order of time.

    `limit` of a filter counts for its newest events. `private`: with the kinds that only some keys may read, for
    backups. `now` (Unix seconds) decides what has expired.
    """
    build = _Conditions()
    conditions = [build.of_event(flt, now, private=private) for flt in filters]
    if all(flt.limit >= NO_LIMIT for flt in filters):
        wanted = " OR ".join(conditions)
    else:  # a join: PostgreSQL might search the rows of a subquery under OR one by one
        selects = [
            f"(SELECT e.id FROM relay_event AS e WHERE {condition} {_NEWEST_FIRST} LIMIT {flt.limit})"
            for flt, condition in zip(filters, conditions, strict=True)
        ]
        wanted = f"e.id IN ({' UNION ALL '.join(selects)})"
    order = _NEWEST_FIRST if newest_first else _OLDEST_FIRST
    return Statement(f"SELECT e.json FROM relay_event AS e WHERE {wanted or 'false'} {order}", build.parameters)


def requests_statement(filters: Sequence[Filter]) -> Statement:
    """The statement for the requests to vanish, which are kept and not served (62-5): none for filters with a limit."""
    build = _Conditions()
    asking = [
        flt for flt in filters if (flt.kinds is None or VANISH in flt.kinds) and not flt.tags and flt.limit >= NO_LIMIT
    ]
    conditions = [" AND ".join(build.of(flt, "v.event_id", "v.pubkey", "v.until")) or "true" for flt in asking]
    wanted = " OR ".join([f"({condition})" for condition in conditions]) or "false"
    return Statement(f"SELECT v.json FROM relay_vanish AS v WHERE {wanted} ORDER BY v.until", build.parameters)


class Snapshot(Struct, frozen=True):
    """`pages` are the JSON texts of the events, PAGE_ROWS at a time, after change `position` of store
    `identity.epoch`. `estimate`: about so many events are in the whole store.
    """

    position: int
    store: str
    estimate: int
    pages: Iterator[list[bytes]]


@contextmanager
def snapshot(filters: Sequence[Filter], now: int, *, private: bool, newest_first: bool) -> Iterator[Snapshot]:
    """The events of the store that match one of `filters`; see `events_statement`. Raises psycopg.Error.

    With `private` the requests to vanish come first: gift wraps that were received after a request would go with it if
    it was imported after them.
    """
    filters = [flt for flt in filters if not flt.matches_nothing]
    statements = [events_statement(filters, now, private=private, newest_first=newest_first)]
    if private:
        statements.insert(0, requests_statement(filters))
    with psycopg.connect(conninfo(application_name="relay export"), prepare_threshold=None) as connection:
        for setting in _BEGIN:
            connection.execute(setting)
        row = connection.execute(_WHERE).fetchone()
        assert row is not None
        count = connection.execute(_COUNT).fetchone()
        connection.adapters.register_loader("text", ByteaBinaryLoader)

        def pages() -> Iterator[list[bytes]]:
            for statement in statements:
                with psycopg.RawServerCursor(connection, "export") as cursor:
                    cursor.execute(statement.text, statement.parameters, binary=True)
                    while rows := cursor.fetchmany(PAGE_ROWS):
                        yield [json for (json,) in rows]

        yield Snapshot(row[0], f"{row[1]}.{row[2]}", count[0] if count else 0, pages())
