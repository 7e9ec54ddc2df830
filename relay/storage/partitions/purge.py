"""Retention of whole partitions (sql/partition_purge.sql), on Django's connection.

Rule: what is copied stays exactly what the log says: changes that come meanwhile are applied before the copy takes the
place of the partition. May be killed at any moment; what is left of such a run is found and done, or begun again.
"""

import time
from functools import partial
from typing import Any

from django.db import connection, transaction

from relay.protocol.retention import REMOVABLE
from relay.storage.partitions.steps import IN_USE, MOST_TRIES, RETRY_SECONDS, Busy, once_in_a_short_lock
from relay.storage.schema import multirange

MOST_KEPT = 1_000_000
"""Events that a job copies, in about a minute; a partition that keeps more is left to the command, or to the removal
row by row."""

ANY_NUMBER = 2**40

FEW_TOUCHED = 1_000
CATCH_UPS = 20

COPYING = 7310579613
"""The advisory lock of the run that copies a partition."""

_IS_HIDDEN = (
    "SELECT coalesce((SELECT range_agg(r.kinds) @> %s::int4multirange FROM relay_retention AS r "
    "WHERE NOT r.others AND r.before >= p.ends), false) FROM relay_partition_list('relay_event') AS p "
    "WHERE p.suffix = %s"
)
"""As in relay_partition_purgeable: whether retention hides all of a partition that it may remove. A rule that was
lifted since lets events of that time in again once all rows are removed, and these are not in the copy.
"""


def purge_partitions(most_kept: int = MOST_KEPT) -> int:
    """Drop what retention hides of partitions that end before it, oldest first; returns how many events are gone.

    Several runs at once do no harm: one finds that the other was faster. Raises Busy.
    """
    if not _call("SELECT relay_is_partitioned()"):
        return 0
    total = _call("SELECT relay_partition_discard()")
    while suffix := purgeable(most_kept):
        if not _replaced(suffix):
            break
        total += _call("SELECT relay_partition_discard()")
    return int(total)


def purgeable(most_kept: int = ANY_NUMBER) -> str | None:
    """The suffix of the oldest partition that can be dropped but for `most_kept` events at most; None without one."""
    return _call("SELECT relay_partition_purgeable(%s)", most_kept)  # type: ignore[no-any-return]


def _replaced(suffix: str) -> bool:
    """False if it cannot be done now: another run copies, a request to vanish is carried out, or retention hides the
    partition no longer. Raises Busy.
    """
    if not _copied(suffix):
        return False
    for _ in range(MOST_TRIES):
        if not _caught_up(suffix):
            return False
        if (is_done := once_in_a_short_lock(partial(_swapped, suffix))) is not None:
            return is_done
        time.sleep(RETRY_SECONDS)
    raise Busy(IN_USE)


def _copied(suffix: str) -> bool:
    """Another run that copied the same partition would wait until this one is done."""
    with transaction.atomic():
        return bool(_call("SELECT pg_try_advisory_xact_lock(%s)", COPYING)) and bool(
            _call("SELECT relay_partition_copy(%s)", suffix)
        )


def _caught_up(suffix: str) -> bool:
    """Before each try to lock the tables, so that little is left to be done in the lock."""
    for _ in range(CATCH_UPS):
        touched = _call("SELECT relay_partition_catch_up(%s)", suffix)
        if touched is None:
            return False
        if touched < FEW_TOUCHED:
            break
    return True


def _swapped(suffix: str, cursor: Any) -> bool | None:
    """Put the copy in place of the partition; False if it must be left. None: try again, changes came meanwhile.

    A query that waits for the lock may have its snapshot already. It sees in the copy what is committed by then, and
    not what this transaction applies: so it applies nothing to a copy that it puts in place.
    """
    cursor.execute("LOCK TABLE relay_event, relay_tag IN ACCESS EXCLUSIVE MODE")
    cursor.execute("SELECT relay_partition_catch_up(%s)", [suffix])
    touched = cursor.fetchone()[0]
    if touched is None:
        return False
    cursor.execute(_IS_HIDDEN, [multirange(REMOVABLE), suffix])
    if not cursor.fetchone()[0]:
        return False
    if touched:
        return None
    cursor.execute("SELECT relay_partition_swap(%s)", [suffix])
    return bool(cursor.fetchone()[0])


def _call(statement: str, *parameters: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchone()[0]
