"""The order of changes, newest first."""

import re
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.safestring import SafeString

from relay.admin.readonly import StoreAdmin
from relay.admin.showing import event_link
from relay.models import Change

POSITION = re.compile(r"[0-9]{1,18}")


@admin.register(Change)
class ChangeAdmin(StoreAdmin[Change]):
    """What was added and removed, in the order in which it was committed."""

    list_display = ("position", "what", "of_event")
    list_display_links = None
    search_fields = ("seq",)
    search_help_text = "A position: the changes up to it"
    sortable_by = ()

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """The changes up to a position; none, and a message, when the text is no position."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if not POSITION.fullmatch(term):
            messages.error(request, f"“{term[:80]}” is not a position: positions are whole numbers.")
            return queryset.none(), False
        return queryset.filter(seq__lte=int(term)), False

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        """To the event that the change concerns."""
        change = get_object_or_404(Change, seq=int(object_id) if POSITION.fullmatch(object_id) else -1)
        return redirect("admin:relay_event_change", change.event_id)

    @admin.display(description="position")
    def position(self, change: Change) -> str:
        return f"{change.seq:,}"

    @admin.display(description="change")
    def what(self, change: Change) -> str:
        return {"+": "added", "-": "removed"}.get(change.op, change.op)

    @admin.display(description="event")
    def of_event(self, change: Change) -> SafeString:
        return event_link(change.event_id)
