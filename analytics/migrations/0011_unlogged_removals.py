"""The number of stored events stays exact when requests to vanish and retention remove some without an entry each."""

from typing import ClassVar

from django.db import migrations

from analytics.statements import statement

TABLE = """
ALTER TABLE analytics_cursor ADD COLUMN unlogged bigint NOT NULL DEFAULT 0;
UPDATE analytics_cursor SET unlogged = u.removed FROM relay_unlogged_removals AS u;
"""


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [
        ("analytics", "0010_slow_queries_and_database"),
        ("relay", "0008_retention"),
    ]

    operations = [migrations.RunSQL(TABLE + statement("event_count"), migrations.RunSQL.noop)]
