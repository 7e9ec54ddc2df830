"""Carries out the deletions and requests to vanish that the store holds already (09-22). May be killed and run again."""

from typing import Any, ClassVar

from django.db import migrations, models

import relay.models
from relay.conf import own_places
from relay.storage.schema import migration_0005
from relay.storage.upgrade import carry_out_stored


def forwards(_apps: Any, _editor: Any) -> None:
    """In transactions of its own."""
    carry_out_stored(own_places())


class Migration(migrations.Migration):
    atomic = False
    dependencies: ClassVar[list[tuple[str, str]]] = [("relay", "0004_lists")]

    operations = [
        migrations.RunSQL(migration_0005()),
        migrations.RunPython(forwards, migrations.RunPython.noop),
        migrations.CreateModel(
            name="VanishRequest",
            fields=[
                ("pubkey", relay.models.HexField(primary_key=True, serialize=False)),
                ("until", models.BigIntegerField()),
                ("event_id", relay.models.HexField()),
                ("requested_at", models.DateTimeField()),
                ("removed", models.BigIntegerField()),
                ("finished_at", models.DateTimeField(null=True)),
            ],
            options={"db_table": "relay_vanish", "managed": False, "ordering": ["-requested_at"]},
        ),
    ]
