"""Retention of whole partitions (sql/partition_purge.sql), on Django's connection.

Rule: what is copied stays exactly what the log says: changes that come meanwhile are applied before the copy takes the
place of the partition. May be killed at any moment; what is left of such a run is found and done, or begun again.
"""

from typing import Any

from django.db import connection

from relay.storage.partitions.steps import in_a_short_lock

MOST_KEPT = 1_000_000
"""Events that a job copies, in about a minute; a partition that keeps more is left to the command, or to the removal
row by row."""

ANY_NUMBER = 2**40

FEW_TOUCHED = 1_000
CATCH_UPS = 20


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
    """False if it cannot be done now: a request to vanish is carried out."""
    if not _call("SELECT relay_partition_copy(%s)", suffix):
        return False
    for _ in range(CATCH_UPS):
        touched = _call("SELECT relay_partition_catch_up(%s)", suffix)
        if touched is None:
            return False
        if touched < FEW_TOUCHED:
            break
    return bool(in_a_short_lock("SELECT relay_partition_swap(%s)", [suffix]))


def _call(statement: str, *parameters: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchone()[0]
