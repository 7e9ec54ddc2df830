"""Named SQL: each statement stands in a file of its own under `sql/`, with the names of popularity.py as `$NAME`."""

import re
from functools import cache
from pathlib import Path

from analytics.popularity import sql_names

_FOLDER = Path(__file__).parent / "sql"
_NAME = re.compile(r"\$([A-Z][A-Z_]+)")


@cache
def statement(name: str) -> str:
    """The text of `sql/<name>.sql`. Raises FileNotFoundError for a file, KeyError for a name that does not exist."""
    names = sql_names()
    return _NAME.sub(lambda found: names[found[1]], (_FOLDER / f"{name}.sql").read_text())
