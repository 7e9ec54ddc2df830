"""How far each peer was sent the log."""

from django.contrib import admin
from django.utils import timezone
from django.utils.safestring import SafeString

from relay.admin.formatting import isolated
from relay.admin.readonly import ReadOnlyAdmin
from replication.models import PeerLane


@admin.register(PeerLane)
class PeerLaneAdmin(ReadOnlyAdmin[PeerLane]):
    """A row for each peer and lane."""

    list_display = ("peer", "lane", "state", "behind", "waiting", "speed", "sent", "tries", "followed", "error")
    list_display_links = None
    list_select_related = ("peer",)
    list_filter = ("peer", "lane", "state")
    sortable_by = ()
    empty_help = "Each peer has three lanes: urgent, normal, low. They are listed here once a region is added."

    @admin.display(description="lag (changes)")
    def behind(self, row: PeerLane) -> str:
        return f"{row.lag_events:,}"

    @admin.display(description="lag (seconds)")
    def waiting(self, row: PeerLane) -> str:
        return f"{row.lag_seconds:,.1f}" if row.lag_events else ""

    @admin.display(description="speed")
    def speed(self, row: PeerLane) -> str:
        return f"{row.events_per_second:,.0f} events/s" if row.events_per_second else ""

    @admin.display(description="events sent")
    def sent(self, row: PeerLane) -> str:
        return f"{row.sent_events:,}"

    @admin.display(description="failed tries")
    def tries(self, row: PeerLane) -> str:
        return str(row.attempts or "")

    @admin.display(description="sender runs", boolean=True)
    def followed(self, row: PeerLane) -> bool:
        return row.lease_until is not None and row.lease_until > timezone.now()

    @admin.display(description="last error")
    def error(self, row: PeerLane) -> SafeString:
        return isolated(row.last_error, 200)
