"""Caches as something that the admin knows: who may see them, and who may clear them."""

from django.db import models


class Cache(models.Model):
    """No table stands behind it: caches are in memory, and their figures on the board of the workers."""

    name = models.CharField(max_length=100, primary_key=True)

    class Meta:
        managed = False
        app_label = "analytics"
        verbose_name = "cache"
        default_permissions = ("view", "delete")  # to delete is to clear

    def __str__(self) -> str:
        return self.name
