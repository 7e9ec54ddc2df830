"""The SQL of the store: tables as migrations make them (`relay/migrations/sql`), functions as they are (`sql`).

Rule: the file of a released migration is not changed. Functions stand in their newest form only; a migration
that changes one drops them all (`drop_functions`) and makes them anew.
"""

from pathlib import Path

from relay.storage.statements import Statements

FUNCTIONS = ("order", "lease", "store", "removal", "write")
_tables = Statements(Path(__file__).parent.parent / "migrations" / "sql")
_statement = Statements(Path(__file__).parent / "sql")


def functions() -> str:
    """What makes every function of the store. Bodies are not checked: they may name what a later migration makes."""
    return "SET LOCAL check_function_bodies = off;\n" + "\n".join(_statement(name) for name in FUNCTIONS)


def migration_0001() -> str:
    """Events, tags, heads and the log."""
    return _tables("0001_tables")


def migration_0002() -> str:
    """Identity of the store, lease, time and origin in the log, tag rows that wait for their removal; all functions."""
    return _tables("drop_functions") + _tables("0002_tables") + functions() + _tables("0002_rows")
