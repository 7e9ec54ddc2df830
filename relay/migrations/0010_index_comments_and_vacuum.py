"""What each index is for, autovacuum of the tables with many writes, lz4 where the server has it."""

from typing import ClassVar

from django.db import migrations

from relay.storage.schema import migration_0010


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [("relay", "0005_carry_out_deletions")]

    operations = [migrations.RunSQL(migration_0010(), migrations.RunSQL.noop)]
