"""What a statement read: the figures of its plan, from the JSON of PostgreSQL's EXPLAIN.

Rule: pure. Figures of a run are there only after EXPLAIN ANALYZE; a plan without them has zeros.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

PAGE_BYTES = 8_192
LARGE_TABLES = ("relay_event", "relay_tag")
"""No query may read one of them from end to end."""

Node = Mapping[str, Any]
"""A node of a plan in JSON."""


class Access(Struct, frozen=True):
    """One way into a table, over all nodes and runs of a plan that take it.

    `index`: empty for a scan of the table from end to end (`is_scan`), and for rows at places that an index gave.
    `times`: runs. `read`: entries or rows that were read, of which `dropped`
    did not fulfil a condition. `visited`: entries of an index-only scan whose row was visited, because no vacuum has
    marked its page yet.
    """

    table: str
    index: str
    is_scan: bool = False
    times: int = 0
    read: int = 0
    dropped: int = 0
    visited: int = 0

    def plus(self, other: "Access") -> "Access":
        """The sum with another access of the same way."""
        return Access(
            self.table,
            self.index,
            self.is_scan,
            self.times + other.times,
            self.read + other.read,
            self.dropped + other.dropped,
            self.visited + other.visited,
        )


class PlanFigures(Struct, frozen=True):
    """`accesses`: most entries first. `memory_bytes`: pages found in shared_buffers, each time they are touched;
    `disk_bytes`: pages asked of the system, from its cache or from disk; `spilled_bytes`: temporary files.
    """

    accesses: list[Access]
    plan_ms: float = 0.0
    run_ms: float = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0
    spilled_bytes: int = 0

    @property
    def read(self) -> int:
        """Entries and rows read, also those dropped."""
        return sum(access.read for access in self.accesses)

    @property
    def pages(self) -> int:
        """Pages touched."""
        return (self.memory_bytes + self.disk_bytes) // PAGE_BYTES

    @property
    def scans(self) -> list[str]:
        """Large tables that are scanned from end to end."""
        return sorted({one.table for one in self.accesses if one.is_scan and one.table in LARGE_TABLES})


def figures_of(explained: Mapping[str, Any]) -> PlanFigures:
    """The figures of the object that EXPLAIN (FORMAT JSON) returns in its list. A node that did not run is left out."""
    plan = explained["Plan"]
    found: dict[tuple[str, str, bool], Access] = {}
    for node in nodes(plan):
        if "Relation Name" in node and node.get("Actual Loops", 1):
            access = _access(node)
            key = access.table, access.index, access.is_scan
            found[key] = found[key].plus(access) if key in found else access
    return PlanFigures(
        sorted(found.values(), key=lambda access: (-access.read, access.table, access.index)),
        explained.get("Planning Time", 0.0),
        explained.get("Execution Time", 0.0),
        plan.get("Shared Hit Blocks", 0) * PAGE_BYTES,
        plan.get("Shared Read Blocks", 0) * PAGE_BYTES,
        plan.get("Temp Written Blocks", 0) * PAGE_BYTES,
    )


def nodes(plan: Node) -> Iterator[Node]:
    """A node and all below it, also those of sub-plans."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def tree(plan: Node, depth: int = 0) -> Iterator[str]:
    """A line for each node that ran, indented by its depth."""
    times = plan.get("Actual Loops", 1)
    if times == 0:
        return
    yield "  " * depth + _line(plan, times)
    for below in plan.get("Plans", ()):
        yield from tree(below, depth + 1)


def _line(node: Node, times: int) -> str:
    name = node["Node Type"]
    name += f" using {node['Index Name']}" if "Index Name" in node else ""
    name += f" on {node['Relation Name']} {node.get('Alias', '')}".rstrip() if "Relation Name" in node else ""
    name = f"{node['Subplan Name']}: {name}" if "Subplan Name" in node else name
    if "Actual Loops" not in node:
        return f"{name} (estimated rows {node['Plan Rows']:,})"
    parts = [f"rows {round(node['Actual Rows'] * times):,}"]
    parts += [f"dropped {dropped:,}"] if (dropped := _dropped(node)) else []
    parts += [f"runs {times:,}"] if times > 1 else []
    parts.append(f"pages {node.get('Shared Hit Blocks', 0):,} memory, {node.get('Shared Read Blocks', 0):,} disk")
    return f"{name} ({'; '.join(parts)})"


def _access(node: Node) -> Access:
    times, dropped = node.get("Actual Loops", 0), _dropped(node)
    return Access(
        node["Relation Name"],
        node.get("Index Name", ""),
        "Seq Scan" in node["Node Type"],
        times,
        round(node.get("Actual Rows", 0) * times) + dropped,
        dropped,
        node.get("Heap Fetches", 0),
    )


def _dropped(node: Node) -> int:
    """Over all runs; PostgreSQL gives the mean of a run."""
    mean = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int(mean * node.get("Actual Loops", 0) + 0.5)
