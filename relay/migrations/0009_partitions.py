"""Functions that divide the events into partitions; a store stays as it is until an operator asks for them."""

from typing import ClassVar

from django.db import migrations

from relay.storage.schema import migration_0009


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [("relay", "0008_retention")]

    operations = [migrations.RunSQL(migration_0009())]
