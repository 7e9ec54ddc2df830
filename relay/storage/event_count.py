"""How many events are stored, exactly.

Counting a large table takes seconds. An app that follows the log keeps a count, and registers the SQL expression that
reads it (analytics.apps). Rule: a number that is not exact is not shown.
"""

from relay.storage.channel import integer
from relay.storage.filter_sql import POSITION
from relay.storage.reads import Reads

_counters: list[str] = ["NULL::bigint"]


def count_with(expression: str) -> None:
    """Read the count with this SQL expression, a bigint; NULL means unknown."""
    _counters[:] = [expression]


async def event_count(reads: Reads) -> int | None:
    """The number of stored events, None if it is not known. Raises Failed."""
    _, ((_, events),) = await reads.fetch(f"SELECT {POSITION}, {_counters[0]}")
    return None if events is None else integer(events)
