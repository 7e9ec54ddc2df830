"""Who may see and clear caches; no table."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [("analytics", "0001_views_and_history")]

    operations: ClassVar[list[migrations.operations.base.Operation]] = [
        migrations.CreateModel(
            name="Cache",
            fields=[("name", models.CharField(max_length=100, primary_key=True, serialize=False))],
            options={"verbose_name": "cache", "managed": False, "default_permissions": ("view", "delete")},
        ),
    ]
