"""The addresses of the relay stand in its store, so that an import knows them, too (62-1)."""

from typing import ClassVar

from django.db import migrations

from relay.storage.schema import migration_0006


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [("relay", "0005_carry_out_deletions")]

    operations = [migrations.RunSQL(migration_0006(), "ALTER TABLE relay_store DROP COLUMN urls")]
