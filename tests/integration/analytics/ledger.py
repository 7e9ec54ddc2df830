"""Runs the roll-up and the refreshes as the jobs do, at a time that stands still, and reads what they left."""

from typing import Any

import psycopg
from django.db import connection

from analytics import rollup
from analytics.refresh import refresh
from analytics.registry import view_named
from relay.storage.batch import WRITE, columns
from tests.events import NOW
from tests.integration.storage.scribe import Json, Tables, entry

ROLLED_UP = ("analytics_recent", "analytics_kind_hour", "analytics_author_day", "analytics_growth", "analytics_report")


class Ledger:
    """`now` is what the views take as now."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.at(NOW)

    def at(self, now: int) -> None:
        """Move the clock."""
        self.now = now
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('analytics.now', %s, false)", [str(now)])

    def clear(self) -> None:
        self.tables.clear()
        self.tables.connection.execute(f"TRUNCATE {', '.join(ROLLED_UP)}, analytics_job_run, analytics_minute".encode())
        self.tables.connection.execute(
            "UPDATE analytics_cursor SET epoch = 0, position = 0, events = 0, scan_created_at = NULL, scan_id = NULL"
        )
        self.follow()

    def publish(self, *events: Json) -> None:
        """Write events through the writing function, all in one transaction unless an address comes twice."""
        entries = [entry(event) for event in events]
        pages = [[one] for one in entries] if any(one.d is not None for one in entries) else [entries]
        for page in pages:
            psycopg.RawCursor(self.tables.connection).execute(WRITE, columns(page, ""))

    def remove(self, *events: Json) -> None:
        """Take events away as every removal does: rows and changes in one transaction."""
        with self.tables.connection.transaction():
            self.tables.connection.execute("SELECT relay_order_lock()")
            for event in events:
                self.tables.connection.execute(
                    "SELECT relay_log_append('{-}', array_agg(id), array_agg(created_at), 0) "
                    "FROM relay_remove_events(%s) HAVING count(*) > 0",
                    [[bytes.fromhex(event["id"])]],
                )

    def close(self) -> None:
        connection.close()  # with the clock that it was given

    def follow(self, page: int = rollup.PAGE) -> rollup.Progress:
        """Roll up until nothing is left."""
        return rollup.roll_up(60.0, page, rests=False)

    def view(self, name: str) -> list[dict[str, Any]]:
        """Refresh a view; its rows, ids and keys in hex."""
        refresh(view_named(name))
        return self.rows(f"SELECT * FROM {name}")

    def rows(self, query: str) -> list[dict[str, Any]]:
        with connection.cursor() as cursor:
            cursor.execute(query)
            names = [column.name for column in cursor.description]
            return [dict(zip(names, map(_plain, row), strict=True)) for row in cursor.fetchall()]

    def content(self) -> dict[str, set[tuple[Any, ...]]]:
        """Every row of the roll-up but the growth, which goes by the clock; counts of nothing are left out."""
        return {
            name: {tuple(row.values()) for row in self.rows(f"SELECT * FROM {name}") if row.get("events") != 0}
            for name in ROLLED_UP
            if name != "analytics_growth"
        }


def _plain(value: Any) -> Any:
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).hex()
    return tuple(value) if isinstance(value, list) else value
