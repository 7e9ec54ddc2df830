"""Who may see the pages of slow queries and of tables and indexes; no table."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [("analytics", "0005_settings_and_event_count")]

    operations: ClassVar[list[migrations.operations.base.Operation]] = [
        migrations.CreateModel(
            name="SlowQuery",
            fields=[("name", models.CharField(max_length=100, primary_key=True, serialize=False))],
            options={"verbose_name": "slow query", "managed": False, "default_permissions": ("view",)},
        ),
        migrations.CreateModel(
            name="StoreTable",
            fields=[("name", models.CharField(max_length=100, primary_key=True, serialize=False))],
            options={"verbose_name": "table", "managed": False, "default_permissions": ("view",)},
        ),
    ]
