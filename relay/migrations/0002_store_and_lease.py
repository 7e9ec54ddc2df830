"""A store with an identity, a lease, a log with time and origin, and removal of tag rows outside the lock.

There is no way back: the log of before has no place for what the new one holds.
"""

from typing import ClassVar

from django.db import migrations, models

from relay.storage.schema import migration_0002


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [("relay", "0001_events_and_order")]

    operations = [
        migrations.RunSQL(migration_0002()),
        migrations.AddField("change", "created_at", models.BigIntegerField()),
        migrations.AddField("change", "origin", models.IntegerField(default=0)),
    ]
