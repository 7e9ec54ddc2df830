"""The index of single-letter tags."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils.html import format_html
from django.utils.safestring import SafeString

from relay.admin.formatting import event_link, isolated, short
from relay.admin.readonly import EventColumns, StoreAdmin
from relay.admin.search import HEX_KEY, BadSearch, tag_of
from relay.models import Tag


@admin.register(Tag)
class TagAdmin(EventColumns, StoreAdmin[Tag]):
    """Rows in index order: by tag, then newest first. A row leads to its event."""

    list_display = ("tag", "created", "kind_named", "of_event")
    list_display_links = None
    search_fields = ("key",)
    search_help_text = "Letter and value: t:bitcoin"
    empty_help = "The index of single-letter tags has a row for each such tag of a stored event."
    sortable_by = ()

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """The rows of one tag; none and an error message for another text."""
        if not search_term.strip():
            return queryset, False
        letter, _, value = search_term.strip().partition(":")
        try:
            tag_of(letter, value)
        except BadSearch:
            messages.error(request, "Search a tag by its letter and its whole value, as in t:bitcoin.")
            return queryset.none(), False
        return queryset.filter(key=f"{letter}:{value}"), False

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        """Redirect to the event: the row's key is its event's id, which several rows share."""
        return redirect("admin:relay_event_change", object_id)

    @admin.display(description="tag")
    def tag(self, row: Tag) -> SafeString:
        letter, _, value = str(row.key).partition(":")
        if HEX_KEY.fullmatch(value):
            return format_html('<span class="relay-hex" title="{}">{}:{}</span>', value, letter, short(value))
        return isolated(str(row.key), 120)

    @admin.display(description="event")
    def of_event(self, row: Tag) -> SafeString:
        return event_link(row.event, short(row.event))
