"""A lock over all processes of the store, by name, until the end of Django's transaction."""

from django.db import connection

_SPACE = 0x72656C61  # the first key of an advisory lock of two: "rela"


def lock_until_commit(name: str, seconds: float) -> None:
    """Take the lock; others that ask for the same name wait. Call it inside `transaction.atomic()`.

    Raises django.db.OperationalError after `seconds`. Two names may share a lock (a 32-bit hash).
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{int(seconds * 1000)}ms"])
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_SPACE, name])
