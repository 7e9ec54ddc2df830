"""The queries of the admin: the newest rows of an index walk, a page at a time, with a time-out.

Rule: no query counts a table or reads all of it. Runs on Django's connections, to a replica where `relay.routers` says
so.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from django.db import OperationalError, connections, transaction
from django.db.models import Model, QuerySet
from psycopg.errors import QueryCanceled

from relay.models import Event, packed_value, tag_key
from relay.protocol.errors import Failed
from relay.routers import read_connection
from relay.storage.database import INDEX_WALKS_ONLY

Row = TypeVar("Row", bound=Model)
Events: TypeAlias = "QuerySet[Event, Event]"

TIMEOUT_SECONDS = 5.0
RESPONSES_LOOKED_AT = 1_000
ORDER_OF_TAGS = ["-relay_tag.created_at", "relay_tag.event_id"]


def with_tag(events: Events, letter_and_value: str, since: int | None = None, until: int | None = None) -> Events:
    """Those of `events` that have the tag ("tbitcoin" for `t` with `bitcoin`), in the order of the tag's index.

    A join in that order, because PostgreSQL then walks the index and stops at the limit; EXISTS, or a second condition
    on `created_at`, makes it read every row of a common tag. `since` and `until` (Unix seconds) bound the walk itself.
    """
    where = ["relay_tag.key = %s", "relay_tag.event_id = relay_event.id"]
    params: list[bytes | int] = [tag_key(letter_and_value)]
    for condition, bound in (("relay_tag.created_at >= %s", since), ("relay_tag.created_at <= %s", until)):
        if bound is not None:
            where.append(condition)
            params.append(bound)
    is_oldest_first = events.query.order_by[:1] == ("created_at",)
    order = ["relay_tag.created_at", "-relay_tag.event_id"] if is_oldest_first else ORDER_OF_TAGS
    return events.extra(tables=["relay_tag"], where=where, params=params, order_by=order)  # noqa: S610 - constant text


def newest_version(author: str, kind: int, identifier: str) -> str | None:
    """The id of the newest version of a replaceable or addressable event, None if there never was one.

    `author` is hex, `identifier` the value of the `d` tag, empty for replaceable events. One look-up by primary key.
    """
    with read_connection().cursor() as cursor:
        cursor.execute(
            "SELECT event_id FROM relay_head WHERE pubkey = %s AND kind = %s AND d = %s",
            [bytes.fromhex(author), kind, packed_value(identifier)],
        )
        row = cursor.fetchone()
    return None if row is None else bytes(row[0]).hex()


def newest_versions(authors: Iterable[str], kind: int) -> dict[str, str]:
    """The JSON of the newest event of a replaceable kind by author (hex); authors without one are missing."""
    with read_connection().cursor() as cursor:
        cursor.execute(
            "SELECT h.pubkey, e.json FROM relay_head AS h JOIN relay_event AS e ON e.id = h.event_id "
            "WHERE h.pubkey = ANY (%s) AND h.kind = %s AND h.d = %s",
            [[bytes.fromhex(author) for author in authors], kind, packed_value("")],
        )
        return {bytes(author).hex(): text for author, text in cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class Responses:
    """References to an event by kind, among the newest `looked_at`. `is_all`: there are no more."""

    by_kind: dict[int, int]
    looked_at: int
    is_all: bool


def responses(event_id: str, address: str = "", most: int = RESPONSES_LOOKED_AT) -> Responses:
    """The events that respond to an event: those with an `e` tag of its id, or an `a` tag of its address.

    Tag rows outlive their events for a while (sql/removal.sql), so only stored events are counted, at most `most` for
    each tag. Raises Failed if the database takes too long.
    """
    keys = [f"e{event_id}", *([f"a{address}"] if address else [])]
    found: dict[str, int] = {}
    is_all = True
    for key in keys:
        rows = rows_in_time(with_tag(Event.objects.only("id", "kind"), key)[:most])
        is_all = is_all and len(rows) < most
        found |= {row.id: row.kind for row in rows}
    by_kind = Counter(found.values())
    return Responses(dict(by_kind.most_common()), len(found), is_all)


_WALK = "SELECT set_config('statement_timeout', %s, true)" + "".join(
    [f", set_config('{name}', '{value}', true)" for name, value in INDEX_WALKS_ONLY.items()]
)
"""Without it a table that was just vacuumed is read whole for a hash join, as long as it is small."""


def rows_in_time(rows: "QuerySet[Row, Row]", seconds: float = TIMEOUT_SECONDS) -> list[Row]:
    """The rows, read now. Raises Failed "query timed out" after `seconds`."""
    alias = rows.db  # of one replica: another look would name the next one
    rows = rows.using(alias)
    try:
        with transaction.atomic(using=alias):
            with connections[alias].cursor() as cursor:
                cursor.execute(_WALK, [str(round(seconds * 1000))])
            return list(rows)
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise Failed("query timed out") from error
        raise
