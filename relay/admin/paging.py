"""Pagination without COUNT(*): a page knows whether another follows; the number of pages is bounded."""

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import InvalidPage, Page, Paginator
from django.db.models.expressions import Combinable
from django.http import HttpRequest

from relay.admin.responses import author_names
from relay.protocol.errors import Failed
from relay.storage.admin_queries import rows_in_time

MAX_PAGES = 100
"""OFFSET reads the pages before; beyond this the operator is asked to search by time."""


if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator  # generic only in the stubs


class NewestPaginator(_Paginator):
    """Reads one row more than a page shows, to know whether another follows."""

    template_name = "admin/relay/pagination.html"

    has_more = False
    timed_out = False

    @property
    def count(self) -> int:
        """Django: an upper bound, because rows are not counted."""
        return self.per_page * MAX_PAGES

    @property
    def num_pages(self) -> int:
        """Django: the maximum."""
        return MAX_PAGES

    def page(self, number: int | str) -> "Page[Any]":
        """The rows of page `number`; empty, with `timed_out` set, after a query timeout."""
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        asked: Any = self.object_list
        rows: list[Any]
        try:
            rows = rows_in_time(asked[start : start + self.per_page + 1])
        except Failed:
            rows, self.timed_out = [], True
        self.has_more = len(rows) > self.per_page
        return Page(rows[: self.per_page], number, self)


class AuthorsChangeList(ChangeList):
    """Adds `row.name`, the display name in the author's profile (untrusted) or "", with one query for the page."""

    def get_results(self, request: HttpRequest) -> None:
        """Django: read the rows."""
        super().get_results(request)
        names = author_names({row.pubkey for row in self.result_list})
        for row in self.result_list:
            row.name = names.get(row.pubkey, "")


class RecordChangeList(ChangeList):
    """A list whose heading has no "Show all" link: its number of rows is at the end of the page."""

    def get_results(self, request: HttpRequest) -> None:
        """Django: read the rows."""
        super().get_results(request)
        self.full_result_count = self.result_count


class NewestChangeList(ChangeList):
    """A list in the order of its index, or in reverse."""

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[str | Combinable]:
        """The model's ordering; reversed when its column is clicked."""
        chosen = self.params.get("o", "")
        newest_first = [str(field) for field in self.model._meta.ordering or ()]
        if not chosen or chosen.startswith("-"):
            return [*newest_first]
        return [field[1:] if field.startswith("-") else f"-{field}" for field in newest_first]

    def get_results(self, request: HttpRequest) -> None:
        """Read one page without counting."""
        paginator: Any = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)
        try:
            self.result_list = paginator.page(self.page_num).object_list
        except InvalidPage:
            raise IncorrectLookupParameters from None
        self.paginator = paginator
        self.result_count = len(self.result_list)
        self.full_result_count = self.result_count  # hides the count
        self.show_full_result_count = False
        self.show_admin_actions = False
        self.can_show_all = False
        if paginator.timed_out:
            messages.warning(request, "The search took too long: add a kind, an author or a shorter time range.")
        self.multi_page = paginator.has_more or self.page_num > 1
