"""The index of single-letter tags, as it stands in the database."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils.html import format_html
from django.utils.safestring import SafeString

from relay.admin.readonly import StoreAdmin
from relay.admin.search import HEX_KEY, BadSearch, tag_of
from relay.admin.showing import event_link, isolated, kind_name, short, when
from relay.models import Tag


@admin.register(Tag)
class TagAdmin(StoreAdmin[Tag]):
    """In the order of the index: by tag, then newest first. A row has no page of its own: it leads to its event."""

    list_display = ("tag", "created", "kind_named", "of_event")
    list_display_links = None
    search_fields = ("key",)
    search_help_text = "A letter and a value: t:bitcoin"
    sortable_by = ()

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """The rows of one tag; none, and a message, when the text names no tag."""
        if not search_term.strip():
            return queryset, False
        letter, _, value = search_term.strip().partition(":")
        try:
            tag_of(letter, value)
        except BadSearch:
            messages.error(request, "A tag is searched by its one letter and its whole value, as in t:bitcoin.")
            return queryset.none(), False
        return queryset.filter(key=f"{letter}:{value}"), False

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        """To the event: its id is all that names a row, and it names several."""
        return redirect("admin:relay_event_change", object_id)

    @admin.display(description="tag")
    def tag(self, row: Tag) -> SafeString:
        letter, _, value = str(row.key).partition(":")
        if HEX_KEY.fullmatch(value):
            return format_html('<span class="relay-hex" title="{}">{}:{}</span>', value, letter, short(value))
        return isolated(str(row.key), 120)

    @admin.display(description="created (UTC)")
    def created(self, row: Tag) -> str:
        return when(row.created_at)

    @admin.display(description="kind")
    def kind_named(self, row: Tag) -> str:
        return kind_name(row.kind)

    @admin.display(description="event")
    def of_event(self, row: Tag) -> SafeString:
        return event_link(row.event, short(row.event))
