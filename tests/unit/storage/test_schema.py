"""The list of migrations that makes a store without Django is the one that Django runs."""

import pkgutil
from importlib import import_module

from django.db.migrations import RunSQL

from relay import migrations
from relay.storage.schema import texts


def test_the_list_has_the_sql_of_every_migration_in_order() -> None:
    names = sorted(module.name for module in pkgutil.iter_modules(migrations.__path__))
    operations = [step for name in names for step in import_module(f"relay.migrations.{name}").Migration.operations]
    assert list(texts()) == [step.sql for step in operations if isinstance(step, RunSQL)]
