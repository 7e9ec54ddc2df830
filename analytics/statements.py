"""The analytics' named SQL, with the names of popularity.py as `$NAME`."""

from pathlib import Path

from analytics.popularity import sql_names
from relay.storage.statements import Statements

statement = Statements(Path(__file__).parent / "sql", sql_names)
