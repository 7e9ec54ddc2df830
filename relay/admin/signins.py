"""Successful and failed sign-ins (django-axes)."""

from typing import Any

from axes.models import AccessAttempt, AccessLog
from django.conf import settings
from django.contrib import admin
from django.utils.safestring import SafeString

from relay.admin.formatting import isolated
from relay.admin.readonly import ReadOnlyAdmin, RecordAdmin


class _SignIns(RecordAdmin[Any]):
    """User name and user agent are untrusted text."""

    ordering = ("-attempt_time",)
    search_fields = ("ip_address", "username")
    search_help_text = "IP address or user name"

    @admin.display(description="user name", ordering="username")
    def name(self, record: Any) -> SafeString:
        return isolated(record.username or "", 150)

    @admin.display(description="user agent")
    def browser(self, record: Any) -> SafeString:
        return isolated(record.user_agent, 120)

    @admin.display(description="IP address", ordering="ip_address")
    def address(self, record: Any) -> str:
        return record.ip_address or "Unix socket"


@admin.register(AccessAttempt)
class FailedSignInAdmin(_SignIns):
    """Recent failures by address. Deleting an address's rows ends its lock-out."""

    list_display = ("attempt_time", "address", "name", "failures_since_start", "is_locked_out", "browser")
    empty_help = "Wrong passwords are listed here by address. Deleting an address's rows ends its lock-out."
    fields = ("attempt_time", "address", "name", "failures_since_start", "is_locked_out", "browser", "path_info")
    readonly_fields = fields

    @admin.display(description="locked out", boolean=True)
    def is_locked_out(self, attempt: Any) -> bool:
        return bool(attempt.failures_since_start >= settings.AXES_FAILURE_LIMIT)


@admin.register(AccessLog)
class SignInAdmin(_SignIns, ReadOnlyAdmin[Any]):
    """Sign-ins of the last 90 days."""

    list_display = ("attempt_time", "name", "address", "logout_time", "browser")
    empty_help = "Sign-ins of operators are listed here for 90 days."
    fields = ("attempt_time", "name", "address", "logout_time", "browser")
    readonly_fields = fields
