"""Events, tags, heads and the order of changes: tables that the database owns, in SQL files that can be read."""

from typing import ClassVar

from django.db import migrations, models

import relay.models
from relay.storage.statements import statement

DOWN = """
DROP FUNCTION IF EXISTS relay_sole_claim, relay_others_at_work, relay_sole_end, relay_write, relay_forget, relay_sweep_expired,
    relay_log_prune, relay_current_epoch, relay_position, relay_log_make_room, relay_log_partition_size,
    relay_order_lock CASCADE;
DROP TABLE IF EXISTS relay_event, relay_tag, relay_head, relay_change, relay_epoch, relay_unannounced, relay_sole,
    relay_instance CASCADE;
"""


def sql(*names: str) -> str:
    return "\n".join(statement(name).decode() for name in names)


class Migration(migrations.Migration):
    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []

    operations = [
        migrations.RunSQL(sql("schema", "write_function", "log_functions", "sole"), DOWN),
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
