"""The index of tags has the kind of the event, so that it answers alone. May be killed and run again."""

from typing import ClassVar

from django.db import migrations

from relay.storage.schema import migration_0010


class Migration(migrations.Migration):
    atomic = False
    dependencies: ClassVar[list[tuple[str, str]]] = [("relay", "0009_partitions")]

    operations = [migrations.RunSQL(text, migrations.RunSQL.noop) for text in migration_0010()]
