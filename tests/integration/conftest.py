"""What a test with `django_db(transaction=True)` leaves is deleted, not truncated: Django's flush takes a third of a
second of CPU, because it makes every table anew and then all permissions.
"""

from collections.abc import Iterator
from functools import cache

import pytest
from django.db import connection, transaction
from django.test import TransactionTestCase

KEPT = {"django_content_type", "auth_permission", "django_migrations"}
"""What migrations have filled, which the flush would fill again."""


@cache
def emptied() -> tuple[str, ...]:
    """The tables that the flush empties."""
    return tuple(sorted({*connection.introspection.django_table_names(only_existing=True)} - KEPT))


def delete_all(_: TransactionTestCase) -> None:
    """Delete all rows. Foreign keys are checked at the end of the transaction, so that the order is free.

    A write that failed for its client may still be under way. Behind the order lock it is deleted whole or not at all.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT relay_order_lock()")
        questions = [f"SELECT '{table}' WHERE EXISTS (SELECT FROM {table})" for table in emptied()]
        cursor.execute(" UNION ALL ".join(questions))
        for (table,) in cursor.fetchall():
            cursor.execute(f"DELETE FROM {table}")


@pytest.fixture(autouse=True, scope="session")
def quick_flush() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", delete_all)
        yield
