"""`manage.py indexes`: what tables and indexes of the store cost and serve. See docs/operations/database.md.

Exit codes: 0 done; 1 the database does not answer; 2 usage error.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from relay.management.command import CommandWithExamples
from relay.storage.table_figures import Index, StoreFigures, Table, store_figures

HELP = """Shows the size of each table and index, how often and when it was used, the question that it serves, dead
rows, the last vacuum, and an estimate of free space. Reads statistics alone, so it costs the same at any size."""
EXAMPLES = """examples:
  manage.py indexes
  manage.py indexes --all
  manage.py indexes --json | jq '.indexes[] | select(.scans == 0).name'"""

SHOWN_BYTES = 1_000_000
TABLE_HEAD = ("table", "rows", "dead", "vacuum at", "size", "indexes", "free", "last vacuum", "last analyze")
INDEX_HEAD = ("index", "size", "entries", "free", "scans", "last use", "")


class Command(CommandWithExamples):
    """Needs the database, beside running relays or without any."""

    help = HELP
    examples = EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        """Django: the options."""
        parser.add_argument("--all", action="store_true", help="also what is smaller than 1 MB and not of the relay")
        parser.add_argument("--json", action="store_true", help="as JSON: everything, sizes in bytes")

    def handle(self, *_: Any, **options: Any) -> None:
        """Django: show; CommandError when the database does not answer."""
        try:
            figures = store_figures()
        except DatabaseError as error:
            raise CommandError(f"the database does not answer ({error}). Check the server at DATABASE_URL.") from None
        if options["json"]:
            self.stdout.write(msgspec.json.format(msgspec.json.encode(figures)).decode())
        else:
            self.stdout.write("\n".join(as_text(figures, everything=options["all"])))


def as_text(figures: StoreFigures, *, everything: bool) -> Iterator[str]:
    """Two tables, and what they say together."""
    tables = [one for one in figures.tables if everything or one.total_bytes >= SHOWN_BYTES or _is_ours(one.name)]
    indexes = [one for one in figures.indexes if everything or one.bytes >= SHOWN_BYTES or _is_ours(one.table)]
    yield from _aligned([TABLE_HEAD, *map(_table, tables)], 1)
    yield ""
    yield from _aligned([INDEX_HEAD, *map(_index, indexes)], 1)
    yield ""
    yield (
        f"The database has {_size(figures.bytes)}; shared_buffers {_size(figures.shared_buffers)}. "
        f"Uses are counted since {_time(figures.since) if figures.since else 'the database was made'}, on this server."
    )
    yield "Free space is estimated. In an index whose keys arrive in random order a third is normal."
    yield from (f"Not valid: {one.name}. Drop it, and make it again." for one in figures.indexes if not one.is_valid)


def _is_ours(table: str) -> bool:
    return table.startswith("relay_")


def _table(table: Table) -> tuple[str, ...]:
    return (
        f"{table.name} ({table.partitions})" if table.partitions > 1 else table.name,
        f"{table.rows:,}", f"{table.dead:,}", f"{table.dead_before_vacuum:,}",
        _size(table.bytes + table.toast_bytes), _size(table.index_bytes), _percent(table.free_percent),
        _time(table.vacuumed_at), _time(table.analyzed_at),
    )  # fmt: skip


def _index(index: Index) -> tuple[str, ...]:
    return (
        f"{index.name} ({index.partitions})" if index.partitions > 1 else index.name,
        _size(index.bytes), f"{index.entries:,}", _percent(index.free_percent), f"{index.scans:,}",
        _time(index.used_at), f"{'UNUSED. ' if index.is_unused else ''}{index.question}",
    )  # fmt: skip


def _aligned(rows: Sequence[tuple[str, ...]], left: int) -> Iterator[str]:
    """Columns of equal width; the first `left` and the last one begin at the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    for row in rows:
        cells = [
            cell.ljust(width) if place < left or place == last else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _size(number: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if number < 1_000:
            return f"{number:.0f} {unit}" if unit in ("B", "KB") else f"{number:.1f} {unit}"
        number /= 1_000
    return f"{number:.1f} TB"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0f} %"


def _time(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
