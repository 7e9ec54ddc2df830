"""When an event arrived, from the log of changes and the minute history.

The log has no times; the history has the newest position of each minute. An event is looked for among the changes of
the minutes around its `created_at`, which is when clients publish it. An event that is much older is not found.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection

from analytics.statements import statement
from relay.models import Event

AROUND: Final = timedelta(minutes=3)
MOST_CHANGES: Final = 200_000
"""Changes that are searched; a walk of 20 ms."""


def arrived(event: Event) -> str:
    """The minute in UTC in which the event was stored, as text; "" if the history or the log does not say."""
    try:
        created = datetime.fromtimestamp(event.created_at, UTC)
        around = {"begin": created - AROUND, "end": created + AROUND}
    except (ValueError, OverflowError, OSError):
        return ""
    with connection.cursor() as cursor:
        cursor.execute(statement("arrival"), {**around, "id": bytes.fromhex(event.id), "most": MOST_CHANGES})
        row = cursor.fetchone()
    return "" if row is None else f"{row[0]:%Y-%m-%d %H:%M}, to the minute"
