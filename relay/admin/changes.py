"""The log of changes, newest first."""

import re
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.safestring import SafeString

from relay.admin.formatting import author_link, event_link, isolated
from relay.admin.readonly import StoreAdmin
from relay.changes.change import Purged
from relay.models import Change
from relay.protocol.retention import spans_text

POSITION = re.compile(r"[0-9]{1,18}")


@admin.register(Change)
class ChangeAdmin(StoreAdmin[Change]):
    """Added and removed events, authors who vanished and what retention removes, in commit order."""

    list_display = ("position", "change", "of_event")
    list_display_links = None
    search_fields = ("seq",)
    search_help_text = "Log position: shows the changes up to it"
    empty_help = "Each added or removed event is a change, numbered in the order of commits."
    sortable_by = ()

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """The changes up to a position; none and an error message for another text."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if not POSITION.fullmatch(term):
            messages.error(request, f"“{term[:80]}” is not a log position: positions are whole numbers.")
            return queryset.none(), False
        return queryset.filter(seq__lte=int(term)), False

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        """Redirect to the event of the change. Raises PermissionDenied: the log tells the ids of events."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        change = get_object_or_404(Change, seq=int(object_id) if POSITION.fullmatch(object_id) else -1)
        if change.op == "v":
            return redirect("admin:relay_vanishrequest_changelist")
        if change.op == "p":
            return redirect("admin:relay_retentionrule_changelist")
        return redirect("admin:relay_event_change", change.event_id)

    @admin.display(description="log position")
    def position(self, row: Change) -> str:
        return f"{row.seq:,}"

    @admin.display(description="change")
    def change(self, row: Change) -> str:
        return {"+": "added", "-": "removed", "v": "author removed", "p": "older removed"}.get(row.op, row.op)

    @admin.display(description="event")
    def of_event(self, row: Change) -> SafeString:
        if row.op == "p":
            return isolated(
                f"kinds {spans_text(Purged.of(row.seq, bytes.fromhex(row.event_id), row.created_at).kinds)}", 100
            )
        return author_link(row.event_id) if row.op == "v" else event_link(row.event_id)
