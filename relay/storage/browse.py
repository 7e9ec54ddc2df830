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


def with_tag(events: Events, letter_and_value: str) -> Events:
    """Those of `events` that have the tag ("tbitcoin" for `t` with `bitcoin`).

    A join instead of EXISTS, and on `created_at` as well as the id: so PostgreSQL knows that the tag's index already
    gives the newest events first, walks it, and stops at the limit.
    """
    return events.extra(
        tables=["relay_tag"],
        where=[
            "relay_tag.key = %s",
            "relay_tag.event_id = relay_event.id",
            "relay_tag.created_at = relay_event.created_at",
        ],
        params=[tag_key(letter_and_value)],
    )


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
