"""What operators do, as the statements that the admin calls: a worker needs to know no more of it."""

from collections.abc import Sequence

import psycopg

from tests.acceptance.author import Author
from tests.acceptance.relay_process import RelayProcess


def as_operator(relay: RelayProcess, statements: Sequence[str]) -> None:
    """Run statements on the relay's database, each in a transaction of its own."""
    with psycopg.connect(relay.services()["DATABASE_URL"], autocommit=True) as database:
        for statement in statements:
            database.execute(statement)


def ban(author: Author, *, remove: bool = True) -> str:
    """The statement that bans a key, with or without what it has stored."""
    return f"SELECT relay_ban_key('\\x{author.pubkey}', '', 0, 'test', {str(remove).lower()})"


def remove(event_id: str) -> str:
    """The statement that removes an event."""
    return f"SELECT relay_ban_event('\\x{event_id}', '', 'test')"
