"""Whether Django may read from a replica now, in processes that do not watch it: jobs and commands."""

from django.db import Error, connections

from relay.storage.filter_sql import POSITION
from relay.storage.replica import CHECK, STORE
from relay.storage.replica_answer import MOST_BEHIND

_PRIMARY = f"SELECT {STORE}, {POSITION}"


def can_be_read(alias: str) -> bool:
    """True if it answers, is a standby of the primary's store, and at most MOST_BEHIND changes behind.

    Takes at most the 2 s of a connection attempt, or, of a connection that was open, twice the limit of the replicas'
    backend. Raises django.db.Error if the primary does not answer.
    """
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute(CHECK)
            name, position, is_standby, is_whole = cursor.fetchone()
    except Error:
        connections[alias].close()
        return False
    with connections["default"].cursor() as cursor:
        cursor.execute(_PRIMARY)
        name_there, newest = cursor.fetchone()
    return bool(is_standby and is_whole and name == name_there and newest - position <= MOST_BEHIND)
