"""What all lists of the relay's own tables have in common: nothing can be changed, nothing is counted."""

from typing import Any, TypeVar

from django.contrib.admin import ShowFacets
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model
from django.http import HttpRequest

from relay.admin.looks import ModelAdmin
from relay.admin.paging import NewestChangeList, NewestPaginator

M = TypeVar("M", bound=Model)


class ReadOnlyAdmin(ModelAdmin[M]):
    """Lists and shows; adds, changes and deletes nothing."""

    actions = None
    paginator = NewestPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_per_page = 50
    list_filter_submit = True
    list_fullwidth = True

    class Media:
        css = {"all": ["relay/admin.css"]}  # noqa: RUF012

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return NewestChangeList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """The filters' own parameters, and no condition by hand in the address: no index might answer it."""
        return any(lookup in getattr(chosen, "inputs", ()) for chosen in self.list_filter)
