"""The analytics' named SQL, with the names of popularity.py as `$NAME`, and `$PRESENT`: the author of row `e` has not
vanished since."""

from pathlib import Path

from analytics.popularity import sql_names
from relay.storage.statements import Statements
from relay.storage.visibility_sql import PRESENT

statement = Statements(Path(__file__).parent / "sql", lambda: sql_names() | {"PRESENT": PRESENT})
