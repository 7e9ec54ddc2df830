"""The materialized views as the database has them, and the models over them."""

import pytest
from django.core.management import call_command
from django.db import connection

from analytics import models
from analytics.registry import VIEWS

pytestmark = pytest.mark.django_db

MODELS = list(models.ViewModel.__subclasses__())


def test_the_migrations_say_what_the_models_say() -> None:
    call_command("makemigrations", "analytics", check=True, dry_run=True, verbosity=0)


def test_every_view_of_the_registry_exists_with_its_unique_index_and_model() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT matviewname::text FROM pg_matviews WHERE schemaname = 'public'")
        views = {name for (name,) in cursor.fetchall()}
        cursor.execute("SELECT indexname::text FROM pg_indexes WHERE indexdef LIKE 'CREATE UNIQUE%'")
        indexes = {name for (name,) in cursor.fetchall()}

    assert views == {view.name for view in VIEWS} == {model._meta.db_table for model in MODELS}
    assert {view.unique_index for view in VIEWS} <= indexes


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model.__name__))
def test_a_view_can_be_read_and_not_written(model: type[models.ViewModel]) -> None:
    assert list(model.objects.all()) == []  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="read-only"):
        model().save()
    with pytest.raises(TypeError, match="read-only"):
        model().delete()
