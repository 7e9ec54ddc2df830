"""What lists have in common that nobody writes by hand, those of the relay's own tables among them.

Rule: nothing can be added or changed, and of the relay's own tables nothing is counted or read whole.
"""

from typing import Any, TypeVar

from django.contrib.admin import ShowFacets
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model
from django.http import HttpRequest

from relay.admin.looks import ModelAdmin
from relay.admin.paging import NewestChangeList, NewestPaginator

M = TypeVar("M", bound=Model)


class RecordAdmin(ModelAdmin[M]):
    """Records that the software keeps: adds and changes nothing; who may delete them may do so."""

    list_per_page = 50
    list_fullwidth = True
    show_full_result_count = False

    class Media:
        css = {"all": ["relay/admin.css"]}  # noqa: RUF012

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(RecordAdmin[M]):
    """Lists and shows; adds, changes and deletes nothing."""

    actions = None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class StoreAdmin(ReadOnlyAdmin[M]):
    """The relay's own tables, which are large: a list is a walk of one index, a page at a time."""

    paginator = NewestPaginator
    show_facets = ShowFacets.NEVER
    list_filter_submit = True

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return NewestChangeList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """The filters' own parameters, and no condition by hand in the address: no index might answer it."""
        return any(lookup in getattr(chosen, "inputs", ()) for chosen in self.list_filter)
