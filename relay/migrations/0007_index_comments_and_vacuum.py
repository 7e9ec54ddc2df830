"""What each index is for, autovacuum of the tables with many writes, lz4 where the server has it."""

from typing import ClassVar

from django.db import migrations

from relay.storage.schema import migration_0007


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [("relay", "0006_addresses")]

    operations = [migrations.RunSQL(migration_0007(), migrations.RunSQL.noop)]
