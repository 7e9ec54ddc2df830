"""Slow queries, and tables with their indexes, as models, so that Django's permissions apply to their pages."""

from django.db import models


class SlowQuery(models.Model):
    """Without a table: the page reads the workers' figures."""

    name = models.CharField(max_length=100, primary_key=True)

    class Meta:
        managed = False
        app_label = "analytics"
        verbose_name = "slow query"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name


class StoreTable(models.Model):
    """Without a table: the page reads PostgreSQL's statistics."""

    name = models.CharField(max_length=100, primary_key=True)

    class Meta:
        managed = False
        app_label = "analytics"
        verbose_name = "table"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name
