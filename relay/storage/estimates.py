"""Sizes that the database knows without counting."""

from relay.storage.channel import integer
from relay.storage.filter_sql import POSITION
from relay.storage.reads import Reads


async def events_known(reads: Reads) -> int:
    """About how many events are stored. Raises Failed.

    The planner's estimate is -1 before the first ANALYZE; the statistics' count is 0 after a crash: the greater is
    used.
    """
    _, ((_, events),) = await reads.fetch(
        f"SELECT {POSITION}, greatest(c.reltuples::bigint, pg_stat_get_live_tuples(c.oid), 0) "
        "FROM pg_class AS c WHERE c.oid = 'relay_event'::regclass"
    )
    return integer(events)
