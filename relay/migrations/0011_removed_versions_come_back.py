"""A function of the writing transaction lets a version come back that operators removed and allowed again."""

from typing import ClassVar

from django.db import migrations

from relay.storage.schema import migration_0011


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [("relay", "0010_tag_kinds")]

    operations = [migrations.RunSQL(migration_0011(), migrations.RunSQL.noop)]
