"""Stores of a size and a number of partitions: kept in folders, filled by tests.benchmarks.bulk, and what they take."""

import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from relayproject.runtime.processes import spawn
from tests.benchmarks import bulk

PROJECT = Path(__file__).resolve().parents[3]
STOP_SECONDS = 30.0

_BYTES = (
    "SELECT coalesce(pg_partition_root(c.oid), c.oid)::regclass::text, c.relkind IN ('i', 'I'), "
    "sum(CASE WHEN c.relkind = 'i' THEN pg_relation_size(c.oid) ELSE pg_table_size(c.oid) END)::bigint "
    "FROM pg_class AS c WHERE c.relname ~ '^relay_(event|tag|head|change)' AND c.relkind IN ('r', 'i') "
    "GROUP BY 1, 2 HAVING sum(pg_relation_size(c.oid)) > 65536 ORDER BY 2, 3 DESC"
)
_FORGET = (
    "DELETE FROM relay_tag AS t USING relay_change AS c JOIN relay_event AS e ON e.id = c.event_id "
    "AND e.created_at = c.created_at CROSS JOIN unnest(e.tag_keys) AS k (key) "
    "WHERE c.seq > {0} AND t.key = k.key AND t.created_at = e.created_at AND t.event_id = e.id",
    "DELETE FROM relay_event AS e USING relay_change AS c WHERE c.seq > {0} AND e.id = c.event_id "
    "AND e.created_at = c.created_at",
    "DELETE FROM relay_change WHERE seq > {0}",
    "VACUUM (INDEX_CLEANUP ON, ANALYZE) relay_event, relay_tag, relay_change",
    "CHECKPOINT",
)


class NotFilled(Exception):
    """A store could not be filled; the program that does it has said why."""


@dataclass(frozen=True, slots=True)
class Size:
    """So many events in so many partitions; 1: one table."""

    events: int
    parts: int = 1

    @property
    def name(self) -> str:
        """Such as 200k, or 2m-12."""
        count = str(self.events)
        for zeros, letter in ((6, "m"), (3, "k")):
            if count.endswith("0" * zeros):
                count = count[:-zeros] + letter
                break
        return count if self.parts == 1 else f"{count}-{self.parts}"


def folder_of(base: Path, size: Size) -> Path:
    """Where the store of a size stands: `base` itself if it has that name, otherwise in it."""
    return base if base.name == size.name else base / size.name


def fill(folder: Path, size: Size) -> None:
    """Fill the store unless that was done before; a process of its own says how far it is. Raises NotFilled.

    Whatever ends this ends that process in order: the next one begins anew.
    """
    if bulk.is_filled(folder):
        return
    words = ["-m", "tests.benchmarks.bulk", str(folder), "--events", str(size.events), "--parts", str(size.parts)]
    child = spawn([sys.executable, *words], folder=PROJECT, death_signal=signal.SIGTERM)
    try:
        code = child.wait()
    except BaseException:
        child.terminate()
        child.wait(STOP_SECONDS)
        raise
    if code != 0:
        raise NotFilled


def bytes_of(database: "psycopg.Connection[Any]") -> dict[str, dict[str, int]]:
    """Bytes of the tables (with what is stored out of line) and of the indexes by name, those of partitions added."""
    found: dict[str, dict[str, int]] = {"tables": {}, "indexes": {}}
    for name, is_index, size in database.execute(_BYTES).fetchall():
        found["indexes" if is_index else "tables"][str(name)] = int(size)
    return found


def forget(database: "psycopg.Connection[Any]", events: int) -> None:
    """Remove what was published into a store that was filled with so many events, so that it can be used again.

    Its relay has to be stopped afterwards: the log gets shorter.
    """
    for statement in _FORGET:
        database.execute(statement.format(events).encode())
