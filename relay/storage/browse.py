"""How the admin reads: the newest rows of an index walk, a page at a time, within a time.

Rule: nothing here counts a table or reads it whole. Runs on Django's connection, which serves people, not clients.
"""

from typing import TypeAlias, TypeVar

from django.db import OperationalError, connection, transaction
from django.db.models import Model, QuerySet
from psycopg.errors import QueryCanceled

from relay.models import Event, tag_key
from relay.protocol.errors import Failed

Row = TypeVar("Row", bound=Model)
Events: TypeAlias = "QuerySet[Event, Event]"

PATIENCE_SECONDS = 5.0
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


def rows_in_time(rows: "QuerySet[Row, Row]", seconds: float = PATIENCE_SECONDS) -> list[Row]:
    """The rows, read now. Raises Failed "query timed out" after `seconds`: no search may hold the database for long."""
    try:
        with transaction.atomic(using=rows.db):
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(round(seconds * 1000))])
            return list(rows)
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise Failed("query timed out") from error
        raise
