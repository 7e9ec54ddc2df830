"""Tombstones of deletions (NIP-09) and requests to vanish (NIP-62). There is no way back: what was deleted is gone."""

from typing import ClassVar

from django.db import migrations

from relay.storage.schema import migration_0003


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [("relay", "0002_store_and_lease")]

    operations = [migrations.RunSQL(migration_0003())]
