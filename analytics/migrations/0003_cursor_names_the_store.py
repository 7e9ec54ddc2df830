"""The roll-up's cursor belongs to a store: a copy that was restored elsewhere reads its tables anew."""

from typing import ClassVar

from django.db import migrations

UP = """
ALTER TABLE analytics_cursor ADD COLUMN identity text NOT NULL DEFAULT '';
UPDATE analytics_cursor SET identity = s.identity FROM relay_store AS s;
"""
DOWN = "ALTER TABLE analytics_cursor DROP COLUMN identity"


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [
        ("analytics", "0002_cache_permissions"),
        ("relay", "0002_store_and_lease"),
    ]

    operations = [migrations.RunSQL(UP, DOWN)]
