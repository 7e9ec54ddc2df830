"""Who may see the page of the settings (no table), and the exact number of stored events."""

from typing import ClassVar

from django.db import migrations, models

from analytics.statements import statement


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [("analytics", "0003_cursor_names_the_store")]

    operations: ClassVar[list[migrations.operations.base.Operation]] = [
        migrations.CreateModel(
            name="Setting",
            fields=[("name", models.CharField(max_length=100, primary_key=True, serialize=False))],
            options={"verbose_name": "setting", "managed": False, "default_permissions": ("view",)},
        ),
        migrations.RunSQL(statement("event_count"), "DROP FUNCTION analytics_event_count()"),
    ]
