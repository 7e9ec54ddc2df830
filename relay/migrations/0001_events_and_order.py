"""Events, tags, heads and the order of changes: tables that the database owns, in SQL files that can be read.

The functions over them are made by the newest migration that changes one (0002).
"""

from typing import ClassVar

from django.db import migrations, models

import relay.models
from relay.storage.schema import migration_0001

DOWN = """
DROP TABLE IF EXISTS relay_event, relay_tag, relay_head, relay_change, relay_epoch, relay_unannounced, relay_sole,
    relay_instance CASCADE;
"""


class Migration(migrations.Migration):
    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []

    operations = [
        migrations.RunSQL(migration_0001(), DOWN),
        migrations.CreateModel(
            name="Event",
            fields=[
                ("id", relay.models.HexField(primary_key=True, serialize=False)),
                ("pubkey", relay.models.HexField()),
                ("created_at", models.BigIntegerField()),
                ("kind", models.IntegerField()),
                ("expires_at", models.BigIntegerField(null=True)),
                ("json", models.TextField()),
            ],
            options={"db_table": "relay_event", "managed": False, "ordering": ["-created_at", "id"]},
        ),
        migrations.CreateModel(
            name="Tag",
            fields=[
                ("key", relay.models.TagKeyField()),
                ("created_at", models.BigIntegerField()),
                ("event", relay.models.HexField(db_column="event_id", primary_key=True, serialize=False)),
                ("kind", models.IntegerField()),
            ],
            options={"db_table": "relay_tag", "managed": False, "ordering": ["key", "-created_at", "event"]},
        ),
        migrations.CreateModel(
            name="Change",
            fields=[
                ("seq", models.BigIntegerField(primary_key=True, serialize=False)),
                ("op", models.CharField(max_length=1)),
                ("event_id", relay.models.HexField()),
            ],
            options={"db_table": "relay_change", "managed": False, "ordering": ["-seq"]},
        ),
    ]
