"""The runs of anti-entropy."""

from django.contrib import admin
from django.utils.safestring import SafeString

from relay.admin.formatting import isolated
from relay.admin.readonly import ReadOnlyAdmin
from replication.models import Repair


@admin.register(Repair)
class RepairAdmin(ReadOnlyAdmin[Repair]):
    """Newest first."""

    list_display = ("started", "peer", "took", "windows", "compared", "received", "sent", "why", "failure")
    list_display_links = None
    list_select_related = ("peer",)
    list_filter = ("peer",)
    sortable_by = ()
    empty_help = "Each comparison with a peer is listed here, with what it found missing on either side."

    @admin.display(description="started (UTC)")
    def started(self, repair: Repair) -> str:
        return f"{repair.started_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="duration")
    def took(self, repair: Repair) -> str:
        if repair.finished_at is None:
            return "running"
        return f"{(repair.finished_at - repair.started_at).total_seconds():,.1f} s"

    @admin.display(description="reason")
    def why(self, repair: Repair) -> SafeString:
        return isolated(repair.reason, 100)

    @admin.display(description="error")
    def failure(self, repair: Repair) -> SafeString:
        return isolated(repair.error, 200)
