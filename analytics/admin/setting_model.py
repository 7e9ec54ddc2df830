"""The effective settings as a model, so that Django's permissions apply to their page."""

from django.db import models


class Setting(models.Model):
    """Without a table: the page reads the settings of its process."""

    name = models.CharField(max_length=100, primary_key=True)

    class Meta:
        managed = False
        app_label = "analytics"
        verbose_name = "setting"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name
