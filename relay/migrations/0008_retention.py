"""Retention: which events are removed by kind, author and age."""

from typing import ClassVar

from django.db import migrations

from relay.storage.schema import migration_0008


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [("relay", "0007_index_comments_and_vacuum")]

    operations = [
        migrations.RunSQL(migration_0008()),
        migrations.CreateModel(
            name="RetentionRule",
            fields=[],
            options={"proxy": True, "default_permissions": ("view", "add", "delete"), "indexes": [], "constraints": []},
            bases=("relay.listentry",),
        ),
    ]
