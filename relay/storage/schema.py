"""The SQL of the store: tables as migrations make them (`relay/migrations/sql`), functions in their newest form
(`sql`).

Rule: the file of a released migration is not changed. A migration that changes a function drops all of them
(`drop_functions`) and creates them again.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from relay.protocol.kinds import INDELIBLE_KINDS
from relay.protocol.retention import REMOVABLE, Span
from relay.protocol.visibility import RECIPIENTS_OWN_KINDS
from relay.storage.statements import Statements
from relay.storage.visibility_sql import numbers

FUNCTIONS = (
    "order",
    "lease",
    "store",
    "removal",
    "deletion",
    "vanish",
    "retention",
    "partitions",
    "partition_purge",
    "moderation",
    "write",
)
_tables = Statements(Path(__file__).parent.parent / "migrations" / "sql")
_statement = Statements(
    Path(__file__).parent / "sql",
    lambda: {
        "RECIPIENTS_OWN": numbers(RECIPIENTS_OWN_KINDS),
        "INDELIBLE": numbers(INDELIBLE_KINDS),
        "REMOVABLE": multirange(REMOVABLE),
    },
)


def multirange(kinds: Iterable[Span]) -> str:
    """Spans of kinds as an int4multirange."""
    return "{" + ",".join([f"[{low},{high + 1})" for low, high in kinds]) + "}"


def functions() -> str:
    """The statements that create every function. Bodies are not checked: they may name objects of a later migration."""
    return "SET LOCAL check_function_bodies = off;\n" + "\n".join(_statement(name) for name in FUNCTIONS)


def migration_0001() -> str:
    """Events, tags, heads and the log."""
    return _tables("0001_tables")


def migration_0002() -> str:
    """Identity of the store, lease, time and origin in the log, removal of tag rows; all functions."""
    return _tables("drop_functions") + _tables("0002_tables") + functions() + _tables("0002_rows")


def migration_0003() -> str:
    """Tombstones, requests to vanish; all functions."""
    return _tables("drop_functions") + _tables("0003_tables") + functions()


def migration_0004() -> str:
    """The operators' lists; all functions."""
    return _tables("drop_functions") + _tables("0004_tables") + functions()


def migration_0005() -> str:
    """The count of removals that the log has no entries for."""
    return _tables("0005_tables")


def migration_0006() -> str:
    """The addresses of the relay."""
    return _tables("0006_tables")


def migration_0007() -> str:
    """Comments of indexes, storage settings of tables; all functions, of which that for requests to vanish is new."""
    return _tables("drop_functions") + _tables("0007_tables") + functions()


def migration_0008() -> str:
    """Retention; all functions."""
    return _tables("drop_functions") + _tables("0005_tables") + _tables("0008_tables") + functions()


def migration_0009() -> str:
    """Partitions of the events; all functions."""
    return _tables("drop_functions") + functions()


def migration_0010() -> tuple[str, str, str]:
    """The kind in the index of tags: what was broken off goes, a new index, which takes the place of the old one.
    Each in a transaction of its own.
    """
    locked = _tables("0010_short_lock")
    return (
        locked.replace("-- STEP\n", _tables("0010_clear")),
        _tables("0010_build"),
        locked.replace("-- STEP\n", _tables("0010_swap")),
    )


def migration_0011() -> str:
    """All functions: an event that operators let come back wins over its own head."""
    return _tables("drop_functions") + functions()


MIGRATIONS: tuple[Callable[[], str | tuple[str, ...]], ...] = (
    migration_0001,
    migration_0002,
    migration_0003,
    migration_0004,
    migration_0005,
    migration_0006,
    migration_0007,
    migration_0008,
    migration_0009,
    migration_0010,
    migration_0011,
)
"""All of them, the oldest first."""


def texts(first: int = 1, last: int = len(MIGRATIONS)) -> Iterator[str]:
    """What the migrations `first` to `last` run, in order; each text is a transaction."""
    for migration in MIGRATIONS[first - 1 : last]:
        text = migration()
        yield from (text,) if isinstance(text, str) else text
