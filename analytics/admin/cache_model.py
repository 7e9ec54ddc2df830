"""Caches as a model, so that Django's permissions apply to them."""

from django.db import models


class Cache(models.Model):
    """Without a table: the page reads the workers' figures. The permission to delete is the one to clear."""

    name = models.CharField(max_length=100, primary_key=True)

    class Meta:
        managed = False
        app_label = "analytics"
        verbose_name = "cache"
        default_permissions = ("view", "delete")

    def __str__(self) -> str:
        return self.name
