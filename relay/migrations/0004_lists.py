"""The operators' lists: banned and allowed keys, removed events, blocked networks, kinds."""

from typing import ClassVar

from django.db import migrations, models

from relay.storage.schema import migration_0004


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [("relay", "0003_deletion_and_vanish")]

    operations = [
        migrations.RunSQL(migration_0004()),
        migrations.CreateModel(
            name="ListEntry",
            fields=[
                ("version", models.BigIntegerField(primary_key=True, serialize=False)),
                ("list", models.TextField()),
                ("key", models.TextField()),
                ("reason", models.TextField()),
                ("until", models.BigIntegerField()),
                ("changed_by", models.TextField()),
                ("changed_at", models.DateTimeField()),
                ("removed", models.BooleanField()),
            ],
            options={"db_table": "relay_list_entry", "managed": False, "ordering": ["-version"]},
        ),
        migrations.CreateModel(
            name="BannedKey",
            fields=[],
            options={"proxy": True, "default_permissions": ("view", "add", "delete"), "indexes": [], "constraints": []},
            bases=("relay.listentry",),
        ),
        migrations.CreateModel(
            name="AllowedKey",
            fields=[],
            options={"proxy": True, "default_permissions": ("view", "add", "delete"), "indexes": [], "constraints": []},
            bases=("relay.listentry",),
        ),
        migrations.CreateModel(
            name="RemovedEvent",
            fields=[],
            options={"proxy": True, "default_permissions": ("view", "add", "delete"), "indexes": [], "constraints": []},
            bases=("relay.listentry",),
        ),
        migrations.CreateModel(
            name="BlockedNetwork",
            fields=[],
            options={"proxy": True, "default_permissions": ("view", "add", "delete"), "indexes": [], "constraints": []},
            bases=("relay.listentry",),
        ),
        migrations.CreateModel(
            name="KindRule",
            fields=[],
            options={"proxy": True, "default_permissions": ("view", "add", "delete"), "indexes": [], "constraints": []},
            bases=("relay.listentry",),
        ),
        migrations.CreateModel(
            name="Report",
            fields=[],
            options={"proxy": True, "default_permissions": ("view", "change"), "indexes": [], "constraints": []},
            bases=("relay.event",),
        ),
        migrations.CreateModel(
            name="Connection",
            fields=[("name", models.CharField(max_length=200, primary_key=True, serialize=False))],
            options={"managed": False, "default_permissions": ("view", "delete")},
        ),
    ]
