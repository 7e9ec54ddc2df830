"""Sign-ins: those that failed and count towards a lock-out, and those that did not."""

from typing import Any

from axes.models import AccessAttempt, AccessLog
from django.conf import settings
from django.contrib import admin
from django.utils.safestring import SafeString

from relay.admin.readonly import ReadOnlyAdmin, RecordAdmin
from relay.admin.showing import isolated


class _SignIns(RecordAdmin[Any]):
    """What a stranger sent to the sign-in page is text, and nobody edits it."""

    ordering = ("-attempt_time",)
    search_fields = ("ip_address", "username")
    search_help_text = "An address or a name"

    @admin.display(description="name", ordering="username")
    def name(self, record: Any) -> SafeString:
        return isolated(record.username or "", 150)

    @admin.display(description="browser")
    def browser(self, record: Any) -> SafeString:
        return isolated(record.user_agent, 120)

    @admin.display(description="address", ordering="ip_address")
    def address(self, record: Any) -> str:
        return record.ip_address or "a Unix socket"


@admin.register(AccessAttempt)
class FailedSignInAdmin(_SignIns):
    """Failures of the last minutes, by address. To end a lock-out, delete those of the address."""

    list_display = ("attempt_time", "address", "name", "failures_since_start", "is_locked_out", "browser")
    fields = ("attempt_time", "address", "name", "failures_since_start", "is_locked_out", "browser", "path_info")
    readonly_fields = fields

    @admin.display(description="locked out", boolean=True)
    def is_locked_out(self, attempt: Any) -> bool:
        return bool(attempt.failures_since_start >= settings.AXES_FAILURE_LIMIT)


@admin.register(AccessLog)
class SignInAdmin(_SignIns, ReadOnlyAdmin[Any]):
    """Who signed in, from where. Kept 90 days."""

    list_display = ("attempt_time", "name", "address", "logout_time", "browser")
    fields = ("attempt_time", "name", "address", "logout_time", "browser")
    readonly_fields = fields
