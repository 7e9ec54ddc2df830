"""Base classes of read-only lists. Rule: the relay's own tables are neither counted nor scanned."""

from typing import Any, TypeVar

from django.contrib import admin
from django.contrib.admin import ShowFacets
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model
from django.http import HttpRequest

from relay.admin.base import ModelAdmin
from relay.admin.formatting import format_time, kind_name
from relay.admin.paging import NewestChangeList, NewestPaginator, RecordChangeList
from relay.models import Event, Tag

M = TypeVar("M", bound=Model)


class RecordAdmin(ModelAdmin[M]):
    """Records written by the software: no adding or changing; deleting takes Django's permission."""

    list_per_page = 50
    list_max_show_all = 0
    list_fullwidth = True
    show_full_result_count = False
    empty_help = ""  # what an empty list will show, and when

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Django: the list's class."""
        return RecordChangeList

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Django: never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Django: never."""
        return False


class ReadOnlyAdmin(RecordAdmin[M]):
    """No adding, changing or deleting."""

    actions = None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Django: never."""
        return False


class EventColumns:
    """Columns of rows that have the time and kind of an event."""

    @admin.display(description="created (UTC)", ordering="created_at")
    def created(self, row: Event | Tag) -> str:
        return format_time(row.created_at)

    @admin.display(description="kind")
    def kind_named(self, row: Event | Tag) -> str:
        return kind_name(row.kind)


class StoreAdmin(ReadOnlyAdmin[M]):
    """The relay's own large tables: a list is an index scan of one page."""

    paginator = NewestPaginator
    show_facets = ShowFacets.NEVER
    list_filter_submit = True

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Django: the list's class."""
        return NewestChangeList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Django: only the parameters of the filters, because other conditions may have no index."""
        return any(lookup in getattr(chosen, "inputs", ()) for chosen in self.list_filter)
