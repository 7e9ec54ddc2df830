"""Named SQL: each statement stands in a file of its own under `sql/`."""

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "sql"


@cache
def statement(name: str) -> bytes:
    """The text of `sql/<name>.sql`; raises FileNotFoundError for a name that does not exist."""
    return (_FOLDER / f"{name}.sql").read_bytes()
