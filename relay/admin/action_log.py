"""Django's log of operators' actions in the admin, read-only."""

from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from relay.admin.formatting import isolated
from relay.admin.readonly import ReadOnlyAdmin

LONGEST_OBJECT = 200  # what Django's column holds


def log_action(request: HttpRequest, subject: str, details: str) -> None:
    """Log an action of the request's operator: `details` ("cleared 12 entries") of `subject`."""
    assert isinstance(request.user, User)
    LogEntry.objects.create(
        user=request.user, object_repr=subject[:LONGEST_OBJECT], action_flag=CHANGE, change_message=details
    )


@admin.register(LogEntry)
class ActionLogAdmin(ReadOnlyAdmin[LogEntry]):
    """Every action, newest first."""

    list_display = ("action_time", "user", "action", "subject", "details")
    list_display_links = None
    list_filter = ("action_flag", "user")
    search_fields = ("object_repr", "user__username")
    search_help_text = "User name or object"
    empty_help = "What operators change, delete, run or clear in the admin is listed here."
    fields = ("action_time", "user", "action", "subject", "details")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> "QuerySet[LogEntry, LogEntry]":
        """Django: with user and content type in one query."""
        return super().get_queryset(request).select_related("user", "content_type")

    @admin.display(description="action", ordering="action_flag")
    def action(self, entry: LogEntry) -> str:
        return entry.get_action_flag_display()

    @admin.display(description="object")
    def subject(self, entry: LogEntry) -> SafeString:
        kind = entry.content_type.name if entry.content_type else ""
        url = None if entry.is_deletion() else entry.get_admin_url()
        shown = isolated(entry.object_repr, LONGEST_OBJECT)
        return (
            format_html('{} <a class="relay-link" href="{}">{}</a>', kind, url, shown)
            if url
            else format_html("{} {}", kind, shown)
        )

    @admin.display(description="details")
    def details(self, entry: LogEntry) -> SafeString:
        return isolated(entry.get_change_message(), 500)
