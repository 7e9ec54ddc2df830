"""Pages that read no table, as models, so that Django's permissions apply to them."""

from collections.abc import Sequence
from typing import ClassVar

from django.db import models


class Page(models.Model):
    """Without a table: each page says what it reads in its place."""

    name = models.CharField(max_length=100, primary_key=True)

    class Meta:
        abstract = True
        managed = False
        app_label = "analytics"
        default_permissions: ClassVar[Sequence[str]] = ("view",)

    def __str__(self) -> str:
        return self.name


class Cache(Page):
    """The workers' figures. The permission to delete is the one to clear."""

    class Meta(Page.Meta):
        verbose_name = "cache"
        default_permissions: ClassVar[Sequence[str]] = ("view", "delete")


class SlowQuery(Page):
    """The workers' figures."""

    class Meta(Page.Meta):
        verbose_name = "slow query"


class StoreTable(Page):
    """PostgreSQL's statistics."""

    class Meta(Page.Meta):
        verbose_name = "table"


class Setting(Page):
    """The settings of this process."""

    class Meta(Page.Meta):
        verbose_name = "setting"
