"""What tables and indexes of the store cost and serve, from PostgreSQL's statistics: size, use, dead rows, vacuums.

Rule: reads statistics and sizes of files alone, so that it costs the same at a billion rows. How full pages are is an
estimate from the mean width of each column (pg_stats): exact figures take the extension pgstattuple, which reads every
page.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from django.db import connection, transaction

from relay.storage.statements import Statements

TIMEOUT_SECONDS = 5.0
PAGE_BYTES = 8_192
PAGE_HEAD = 24
INDEX_PAGE_TAIL = 16
LINE_POINTER = 4
ROW_HEAD = 24
ENTRY_HEAD = 8
SHORT_VALUE = 127
"""A value of variable length that is shorter is not aligned."""

LEAST_ESTIMATED_BYTES = 1_048_576
"""Of what is smaller no estimate is shown: it is rounded up to pages."""

_ALIGNMENT = {"c": 1, "s": 2, "i": 4, "d": 8}
_statement = Statements(Path(__file__).parent / "sql")
Value = TypeVar("Value", bound="Table | Index")


@dataclass(frozen=True, slots=True)
class Table:
    """A table, or all partitions of one. Sizes are bytes, `rows` and `dead` estimates of PostgreSQL.

    `bytes`: the rows, `toast_bytes`: values that do not fit into a page, with their index. `needed_bytes`: what the
    rows would take on full pages, None if unknown. `vacuumed_at`, `analyzed_at`: of the partition that was done last;
    None: never, or before the statistics began. `dead_before_vacuum`: autovacuum begins at so many. `freeze_age`:
    transactions since the oldest row that is not frozen; at two billion PostgreSQL stops.
    """

    name: str
    partitions: int
    rows: int
    dead: int
    bytes: int
    toast_bytes: int
    index_bytes: int
    needed_bytes: int | None
    vacuumed_at: datetime | None
    analyzed_at: datetime | None
    updates: int
    hot_updates: int
    freeze_age: int
    dead_before_vacuum: int

    @property
    def total_bytes(self) -> int:
        """With values outside of the rows, and indexes."""
        return self.bytes + self.toast_bytes + self.index_bytes

    @property
    def free_percent(self) -> float | None:
        """Estimated free or dead space in percent, None if unknown."""
        return _free(self.bytes, self.needed_bytes)


@dataclass(frozen=True, slots=True)
class Index:
    """An index, or all partitions of one. `scans`, `used_at`: since the statistics began, on this server alone.

    `needed_bytes`: what the entries would take on full pages, None if unknown. `question`: what it serves (COMMENT ON
    INDEX).
    """

    name: str
    table: str
    partitions: int
    bytes: int
    entries: int
    needed_bytes: int | None
    scans: int
    used_at: datetime | None
    is_unique: bool
    is_valid: bool
    question: str

    @property
    def is_unused(self) -> bool:
        """True if no query used it. A unique index is used by each write."""
        return not self.scans and not self.is_unique

    @property
    def free_percent(self) -> float | None:
        """Estimated free space in percent, None if unknown. A third is normal where keys arrive in random order."""
        return _free(self.bytes, self.needed_bytes)


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """Tables and indexes, the largest first. `since`: when the statistics began, None: with the database."""

    tables: Sequence[Table]
    indexes: Sequence[Index]
    bytes: int
    shared_buffers: int
    since: datetime | None

    @property
    def unused(self) -> list[Index]:
        """Indexes that no query used."""
        return [index for index in self.indexes if index.is_unused]


def store_figures(seconds: float = TIMEOUT_SECONDS) -> StoreFigures:
    """The figures now, within `seconds` for each statement. Raises django.db.Error."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(round(seconds * 1_000))])
        cursor.execute(_statement("table_figures"))
        tables = _joined([_table(*row) for row in cursor.fetchall()], _tables)
        cursor.execute(_statement("index_figures"))
        indexes = _joined([_index(*row) for row in cursor.fetchall()], _indexes)
        cursor.execute(
            "SELECT pg_database_size(datname), stats_reset, (SELECT setting::bigint FROM pg_settings WHERE name = %s) "
            "FROM pg_stat_database WHERE datname = current_database()",
            ["shared_buffers"],
        )
        size, since, pages = cursor.fetchone()
    return StoreFigures(
        sorted(tables, key=lambda table: (-table.total_bytes, table.name)),
        sorted(indexes, key=lambda index: (-index.bytes, index.name)),
        size,
        pages * PAGE_BYTES,
        since,
    )


def row_bytes(widths: Sequence[int], aligns: Sequence[str], head: int) -> int:
    """The size of a row or an entry with its line pointer, from the mean widths and alignments of its columns."""
    size = head
    for width, align in zip(widths, aligns, strict=True):
        is_short = align == "i" and width < SHORT_VALUE and width != 4  # of variable length, without alignment
        step = 1 if is_short else _ALIGNMENT[align]
        size += -size % step + width
    return size + -size % 8 + LINE_POINTER


def _table(  # noqa: PLR0917 - the columns of the statement
    root: str, _name: str, rows: int, live: int, dead: int, size: int, toast: int, indexes: int,
    vacuumed: datetime | None, analyzed: datetime | None, updates: int, hot: int, age: int, fill: int,
    threshold: float, widths: list[int], aligns: list[str],
) -> Table:  # fmt: skip
    rows = rows or live
    needed = None
    if any(widths) and size >= LEAST_ESTIMATED_BYTES:
        needed = round(
            rows * row_bytes(widths, aligns, ROW_HEAD) / ((PAGE_BYTES - PAGE_HEAD) * fill / 100) * PAGE_BYTES
        )
    return Table(
        root, 1, rows, dead, size, toast, indexes, needed, vacuumed, analyzed, updates, hot, age, round(threshold)
    )


def _index(  # noqa: PLR0917 - the columns of the statement
    root: str, table: str, size: int, entries: int, scans: int, used: datetime | None, is_unique: bool, is_valid: bool,
    question: str, fill: int, widths: list[int | None], aligns: list[str],
) -> Index:  # fmt: skip
    needed = None
    known = [width for width in widths if width is not None]
    if len(known) == len(widths) and size >= LEAST_ESTIMATED_BYTES:
        page = (PAGE_BYTES - PAGE_HEAD - INDEX_PAGE_TAIL) * fill / 100
        needed = round(entries * row_bytes(known, aligns, ENTRY_HEAD) / page * PAGE_BYTES)
    return Index(root, table, 1, size, entries, needed, scans, used, is_unique, is_valid, question)


def _joined(parts: Iterable[Value], join: Callable[[list[Value]], Value]) -> list[Value]:
    """Partitions of one table or index as one."""
    found: dict[str, list[Value]] = {}
    for part in parts:
        found.setdefault(part.name, []).append(part)
    return [join(group) for group in found.values()]


def _tables(parts: list[Table]) -> Table:
    return Table(
        name=parts[0].name,
        partitions=len(parts),
        needed_bytes=_sum(part.needed_bytes for part in parts),
        vacuumed_at=_latest(part.vacuumed_at for part in parts),
        analyzed_at=_latest(part.analyzed_at for part in parts),
        freeze_age=max(part.freeze_age for part in parts),
        **{name: sum(getattr(part, name) for part in parts) for name in _ADDED},
    )


def _indexes(parts: list[Index]) -> Index:
    first = parts[0]
    return Index(
        name=first.name,
        table=first.table,
        partitions=len(parts),
        bytes=sum(part.bytes for part in parts),
        entries=sum(part.entries for part in parts),
        needed_bytes=_sum(part.needed_bytes for part in parts),
        scans=sum(part.scans for part in parts),
        used_at=_latest(part.used_at for part in parts),
        is_unique=first.is_unique,
        is_valid=all(part.is_valid for part in parts),
        question=first.question,
    )


_ADDED = (
    "rows", "dead", "bytes", "toast_bytes", "index_bytes", "updates", "hot_updates", "dead_before_vacuum",
)  # fmt: skip


def _sum(values: Iterable[int | None]) -> int | None:
    """None if any is unknown."""
    found = list(values)
    return None if None in found else sum(value for value in found if value is not None)


def _latest(values: Iterable[datetime | None]) -> datetime | None:
    return max((value for value in values if value is not None), default=None)


def _free(size: int, needed: int | None) -> float | None:
    return None if needed is None or not size else max(0.0, 100.0 * (1 - needed / size))
