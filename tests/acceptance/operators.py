"""What operators do, as the statements that the admin calls: a worker needs to know no more of it."""

from collections.abc import Sequence

import psycopg

from tests.acceptance.author import Author


def as_operator(database_url: str, statements: Sequence[str]) -> None:
    """Run statements on the relay's database, each in a transaction of its own."""
    with psycopg.connect(database_url, autocommit=True) as database:
        for statement in statements:
            database.execute(statement.encode())


def ban(author: Author, *, removes: bool = True) -> str:
    """The statement that bans a key, with or without what it has stored."""
    return f"SELECT relay_ban_key('\\x{author.pubkey}', '', 0, 'test', {removes})"


def remove(event_id: str) -> str:
    """The statement that removes an event."""
    return f"SELECT relay_ban_event('\\x{event_id}', '', 'test')"


def put(name: str, key: str, *, lifted: bool = False) -> str:
    """The statement that sets an entry of a list (relay.policies.lists.ListName)."""
    return f"SELECT relay_list_put('{name}', '{key}', '', 0, 'test', {lifted})"


def lift(name: str, key: str) -> str:
    """The statement that lifts an entry of a list."""
    return put(name, key, lifted=True)
