"""What a statement reads: its plan, run by PostgreSQL as the relay's connections run it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg

from relay.storage.database import INDEX_WALKS_ONLY, conninfo
from relay.storage.filter_sql import Statement
from relay.storage.query_plan import figures_of


class Read(NamedTuple):
    """`rows`: entries read by all scans, also those dropped; `pages` of 8 KiB, each time they are touched."""

    rows: int
    pages: int


class Plans:
    """A connection that is set up like those for queries: plans are made without the values."""

    def __init__(self) -> None:
        chosen = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "jit": "off", **INDEX_WALKS_ONLY}
        options = " ".join(f"-c {name}={value}" for name, value in chosen.items())
        self._connection = psycopg.connect(
            conninfo(application_name="relay test", options=options),
            autocommit=True,
            cursor_factory=psycopg.ClientCursor,
        )

    def close(self) -> None:
        self._connection.close()

    def plan(self, statement: Statement) -> Any:
        """The plan with the figures of its run, as PostgreSQL's JSON."""
        self._connection.execute(b"PREPARE asked AS " + statement.text.encode())
        places = ", ".join(["%s"] * len(statement.parameters))
        run = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked{f'({places})' if places else ''}"
        ((found,),) = self._connection.execute(run.encode(), statement.parameters or None).fetchall()
        self._connection.execute("DEALLOCATE asked")
        return found[0]["Plan"]

    def read(self, statement: Statement) -> Read:
        """What a run of the statement reads."""
        figures = figures_of({"Plan": self.plan(statement)})
        return Read(figures.read, figures.pages)

    def rows_by_index(self, statement: Statement) -> dict[str, int]:
        """Entries that a run of the statement returns of each index."""
        found: dict[str, int] = {}
        for node in _nodes(self.plan(statement)):
            if "Index Name" in node and node["Actual Loops"]:
                rows = int(node["Actual Rows"] * node["Actual Loops"])
                found[node["Index Name"]] = found.get(node["Index Name"], 0) + rows
        return found


def _nodes(plan: Any) -> Iterator[Any]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)
